//! The lanes of the files: when each of them was the current one. (core)
//!
//! A file begins when it is first seen in the log folder. Files of which several were first seen at
//! once began in between, and share that time evenly.

use std::collections::BTreeMap;

use mock_driver::stream::Stream;

use super::build::{Since, band};
use super::model::{BandKind, Lane, LaneKind};
use crate::case::log_name;
use crate::history::History;
use crate::report::bytes;
use crate::trace::{Event, LookEntry};

/// What is known of one file.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: u64,
    /// Bytes when it was seen last.
    bytes: u64,
    /// When it was first seen to be gone.
    gone: Option<u64>,
}

/// The lane of a stream's files; none if there never was one.
pub(super) fn lane(history: &History, since: Since, stream: Stream) -> Option<Lane> {
    let mut seen = seen(history, since, stream);
    for file in history.files.get(&stream).into_iter().flatten() {
        let first = since.end_us;
        let one = seen.entry(file.index).or_insert(Seen {
            first,
            bytes: 0,
            gone: None,
        });
        one.bytes = file.bytes.len() as u64;
        one.gone = None;
    }
    if seen.is_empty() {
        return None;
    }
    let name = log_name(stream);
    let files = match seen.len() {
        1 => "1 file".to_owned(),
        many => format!("{many} files"),
    };
    let mut lane = Lane::new(LaneKind::Files, format!("{name}, {files}"));
    let begins: Vec<u64> = seen.values().map(|one| one.first).collect();
    let ends = begins.iter().skip(1).copied().chain([since.end_us]);
    for (((index, one), from), to) in seen.iter().zip(begins.iter().copied()).zip(ends) {
        let amount = bytes(one.bytes);
        let (kind, fate) = match one.gone {
            None => (BandKind::File, String::new()),
            Some(_) => (BandKind::Deleted, ", deleted later".to_owned()),
        };
        let detail = format!("{name}.{index}: {amount}{fate}");
        let label = format!(".{index}");
        lane.bands
            .push(band(kind, Some(stream), (from, to), label, detail));
    }
    Some(lane)
}

fn seen(history: &History, since: Since, stream: Stream) -> BTreeMap<u64, Seen> {
    let mut seen: BTreeMap<u64, Seen> = BTreeMap::new();
    let mut last_look = 0;
    for entry in &history.entries {
        let Event::Look { entries, .. } = &entry.event else {
            continue;
        };
        let at = since.at(entry.at_us);
        let present: BTreeMap<u64, u64> = entries
            .iter()
            .filter_map(|one| Some((index(one, stream)?, one.bytes)))
            .collect();
        for (index, one) in &mut seen {
            if !present.contains_key(index) {
                one.gone.get_or_insert(at);
            }
        }
        let new: Vec<u64> = present
            .keys()
            .copied()
            .filter(|index| !seen.contains_key(index))
            .collect();
        let step = (at - last_look) / new.len().max(1) as u64;
        for (before, index) in new.iter().rev().enumerate() {
            let first = at - step * before as u64;
            seen.insert(
                *index,
                Seen {
                    first,
                    bytes: 0,
                    gone: None,
                },
            );
        }
        for (index, bytes) in present {
            if let Some(one) = seen.get_mut(&index) {
                one.bytes = bytes;
            }
        }
        last_look = at;
    }
    seen
}

/// The index of an entry that is one of the stream's files.
fn index(entry: &LookEntry, stream: Stream) -> Option<u64> {
    let rest = entry.name.strip_prefix(&log_name(stream))?;
    let digits = rest.strip_prefix('.')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (entry.kind == "file" && is_number)
        .then(|| digits.parse().ok())
        .flatten()
}
