//! Where lost bytes were seen last: the red pieces of a picture. (core)

use mock_driver::journal;
use mock_driver::stream::Stream;

use super::build::{Since, band, wrote};
use super::model::{BandKind, Lane, LaneKind, Level};
use super::writers::{driver_name, task_name};
use crate::capability::Capability;
use crate::finding::Shape;
use crate::history::History;
use crate::judge::{Vanished, vanished};
use crate::outcome::Verdict;
use crate::report::bytes;
use crate::trace::Event;

/// So many pieces are drawn; a loss of more pieces is told by its findings.
const MOST_PIECES: usize = 500;

/// The end of a life is seen so much later than it happens, in microseconds.
const SEEN_LATER_US: u64 = 50_000;

/// Who had the bytes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nobody but the task is known to have had them.
    Task,
    /// The driver took them from the task and did not write them.
    Driver,
    /// The pipe held them when its last descriptor was closed.
    Pipe,
    /// They were in the FIFO, and are in no file of logmon's.
    Logmon,
}

/// Puts every lost piece on the lane where it was seen last.
pub(super) fn add(lanes: &mut [Lane], history: &History, verdict: &Verdict, since: Since) {
    let is_loss = |shape: Shape| shape.is_loss() || shape == Shape::Unrecorded;
    let concerns = |stream: Stream| {
        let mut findings = verdict.findings.iter();
        findings.any(|one| is_loss(one.shape) && one.stream == Some(stream))
    };
    if !Stream::BOTH.into_iter().any(concerns) {
        return;
    }
    let pieces = vanished(history);
    for piece in pieces
        .iter()
        .filter(|piece| concerns(piece.stream))
        .take(MOST_PIECES)
    {
        add_piece(lanes, history, verdict, since, piece);
    }
}

fn add_piece(
    lanes: &mut [Lane],
    history: &History,
    verdict: &Verdict,
    since: Since,
    piece: &Vanished,
) {
    let place = place(history, verdict, piece);
    let (from, to) = written(history, since, piece);
    let gone = match place {
        Place::Pipe => let_go(history, since, piece.stream, from).unwrap_or(to),
        Place::Task | Place::Driver | Place::Logmon => to,
    };
    let amount = bytes(piece.bytes.end - piece.bytes.start);
    let records = match piece.records {
        None => String::new(),
        Some((first, last)) if first == last => format!(", record {first}"),
        Some((first, last)) => format!(", records {first}…{last}"),
    };
    let place_words = match place {
        Place::Task => "seen last when the task wrote them",
        Place::Driver => "taken from the task by the driver, and not written to the FIFO",
        Place::Pipe => "in the pipe when its last descriptor was closed",
        Place::Logmon => "written to the FIFO, and in no file",
    };
    let label = format!("{amount} lost");
    let detail = format!("{amount} of {} lost{records}: {place_words}", piece.stream);
    let stream = Some(piece.stream);
    if let Some(lane) = lane(lanes, place, piece, from) {
        let times = (from, gone.max(to));
        if place == Place::Pipe {
            empty(lane, times.1);
        }
        lane.bands
            .push(band(BandKind::Lost, stream, times, label, detail));
    }
}

/// The pipe holds nothing from here on until it is looked at again.
fn empty(lane: &mut Lane, at_us: u64) {
    let next = lane.levels.partition_point(|level| level.at_us <= at_us);
    let most = lane.most();
    let amount = 0;
    lane.levels.insert(
        next,
        Level {
            at_us,
            amount,
            most,
        },
    );
}

fn place(history: &History, verdict: &Verdict, piece: &Vanished) -> Place {
    let is_in_pipe = verdict.findings.iter().any(|one| {
        one.shape == Shape::LostPipeContent && one.stream.is_none_or(|of| of == piece.stream)
    });
    if is_in_pipe {
        return Place::Pipe;
    }
    let case = &history.case;
    let forwards = case.driver_capabilities.contains(&Capability::Forwards);
    let of = |journal: Option<&Vec<journal::Line>>| {
        let lines = journal?.iter();
        let taken = lines.filter_map(|line| line.event.accepted(piece.stream));
        // A journal without a write says that nothing was written.
        Some(taken.max().unwrap_or(0))
    };
    let by_task = of(history.task.get(&piece.generation));
    let by_driver = of(history.driver.get(&piece.generation));
    match (by_task, by_driver) {
        (Some(task), Some(driver)) if driver < task => Place::Driver,
        (_, Some(_)) => Place::Logmon,
        (_, None) if forwards => Place::Task,
        (_, None) => Place::Logmon,
    }
}

/// When the task wrote the piece's first and last byte; the whole time if it kept no journal.
fn written(history: &History, since: Since, piece: &Vanished) -> (u64, u64) {
    let journal = history.task.get(&piece.generation);
    let after = |bytes: u64| {
        let mut lines = journal.into_iter().flatten();
        lines.find_map(|line| {
            let (end, ..) = wrote(line, piece.stream)?;
            (end >= bytes).then(|| since.at(line.at_us))
        })
    };
    let from = after(piece.bytes.start + 1);
    let to = after(piece.bytes.end);
    (from.unwrap_or(0), to.or(from).unwrap_or(since.end_us))
}

/// When the stream's pipe lost its last descriptor, as far as that is known: the first close by a
/// driver or end of a logmon behind a time that lies around a logmon's death.
fn let_go(history: &History, since: Since, of: Stream, after: u64) -> Option<u64> {
    let deaths = history.entries.iter();
    let mut deaths = deaths
        .filter(|entry| matches!(entry.event, Event::LogmonExited { .. }))
        .map(|entry| since.at(entry.at_us));
    let first = deaths.find(|at| *at >= after)?;
    let closes = history.driver.values().flatten().filter_map(|line| {
        let is_close = matches!(line.event, journal::Event::Closed { stream, .. } if stream == of);
        is_close.then(|| since.at(line.at_us))
    });
    let near = closes.filter(|at| *at >= after && at + SEEN_LATER_US >= first);
    Some(near.min().unwrap_or(first))
}

/// The lane that stands for a place.
fn lane<'a>(
    lanes: &'a mut [Lane],
    place: Place,
    piece: &Vanished,
    at: u64,
) -> Option<&'a mut Lane> {
    let wanted = |lane: &Lane| match place {
        Place::Task => lane.name == task_name(piece.generation),
        Place::Driver => lane.name == driver_name(piece.generation),
        Place::Pipe => {
            let of = format!("pipe of {},", piece.stream);
            lane.kind == LaneKind::Pipe && lane.name.starts_with(&of)
        }
        Place::Logmon => lane.kind == LaneKind::Logmon && began(lane) <= at,
    };
    let found = match place {
        // The life that began last before the bytes were written.
        Place::Logmon => lanes.iter().rposition(wanted).or_else(|| {
            let mut kinds = lanes.iter().map(|lane| lane.kind);
            kinds.position(|kind| kind == LaneKind::Logmon)
        }),
        Place::Task | Place::Driver | Place::Pipe => lanes.iter().position(wanted),
    };
    // A loss is drawn in any case: without its lane, on the writer's.
    let found = found.or_else(|| {
        let name = task_name(piece.generation);
        lanes.iter().position(|lane| lane.name == name)
    });
    found.map(|index| &mut lanes[index])
}

fn began(lane: &Lane) -> u64 {
    let begins = lane.bands.iter().map(|band| band.from_us);
    begins.min().unwrap_or(u64::MAX)
}
