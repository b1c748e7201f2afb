//! The faulty drivers with several tasks, which live on without them, and what tells them apart. (core)

use std::collections::BTreeSet;

use mock_driver::journal;

use super::dictionary::Entry;
use crate::diagnosis::Fact;
use crate::finding::Shape;
use crate::history::History;
use crate::judge::{Vanished, vanished};
use crate::trace::Event;
use crate::trace::adapter::AdapterEvent;

/// One entry for each kind of damage.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        subject: "loses-gap",
        shapes: &[Shape::LostMiddle],
        facts: &[Fact::Recovered, Fact::LostWhileAway],
        never: &[],
        along: &[Shape::Torn],
        cause: "what the task writes while no driver is there is thrown away",
        ways_out: &[
            "hand the FIFO itself to the task, or forward in a process that outlives the driver",
            "go on where the log ends after a recovery, not where the stream is now",
        ],
    },
    Entry {
        subject: "repeats-gap",
        shapes: &[Shape::Repeated],
        facts: &[Fact::Recovered],
        never: &[Fact::LogmonKilled],
        along: &[Shape::Torn, Shape::Reordered, Shape::Late],
        cause: "after a recovery the driver sends again what had been delivered without it",
        ways_out: &[
            "keep the place up to which was delivered with whoever delivers",
            "save it with each write, not when the driver ends",
        ],
    },
    Entry {
        subject: "restarts-on-recover",
        shapes: &[Shape::Restarted],
        facts: &[Fact::Recovered],
        never: &[],
        along: &[
            Shape::Repeated,
            Shape::Reordered,
            Shape::Torn,
            Shape::WriterKilled,
            Shape::WrongExit,
            Shape::LostTail,
            Shape::LostMiddle,
            Shape::Late,
        ],
        cause: "the driver starts the task again instead of finding its process",
        ways_out: &[
            "keep process number and time of beginning in the handle, and watch it by a pidfd",
            "answer `lost` for what can't be taken over, and leave a restart to the host",
        ],
    },
    Entry {
        subject: "kills-on-recover",
        shapes: &[Shape::WriterKilled, Shape::WrongExit],
        facts: &[Fact::Recovered],
        never: &[Fact::Sigpipe],
        along: &[
            Shape::LostMiddle,
            Shape::LostTail,
            Shape::LostAll,
            Shape::LeftBehind,
        ],
        cause: "the driver ends a task that it is to recover, for its log can't be reached",
        ways_out: &[
            "recover the task first, and mend its log beside it",
            "try again until there is a reader; the task goes on meanwhile",
        ],
    },
    Entry {
        subject: "hangs-in-recover",
        shapes: &[Shape::Blocked],
        facts: &[Fact::Recovered, Fact::RecoverOverdue],
        never: &[],
        along: &[],
        cause: "the driver opens a FIFO that nobody reads, and waits there with all its tasks",
        ways_out: &[
            "open with O_NONBLOCK, and take ENXIO for \"not yet\"",
            "recover each task on its own, with a limit",
        ],
    },
    Entry {
        subject: "guesses-success",
        shapes: &[Shape::WrongExit],
        facts: &[Fact::Recovered, Fact::EndedWhileAway],
        never: &[],
        along: &[],
        cause: "the driver makes up the end of a task that ended while it was away",
        ways_out: &[
            "have whoever waits for the task write its status into a file",
            "answer `lost` if the end is not known",
        ],
    },
    Entry {
        subject: "takes-pause-for-death",
        shapes: &[Shape::WrongExit],
        facts: &[Fact::DriverPaused],
        never: &[Fact::Recovered],
        along: &[],
        cause: "the driver takes the time in which it stood still for the death of its task",
        ways_out: &[
            "wait for the end of the process (waitid, a pidfd), not for signs of its life",
            "begin a watchdog's time again when the watchdog itself comes late",
        ],
    },
    Entry {
        subject: "leaks-fd-into-next-task",
        shapes: &[Shape::NoEof],
        facts: &[Fact::SecondTask],
        never: &[],
        along: &[Shape::LeftBehind, Shape::BadInheritance],
        cause: "a task inherits a descriptor of the FIFO of another one, and holds it as long as it lives",
        ways_out: &[
            "open each FIFO with O_CLOEXEC, in one call with the open",
            "close all but 0, 1 and 2 before exec (close_range)",
        ],
    },
];

/// What a history shows of drivers that left their tasks.
pub(super) fn facts(history: &History) -> BTreeSet<Fact> {
    let mut facts = BTreeSet::new();
    for entry in &history.entries {
        let Event::Adapter(event) = &entry.event else {
            continue;
        };
        match event {
            AdapterEvent::RecoverAsked { .. } => drop(facts.insert(Fact::Recovered)),
            AdapterEvent::Broke { op, is_late, .. } => {
                if *is_late && op.as_deref() == Some("recover") {
                    facts.insert(Fact::RecoverOverdue);
                }
            }
            AdapterEvent::Refused { .. }
            | AdapterEvent::Detached { .. }
            | AdapterEvent::Killed { .. }
            | AdapterEvent::Recovered { .. } => {}
        }
    }
    let absences = absences(history);
    let is_away = |at_us: u64| {
        absences
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&at_us))
    };
    if absences.is_empty() {
        return facts;
    }
    let lost = vanished(history);
    let is_of_absence = |piece: &Vanished| {
        let times = written(history, piece);
        !times.is_empty() && times.into_iter().all(is_away)
    };
    if !lost.is_empty() && lost.iter().all(is_of_absence) {
        facts.insert(Fact::LostWhileAway);
    }
    let mut entries = history.entries.iter();
    if entries.any(|one| matches!(one.event, Event::TaskGone { .. }) && is_away(one.at_us)) {
        facts.insert(Fact::EndedWhileAway);
    }
    facts
}

/// The times without a driver, in microseconds.
fn absences(history: &History) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    let mut left = None;
    for entry in &history.entries {
        let Event::Adapter(event) = &entry.event else {
            continue;
        };
        match event {
            AdapterEvent::Detached { .. } | AdapterEvent::Killed { .. } => left = Some(entry.at_us),
            AdapterEvent::Recovered { .. } => {
                all.extend(left.take().map(|from| (from, entry.at_us)));
            }
            AdapterEvent::Refused { .. }
            | AdapterEvent::Broke { .. }
            | AdapterEvent::RecoverAsked { .. } => {}
        }
    }
    all.extend(left.map(|from| (from, u64::MAX)));
    all
}

/// When the task wrote what is missing, write by write.
fn written(history: &History, piece: &Vanished) -> Vec<u64> {
    let lines = history.task.get(&piece.generation);
    let at = |line: &journal::Line| {
        if let journal::Event::Wrote {
            stream, end, bytes, ..
        } = line.event
            && stream == piece.stream
            && end > piece.bytes.start
            && end - bytes.min(end) < piece.bytes.end
        {
            return Some(line.at_us);
        }
        None
    };
    lines.into_iter().flatten().filter_map(at).collect()
}

#[cfg(test)]
mod tests {
    use mock_driver::stream::Stream;

    use super::*;
    use crate::judge::stage::{add, good, put, records, sent};

    /// A task that writes 10 records at 500, its driver away between these times, and one is missing.
    fn lost_beside(from: u64, to: u64) -> BTreeSet<Fact> {
        let mut history = good(vec![records(Stream::Stdout, 10)]);
        let mut told = |at_us, event| add(&mut history, at_us, Event::Adapter(event));
        told(from, AdapterEvent::Detached { pid: 200 });
        told(to, AdapterEvent::RecoverAsked { pid: 201 });
        let (ok, lost) = (vec![0], Vec::new());
        let after_ms = 0;
        told(to + 1, AdapterEvent::Recovered { after_ms, ok, lost });
        let whole = sent(&history, 0, Stream::Stdout);
        let rest = [&whole[..300], &whole[400..]].concat();
        put(&mut history, Stream::Stdout, vec![rest]);
        facts(&history)
    }

    #[test]
    fn a_loss_is_of_the_absence_only_if_it_was_written_then() {
        let both = BTreeSet::from([Fact::Recovered, Fact::LostWhileAway]);
        assert_eq!(lost_beside(400, 600), both);
        assert_eq!(lost_beside(600, 700), BTreeSet::from([Fact::Recovered]));
    }

    #[test]
    fn an_end_without_a_driver_is_told() {
        let facts = lost_beside(800, 1_500);
        assert!(facts.contains(&Fact::EndedWhileAway), "{facts:?}");
        assert!(!lost_beside(400, 600).contains(&Fact::EndedWhileAway));
    }
}
