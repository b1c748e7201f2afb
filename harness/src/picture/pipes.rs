//! What lies in the pipes, and how many tasks a logmon has. (core)

use mock_driver::stream::Stream;

use super::build::{Since, many_mark};
use super::model::{Lane, LaneKind, Level};
use crate::history::History;
use crate::report::{bytes, grouped};
use crate::trace::Event;
use crate::trace::many::{ManyEvent, Order};

/// A lane for each stream whose pipe was looked at; for many tasks, a lane of how many there are.
pub(super) fn lanes(history: &History, since: Since) -> Vec<Lane> {
    if let Some(many) = history.case.scenario.many {
        return vec![tasks(history, since, u64::from(many.tasks))];
    }
    Stream::BOTH
        .into_iter()
        .filter_map(|stream| pipe(history, since, stream))
        .collect()
}

fn pipe(history: &History, since: Since, of: Stream) -> Option<Lane> {
    let mut levels: Vec<Level> = Vec::new();
    for entry in &history.entries {
        if let Event::Pipe {
            stream,
            bytes,
            capacity,
        } = entry.event
            && stream == of
        {
            levels.push(Level {
                at_us: since.at(entry.at_us),
                amount: bytes,
                most: capacity,
            });
        }
    }
    let capacity = levels.iter().map(|level| level.most).max()?;
    let name = format!("pipe of {of}, takes {}", bytes(capacity));
    let mut lane = Lane::new(LaneKind::Pipe, name);
    lane.levels = levels;
    Some(lane)
}

/// How many tasks logmon was given and not taken away again.
fn tasks(history: &History, since: Since, all: u64) -> Lane {
    let mut lane = Lane::new(
        LaneKind::Tasks,
        format!("tasks of logmon, {} in all", grouped(all)),
    );
    let mut now = 0_u64;
    for entry in &history.entries {
        let at_us = since.at(entry.at_us);
        if let Event::Many(ManyEvent::Commanded {
            order,
            exit: Some(exit),
            ..
        }) = &entry.event
            && exit.as_status() == 0
        {
            now = match order {
                Order::Start => now + 1,
                Order::Stop => now.saturating_sub(1),
            };
            lane.levels.push(Level {
                at_us,
                amount: now,
                most: all,
            });
        }
        lane.marks.extend(many_mark(&entry.event, at_us));
    }
    lane
}
