//! What must stand in a stream's files: planted logs, then what every generation wrote. (core)

use std::collections::BTreeMap;
use std::ops::Range;

use mock_driver::record::{RecordId, RunId};
use mock_driver::script::{ChunkKind, Expected};
use mock_driver::stream::Stream;

use super::timeline::{Generation, Timeline};
use crate::case::log_name;
use crate::scenario::{Exactness, PlantKind};

/// What a unit of the expected bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A log file that the host planted.
    Planted,
    /// A numbered record.
    Record {
        /// Its sequence number.
        seq: u32,
    },
    /// Text, a line or arbitrary bytes.
    Plain,
}

/// A unit of the expected bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) at: usize,
    pub(super) generation: u32,
    pub(super) kind: Kind,
}

/// The bytes that a stream's files must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Expectation {
    pub(super) bytes: Vec<u8>,
    /// Where each unit starts; they cover the bytes without gaps.
    pub(super) units: Vec<Unit>,
    /// Bytes at the start that the host planted.
    pub(super) planted: usize,
    /// The index of the first file that there ever was.
    pub(super) first_index: u64,
    /// What may be missing from its end backwards: what an ended task had not journalled, of which
    /// the kernel may have taken a write.
    pub(super) optional: Vec<Range<usize>>,
}

/// Records whose order between writers is open.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd {
    /// Every record, and whether it may be missing.
    pub(super) records: BTreeMap<RecordId, bool>,
    /// Bytes that are no records.
    pub(super) plain_bytes: u64,
}

/// What can be said about a stream beforehand.
#[derive(Clone, Debug)]
pub(super) enum Foreseen {
    /// These bytes in this order.
    Ordered(Expectation),
    /// These records.
    Crowd(Crowd),
    /// Nothing, and why.
    Unknown(&'static str),
}

/// What a stream's files must hold.
pub(super) fn foreseen(timeline: &Timeline<'_>, stream: Stream, exactness: Exactness) -> Foreseen {
    let Ok(run) = timeline.history.case.run.parse::<RunId>() else {
        return Foreseen::Unknown("the case's run id is not one");
    };
    let mut all = planted(timeline, stream);
    all.planted = all.bytes.len();
    let mut crowd = Crowd {
        records: BTreeMap::new(),
        plain_bytes: all.planted as u64,
    };
    let mut is_crowd = exactness == Exactness::Unordered;
    for generation in &timeline.generations {
        let Some(script) = generation.script else {
            return Foreseen::Unknown("the trace names a script that the scenario does not have");
        };
        match script.expected(run, generation.number, stream) {
            Expected::Unknown => return Foreseen::Unknown("the task runs a foreign program"),
            Expected::Exact(exact) => {
                let start = all.bytes.len();
                for (index, chunk) in exact.chunks().iter().enumerate() {
                    let at = start + chunk.offset as usize;
                    let kind = match chunk.kind {
                        ChunkKind::Record { seq } => Kind::Record { seq },
                        ChunkKind::Text | ChunkKind::Raw | ChunkKind::Line => Kind::Plain,
                    };
                    all.units.push(Unit {
                        at,
                        generation: generation.number,
                        kind,
                    });
                    exact.render_into(index, &mut all.bytes);
                    if let Kind::Record { seq } = kind {
                        let id = RecordId {
                            run,
                            stream,
                            generation: generation.number,
                            writer: 0,
                            seq,
                        };
                        crowd.records.insert(id, false);
                    } else {
                        crowd.plain_bytes += chunk.len;
                    }
                }
                let optional = uncertain(generation, stream, exact.len(), exactness, start);
                if !optional.is_empty() {
                    all.optional.push(optional);
                }
            }
            Expected::Unordered { records, .. } => {
                is_crowd = true;
                let may_miss = generation.own_status().is_none() && !generation.journal.is_empty();
                crowd
                    .records
                    .extend(records.into_iter().map(|id| (id, may_miss)));
            }
        }
    }
    if is_crowd {
        Foreseen::Crowd(crowd)
    } else {
        Foreseen::Ordered(all)
    }
}

/// The part at the end of a generation's bytes that may be missing, and from where on.
fn uncertain(
    generation: &Generation<'_>,
    stream: Stream,
    planned: u64,
    exactness: Exactness,
    start: usize,
) -> Range<usize> {
    let accepted = generation.accepted(stream).min(planned);
    let end = start + planned as usize;
    let from = start + accepted as usize;
    if exactness == Exactness::AtLeastAccepted {
        return from..end;
    }
    let never_ran = generation.journal.is_empty() && !generation.was_ended_by_host();
    // A driver that plays the script itself writes down a status also when it was told to stop.
    let was_cut = generation.plays_itself() && generation.was_ended_by_host();
    let ended_itself =
        generation.own_status().is_some() && !was_cut && !generation.had_error(stream);
    if never_ran || ended_itself {
        return end..end;
    }
    from..end
}

/// The old logs of a stream that the host planted, in the order of their indices.
pub(super) fn planted(timeline: &Timeline<'_>, stream: Stream) -> Expectation {
    let mut old = BTreeMap::new();
    for plant in &timeline.history.case.scenario.host.plant {
        if plant.kind == PlantKind::OldLog
            && let Some(index) = index_of(&planted_name(&plant.name), stream)
        {
            old.insert(
                index,
                planted_bytes(&plant.text, plant.bytes.map(|bytes| bytes.0)),
            );
        }
    }
    let first_index = old.keys().next().copied().unwrap_or(0);
    let mut all = Expectation {
        first_index,
        ..Expectation::default()
    };
    for bytes in old.into_values().filter(|bytes| !bytes.is_empty()) {
        all.units.push(Unit {
            at: all.bytes.len(),
            generation: 0,
            kind: Kind::Planted,
        });
        all.bytes.extend(bytes);
    }
    all
}

/// A planted thing's name with the streams' names in it.
pub(super) fn planted_name(name: &str) -> String {
    name.replace("{stdout_name}", &log_name(Stream::Stdout))
        .replace("{stderr_name}", &log_name(Stream::Stderr))
}

/// The index of a name that is one of the stream's log files, such as `demo.stdout.12`.
pub(super) fn index_of(name: &str, stream: Stream) -> Option<u64> {
    let digits = name.strip_prefix(&log_name(stream))?.strip_prefix('.')?;
    let is_canonical = digits == "0" || !digits.starts_with('0');
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_canonical && is_number {
        digits.parse().ok()
    } else {
        None
    }
}

/// A planted file's content: the text, grown with dots.
fn planted_bytes(text: &str, bytes: Option<u64>) -> Vec<u8> {
    let mut content = text.as_bytes().to_vec();
    if let Some(bytes) = bytes {
        content.resize(content.len().max(bytes as usize), b'.');
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_of_an_index_counts() {
        let index = |name| index_of(name, Stream::Stdout);
        assert_eq!(index("demo.stdout.0"), Some(0));
        assert_eq!(index("demo.stdout.12"), Some(12));
        for foreign in [
            "demo.stdout.",
            "demo.stdout.01",
            "demo.stdout.+1",
            "demo.stdout.-1",
            "demo.stdout.1.gz",
            "demo.stdoutx.1",
            "demo.stderr.1",
            "demo.stdout.99999999999999999999",
        ] {
            assert_eq!(index(foreign), None, "{foreign}");
        }
    }
}
