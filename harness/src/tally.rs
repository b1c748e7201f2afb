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
    /// Those of them at which the task had not yet written all of the flood. On a busy machine the last
    /// kills come behind it, and show less.
    pub in_flood: u64,
    /// Bytes that the kernel took from the task, on both streams.
    pub bytes: u64,
}

impl Tally {
    /// The tally of one attempt; none if its plan does not kill again and again.
    #[must_use]
    pub fn of(history: &History) -> Option<Self> {
        let flooded = flooded(&history.case.scenario.plan)?;
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
        let kills = || history.entries.iter().filter(|one| is_kill(&one.event));
        let lines = history.task.values().flatten();
        let writes = lines.filter(|line| line.event.accepted(flooded).is_some());
        let last_us = writes.map(|line| line.at_us).max().unwrap_or(0);
        let written = |stream| {
            let journals = history.task.values();
            journals.map(move |lines| {
                let taken = lines.iter().filter_map(|line| line.event.accepted(stream));
                taken.max().unwrap_or(0)
            })
        };
        Some(Self {
            kills: kills().count() as u64,
            in_flood: kills().filter(|kill| kill.at_us < last_us).count() as u64,
            bytes: Stream::BOTH.into_iter().flat_map(written).sum(),
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.in_flood += other.in_flood;
        self.bytes += other.bytes;
    }
}

/// The stream in whose flood a plan kills again and again; none if it does not.
#[must_use]
pub fn flooded(plan: &[Step]) -> Option<Stream> {
    plan.iter().find_map(|step| {
        if let Action::Repeat { plan, .. } = &step.action {
            flooded(plan)
        } else if let Action::KillOften { stream, .. } = step.action {
            Some(stream)
        } else {
            None
        }
    })
}
