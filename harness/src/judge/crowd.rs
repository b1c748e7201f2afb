//! Streams into which several writers write at a time: judged record by record. (core)

use std::collections::{BTreeMap, BTreeSet};

use mock_driver::record::{self, Item, RecordId};
use mock_driver::stream::Stream;

use super::expectation::planted;
use super::expectation::{Crowd, Foreseen, foreseen};
use super::fidelity::{exactness, rule};
use super::figures::{count, excerpt, few, number};
use super::rules;
use super::timeline::Timeline;
use super::wording::file_place;
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::scenario::Exactness;

/// What a scan of a log found.
#[derive(Default)]
struct Seen {
    records: BTreeMap<RecordId, usize>,
    /// Offsets of records that stand before a later one of the same writer.
    late: Vec<usize>,
    torn: Vec<(usize, Option<RecordId>)>,
    mixed: Vec<usize>,
    plain: Vec<(usize, usize)>,
    again: Vec<RecordId>,
}

fn look(observed: &[u8], crowd: &Crowd) -> Seen {
    let mut seen = Seen::default();
    let mut last: BTreeMap<(Stream, u32, u8), u32> = BTreeMap::new();
    for item in record::scan(observed) {
        match item {
            Item::Record { header, at, .. } => {
                let id = header.id;
                if !crowd.records.contains_key(&id) {
                    seen.mixed.push(at);
                    continue;
                }
                let times = seen.records.entry(id).or_default();
                *times += 1;
                if *times > 1 {
                    seen.again.push(id);
                    continue;
                }
                let highest = last
                    .entry((id.stream, id.generation, id.writer))
                    .or_default();
                if id.seq < *highest {
                    seen.late.push(at);
                }
                *highest = id.seq.max(*highest);
            }
            Item::Torn { header, at, .. } => seen.torn.push((at, header.map(|header| header.id))),
            Item::Foreign { at, len } => seen.plain.push((at, len)),
        }
    }
    seen
}

/// Judges a stream of several writers.
pub(super) fn judge(
    timeline: &Timeline<'_>,
    stream: Stream,
    crowd: &Crowd,
    observed: &[u8],
    verdict: &mut Verdict,
) {
    let seen = look(observed, crowd);
    let files = timeline
        .history
        .files
        .get(&stream)
        .map_or(&[][..], Vec::as_slice);
    let mut push = |shape, headline: String, details: Vec<String>| {
        let rule = if shape == Shape::Torn {
            rules::if_checked(&timeline.history.case.scenario, rules::DATA_3)
        } else {
            rule(timeline, shape)
        };
        verdict.findings.push(Finding {
            shape,
            rule,
            stream: Some(stream),
            headline,
            details,
        });
    };
    let torn_ids: BTreeSet<RecordId> = seen.torn.iter().filter_map(|(_, id)| *id).collect();
    let lost: Vec<RecordId> = crowd
        .records
        .iter()
        .filter(|(id, may_miss)| {
            !**may_miss && !seen.records.contains_key(id) && !torn_ids.contains(id)
        })
        .map(|(id, _)| *id)
        .collect();
    if !lost.is_empty() {
        let shape = shape_of_loss(&lost, &seen);
        let headline = if shape == Shape::LostAll {
            format!(
                "all {} lost: nothing of {stream} arrived",
                count(lost.len(), "record")
            )
        } else {
            format!(
                "{} of {} lost in {stream}",
                count(lost.len(), "record"),
                number(crowd.records.len() as u64)
            )
        };
        push(shape, headline, vec![format!("missing: {}", names(&lost))]);
    }
    if !seen.torn.is_empty() {
        let places: Vec<_> = seen
            .torn
            .iter()
            .take(3)
            .map(|(at, _)| file_place(files, *at))
            .collect();
        push(
            Shape::Torn,
            format!(
                "{} cut or interleaved in {stream}",
                count(seen.torn.len(), "record")
            ),
            places,
        );
    }
    if !seen.again.is_empty() {
        let headline = format!("{} repeated in {stream}", count(seen.again.len(), "record"));
        push(
            Shape::Repeated,
            headline,
            vec![format!("again: {}", names(&seen.again))],
        );
    }
    if !seen.late.is_empty() {
        let places: Vec<_> = seen
            .late
            .iter()
            .take(3)
            .map(|at| file_place(files, *at))
            .collect();
        push(
            Shape::Reordered,
            format!(
                "{} behind later ones of the same writer in {stream}",
                count(seen.late.len(), "record")
            ),
            places,
        );
    }
    if !seen.mixed.is_empty() {
        let places: Vec<_> = seen
            .mixed
            .iter()
            .take(3)
            .map(|at| file_place(files, *at))
            .collect();
        push(
            Shape::StreamsMixed,
            format!(
                "{} that are not its own stand in {stream}",
                count(seen.mixed.len(), "record")
            ),
            places,
        );
    }
    let plain: u64 = seen.plain.iter().map(|(_, len)| *len as u64).sum();
    // Rests of torn records are plain bytes too.
    if plain > crowd.plain_bytes && seen.torn.is_empty() {
        let details = seen.plain.iter().take(3).map(|&(at, len)| {
            format!(
                "{}: {}",
                file_place(files, at),
                excerpt(&observed[at..at + len])
            )
        });
        let headline = format!(
            "{} in {stream} that the task did not write",
            count((plain - crowd.plain_bytes) as usize, "byte")
        );
        push(Shape::Altered, headline, details.collect());
    } else if plain < crowd.plain_bytes {
        let headline = format!(
            "{} lost in {stream}",
            count((crowd.plain_bytes - plain) as usize, "byte")
        );
        push(Shape::LostMiddle, headline, Vec::new());
    }
}

fn shape_of_loss(lost: &[RecordId], seen: &Seen) -> Shape {
    if seen.records.is_empty() {
        return Shape::LostAll;
    }
    let writer = |id: &RecordId| (id.stream, id.generation, id.writer);
    let is_tail = lost.iter().all(|id| {
        !seen
            .records
            .keys()
            .any(|other| writer(other) == writer(id) && other.seq > id.seq)
    });
    let is_head = lost.iter().all(|id| {
        !seen
            .records
            .keys()
            .any(|other| writer(other) == writer(id) && other.seq < id.seq)
    });
    match (is_head, is_tail) {
        (true, false) => Shape::LostHead,
        (false, true) => Shape::LostTail,
        (true, true) | (false, false) => Shape::LostMiddle,
    }
}

/// Ranges of records: `writer 2: 5…9`.
fn names(ids: &[RecordId]) -> String {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let mut runs: Vec<(RecordId, u32)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((first, last))
                if (first.stream, first.generation, first.writer)
                    == (id.stream, id.generation, id.writer)
                    && *last + 1 >= id.seq =>
            {
                *last = id.seq;
            }
            Some(_) | None => runs.push((id, id.seq)),
        }
    }
    let named: Vec<String> = runs
        .iter()
        .map(|(first, last)| {
            let range = if first.seq == *last {
                first.seq.to_string()
            } else {
                format!("{}…{last}", first.seq)
            };
            format!(
                "generation {} writer {}: {range}",
                first.generation, first.writer
            )
        })
        .collect();
    few(&named, 4)
}

/// Judges the one log of a driver that merges both streams on purpose.
pub(super) fn judge_merged(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    if exactness(timeline, Stream::Stderr) != Exactness::Unchecked {
        nothing_beside(timeline, verdict);
    }
    let mut both = Crowd::default();
    for stream in Stream::BOTH {
        // Of what may be dropped nothing is promised where both streams are one.
        if [Exactness::Unchecked, Exactness::Lossy].contains(&exactness(timeline, stream)) {
            return;
        }
        match foreseen(timeline, stream, Exactness::Unordered) {
            Foreseen::Crowd(crowd) => {
                both.records.extend(crowd.records);
                both.plain_bytes += crowd.plain_bytes;
            }
            Foreseen::Ordered(_) => {}
            Foreseen::Unknown(_) => return,
        }
    }
    let observed = timeline.history.joined(Stream::Stdout);
    judge(timeline, Stream::Stdout, &both, &observed, verdict);
}

/// All of a merged log stands in stdout's: in stderr's is only what the host had planted there.
fn nothing_beside(timeline: &Timeline<'_>, verdict: &mut Verdict) {
    let observed = timeline.history.joined(Stream::Stderr);
    let planted = planted(timeline, Stream::Stderr).bytes;
    // Of planted logs the oldest may be deleted.
    if planted.ends_with(&observed) {
        return;
    }
    let added = observed.strip_prefix(planted.as_slice());
    let added = added.unwrap_or(&observed);
    let files = timeline
        .history
        .files
        .get(&Stream::Stderr)
        .map_or(&[][..], Vec::as_slice);
    let place = file_place(files, observed.len() - added.len());
    verdict.findings.push(Finding {
        shape: Shape::StreamsMixed,
        rule: rule(timeline, Shape::StreamsMixed),
        stream: Some(Stream::Stderr),
        headline: format!(
            "{} in stderr, although the driver merges both streams into stdout",
            count(added.len(), "byte")
        ),
        details: vec![format!("{place}: {}", excerpt(added))],
    });
}
