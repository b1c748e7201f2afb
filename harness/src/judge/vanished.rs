//! Which bytes of which run of the task stand in no file: the pieces behind a finding. (core)

use std::ops::Range;

use mock_driver::stream::Stream;

use super::damage::{Damage, Identity, examine};
use super::disguise::disguise;
use super::expectation::{Expectation, Foreseen, Kind, foreseen};
use super::fidelity::{Ordered, exactness};
use super::lossy;
use super::timeline::Timeline;
use crate::capability::Capability;
use crate::history::History;
use crate::scenario::{Exactness, FifoKind};

/// Bytes that one run of the task wrote in a row and that are in no file, though they must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// The stream.
    pub stream: Stream,
    /// The run of the task.
    pub generation: u32,
    /// Which of the bytes that this run wrote to the stream, from 0.
    pub bytes: Range<u64>,
    /// The first and the last record that is touched, if they are records.
    pub records: Option<(u32, u32)>,
}

/// The lost pieces, where the order of what was written is known. With several writers, foreign
/// programs or merged streams nothing is said.
#[must_use]
pub fn vanished(history: &History) -> Vec<Vanished> {
    let timeline = Timeline::new(history);
    let scenario = &history.case.scenario;
    if scenario.host.fifos == FifoKind::Disabled || timeline.declares(Capability::Merged) {
        return Vec::new();
    }
    let of = |stream| {
        let exactness = exactness(&timeline, stream);
        let is_compared = match exactness {
            Exactness::Unchecked | Exactness::SameAsDirect => false,
            Exactness::Exact
            | Exactness::Unordered
            | Exactness::Suffix
            | Exactness::AtLeastAccepted
            | Exactness::Lossy => true,
        };
        let Foreseen::Ordered(expectation) = foreseen(&timeline, stream, exactness) else {
            return Vec::new();
        };
        if !is_compared {
            return Vec::new();
        }
        let one = Ordered {
            timeline: &timeline,
            stream,
            exactness,
            expectation,
            observed: history.joined(stream),
        };
        let lost = one.damage().map(|damage| damage.lost).unwrap_or_default();
        lost.iter()
            .flat_map(|piece| of_generations(stream, &one.expectation, piece))
            .collect()
    };
    Stream::BOTH.into_iter().flat_map(of).collect()
}

impl Ordered<'_> {
    /// What is wrong with the bytes; none if nothing is, or if they were changed as a whole.
    pub(super) fn damage(&self) -> Option<Damage> {
        if self.is_as_it_must_be() || self.disguise().is_some() {
            return None;
        }
        Some(self.compared())
    }

    /// Whether the files hold what they must, down to what may be missing at an end.
    pub(super) fn is_as_it_must_be(&self) -> bool {
        let is_whole_but_for_lines = self.exactness == Exactness::Lossy
            && lossy::missing_lines(&self.expectation.bytes, &self.observed).is_some();
        is_whole_but_for_lines
            || self.expectation.bytes == self.observed
            || self.is_allowed_prefix()
            || self.is_allowed_suffix()
    }

    /// How the bytes were changed as a whole, if they were.
    pub(super) fn disguise(&self) -> Option<String> {
        let expected = &self.expectation.bytes;
        // A task that was ended early wrote less: what it had written may be disguised as well.
        let may_lose_head = self.may_lose_head() > 0;
        let of = |whole: &[u8]| disguise(whole, &self.observed, may_lose_head);
        of(expected).or_else(|| of(&expected[..self.least()?]))
    }

    /// What is wrong with the bytes, compared one by one.
    pub(super) fn compared(&self) -> Damage {
        let other = match foreseen(self.timeline, self.stream.other(), Exactness::Exact) {
            Foreseen::Ordered(other) => other.bytes,
            Foreseen::Crowd(_) | Foreseen::Unknown(_) => Vec::new(),
        };
        let identity = Identity {
            stream: self.stream,
            run: self.timeline.history.case.run.parse().ok(),
            other: &other,
        };
        let mut damage = examine(&self.expectation, &self.observed, &identity);
        self.excuse(&mut damage);
        if self.exactness == Exactness::Lossy {
            lossy::allow_whole_lines(&mut damage, &self.expectation);
        }
        damage
    }
}

/// A piece of the expected bytes, cut where one run of the task ends. What the host had planted is
/// left out.
fn of_generations(
    stream: Stream,
    expectation: &Expectation,
    piece: &Range<usize>,
) -> Vec<Vanished> {
    let units = &expectation.units;
    let mut found: Vec<Vanished> = Vec::new();
    // Where the run of the unit that is looked at begins.
    let mut base = (None, 0);
    for (index, unit) in units.iter().enumerate() {
        if unit.kind == Kind::Planted {
            continue;
        }
        if base.0 != Some(unit.generation) {
            base = (Some(unit.generation), unit.at);
        }
        let end = units
            .get(index + 1)
            .map_or(expectation.bytes.len(), |next| next.at);
        let (from, to) = (piece.start.max(unit.at), piece.end.min(end));
        if from >= to {
            continue;
        }
        let bytes = (from - base.1) as u64..(to - base.1) as u64;
        let seq = match unit.kind {
            Kind::Record { seq } => Some(seq),
            Kind::Plain | Kind::Planted => None,
        };
        match found.last_mut() {
            Some(last) if last.generation == unit.generation => {
                last.bytes.end = bytes.end;
                last.records = match (last.records, seq) {
                    (Some((first, _)), Some(seq)) => Some((first, seq)),
                    (records, None) => records,
                    (None, Some(seq)) => Some((seq, seq)),
                };
            }
            Some(_) | None => found.push(Vanished {
                stream,
                generation: unit.generation,
                bytes,
                records: seq.map(|seq| (seq, seq)),
            }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::stage::{good, records, sent};
    use super::*;

    #[test]
    fn a_lost_piece_is_named_by_its_bytes_and_records() {
        let mut history = good(vec![records(Stream::Stdout, 10)]);
        let whole = sent(&history, 0, Stream::Stdout);
        assert_eq!(vanished(&history), []);
        let files = history.files.get_mut(&Stream::Stdout).unwrap();
        files[0].bytes = [&whole[..300], &whole[500..]].concat();
        let piece = Vanished {
            stream: Stream::Stdout,
            generation: 0,
            bytes: 300..500,
            records: Some((3, 4)),
        };
        assert_eq!(vanished(&history), [piece]);
    }

    #[test]
    fn a_piece_over_the_end_of_a_run_is_two() {
        use super::super::expectation::Unit;
        let unit = |at, generation, seq| Unit {
            at,
            generation,
            kind: Kind::Record { seq },
        };
        let two_runs = Expectation {
            bytes: vec![b'.'; 50],
            units: vec![
                Unit {
                    at: 0,
                    generation: 0,
                    kind: Kind::Planted,
                },
                unit(10, 0, 0),
                unit(20, 0, 1),
                unit(30, 1, 0),
                unit(40, 1, 1),
            ],
            planted: 10,
            ..Expectation::default()
        };
        let one = |generation, bytes, records| Vanished {
            stream: Stream::Stderr,
            generation,
            bytes,
            records: Some(records),
        };
        assert_eq!(
            of_generations(Stream::Stderr, &two_runs, &(15..35)),
            [one(0, 5..20, (0, 1)), one(1, 0..5, (0, 0))]
        );
        assert_eq!(of_generations(Stream::Stderr, &two_runs, &(0..8)), []);
    }
}
