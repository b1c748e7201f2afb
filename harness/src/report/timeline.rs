//! What happened, as rows of time, task, pipe and logmon. (core)
//!
//! The rows come from the trace and from both journals, which share a clock. Writes in a row are
//! one row; of the rest, those around the seam are kept: the first place where the host injected
//! something or something failed.

use std::collections::BTreeSet;

use mock_driver::journal;
use mock_driver::stream::Stream;

use crate::history::History;
use crate::report::many;
use crate::report::words::{bytes, cut, ended, grouped, signal_name};
use crate::scenario::{LogmonOutcome, SignalName};
use crate::trace::Event;

/// The most rows that are shown.
const MAX_ROWS: usize = 24;

/// Rows before the seam that are kept.
const BEFORE_SEAM: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Task,
    Logmon,
}

/// How much a row tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Progress that goes on all the time.
    Flow,
    /// A step of a life.
    Step,
    /// Something injected or something that failed.
    Break,
}

/// What consecutive rows are joined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
struct Row {
    at_us: u64,
    lane: Lane,
    weight: Weight,
    kind: Kind,
    text: String,
    /// The level of the pipe from here on, and its capacity.
    pipe: Option<(u64, u64)>,
}

impl Row {
    /// How much the row counts when there are too many: what the task wrote and what the log held
    /// is the thread that a reader follows.
    fn shown_weight(&self) -> Weight {
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

/// The timeline as lines of at most 80 columns, its heading first; empty if nothing is known.
///
/// `focus` is the stream whose pipe and log are shown.
#[must_use]
pub fn timeline(history: &History, focus: Stream) -> Vec<String> {
    let mut rows = collect(history, focus);
    rows.sort_by_key(|row| row.at_us);
    let rows = join(rows);
    if rows.is_empty() {
        return Vec::new();
    }
    let begin = history.entries.first().map_or(0, |entry| entry.at_us);
    let chosen = choose(&rows);
    let mut lines = vec![
        format!("{:<72}(ms)", "What happened"),
        format!(
            "  {:8} {:<27} {:<13} {}",
            "", "task (writer)", "pipe", "logmon"
        ),
    ];
    let mut shown = None;
    let mut last: Option<usize> = None;
    for index in chosen {
        let skipped = index - last.map_or(0, |last| last + 1);
        if skipped > 0 {
            lines.push(format!("  {:>8} ({skipped} more)", "…"));
        }
        // The level as it is from this row on, told where it is another than in the row above.
        let level = rows[..=index].iter().rev().find_map(|row| row.pipe);
        let told = if level == shown { None } else { level };
        lines.push(render(&rows[index], begin, told));
        shown = level;
        last = Some(index);
    }
    let rest = rows.len() - last.map_or(0, |last| last + 1);
    if rest > 0 {
        lines.push(format!("  {:>8} ({rest} more)", "…"));
    }
    lines
}

/// Columns of the task's lane, of the pipe's, and of the space that is left for logmon's.
const TASK_WIDTH: usize = 26;
const PIPE_WIDTH: usize = 12;
const LOGMON_WIDTH: usize = 25;

fn render(row: &Row, begin: u64, level: Option<(u64, u64)>) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown with one digit after the point"
    )]
    let ms = row.at_us.saturating_sub(begin) as f64 / 1000.0;
    let pipe = level.map(gauge).unwrap_or_default();
    let line = match row.lane {
        Lane::Task if pipe.is_empty() => row.text.clone(),
        Lane::Task => format!("{:<TASK_WIDTH$} {pipe}", cut(&row.text, TASK_WIDTH)),
        // A long text begins further left, over the lanes that are empty.
        Lane::Logmon => {
            let room = LOGMON_WIDTH.max(row.text.chars().count());
            let over = room - LOGMON_WIDTH;
            let before = (TASK_WIDTH + 1 + PIPE_WIDTH + 1).saturating_sub(over);
            if pipe.is_empty() {
                format!("{:before$}{}", "", row.text)
            } else {
                let text = cut(&row.text, LOGMON_WIDTH);
                format!("{:TASK_WIDTH$} {pipe:<PIPE_WIDTH$} {text}", "")
            }
        }
    };
    cut(format!("  {ms:>8.1} {line}").trim_end(), 78)
}

/// A level as one block and a number.
fn gauge((level, capacity): (u64, u64)) -> String {
    const BLOCKS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = level
        .saturating_mul(8)
        .checked_div(capacity)
        .unwrap_or(0)
        .min(7);
    let block = usize::try_from(eighths)
        .ok()
        .and_then(|index| BLOCKS.get(index))
        .unwrap_or(&'█');
    format!("{block} {:>10}", bytes(level))
}

/// The indices of the rows that are shown, in order.
fn choose(rows: &[Row]) -> Vec<usize> {
    if rows.len() <= MAX_ROWS {
        return (0..rows.len()).collect();
    }
    let seam = rows
        .iter()
        .position(|row| row.weight == Weight::Break)
        .unwrap_or_else(|| rows.len() - MAX_ROWS / 2);
    let mut chosen = Vec::new();
    // The heaviest first, among equals those next to the seam, where before it counts less.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&index| {
        let distance = if index < seam {
            (seam - index) * (MAX_ROWS / BEFORE_SEAM)
        } else {
            index - seam
        };
        (std::cmp::Reverse(rows[index].shown_weight()), distance)
    });
    chosen.extend(order.into_iter().take(MAX_ROWS));
    chosen.sort_unstable();
    chosen
}

/// Joins rows that go on with what the row before them told.
fn join(rows: Vec<Row>) -> Vec<Row> {
    let mut joined: Vec<Row> = Vec::new();
    for row in rows {
        // Flows of several kinds alternate; each goes on in its own row until something breaks in.
        let open = joined
            .iter_mut()
            .rev()
            .take(4)
            .take_while(|last| last.weight == Weight::Flow);
        if let Some(last) = open.into_iter().find(|last| continues(last, &row)) {
            if let (Kind::Wrote { to, .. }, Kind::Wrote { to: new_to, .. }) =
                (&mut last.kind, &row.kind)
            {
                *to = *new_to;
            } else {
                last.kind = row.kind;
            }
            last.text = text_of(&last.kind).unwrap_or_else(|| row.text.clone());
            if row.pipe.is_some() {
                last.pipe = row.pipe;
            }
        } else if row.kind == Kind::Pipe
            && joined
                .last()
                .is_some_and(|last| last.weight == Weight::Flow)
        {
            // A level alone is shown in the row that it belongs to.
            if let Some(last) = joined.last_mut() {
                last.pipe = row.pipe;
            }
        } else {
            joined.push(row);
        }
    }
    joined
}

fn continues(last: &Row, row: &Row) -> bool {
    match (&last.kind, &row.kind) {
        (
            Kind::Wrote {
                stream: a,
                by_driver: b,
                to,
                records: c,
                ..
            },
            Kind::Wrote {
                stream: x,
                by_driver: y,
                from,
                records: z,
                ..
            },
        ) => a == x && b == y && c == z && from >= to,
        (Kind::Logged { stream: a, .. }, Kind::Logged { stream: b, .. }) => a == b,
        (Kind::Pipe, Kind::Pipe) => true,
        (Kind::Single | Kind::Wrote { .. } | Kind::Logged { .. } | Kind::Pipe, _) => false,
    }
}

fn text_of(kind: &Kind) -> Option<String> {
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

fn collect(history: &History, focus: Stream) -> Vec<Row> {
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
    for entry in &history.entries {
        rows.extend(trace_row(entry.at_us, &entry.event, focus));
    }
    rows
}

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

fn journal_row(line: &journal::Line, generation: u32, by_driver: bool) -> Option<Row> {
    let who = if by_driver { "driver: " } else { "" };
    let on = |stream: Stream| {
        if stream == Stream::Stderr {
            " (stderr)"
        } else {
            ""
        }
    };
    let task = |weight, text| Some(row(line.at_us, Lane::Task, weight, text));
    match &line.event {
        journal::Event::Hello { pid, .. } if by_driver => {
            task(Weight::Step, format!("driver runs, pid {pid}"))
        }
        journal::Event::Hello { pid, .. } => {
            task(Weight::Step, format!("task {generation} runs, pid {pid}"))
        }
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
        journal::Event::Blocked {
            stream,
            bytes_pending,
        } => task(
            Weight::Step,
            format!(
                "{who}blocked, {} wait{}",
                bytes(*bytes_pending),
                on(*stream)
            ),
        ),
        journal::Event::Error { stream, name, .. } => {
            task(Weight::Break, format!("{who}{name}{}", on(*stream)))
        }
        journal::Event::Opened { stream, fd } => {
            task(Weight::Step, format!("{who}opens fd {fd}{}", on(*stream)))
        }
        journal::Event::Closed { stream, fd } => {
            task(Weight::Step, format!("{who}closes fd {fd}{}", on(*stream)))
        }
        journal::Event::Gate { name } => task(Weight::Flow, format!("{who}passes gate {name}")),
        journal::Event::Mark { name } => task(Weight::Flow, format!("{who}mark {name}")),
        journal::Event::Exit { code, signal: None } => {
            task(Weight::Step, format!("{who}exits {code}"))
        }
        journal::Event::Exit {
            signal: Some(signal),
            ..
        } => task(Weight::Step, format!("{who}dies of signal {signal}")),
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
            let what = match signal {
                SignalName::Stop => "PAUSED",
                SignalName::Kill => "KILLED",
                SignalName::Cont => "goes on",
                SignalName::Term => "asked to end (TERM)",
            };
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
        Event::WriteEndClosed { stream } => {
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
