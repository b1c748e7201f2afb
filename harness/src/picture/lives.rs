//! The lanes of logmon: one for each life. (core)

use super::build::{Since, band, mark};
use super::model::{BandKind, Lane, LaneKind, Mark, MarkKind};
use crate::history::History;
use crate::report::ended;
use crate::scenario::SignalName;
use crate::trace::Event;

/// With more lives than that, lives that do not overlap share a lane.
const MOST_LANES: usize = 8;

/// One life, as far as it is known.
struct Life {
    number: u32,
    pid: i32,
    started: u64,
    ready: Option<u64>,
    ended: Option<u64>,
    pauses: Vec<(u64, Option<u64>)>,
    marks: Vec<Mark>,
}

/// The lanes, in the order of the lives.
pub(super) fn lanes(history: &History, since: Since) -> Vec<Lane> {
    let lives = lives(history, since);
    if lives.len() <= MOST_LANES {
        return lives
            .into_iter()
            .map(|life| {
                let name = format!("logmon #{}, pid {}", life.number, life.pid);
                let mut lane = Lane::new(LaneKind::Logmon, name);
                put(&mut lane, life, since);
                lane
            })
            .collect();
    }
    let mut lanes: Vec<(u64, Lane)> = Vec::new();
    let all = lives.len();
    for life in lives {
        let end = life.ended.unwrap_or(since.end_us);
        let free = lanes.iter_mut().find(|(until, _)| *until < life.started);
        if let Some((until, lane)) = free {
            *until = end;
            put(lane, life, since);
        } else {
            let name = match lanes.len() {
                0 => format!("logmon, {all} lives"),
                more => format!("logmon, lives beside others ({more})"),
            };
            let mut lane = Lane::new(LaneKind::Logmon, name);
            put(&mut lane, life, since);
            lanes.push((end, lane));
        }
    }
    lanes.into_iter().map(|(_, lane)| lane).collect()
}

fn lives(history: &History, since: Since) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for entry in &history.entries {
        let at = since.at(entry.at_us);
        if let Event::LogmonStarted { life, pid, .. } = entry.event {
            lives.push(Life {
                number: life,
                pid,
                started: at,
                ready: None,
                ended: None,
                pauses: Vec::new(),
                marks: Vec::new(),
            });
        } else {
            tell(&mut lives, &entry.event, at);
        }
    }
    lives
}

/// What an event says of one of the lives.
fn tell(lives: &mut [Life], event: &Event, at: u64) {
    let (Event::LogmonReady { life: number, .. }
    | Event::LogmonNotReady { life: number, .. }
    | Event::LogmonOverdue { life: number, .. }
    | Event::LogmonExited { life: number, .. }
    | Event::LogmonSignalled { life: number, .. }
    | Event::SecondLogmon { life: number, .. }) = event
    else {
        return;
    };
    let Some(life) = lives.iter_mut().find(|life| life.number == *number) else {
        return;
    };
    let mut add = |kind, text: String| life.marks.push(mark(kind, at, text));
    if let Event::LogmonReady { .. } = event {
        add(MarkKind::Step, "ready".to_owned());
        life.ready = Some(at);
    } else if let Event::LogmonNotReady { within_ms, .. } = event {
        add(MarkKind::Trouble, format!("NOT ready in {within_ms} ms"));
    } else if let Event::LogmonOverdue { within_ms, .. } = event {
        add(
            MarkKind::Trouble,
            format!("still there after {within_ms} ms"),
        );
    } else if let Event::LogmonExited { exit, asked, .. } = event {
        let (kind, by_itself) = if *asked {
            (MarkKind::Step, "")
        } else {
            (MarkKind::Trouble, " by itself")
        };
        add(kind, format!("{}{by_itself}", ended(*exit)));
        life.ended = Some(at);
    } else if let Event::SecondLogmon { yielded: false, .. } = event {
        add(MarkKind::Trouble, "runs BESIDE the first".to_owned());
    } else if let Event::LogmonSignalled { signal, .. } = event {
        match signal {
            SignalName::Stop => life.pauses.push((at, None)),
            SignalName::Cont | SignalName::Kill => end_pause(life, at),
            SignalName::Term => {}
        }
    }
}

fn end_pause(life: &mut Life, at: u64) {
    if let Some((_, end @ None)) = life.pauses.last_mut() {
        *end = Some(at);
    }
}

fn put(lane: &mut Lane, life: Life, since: Since) {
    let end = life.ended.unwrap_or(since.end_us);
    let name = format!("#{}", life.number);
    let begun = life.ready.unwrap_or(end);
    let detail = format!("logmon {name} starts, pid {}", life.pid);
    lane.bands.push(band(
        BandKind::Starting,
        None,
        (life.started, begun),
        "",
        detail,
    ));
    if let Some(ready) = life.ready {
        let detail = format!("logmon {name} collects, pid {}", life.pid);
        lane.bands
            .push(band(BandKind::Life, None, (ready, end), &name, detail));
    }
    for (from, to) in life.pauses {
        let times = (from, to.unwrap_or(end).min(end));
        let detail = format!("logmon {name} is paused");
        lane.bands
            .push(band(BandKind::Paused, None, times, "paused", detail));
    }
    lane.marks.extend(life.marks);
}
