//! How much a case that kills again and again has seen, so that a long run can be added up. (core)

use std::ops::AddAssign;

use mock_driver::stream::Stream;
use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::scenario::{Action, SignalName, Step};
use crate::trace::Event;

/// Kills, and what was written meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Processes that were killed: logmons and their keepers.
    pub kills: u64,
    /// Bytes that the kernel took from the task, on both streams.
    pub bytes: u64,
}

impl Tally {
    /// The tally of one attempt; none if its plan does not kill again and again.
    #[must_use]
    pub fn of(history: &History) -> Option<Self> {
        if !kills_often(&history.case.scenario.plan) {
            return None;
        }
        let is_kill = |event: &Event| {
            matches!(
                event,
                Event::KeeperKilled { .. }
                    | Event::LogmonSignalled {
                        signal: SignalName::Kill,
                        ..
                    }
            )
        };
        let kills = history.entries.iter().filter(|one| is_kill(&one.event));
        let written = |stream| {
            let journals = history.task.values();
            journals.map(move |lines| {
                let taken = lines.iter().filter_map(|line| line.event.accepted(stream));
                taken.max().unwrap_or(0)
            })
        };
        Some(Self {
            kills: kills.count() as u64,
            bytes: Stream::BOTH.into_iter().flat_map(written).sum(),
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.bytes += other.bytes;
    }
}

/// Whether a plan kills again and again.
#[must_use]
pub fn kills_often(plan: &[Step]) -> bool {
    plan.iter().any(|step| {
        if let Action::Repeat { plan, .. } = &step.action {
            kills_often(plan)
        } else {
            matches!(step.action, Action::KillOften { .. })
        }
    })
}
