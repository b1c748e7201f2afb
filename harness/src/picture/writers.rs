//! The lanes of those who write: the task, and a driver that tells what it does. (core)

use std::iter;

use mock_driver::journal;
use mock_driver::stream::Stream;

use super::build::{Since, band, lane_of, mark, wrote};
use super::model::{Band, BandKind, Lane, LaneKind, MarkKind};
use crate::history::History;
use crate::report::{bytes, ended, journal_text};
use crate::trace::Event;

/// Writes that follow each other so quickly are one band at least, in microseconds.
const TOGETHER_US: u64 = 1_000;

/// And so are writes that follow each other within this share of the case.
const SHARE: u64 = 100;

/// A stream's writes are at most so many bands. With more, those further apart are joined as well, and then
/// those with a wait or an error between them.
const MOST_WRITES: usize = 300;

/// A lane for each run of the task, and one for its driver if that wrote a journal.
pub(super) fn lanes(history: &History, since: Since) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for entry in &history.entries {
        let at_us = since.at(entry.at_us);
        if let Event::DriverStarted { generation, .. } = entry.event {
            lane_of(&mut lanes, task_lane(generation));
            add_journal(&mut lanes, history, since, generation);
        }
        add_event(&mut lanes, &entry.event, at_us);
    }
    for lane in &mut lanes {
        let ends = lane.bands.iter().map(|band| band.to_us).max();
        // Drawn first, so that the rest lies on top of it.
        let begins = lane.bands.iter().map(|band| band.from_us);
        let begins = begins.chain(lane.marks.iter().map(|mark| mark.at_us)).min();
        let last = lane.marks.iter().map(|mark| mark.at_us).max().max(ends);
        if let (Some(from), Some(to)) = (begins, last) {
            let life = band(BandKind::Life, None, (from, to), "", lane.name.clone());
            lane.bands.insert(0, life);
        }
    }
    lanes
}

pub(super) fn task_name(generation: u32) -> String {
    format!("task, run {generation}")
}

pub(super) fn driver_name(generation: u32) -> String {
    format!("driver of run {generation}")
}

fn task_lane(generation: u32) -> Lane {
    Lane::new(LaneKind::Task, task_name(generation))
}

/// What the trace tells of a run of the task.
fn add_event(lanes: &mut Vec<Lane>, event: &Event, at_us: u64) {
    let (generation, kind, text) = if let Event::DriverStarted {
        generation, pid, ..
    } = event
    {
        let text = format!("driver started, pid {pid}");
        (*generation, MarkKind::Step, text)
    } else if let Event::DriverExited {
        generation, exit, ..
    } = event
    {
        let text = format!("driver {}", ended(*exit));
        (*generation, MarkKind::Step, text)
    } else if let Event::DriverOverdue {
        generation,
        within_ms,
        ..
    } = event
    {
        let text = format!("driver still there after {within_ms} ms");
        (*generation, MarkKind::Trouble, text)
    } else if let Event::WriteEndsReleased {
        generation,
        after_ms: None,
        ..
    } = event
    {
        let text = "write end STILL held".to_owned();
        (*generation, MarkKind::Trouble, text)
    } else {
        return;
    };
    // On the driver's own lane, if it has one.
    let driver = driver_name(generation);
    let own = lanes.iter().position(|lane| lane.name == driver);
    let lane = match own {
        Some(index) => &mut lanes[index],
        None => lane_of(lanes, task_lane(generation)),
    };
    lane.marks.push(mark(kind, at_us, text));
}

fn add_journal(lanes: &mut Vec<Lane>, history: &History, since: Since, generation: u32) {
    if let Some(journal) = history.task.get(&generation) {
        fill(lane_of(lanes, task_lane(generation)), journal, since);
    }
    if let Some(journal) = history.driver.get(&generation) {
        let mut lane = Lane::new(LaneKind::Driver, driver_name(generation));
        fill(&mut lane, journal, since);
        lanes.push(lane);
    }
}

fn fill(lane: &mut Lane, journal: &[journal::Line], since: Since) {
    for stream in Stream::BOTH {
        let mut bands = few_writes(journal, stream, since);
        lane.bands.append(&mut bands);
        lane.bands.extend(waits(journal, stream, since));
    }
    for line in journal {
        let at_us = since.at(line.at_us);
        let kind = match &line.event {
            journal::Event::Wrote { .. } | journal::Event::Blocked { .. } => continue,
            journal::Event::Error { .. } => MarkKind::Trouble,
            journal::Event::Hello { .. }
            | journal::Event::Opened { .. }
            | journal::Event::Closed { .. }
            | journal::Event::Gate { .. }
            | journal::Event::Mark { .. }
            | journal::Event::Exit { .. } => MarkKind::Step,
        };
        lane.marks
            .push(mark(kind, at_us, journal_text(&line.event)));
    }
}

/// Writes to a stream in at most [`MOST_WRITES`] bands.
fn few_writes(journal: &[journal::Line], stream: Stream, since: Since) -> Vec<Band> {
    let first_us = TOGETHER_US.max(since.end_us / SHARE);
    let widths = || iter::successors(Some(first_us), |width_us| width_us.checked_mul(2));
    let apart = widths().map(|within_us| (within_us, false));
    let across = widths().map(|within_us| (within_us, true));
    let mut bands = Vec::new();
    for (within_us, is_across) in apart.chain(across) {
        bands = writes(journal, stream, since, within_us, is_across);
        if bands.len() <= MOST_WRITES {
            break;
        }
    }
    bands
}

/// Writes to a stream that follow each other within so many microseconds, each row of them a band. A wait
/// or an error ends a row, unless it goes across them.
fn writes(
    journal: &[journal::Line],
    stream: Stream,
    since: Since,
    within_us: u64,
    is_across: bool,
) -> Vec<Band> {
    /// A row of writes.
    struct Row {
        times: (u64, u64),
        bytes: u64,
        first: Option<u32>,
        last: Option<u32>,
        is_open: bool,
    }
    let mut rows: Vec<Row> = Vec::new();
    for line in journal {
        let Some((_, bytes, seq)) = wrote(line, stream) else {
            let breaks = !is_across
                && matches!(
                    line.event,
                    journal::Event::Blocked { stream: at, .. } | journal::Event::Error { stream: at, .. }
                        if at == stream
                );
            if let Some(last) = rows.last_mut() {
                last.is_open &= !breaks;
            }
            continue;
        };
        let at = since.at(line.at_us);
        match rows.last_mut() {
            Some(row) if row.is_open && at.saturating_sub(row.times.1) <= within_us => {
                row.times.1 = at;
                row.bytes += bytes;
                row.first = row.first.or(seq);
                row.last = seq.or(row.last);
            }
            Some(_) | None => rows.push(Row {
                times: (at, at),
                bytes,
                first: seq,
                last: seq,
                is_open: true,
            }),
        }
    }
    let told = |row: Row| {
        let amount = bytes(row.bytes);
        let label = match (row.first, row.last) {
            (Some(first), Some(last)) if first == last => first.to_string(),
            (Some(first), Some(last)) => format!("{first}…{last}"),
            (_, None) | (None, _) => amount.clone(),
        };
        let records = if row.first.is_some() {
            format!(", records {label}")
        } else {
            String::new()
        };
        let detail = format!("writes {amount} to {stream}{records}");
        band(BandKind::Writing, Some(stream), row.times, label, detail)
    };
    rows.into_iter().map(told).collect()
}

/// Times in which the writer waited for room in the stream's pipe.
fn waits(journal: &[journal::Line], stream: Stream, since: Since) -> Vec<Band> {
    let mut waits = Vec::new();
    let mut open: Option<(u64, u64)> = None;
    let mut last = 0;
    for line in journal {
        let at = since.at(line.at_us);
        last = at;
        let ends = matches!(
            line.event,
            journal::Event::Wrote { stream: at, .. } | journal::Event::Error { stream: at, .. } if at == stream
        ) || matches!(line.event, journal::Event::Exit { .. });
        if ends && let Some((from, pending)) = open.take() {
            waits.push(wait(stream, (from, at), pending));
        }
        if let journal::Event::Blocked {
            stream: of,
            bytes_pending,
        } = line.event
            && of == stream
        {
            open.get_or_insert((at, bytes_pending));
        }
    }
    if let Some((from, pending)) = open {
        // To the end of all that is known: it never came back.
        waits.push(wait(stream, (from, last.max(since.end_us)), pending));
    }
    waits
}

fn wait(stream: Stream, times: (u64, u64), pending: u64) -> Band {
    let detail = format!("waits to write {} to {stream}", bytes(pending));
    band(BandKind::Blocked, Some(stream), times, "waits", detail)
}
