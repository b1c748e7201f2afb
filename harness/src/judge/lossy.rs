//! A stream of which whole lines may be missing if their loss is recorded: DATA-6. (core)

use std::collections::BTreeMap;
use std::ops::Range;

use mock_driver::stream::Stream;

use super::damage::Damage;
use super::expectation::Expectation;
use super::figures::{count, number, pieces, total};
use super::rules;
use crate::finding::{Finding, Shape};
use crate::history::Said;

/// How a finding begins to say that a loss is recorded nowhere.
pub(crate) const NO_RECORD: &str = "no record of it was found";

/// Lines of records that a finding quotes.
const QUOTED_LINES: usize = 3;

/// The missing lines, if what is there are whole lines in their order, each of them once; none if
/// anything else is wrong.
pub(super) fn missing_lines(expected: &[u8], observed: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut missing: Vec<Range<usize>> = Vec::new();
    let mut seen = lines(observed).peekable();
    let mut at = 0;
    for line in lines(expected) {
        let end = at + line.len();
        if seen.next_if_eq(&line).is_none() {
            match missing.last_mut() {
                Some(piece) if piece.end == at => piece.end = end,
                Some(_) | None => missing.push(at..end),
            }
        }
        at = end;
    }
    seen.peek().is_none().then_some(missing)
}

/// Takes the loss of whole lines out of a damage, and makes what is cut where a loss begins or ends a
/// tear. A damage that is nothing but the loss of whole lines is left as it is: something else must
/// be wrong, or it would not be one.
pub(super) fn allow_whole_lines(damage: &mut Damage, expected: &Expectation) {
    let units = &expected.units;
    let edges = damage
        .lost
        .iter()
        .flat_map(|piece| [piece.start, piece.end]);
    let cut: Vec<usize> = edges
        .filter(|&at| at < expected.bytes.len())
        .filter_map(|at| {
            let is_in_line = at > 0 && expected.bytes[at - 1] != b'\n';
            let unit = units.partition_point(|unit| unit.at <= at).checked_sub(1)?;
            is_in_line.then_some(unit)
        })
        .collect();
    damage.torn.extend(cut);
    damage.torn.sort_unstable();
    damage.torn.dedup();
    let is_only_lost = damage.torn.is_empty()
        && damage.mixed.is_empty()
        && damage.repeated.is_empty()
        && damage.moved.is_empty()
        && damage.altered.is_empty()
        && damage.added.is_empty();
    if !is_only_lost {
        damage.lost.clear();
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

/// The finding about missing lines that no record accounts for; none if one does.
pub(super) fn unrecorded(
    stream: Stream,
    missing: &[Range<usize>],
    said: &[Said],
) -> Option<Finding> {
    let lost_bytes = total(missing) as u64;
    let records: Vec<(usize, &str)> = said
        .iter()
        .enumerate()
        .flat_map(|(place, one)| one.text.lines().map(move |line| (place, line)))
        .filter(|(_, line)| names(line, stream) && has_time(line))
        .collect();
    if lost_bytes == 0 || accounts_for(&records, lost_bytes) {
        return None;
    }
    let how = if records.is_empty() {
        format!("{NO_RECORD} that names {stream} and a time")
    } else {
        format!(
            "no number in the records of {stream} is {}, and none add up to it",
            number(lost_bytes)
        )
    };
    let quoted = records.iter().rev().take(QUOTED_LINES);
    let more = records.len().saturating_sub(QUOTED_LINES);
    let before = (more > 0).then(|| format!("and {} before", count(more, "record")));
    Some(Finding {
        shape: Shape::Unrecorded,
        rule: rules::named(rules::DATA_6),
        stream: Some(stream),
        headline: format!(
            "{}, {}, are missing in {stream}, and {how}",
            count(total(missing), "byte"),
            pieces(missing.len())
        ),
        details: quoted
            .map(|(place, line)| format!("{}: {line}", said[*place].place))
            .chain(before)
            .collect(),
    })
}

/// Whether one record has the number, or the numbers behind one word in one place add up to it, or
/// those behind two words that count bytes: what was dropped, and what was deleted to make room for the
/// rest. Any two words would hide that a count is wrong by as little as some other counter says.
fn accounts_for(records: &[(usize, &str)], lost_bytes: u64) -> bool {
    let mut sums: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for (place, line) in records {
        for (word, value) in integers(line) {
            if value == lost_bytes {
                return true;
            }
            let sum = sums.entry((*place, word)).or_default();
            *sum = sum.saturating_add(value);
        }
    }
    let of_bytes: Vec<(usize, u64)> = sums
        .iter()
        .filter(|((_, word), _)| word.to_lowercase().contains("byte"))
        .map(|((place, _), sum)| (*place, *sum))
        .collect();
    let is_of_two = |(index, (place, sum)): (usize, &(usize, u64))| {
        of_bytes[index + 1..]
            .iter()
            .any(|(other, more)| other == place && sum.checked_add(*more) == Some(lost_bytes))
    };
    sums.values().any(|&sum| sum == lost_bytes) || of_bytes.iter().enumerate().any(is_of_two)
}

/// Whether a line has the stream's name as a word, as in `demo.stdout` or `stdout.fifo`.
fn names(line: &str, stream: Stream) -> bool {
    let name = stream.as_str();
    let is_word = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
    line.match_indices(name).any(|(at, _)| {
        is_word(line[..at].chars().next_back()) && is_word(line[at + name.len()..].chars().next())
    })
}

/// Whether a line has a time of day (`12:34:56`) or a Unix time in seconds, milliseconds,
/// microseconds or nanoseconds.
fn has_time(line: &str) -> bool {
    let is_clock = |window: &[u8]| {
        window.iter().enumerate().all(|(index, byte)| {
            if matches!(index, 2 | 5) {
                *byte == b':'
            } else {
                byte.is_ascii_digit()
            }
        })
    };
    line.as_bytes().windows(8).any(is_clock)
        || digits(line).any(|run| matches!(run.len(), 10 | 13 | 16 | 19))
}

/// Every run of digits.
fn digits(line: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = line.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + bytes.get(at..)?.iter().position(u8::is_ascii_digit)?;
        let length = bytes[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        at = start + length;
        Some(start..at)
    })
}

/// Every decimal integer with the word before it: `dropped_bytes` in `dropped_bytes=12`,
/// `"dropped_bytes": 12` and `dropped_bytes 12`. The parts of a decimal fraction are none.
fn integers(line: &str) -> impl Iterator<Item = (&str, u64)> {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    digits(line).filter_map(move |run| {
        let bytes = line.as_bytes();
        let is_behind_point =
            run.start >= 2 && bytes[run.start - 1] == b'.' && bytes[run.start - 2].is_ascii_digit();
        let is_before_point = bytes.get(run.end) == Some(&b'.') && is_digit(bytes.get(run.end + 1));
        if is_behind_point || is_before_point {
            return None;
        }
        let before = line[..run.start].trim_end_matches(['=', ':', '"', '\'', ' ']);
        let word = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
            .map_or(before, |end| {
                before[end..].trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_')
            });
        Some((word, line[run].parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use mock_driver::stream::Stream::{Stderr, Stdout};

    use super::super::expectation::{Kind, Unit};
    use super::*;

    fn found(said: &[(&str, &str)]) -> Option<String> {
        let said: Vec<Said> = said
            .iter()
            .map(|(place, text)| Said {
                place: (*place).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        let finding = unrecorded(Stdout, &[0..100, 500..700], &said)?;
        assert_eq!(finding.shape, Shape::Unrecorded);
        Some(finding.headline)
    }

    #[test]
    fn whole_lines_may_be_missing_anywhere_and_nothing_else() {
        let of = |observed: &str| missing_lines(b"a\nbb\nc\ndd\ne", observed.as_bytes());
        assert_eq!(of("a\nbb\nc\ndd\ne"), Some(vec![]));
        assert_eq!(of("bb\nc\ne"), Some(vec![0..2, 7..10]));
        assert_eq!(of("a\ndd\n"), Some(vec![2..7, 10..11]));
        assert_eq!(of(""), Some(std::iter::once(0..11).collect()));
        for wrong in [
            "a\na\nbb\n",
            "bb\na\n",
            "a\nb\nc\n",
            "a\nbb\nc\ndd\ne\n",
            "x",
        ] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_loss_is_recorded_by_its_number_or_by_numbers_that_add_up() {
        for said in [
            &[("o", "12:00:01 demo.stdout dropped 300 bytes")][..],
            &[("o", "at 1700000000 stdout: dropped_bytes=300")],
            &[(
                "o",
                "{\"stream\":\"demo.stdout\",\"dropped_bytes\":300,\"from\":\"2026-01-02T03:04:05Z\"}",
            )],
            &[("o", "12:00:01 stdout lost=100\n12:00:02 stdout lost=200")],
            &[(
                "o",
                "12:00:01 stdout deleted_bytes=50\n12:00:02 stdout deleted_bytes=50\n\
                 12:00:03 stdout dropped_bytes=200",
            )],
            &[
                ("a", "12:00:01 stdout lost: 299"),
                ("b", "12:00:01 stdout lost 300"),
            ],
        ] {
            assert_eq!(found(said), None, "{said:?}");
        }
    }

    #[test]
    fn a_loss_without_stream_time_or_exact_number_is_not_recorded() {
        for said in [
            &[][..],
            &[("o", "12:00:01 stderr lost=300")],
            &[("o", "12:00:01 mystdout lost=300")],
            &[("o", "stdout lost=300")],
        ] {
            assert!(found(said).unwrap().contains(NO_RECORD), "{said:?}");
        }
        for said in [
            &[("o", "12:00:01 stdout lost=299")][..],
            &[("o", "12:00:01 stdout lost=1300")],
            &[("o", "12:00:01 stdout after=300.5")],
            &[("o", "12:00:01 stdout dropped_bytes=299 places=1")],
            &[("o", "12:00:01 stdout lost=100 kept=200")],
            &[
                ("a", "12:00:01 stdout deleted_bytes=100"),
                ("b", "12:00:01 stdout dropped_bytes=200"),
            ],
        ] {
            assert_eq!(
                found(said).unwrap(),
                "300 bytes, in 2 pieces, are missing in stdout, and no number in the records of \
                 stdout is 300, and none add up to it",
                "{said:?}"
            );
        }
    }

    #[test]
    fn a_line_that_is_cut_by_a_loss_is_torn_and_whole_lines_are_no_damage() {
        let unit = |at| Unit {
            at,
            generation: 0,
            kind: Kind::Plain,
        };
        let expected = Expectation {
            bytes: b"aaaa\nbbbb\ncccc\n".to_vec(),
            units: vec![unit(0), unit(5), unit(10), unit(12)],
            ..Expectation::default()
        };
        let of = |lost: Range<usize>, torn: Vec<usize>| {
            let mut damage = Damage {
                lost: vec![lost],
                torn,
                ..Damage::default()
            };
            allow_whole_lines(&mut damage, &expected);
            (damage.lost, damage.torn)
        };
        assert_eq!(of(5..11, vec![]), (vec![], vec![2]));
        assert_eq!(of(5..12, vec![]), (vec![], vec![3]));
        assert_eq!(of(2..8, vec![]), (vec![], vec![0, 1]));
        assert_eq!(of(5..10, vec![0]), (vec![], vec![0]));
        assert_eq!(
            of(5..10, vec![]),
            (std::iter::once(5..10).collect(), vec![])
        );
    }

    #[test]
    fn the_last_records_are_quoted_and_those_before_are_counted() {
        let told = |records: usize| {
            let lines = (0..records).map(|one| format!("12:00:0{one} stdout lost=7\n"));
            let said = [Said {
                place: "o".to_owned(),
                text: lines.collect(),
            }];
            unrecorded(Stdout, &[0..100, 500..700], &said)
                .unwrap()
                .details
        };
        let quoted = |one: usize| format!("o: 12:00:0{one} stdout lost=7");
        assert_eq!(told(3), [2, 1, 0].map(quoted));
        let five = [
            quoted(4),
            quoted(3),
            quoted(2),
            "and 2 records before".to_owned(),
        ];
        assert_eq!(told(5), five);
    }

    #[test]
    fn without_a_loss_no_record_is_asked_for() {
        assert_eq!(unrecorded(Stderr, &[], &[]), None);
    }

    #[test]
    fn an_integer_has_the_word_before_it() {
        let of = |line| integers(line).collect::<Vec<_>>();
        assert_eq!(
            of("a=1 \"b_c\": 22 dropped 333 B 4.5 x"),
            [("a", 1), ("b_c", 22), ("dropped", 333)]
        );
    }
}
