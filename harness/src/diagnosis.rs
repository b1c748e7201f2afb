//! From the shapes of the damage to a likely cause. (core)
//!
//! The dictionary has one entry for each faulty subject of the self-test, which also checks that
//! the entry is found from the damage that the subject does.

use std::collections::BTreeSet;

use crate::finding::{Finding, Shape};
use crate::history::History;
use crate::rule::Role;

mod dictionary;
mod drivers;
mod facts;
mod guests;
mod hosts;
mod logmons;
mod many;
mod recoveries;

use dictionary::{Entry, entries};
pub use facts::{Fact, facts};

/// Below this likeness a cause is not named.
const LEAST: f64 = 0.5;

/// A likely cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// One sentence, without a full stop.
    pub cause: String,
    /// The faulty subject that does the same damage.
    pub subject: &'static str,
    /// How alike the damage is, 0.5..=1; 1 = the same.
    pub score: f64,
    /// The next best subject and its likeness.
    pub next: Option<(&'static str, f64)>,
    /// What usually mends it, two to four, each a few words.
    pub ways_out: Vec<String>,
}

/// The likeliest cause of these findings, or `None` if no faulty subject does anything like it.
///
/// Only what is under test is blamed: a driver played with the bundled logmon, or a logmon played
/// with the bundled driver, is the one that differs from the bundled pair.
#[must_use]
pub fn diagnose(findings: &[Finding], history: &History) -> Option<Diagnosis> {
    if findings.is_empty() {
        return None;
    }
    let shapes: BTreeSet<Shape> = findings.iter().map(|finding| finding.shape).collect();
    rank(&shapes, &facts(findings, history), &under_test(history))
}

/// Who may be to blame.
fn under_test(history: &History) -> BTreeSet<Role> {
    let both = BTreeSet::from([Role::Driver, Role::Logmon]);
    match (
        history.case.has_bundled_driver(),
        history.case.has_bundled_logmon(),
    ) {
        (false, true) => BTreeSet::from([Role::Driver]),
        (true, false) => BTreeSet::from([Role::Logmon]),
        (true, true) | (false, false) => both,
    }
}

fn rank(
    shapes: &BTreeSet<Shape>,
    facts: &BTreeSet<Fact>,
    under_test: &BTreeSet<Role>,
) -> Option<Diagnosis> {
    let mut scored: Vec<(f64, usize, &Entry)> = entries()
        .filter(|(role, _)| under_test.contains(role))
        .map(|(_, entry)| {
            let held = entry.facts.iter().filter(|fact| facts.contains(fact));
            (likeness(entry, shapes, facts), held.count(), entry)
        })
        .collect();
    // Of two that are alike, the one with more facts that hold; then, as the sort is stable, the
    // one that stands first in the dictionary.
    scored.sort_by(|(one, held, _), (other, also_held, _)| {
        other.total_cmp(one).then(also_held.cmp(held))
    });
    let (score, _, best) = scored
        .first()
        .copied()
        .filter(|(score, _, _)| *score >= LEAST)?;
    let next = scored
        .iter()
        .find(|(score, _, entry)| *score > 0.0 && entry.subject != best.subject)
        .map(|(score, _, entry)| (entry.subject, *score));
    Some(Diagnosis {
        cause: best.cause.to_owned(),
        subject: best.subject,
        score,
        next,
        ways_out: best.ways_out.iter().map(|way| (*way).to_owned()).collect(),
    })
}

/// How alike an entry is: the share of shapes in common, times how many of its facts hold. A loss
/// elsewhere in a stream counts for a quarter of the same loss.
fn likeness(entry: &Entry, shapes: &BTreeSet<Shape>, facts: &BTreeSet<Fact>) -> f64 {
    // The first shape of several is the one that makes the damage what it is.
    if entry.shapes.len() > 1
        && entry
            .shapes
            .first()
            .is_some_and(|one| !shapes.contains(one))
    {
        return 0.0;
    }
    // Shapes that come along with the damage now and then neither speak for nor against. What was
    // lost or changed is also late, and who was killed at the limit leaves processes behind.
    let follows = |shape: Shape| matches!(shape, Shape::Late | Shape::LeftBehind);
    let is_more = shapes.iter().any(|&shape| !follows(shape));
    let counted: BTreeSet<Shape> = shapes
        .iter()
        .copied()
        .filter(|&shape| {
            let is_aside = entry.along.contains(&shape) || is_more && follows(shape);
            entry.shapes.contains(&shape) || !is_aside
        })
        .collect();
    let mut common = 0.0;
    for &shape in entry.shapes {
        if counted.contains(&shape) {
            common += 1.0;
        } else if shape.is_loss()
            && counted
                .iter()
                .any(|&other| other.is_loss() && !entry.shapes.contains(&other))
        {
            common += 0.25;
        }
    }
    let both = counted
        .iter()
        .filter(|shape| entry.shapes.contains(shape))
        .count();
    let union = (entry.shapes.len() + counted.len() - both) as f64;
    let share = |expected: &[Fact]| {
        if expected.is_empty() {
            return 1.0;
        }
        expected.iter().filter(|fact| facts.contains(fact)).count() as f64 / expected.len() as f64
    };
    let against = entry
        .never
        .iter()
        .filter(|fact| facts.contains(fact))
        .count() as f64;
    let fit = (0.4 + 0.6 * share(entry.facts)) * 0.5_f64.powf(against);
    (common / union * fit).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject_of(
        shapes: &[Shape],
        facts: &[Fact],
        under_test: &[Role],
    ) -> Option<(&'static str, f64)> {
        rank(
            &shapes.iter().copied().collect(),
            &facts.iter().copied().collect(),
            &under_test.iter().copied().collect(),
        )
        .map(|diagnosis| (diagnosis.subject, diagnosis.score))
    }

    const BOTH: [Role; 2] = [Role::Driver, Role::Logmon];

    #[test]
    fn every_entry_is_found_from_its_own_damage() {
        for (role, entry) in entries() {
            let facts: Vec<_> = entry.facts.to_vec();
            let found = subject_of(entry.shapes, &facts, &[role]);
            let own = likeness(
                entry,
                &entry.shapes.iter().copied().collect(),
                &facts.iter().copied().collect(),
            );
            assert!((own - 1.0).abs() < 1e-9, "{}: {own}", entry.subject);
            assert!(
                found.is_some_and(|(subject, _)| subject == entry.subject),
                "{}: {found:?}",
                entry.subject
            );
            assert!((2..=4).contains(&entry.ways_out.len()), "{}", entry.subject);
        }
    }

    #[test]
    fn a_lost_pipe_is_close_then_reopen_and_dropping_is_far_behind() {
        let shapes = BTreeSet::from([Shape::LostPipeContent]);
        let facts = BTreeSet::from([Fact::LogmonKilled, Fact::LogmonRestarted]);
        let diagnosis = rank(&shapes, &facts, &BTreeSet::from(BOTH)).unwrap();
        assert_eq!(
            (diagnosis.subject, diagnosis.score),
            ("close-then-reopen", 1.0)
        );
        assert!(
            diagnosis.next.is_some_and(|(_, score)| score <= 0.5),
            "{:?}",
            diagnosis.next
        );
    }

    #[test]
    fn a_task_that_was_left_behind_is_not_one_that_exited_too_early_for_its_driver() {
        // All that is lost of it stands at the end of a run, as for a driver that closes early.
        let shapes = [Shape::LeftBehind, Shape::LostTail, Shape::LostMiddle];
        let facts = [Fact::TaskLeft, Fact::LostAtRunEnd];
        let found = subject_of(&shapes, &facts, &[Role::Driver]).unwrap();
        assert_eq!(found.0, "forgets-task-on-early-stop");
    }

    #[test]
    fn facts_tell_subjects_with_the_same_shapes_apart() {
        use Fact::{LineEnds, LineStarts, LogmonKilled, LogmonRestarted, SpareReader};
        assert_eq!(
            subject_of(&[Shape::Altered], &[LineEnds], &BOTH).unwrap().0,
            "crlf"
        );
        assert_eq!(
            subject_of(&[Shape::Altered], &[LineStarts], &BOTH)
                .unwrap()
                .0,
            "adds-prefix"
        );
        let killed = [LogmonKilled, LogmonRestarted];
        assert_eq!(
            subject_of(&[Shape::LostMiddle], &killed, &BOTH).unwrap().0,
            "drops-on-epipe"
        );
        let spare = [LogmonKilled, LogmonRestarted, SpareReader];
        assert_eq!(
            subject_of(&[Shape::LostMiddle], &spare, &BOTH).unwrap().0,
            "buffers-and-loses-on-kill"
        );
    }

    #[test]
    fn only_what_is_under_test_is_blamed() {
        let of = |under_test| subject_of(&[Shape::Late], &[], &[under_test]).unwrap().0;
        assert_eq!(of(Role::Driver), "block-buffers");
        assert_eq!(of(Role::Logmon), "late-visibility");
        let killed = [Fact::LogmonKilled];
        let of = |under_test| subject_of(&[Shape::LostPipeContent], &killed, &[under_test]);
        assert_eq!(of(Role::Driver).unwrap().0, "close-then-reopen");
        assert_eq!(of(Role::Logmon), None);
    }

    #[test]
    fn what_comes_late_because_it_was_changed_is_no_second_damage() {
        let changed = [Shape::Altered, Shape::Late];
        let (subject, score) = subject_of(&changed, &[Fact::LineEnds], &BOTH).unwrap();
        assert_eq!((subject, score), ("crlf", 1.0));
    }

    #[test]
    fn ways_to_block_are_told_apart() {
        for (facts, under_test, subject) in [
            (&[Fact::NoRefusal][..], Role::Logmon, "hangs-on-refusal"),
            (
                &[Fact::TaskNotStarted, Fact::DriverFirst, Fact::StopOverdue],
                Role::Driver,
                "blocks-start-without-reader",
            ),
            (&[Fact::StopOverdue], Role::Driver, "deaf-to-stop"),
            (&[Fact::ExitOverdue], Role::Driver, "waits-for-children"),
            (
                &[Fact::FullPipe, Fact::StopOverdue],
                Role::Logmon,
                "holds-without-draining",
            ),
            (
                &[Fact::LogmonNotReady, Fact::LogmonKilled],
                Role::Logmon,
                "waits-for-writer-in-open",
            ),
            (
                &[Fact::LogmonOverdue, Fact::LogmonKilled],
                Role::Logmon,
                "slow-stop",
            ),
        ] {
            let found = subject_of(&[Shape::Blocked], facts, &[under_test]);
            assert_eq!(found.unwrap().0, subject, "{facts:?}");
        }
    }

    #[test]
    fn a_driver_that_waits_too_short_is_not_one_that_does_not_wait() {
        let of = |facts: &[Fact]| {
            subject_of(&[Shape::LostAll], facts, &[Role::Driver])
                .unwrap()
                .0
        };
        assert_eq!(of(&[Fact::DriverFirst]), "gives-up-on-enxio");
        assert_eq!(
            of(&[Fact::DriverFirst, Fact::GaveUpWaiting]),
            "gives-up-after-1s"
        );
    }

    #[test]
    fn without_a_journal_a_driver_that_did_not_wait_may_have_opened_read_write() {
        let shapes = BTreeSet::from([Shape::LostAll]);
        let facts = BTreeSet::from([Fact::DriverFirst, Fact::NoDriverJournal]);
        let found = rank(&shapes, &facts, &BTreeSet::from([Role::Driver])).unwrap();
        assert_eq!(found.subject, "opens-read-write-and-exits-first");
        assert!(found.cause.contains("or gave the stream up"), "{found:?}");
    }

    #[test]
    fn a_driver_that_recovers_is_blamed_for_that_only_where_the_damage_is_of_that_time() {
        let driver = BTreeSet::from([Role::Driver]);
        let second = |shape: Shape, facts: [Fact; 2]| {
            let ranked = rank(&BTreeSet::from([shape]), &facts.into(), &driver);
            ranked.unwrap().next.map_or(0.0, |(_, score)| score)
        };
        let of =
            |shape: Shape, facts: &[Fact]| subject_of(&[shape], facts, &[Role::Driver]).unwrap().0;
        let lost = [Fact::Recovered, Fact::LostWhileAway];
        assert_eq!(of(Shape::LostMiddle, &lost), "loses-gap");
        assert_eq!(of(Shape::LostMiddle, &[Fact::Recovered]), "drops-on-eagain");
        assert!(second(Shape::LostMiddle, lost) <= 0.5);
        let ended = [Fact::Recovered, Fact::EndedWhileAway];
        assert!(second(Shape::WrongExit, ended) <= 0.5);
        assert_eq!(of(Shape::WrongExit, &ended), "guesses-success");
        assert_eq!(of(Shape::WrongExit, &[Fact::Recovered]), "wrong-exit-code");
        let paused = of(Shape::WrongExit, &[Fact::DriverPaused]);
        assert_eq!(paused, "takes-pause-for-death");
        assert_eq!(of(Shape::Repeated, &[Fact::Recovered]), "repeats-gap");
        assert_eq!(
            of(Shape::Repeated, &[Fact::LogmonKilled]),
            "resends-last-record"
        );
        assert_eq!(of(Shape::Repeated, &[]), "resends-after-short-write");
        let overdue = [Fact::Recovered, Fact::RecoverOverdue];
        assert_eq!(of(Shape::Blocked, &overdue), "hangs-in-recover");
        let killed = |fact| {
            let shapes = [Shape::WriterKilled, Shape::WrongExit];
            subject_of(&shapes, &[fact], &[Role::Driver]).unwrap().0
        };
        assert_eq!(killed(Fact::Recovered), "kills-on-recover");
        assert_eq!(killed(Fact::Sigpipe), "dies-of-sigpipe");
    }

    #[test]
    fn damage_that_no_subject_does_has_no_cause() {
        let odd = [
            Shape::LostHead,
            Shape::NotNull,
            Shape::GrowthMemory,
            Shape::LineSplit,
        ];
        assert_eq!(subject_of(&odd, &[], &BOTH), None);
    }
}
