//! The rows of a timeline, from the trace and both journals, which share a clock. (core)

use std::collections::BTreeSet;

use mock_driver::journal;
use mock_driver::stream::Stream;

use crate::history::History;
use crate::report::many;
use crate::report::words::{adapter, bytes, ended, grouped, row_of_signal, signal_name};
use crate::scenario::{LogmonOutcome, SignalName};
use crate::trace::{Event, Exit, StartedAgain};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Task,
    Logmon,
}

/// How much a row tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Progress that goes on all the time.
    Flow,
    /// A step of a life.
    Step,
    /// Something injected or something that failed.
    Break,
}

/// What consecutive rows are joined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Wrote {
        stream: Stream,
        by_driver: bool,
        from: u64,
        to: u64,
        records: bool,
    },
    Logged {
        stream: Stream,
        bytes: u64,
    },
    Pipe,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) at_us: u64,
    pub(super) lane: Lane,
    pub(super) weight: Weight,
    pub(super) kind: Kind,
    pub(super) text: String,
    /// The level of the pipe from here on, and its capacity.
    pub(super) pipe: Option<(u64, u64)>,
}

impl Row {
    /// How much the row counts when there are too many: what the task wrote and what the log held
    /// is the thread that a reader follows.
    pub(super) fn shown_weight(&self) -> Weight {
        match self.kind {
            Kind::Wrote {
                by_driver: false, ..
            }
            | Kind::Logged { .. } => self.weight.max(Weight::Step),
            Kind::Wrote {
                by_driver: true, ..
            }
            | Kind::Single
            | Kind::Pipe => self.weight,
        }
    }
}

/// The text of a row that others were joined to; none for a row that stands alone.
pub(super) fn text_of(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Wrote {
            stream,
            by_driver,
            from,
            to,
            records,
        } => {
            let who = if *by_driver { "driver " } else { "" };
            let on = if *stream == Stream::Stderr {
                " (stderr)"
            } else {
                ""
            };
            Some(if *records {
                format!("{who}writes {}{on}", range(*from, *to))
            } else {
                format!("{who}wrote {} so far{on}", bytes(*to))
            })
        }
        Kind::Logged {
            stream: Stream::Stdout,
            bytes: n,
        } => Some(format!("log {}", bytes(*n))),
        Kind::Logged {
            stream: Stream::Stderr,
            bytes: n,
        } => Some(format!("log {} (stderr)", bytes(*n))),
        Kind::Single | Kind::Pipe => None,
    }
}

fn range(from: u64, to: u64) -> String {
    if from == to {
        grouped(from)
    } else {
        format!("{from}…{to}")
    }
}

/// All rows, in no order.
pub(super) fn collect(history: &History, focus: Stream) -> Vec<Row> {
    let mut rows = Vec::new();
    for (generation, lines) in &history.task {
        for line in lines {
            rows.extend(journal_row(line, *generation, false));
        }
    }
    for (generation, lines) in &history.driver {
        for line in lines {
            let row = journal_row(line, *generation, true);
            rows.extend(row.map(|row| with_last_descriptor(row, line, history)));
        }
    }
    let mut overdue = BTreeSet::new();
    for entry in &history.entries {
        let mut told = trace_row(entry.at_us, &entry.event, focus);
        if let Event::DriverOverdue { generation, .. } = &entry.event {
            overdue.insert(*generation);
        } else if let Event::DriverExited {
            generation,
            exit: Exit::Signal(SIGKILL),
            ..
        } = &entry.event
            && let Some(row) = &mut told
            && overdue.contains(generation)
        {
            row.text.push_str(" <- by the suite");
        }
        rows.extend(told);
    }
    rows
}

/// The signal that ends a driver which the suite has given up on.
const SIGKILL: i32 = nix::libc::SIGKILL;

/// Says what it means to close a write end while nobody reads (pipe(7)).
fn with_last_descriptor(mut row: Row, line: &journal::Line, history: &History) -> Row {
    if matches!(line.event, journal::Event::Closed { .. }) && !is_read_at(history, line.at_us) {
        row.text
            .push_str(" <- last descriptor: its content is lost");
        row.weight = Weight::Break;
    }
    row
}

/// Whether a logmon lived or the host held a read end at a time. A logmon that was killed counts
/// as gone from the signal on.
fn is_read_at(history: &History, at_us: u64) -> bool {
    let mut living = BTreeSet::new();
    let mut has_spare = false;
    for entry in &history.entries {
        if entry.at_us > at_us {
            break;
        }
        if let Event::LogmonStarted { life, .. } = &entry.event {
            living.insert(*life);
        } else if let Event::LogmonExited { life, .. }
        | Event::LogmonSignalled {
            life,
            signal: SignalName::Kill,
        } = &entry.event
        {
            living.remove(life);
        } else if let Event::SpareReader { held } = &entry.event {
            has_spare = *held;
        }
    }
    has_spare || !living.is_empty()
}

fn row(at_us: u64, lane: Lane, weight: Weight, text: String) -> Row {
    Row {
        at_us,
        lane,
        weight,
        kind: Kind::Single,
        text,
        pipe: None,
    }
}

/// What a line of a journal tells, in a few words; of writes nothing, as they are told together.
pub(crate) fn journal_text(event: &journal::Event) -> String {
    let on = |stream: Stream| {
        if stream == Stream::Stderr {
            " (stderr)"
        } else {
            ""
        }
    };
    match event {
        journal::Event::Hello { pid, .. } => format!("runs, pid {pid}"),
        journal::Event::Wrote { .. } => String::new(),
        journal::Event::Blocked {
            stream,
            bytes_pending,
        } => format!("blocked, {} wait{}", bytes(*bytes_pending), on(*stream)),
        journal::Event::Error { stream, name, .. } => format!("{name}{}", on(*stream)),
        journal::Event::Opened { stream, fd } => format!("opens fd {fd}{}", on(*stream)),
        journal::Event::Closed { stream, fd } => format!("closes fd {fd}{}", on(*stream)),
        journal::Event::Gate { name } => format!("passes gate {name}"),
        journal::Event::Mark { name } => format!("mark {name}"),
        journal::Event::Exit { code, signal: None } => format!("exits {code}"),
        journal::Event::Exit {
            signal: Some(signal),
            ..
        } => format!("dies of signal {signal}"),
    }
}

fn journal_row(line: &journal::Line, generation: u32, by_driver: bool) -> Option<Row> {
    let who = match (&line.event, by_driver) {
        (journal::Event::Hello { .. }, true) => "driver ".to_owned(),
        (journal::Event::Hello { .. }, false) => format!("task {generation} "),
        (_, true) => "driver: ".to_owned(),
        (_, false) => String::new(),
    };
    let text = format!("{who}{}", journal_text(&line.event));
    let task = |weight| Some(row(line.at_us, Lane::Task, weight, text));
    match &line.event {
        journal::Event::Wrote {
            stream,
            end,
            bytes,
            seq,
        } => {
            let (from, to, records) = match seq {
                Some(seq) => (u64::from(*seq), u64::from(*seq), true),
                None => (end.saturating_sub(*bytes), *end, false),
            };
            let kind = Kind::Wrote {
                stream: *stream,
                by_driver,
                from,
                to,
                records,
            };
            let text = text_of(&kind).unwrap_or_default();
            Some(Row {
                at_us: line.at_us,
                lane: Lane::Task,
                weight: Weight::Flow,
                kind,
                text,
                pipe: None,
            })
        }
        journal::Event::Error { .. } => task(Weight::Break),
        journal::Event::Gate { .. } | journal::Event::Mark { .. } => task(Weight::Flow),
        journal::Event::Hello { .. }
        | journal::Event::Blocked { .. }
        | journal::Event::Opened { .. }
        | journal::Event::Closed { .. }
        | journal::Event::Exit { .. } => task(Weight::Step),
    }
}

fn trace_row(at_us: u64, event: &Event, focus: Stream) -> Option<Row> {
    let task = |weight, text| Some(row(at_us, Lane::Task, weight, text));
    let logmon = |weight, text| Some(row(at_us, Lane::Logmon, weight, text));
    match event {
        Event::Met { text, .. } => logmon(Weight::Step, format!("\"{text}\" met")),
        Event::Unmet {
            text, within_ms, ..
        } => logmon(
            Weight::Break,
            format!("\"{text}\" NOT met in {within_ms} ms"),
        ),
        Event::LogmonStarted { life, expect, .. } => {
            let must = match expect {
                LogmonOutcome::Ready => "",
                LogmonOutcome::Refused => ", must refuse",
                LogmonOutcome::ReadyOrRefused => ", may refuse",
            };
            logmon(Weight::Step, format!("#{life} started{must}"))
        }
        Event::Many(event) => match many::row_text(event)? {
            many::Told::Step(text) => logmon(Weight::Step, text),
            many::Told::Break(text) => logmon(Weight::Break, text),
        },
        Event::LogmonReady { life, .. } => logmon(Weight::Step, format!("#{life} ready")),
        Event::LogmonNotReady {
            life, within_ms, ..
        } => logmon(
            Weight::Break,
            format!("#{life} NOT ready in {within_ms} ms"),
        ),
        Event::LogmonSignalled { life, signal } => {
            let what = row_of_signal(*signal);
            logmon(Weight::Break, format!("#{life} {what} <- injected"))
        }
        Event::KeeperKilled { pid } => logmon(
            Weight::Break,
            format!("its keeper {pid} KILLED <- injected"),
        ),
        Event::LogmonExited {
            life, exit, asked, ..
        } => {
            let weight = if *asked { Weight::Step } else { Weight::Break };
            let by_itself = if *asked { "" } else { " by itself" };
            logmon(weight, format!("#{life} {}{by_itself}", ended(*exit)))
        }
        Event::LogmonOverdue { life, within_ms } => logmon(
            Weight::Break,
            format!("#{life} still there after {within_ms} ms"),
        ),
        Event::SecondLogmon { life, yielded } => logmon(
            if *yielded {
                Weight::Step
            } else {
                Weight::Break
            },
            format!(
                "#{life} {}",
                if *yielded {
                    "gave way"
                } else {
                    "runs BESIDE the first"
                }
            ),
        ),
        Event::StartedAgain { outcome, .. } => match outcome {
            StartedAgain::Done => logmon(Weight::Step, "another start is done".into()),
            StartedAgain::Refused { .. } => {
                logmon(Weight::Break, "another start is REFUSED".into())
            }
            StartedAgain::Unanswered => {
                logmon(Weight::Break, "another start is NOT answered".into())
            }
            StartedAgain::LogmonEnded => None,
        },
        Event::DriverStarted {
            generation, pid, ..
        } => task(
            Weight::Step,
            format!("driver starts (task {generation}), pid {pid}"),
        ),
        Event::DriverExited {
            generation, exit, ..
        } => task(
            Weight::Step,
            format!("driver {} (task {generation})", ended(*exit)),
        ),
        Event::DriverStopAsked { .. } => task(Weight::Step, "driver asked to stop (TERM)".into()),
        Event::DriverOverdue { within_ms, .. } => task(
            Weight::Break,
            format!("driver still there after {within_ms} ms"),
        ),
        Event::TaskSignalled { signal, .. } => task(
            Weight::Break,
            format!("SIG{} <- injected", signal_name(*signal)),
        ),
        Event::DriverFrozen { .. } => task(Weight::Break, "driver PAUSED <- injected".into()),
        Event::DriverThawed {} => task(Weight::Step, "driver goes on".into()),
        Event::TaskGone { generation } => task(Weight::Step, format!("task {generation} is gone")),
        Event::Released { gate } => task(Weight::Flow, format!("gate {gate} opened")),
        Event::Pipe {
            stream,
            bytes,
            capacity,
        } if *stream == focus => Some(Row {
            at_us,
            lane: Lane::Task,
            weight: Weight::Flow,
            kind: Kind::Pipe,
            text: String::new(),
            pipe: Some((*bytes, *capacity)),
        }),
        Event::Logged { stream, bytes } if *stream == focus => {
            let kind = Kind::Logged {
                stream: *stream,
                bytes: *bytes,
            };
            let text = text_of(&kind).unwrap_or_default();
            Some(Row {
                at_us,
                lane: Lane::Logmon,
                weight: Weight::Flow,
                kind,
                text,
                pipe: None,
            })
        }
        Event::SpareReader { held } => {
            let does = if *held { "holds spare" } else { "drops its" };
            logmon(Weight::Step, format!("host {does} read ends"))
        }
        Event::WriteEndClosed { stream, .. } => {
            task(Weight::Step, format!("a write end of {stream} is closed"))
        }
        Event::WriteEndsReleased {
            after_ms: None,
            generation,
            ..
        } => task(
            Weight::Break,
            format!("write end STILL held (task {generation})"),
        ),
        Event::PlantTouched { path, what } => logmon(Weight::Break, format!("{path}: {what}")),
        Event::LeftBehind { pid, .. } => task(Weight::Break, format!("pid {pid} left behind")),
        Event::FaultBegan { what } => logmon(Weight::Break, format!("{what} <- injected")),
        Event::FaultEnded { what, .. } => logmon(Weight::Break, format!("{what} is mended")),
        Event::Adapter(event) if event.is_routine() => task(Weight::Step, adapter(event)),
        Event::Adapter(event) => task(Weight::Break, adapter(event)),
        Event::Held { .. } => logmon(Weight::Break, "the plan is stopped here".into()),
        Event::SuiteError { .. } => logmon(Weight::Break, "the suite could not go on".into()),
        Event::Begun { .. }
        | Event::Step { .. }
        | Event::Pipe { .. }
        | Event::Logged { .. }
        | Event::FifoIs { .. }
        | Event::Holders { .. }
        | Event::Look { .. }
        | Event::Measured { .. }
        | Event::WriteEndsReleased {
            after_ms: Some(_), ..
        }
        | Event::Direct { .. }
        | Event::Ended => None,
    }
}
