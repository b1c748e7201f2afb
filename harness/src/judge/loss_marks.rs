//! What the missing pieces have in common, which tells how they were lost. (core)

use std::ops::Range;

use super::expectation::{Expectation, Unit};
use super::figures::number;

/// The mark of a last line that has no newline, lost whole.
pub(crate) const OPEN_LINE: &str = "a last line without its newline";

/// The mark of a loss behind a NUL byte.
pub(crate) const FROM_NUL: &str = "from a NUL byte on";

/// The mark of a loss at the end of one of several runs of the task.
pub(crate) const RUN_END: &str = "up to the end of a run of the task";

/// One line for each thing that most of the missing pieces have in common.
pub(super) fn marks(expectation: &Expectation, lost: &[Range<usize>]) -> Vec<String> {
    let bytes = &expectation.bytes;
    let ends = run_ends(expectation);
    let generation = |unit: &Unit| unit.generation;
    let has_runs =
        expectation.units.first().map(generation) != expectation.units.last().map(generation);
    let is_line_start = |at: usize| at == 0 || bytes.get(at - 1) == Some(&b'\n');
    let is_at_end = |piece: &Range<usize>| ends.binary_search(&piece.end).is_ok();
    let is_open_line = |piece: &Range<usize>| {
        is_at_end(piece)
            && is_line_start(piece.start)
            && bytes
                .get(piece.clone())
                .is_some_and(|missing| !missing.contains(&b'\n'))
    };
    let most = |mark: &str, holds: &dyn Fn(&Range<usize>) -> bool| {
        let found = lost.iter().filter(|piece| holds(piece)).count();
        let which = match lost.len() {
            1 => "the missing piece".to_owned(),
            all => format!(
                "{} of {} missing pieces",
                number(found as u64),
                number(all as u64)
            ),
        };
        (found * 2 > lost.len()).then(|| format!("{which}: {mark}"))
    };
    [
        most(OPEN_LINE, &is_open_line),
        most(FROM_NUL, &|piece| bytes.get(piece.start) == Some(&0)),
        most(RUN_END, &|piece| has_runs && is_at_end(piece)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Where each run's output ends, in order.
fn run_ends(expectation: &Expectation) -> Vec<usize> {
    let units = expectation.units.iter().skip(1);
    let mut ends: Vec<usize> = expectation
        .units
        .iter()
        .zip(units)
        .filter(|(one, next)| one.generation != next.generation)
        .map(|(_, next)| next.at)
        .collect();
    // What a task that was ended early may not have written does not count.
    ends.extend(expectation.optional.iter().map(|range| range.start));
    ends.push(expectation.bytes.len());
    ends.sort_unstable();
    ends
}

#[cfg(test)]
mod tests {
    use super::super::expectation::Kind;
    use super::*;

    /// Two runs of the task: `one\ntwo` and `\0three\n`.
    fn two_runs() -> Expectation {
        let unit = |at, generation| Unit {
            at,
            generation,
            kind: Kind::Plain,
        };
        Expectation {
            bytes: b"one\ntwo\0three\n".to_vec(),
            units: vec![unit(0, 0), unit(4, 0), unit(7, 1)],
            ..Expectation::default()
        }
    }

    #[test]
    fn an_open_last_line_is_told_from_a_whole_one() {
        let of = |piece: Range<usize>| marks(&two_runs(), std::slice::from_ref(&piece)).join("; ");
        let open = "the missing piece: a last line without its newline";
        assert!(of(4..7).contains(open), "{}", of(4..7));
        for other in [0..4, 0..7, 5..7, 4..6, 7..14] {
            assert!(!of(other.clone()).contains(open), "{other:?}");
        }
    }

    #[test]
    fn the_last_line_of_a_task_that_was_ended_early_is_open() {
        let ended = Expectation {
            bytes: b"one\ntwo three".to_vec(),
            units: vec![Unit {
                at: 0,
                generation: 0,
                kind: Kind::Plain,
            }],
            optional: std::iter::once(7..13).collect(),
            ..Expectation::default()
        };
        let marks = marks(&ended, std::slice::from_ref(&(4..7)));
        assert_eq!(
            marks,
            ["the missing piece: a last line without its newline"]
        );
    }

    #[test]
    fn the_end_of_a_run_and_a_nul_are_told_if_most_pieces_have_them() {
        let of = |lost: &[Range<usize>]| marks(&two_runs(), lost).join("; ");
        assert_eq!(
            of(&[0..1, 5..7, 9..14]),
            "2 of 3 missing pieces: up to the end of a run of the task"
        );
        let nul = std::slice::from_ref(&(7..9));
        assert_eq!(of(nul), "the missing piece: from a NUL byte on");
        assert_eq!(of(&[0..1, 7..9]), "");
        assert_eq!(of(&[]), "");
    }

    #[test]
    fn with_one_run_the_end_of_it_is_no_news() {
        let one = Expectation {
            bytes: b"one\ntwo\n".to_vec(),
            units: vec![Unit {
                at: 0,
                generation: 0,
                kind: Kind::Plain,
            }],
            ..Expectation::default()
        };
        assert_eq!(marks(&one, std::slice::from_ref(&(4..8))), [""; 0]);
    }
}
