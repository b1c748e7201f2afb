//! What happened, as rows of time, task, pipe and logmon. (core)
//!
//! Writes in a row are one row, at the time of the last: what it tells was so from then on. Where there is room for some rows only, those around the seam are
//! kept: the first place where the host injected something or something failed.

use mock_driver::stream::Stream;

use crate::history::History;
use crate::report::rows::{Kind, Lane, Row, Weight, collect, text_of};
use crate::report::words::{bytes, cut};

/// The most rows that are shown.
const MAX_ROWS: usize = 24;

/// Rows before the seam that are kept.
const BEFORE_SEAM: usize = 6;

/// How many rows of a timeline are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The two dozen that tell most.
    Abridged,
    /// All.
    Whole,
}

/// The timeline as lines of at most 80 columns, its heading first; empty if nothing is known.
///
/// `focus` is the stream whose pipe and log are shown.
#[must_use]
pub fn timeline(history: &History, focus: Stream, extent: Extent) -> Vec<String> {
    let mut rows = collect(history, focus);
    rows.sort_by_key(|row| row.at_us);
    let rows = join(rows);
    if rows.is_empty() {
        return Vec::new();
    }
    let begin = history.entries.first().map_or(0, |entry| entry.at_us);
    let chosen = match extent {
        Extent::Abridged => choose(&rows),
        Extent::Whole => (0..rows.len()).collect(),
    };
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
            .take_while(|last| last.weight == Weight::Flow && last.kind != Kind::Single);
        if let Some(last) = open.into_iter().find(|last| continues(last, &row)) {
            if let (Kind::Wrote { to, .. }, Kind::Wrote { to: new_to, .. }) =
                (&mut last.kind, &row.kind)
            {
                *to = *new_to;
            } else {
                last.kind = row.kind;
            }
            last.text = text_of(&last.kind).unwrap_or_else(|| row.text.clone());
            last.at_us = row.at_us;
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
    joined.sort_by_key(|row| row.at_us);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::stage::{at, good, records};
    use crate::trace::{Event, Exit};

    fn rows(count: u64) -> Vec<Row> {
        (0..count)
            .map(|at_us| Row {
                at_us,
                lane: Lane::Task,
                weight: Weight::Step,
                kind: Kind::Single,
                text: format!("row {at_us}"),
                pipe: None,
            })
            .collect()
    }

    fn wrote(at_us: u64, seq: u64) -> Row {
        let kind = Kind::Wrote {
            stream: Stream::Stdout,
            by_driver: false,
            from: seq,
            to: seq,
            records: true,
        };
        Row {
            at_us,
            lane: Lane::Task,
            weight: Weight::Flow,
            kind,
            text: String::new(),
            pipe: None,
        }
    }

    #[test]
    fn writes_in_a_row_are_one_row_at_the_time_of_the_last_and_none_over_a_gate() {
        let logged = |at_us, bytes| {
            let stream = Stream::Stdout;
            let kind = Kind::Logged { stream, bytes };
            let text = text_of(&kind).unwrap();
            Row {
                lane: Lane::Logmon,
                kind,
                text,
                ..wrote(at_us, 0)
            }
        };
        let gate = Row {
            kind: Kind::Single,
            text: "passes gate go".into(),
            ..wrote(6, 0)
        };
        let all = vec![
            wrote(1, 0),
            logged(2, 100),
            wrote(3, 1),
            logged(4, 200),
            wrote(5, 2),
            gate,
            wrote(7, 3),
            logged(8, 400),
        ];
        let told: Vec<_> = join(all)
            .into_iter()
            .map(|row| (row.at_us, row.text))
            .collect();
        let expected = [
            (4, "log 200 B"),
            (5, "writes 0…2"),
            (6, "passes gate go"),
            (7, ""),
            (8, "log 400 B"),
        ];
        assert_eq!(told, expected.map(|(at, text)| (at, text.to_owned())));
    }

    #[test]
    fn the_suites_own_kill_of_a_driver_that_is_overdue_is_told_as_its_own() {
        let mut history = good(vec![records(Stream::Stdout, 3)]);
        for entry in &mut history.entries {
            if let Event::DriverExited { exit, .. } = &mut entry.event {
                *exit = Exit::Signal(9);
            }
        }
        let told = |history: &History| timeline(history, Stream::Stdout, Extent::Whole).join("\n");
        let by_itself = told(&history);
        assert!(
            by_itself.contains("driver dies of signal 9 (task 0)"),
            "{by_itself}"
        );
        assert!(!by_itself.contains("by the suite"), "{by_itself}");
        let overdue = Event::DriverOverdue {
            generation: 0,
            within_ms: 15_000,
            last: Vec::new(),
        };
        history.entries.insert(2, at(21, overdue));
        let killed = told(&history);
        assert!(
            killed.contains("driver dies of signal 9 (task 0) <- by the suite"),
            "{killed}"
        );
    }

    #[test]
    fn an_abridged_timeline_keeps_what_was_injected_and_the_rows_behind_it() {
        let mut rows = rows(100);
        rows[50].weight = Weight::Break;
        let chosen = choose(&rows);
        assert_eq!(chosen.len(), MAX_ROWS);
        assert!(chosen.contains(&50) && chosen.contains(&51), "{chosen:?}");
        assert!(!chosen.contains(&0) && !chosen.contains(&99), "{chosen:?}");
    }
}
