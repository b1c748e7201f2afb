//! From a history to a picture. (core)

use mock_driver::journal;
use mock_driver::stream::Stream;

use super::model::{Band, BandKind, Lane, Mark, MarkKind, Picture};
use super::{files, lives, losses, pipes, writers};
use crate::history::History;
use crate::outcome::Verdict;
use crate::report::{cut, many_row, row_of_signal};
use crate::scenario::SignalName;
use crate::trace::Event;
use crate::trace::adapter::AdapterEvent;

/// Longer labels end in `…`; sentences are not cut.
const LONGEST_LABEL: usize = 60;

/// Microseconds since the first event of a history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    first_us: u64,
    /// The last event, since the first.
    pub(super) end_us: u64,
}

impl Since {
    fn of(history: &History) -> Self {
        let journals = history.task.values().chain(history.driver.values());
        let times = journals.flatten().map(|line| line.at_us);
        let times = times.chain(history.entries.iter().map(|entry| entry.at_us));
        let (first, last) = times.fold((u64::MAX, 0), |(first, last), at| {
            (first.min(at), last.max(at))
        });
        let first_us = first.min(last);
        Self {
            first_us,
            end_us: last - first_us,
        }
    }

    /// A time of the trace or of a journal, as the picture counts it.
    pub(super) fn at(self, at_us: u64) -> u64 {
        at_us.saturating_sub(self.first_us)
    }
}

/// The picture of a history, with what the judge found missing in it.
#[must_use]
pub fn picture(history: &History, verdict: &Verdict) -> Picture {
    let since = Since::of(history);
    let mut lanes = writers::lanes(history, since);
    lanes.extend(pipes::lanes(history, since));
    lanes.extend(lives::lanes(history, since));
    for stream in Stream::BOTH {
        lanes.extend(files::lane(history, since, stream));
    }
    losses::add(&mut lanes, history, verdict, since);
    for lane in &mut lanes {
        lane.marks.sort_by_key(|mark| mark.at_us);
    }
    Picture {
        id: history.case.scenario.id.clone(),
        title: history.case.scenario.title.clone(),
        end_us: since.end_us,
        faults: faults(history, since),
        lanes,
    }
}

/// What the host did to the subjects.
fn faults(history: &History, since: Since) -> Vec<Mark> {
    let injected = history.entries.iter().filter_map(|entry| {
        let label = injected(&entry.event)?;
        Some(mark(MarkKind::Injected, since.at(entry.at_us), label))
    });
    injected.collect()
}

/// What an event injected, in a few words; none if it injected nothing.
fn injected(event: &Event) -> Option<String> {
    match event {
        Event::LogmonSignalled { life, signal } => {
            Some(format!("logmon #{life} {}", row_of_signal(*signal)))
        }
        Event::KeeperKilled { .. } => Some("its keeper KILLED".into()),
        Event::TaskSignalled { signal, .. } => Some(format!(
            "the task {}",
            match signal {
                SignalName::Term => "asked to end (TERM)",
                other @ (SignalName::Kill | SignalName::Stop | SignalName::Cont) => {
                    row_of_signal(*other)
                }
            }
        )),
        Event::DriverFrozen { .. } => Some("the driver PAUSED".into()),
        Event::DriverThawed {} => Some("the driver goes on".into()),
        Event::DriverStopAsked { .. } => Some("the driver asked to stop (TERM)".into()),
        Event::Adapter(event) => spoken(event),
        Event::FaultBegan { what } => Some(what.to_string()),
        Event::FaultEnded { what, .. } => Some(format!("{what} is mended")),
        Event::SpareReader { held: true } => Some("the host holds spare read ends".into()),
        Event::SpareReader { held: false } => Some("the host drops its read ends".into()),
        Event::StartedAgain { .. } => Some("logmon asked for another start".into()),
        Event::Begun { .. }
        | Event::Step { .. }
        | Event::Met { .. }
        | Event::Unmet { .. }
        | Event::LogmonStarted { .. }
        | Event::LogmonReady { .. }
        | Event::LogmonNotReady { .. }
        | Event::LogmonExited { .. }
        | Event::LogmonOverdue { .. }
        | Event::SecondLogmon { .. }
        | Event::DriverStarted { .. }
        | Event::DriverExited { .. }
        | Event::DriverOverdue { .. }
        | Event::TaskGone { .. }
        | Event::Released { .. }
        | Event::Pipe { .. }
        | Event::Logged { .. }
        | Event::FifoIs { .. }
        | Event::Holders { .. }
        | Event::Look { .. }
        | Event::Measured { .. }
        | Event::PlantTouched { .. }
        | Event::WriteEndClosed { .. }
        | Event::WriteEndsReleased { .. }
        | Event::Direct { .. }
        | Event::LeftBehind { .. }
        | Event::Many(_)
        | Event::SuiteError { .. }
        | Event::Held { .. }
        | Event::Ended => None,
    }
}

/// What the host did to a driver that it speaks to.
fn spoken(event: &AdapterEvent) -> Option<String> {
    match event {
        AdapterEvent::Detached { .. } => Some("the driver DETACHED".into()),
        AdapterEvent::Killed { .. } => Some("the driver KILLED".into()),
        AdapterEvent::RecoverAsked { .. } => Some("the driver is to recover".into()),
        AdapterEvent::Refused { .. }
        | AdapterEvent::Broke { .. }
        | AdapterEvent::Recovered { .. } => None,
    }
}

/// What an event about many tasks tells, as a mark.
pub(super) fn many_mark(event: &Event, at_us: u64) -> Option<Mark> {
    let Event::Many(event) = event else {
        return None;
    };
    let (text, is_trouble) = many_row(event)?;
    let kind = if is_trouble {
        MarkKind::Trouble
    } else {
        MarkKind::Step
    };
    Some(mark(kind, at_us, text))
}

pub(super) fn mark(kind: MarkKind, at_us: u64, label: impl Into<String>) -> Mark {
    Mark {
        kind,
        at_us,
        label: cut(&label.into(), LONGEST_LABEL),
    }
}

pub(super) fn band(
    kind: BandKind,
    stream: Option<Stream>,
    (from_us, to_us): (u64, u64),
    label: impl Into<String>,
    detail: impl Into<String>,
) -> Band {
    Band {
        kind,
        stream,
        from_us,
        to_us: to_us.max(from_us),
        label: label.into(),
        detail: detail.into(),
    }
}

/// The lane of a name, made if there is none.
pub(super) fn lane_of(lanes: &mut Vec<Lane>, new: Lane) -> &mut Lane {
    let at = lanes.iter().position(|lane| lane.name == new.name);
    let at = at.unwrap_or_else(|| {
        lanes.push(new);
        lanes.len() - 1
    });
    &mut lanes[at]
}

/// Whether a line of a journal is a write to a stream, and what it tells: the bytes so far, those of
/// this write, and the last whole record.
pub(super) fn wrote(line: &journal::Line, of: Stream) -> Option<(u64, u64, Option<u32>)> {
    if let journal::Event::Wrote {
        stream,
        end,
        bytes,
        seq,
    } = line.event
        && stream == of
    {
        Some((end, bytes, seq))
    } else {
        None
    }
}
