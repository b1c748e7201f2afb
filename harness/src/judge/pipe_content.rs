//! Whether a loss is what a pipe held when its last descriptor closed. (core)

use mock_driver::journal;
use mock_driver::stream::Stream;

use super::figures::number;
use super::timeline::Timeline;
use crate::trace::Event;

/// A page of a pipe: a write that does not fit into what is left of one starts the next, pipe(7).
const PAGE: usize = 4096;

/// The sentence that says so, if a loss of `lost` bytes equals what the stream's pipe held at the
/// end of a life or of a driver, and nobody kept the pipe alive then. `unit` is the length of the
/// records in the loss, 0 if it is not known.
pub(super) fn evidence(
    timeline: &Timeline<'_>,
    stream: Stream,
    lost: usize,
    unit: usize,
) -> Option<String> {
    timeline.ends().into_iter().find_map(|end| {
        // Whoever holds a read end then, a logmon or the host, keeps what the pipe holds.
        if timeline.had_reader(end) || !was_let_go(timeline, stream, end) {
            return None;
        }
        let (level, capacity) = last_level(timeline, stream, end)?;
        let slack = unit.clamp(1, PAGE);
        let is_level = level > 0 && lost.abs_diff(level) <= slack;
        let is_full =
            level > 0 && full(capacity, unit).is_some_and(|full| lost.abs_diff(full) <= slack);
        (is_level || is_full).then(|| {
            format!(
                "as much as the pipe held when its last descriptor was closed ({} of {} bytes)",
                number(level as u64),
                number(capacity as u64)
            )
        })
    })
}

/// The last level and capacity that were seen before `end`.
fn last_level(timeline: &Timeline<'_>, of: Stream, end: u64) -> Option<(usize, usize)> {
    timeline
        .history
        .entries
        .iter()
        .rev()
        .filter(|entry| entry.at_us <= end)
        .find_map(|entry| {
            if let Event::Pipe {
                stream,
                bytes,
                capacity,
            } = entry.event
                && stream == of
            {
                Some((bytes as usize, capacity as usize))
            } else {
                None
            }
        })
}

/// What a pipe full of whole records holds.
fn full(capacity: usize, unit: usize) -> Option<usize> {
    (1..=PAGE)
        .contains(&unit)
        .then(|| capacity / PAGE * (PAGE / unit * unit))
}

/// Whether nobody held a write end at some moment from around `end` until the next life was ready. A
/// driver without a journal is not known to have kept it.
fn was_let_go(timeline: &Timeline<'_>, of: Stream, end: u64) -> bool {
    /// A life's end is seen a little later than it happens.
    const EARLIER_US: u64 = 50_000;
    let begin = end.saturating_sub(EARLIER_US);
    let until = timeline
        .lives
        .iter()
        .filter_map(|life| life.ready_us)
        .filter(|&ready| ready > end)
        .min();
    let mut lines: Vec<_> = timeline
        .generations
        .iter()
        .flat_map(|one| one.driver_journal)
        .collect();
    if lines.is_empty() {
        return true;
    }
    lines.sort_by_key(|line| line.at_us);
    let closes = |line: &journal::Line| matches!(line.event, journal::Event::Closed { stream, .. } if stream == of);
    let opens = |line: &journal::Line| matches!(line.event, journal::Event::Opened { stream, .. } if stream == of);
    let was_closed_before = lines
        .iter()
        .rev()
        .filter(|line| line.at_us < begin)
        .find(|line| opens(line) || closes(line))
        .is_some_and(|line| closes(line));
    was_closed_before
        || lines.iter().any(|line| {
            closes(line) && line.at_us >= begin && until.is_none_or(|until| line.at_us <= until)
        })
}
