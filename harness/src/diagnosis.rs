//! From the shapes of the damage to a likely cause. (core)
//!
//! The dictionary has one entry for each faulty subject of the self-test, which also checks that
//! the entry is found from the damage that the subject does.

use std::collections::BTreeSet;

use crate::finding::{Finding, Shape};
use crate::history::History;
use crate::scenario::SignalName;
use crate::trace::Event;

mod dictionary;
mod drivers;
mod logmons;

use dictionary::{Entry, entries};

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

/// What a history shows beside the shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// A logmon was killed.
    LogmonKilled,
    /// A logmon was asked to stop.
    LogmonStopped,
    /// More than one logmon became ready, one after the other.
    LogmonRestarted,
    /// The task ran more than once.
    TaskRestarted,
    /// The driver was asked to stop.
    StopAsked,
    /// The driver ran before any logmon did.
    DriverFirst,
    /// The host held spare read ends.
    SpareReader,
    /// A finding speaks of CR and LF.
    LineEnds,
    /// A finding speaks of CRs that are gone.
    CrGone,
    /// A finding speaks of the beginnings of lines.
    LineStarts,
    /// A single byte was put in or added.
    OneByte,
    /// The finding is about SIGPIPE.
    Sigpipe,
    /// The other FIFO was opened read-write.
    ReadWrite,
    /// The limits are zero.
    ZeroLimits,
    /// A link was followed to the canary.
    Canary,
    /// The finding's rule is one that logmon keeps.
    Logmon,
    /// What stands at the path is a regular file.
    RegularFile,
    /// Damage of the same shape in both streams.
    BothStreams,
}

/// The facts of a history.
#[must_use]
pub fn facts(findings: &[Finding], history: &History) -> BTreeSet<Fact> {
    let mut facts = BTreeSet::new();
    let mut ready = 0;
    let mut started = 0;
    for entry in &history.entries {
        let fact = if let Event::LogmonSignalled { signal, .. } = entry.event {
            match signal {
                SignalName::Kill => Some(Fact::LogmonKilled),
                SignalName::Term => Some(Fact::LogmonStopped),
                SignalName::Stop | SignalName::Cont => None,
            }
        } else if matches!(entry.event, Event::LogmonReady { .. }) {
            ready += 1;
            (ready > 1).then_some(Fact::LogmonRestarted)
        } else if matches!(entry.event, Event::DriverStarted { .. }) {
            started += 1;
            if started > 1 {
                Some(Fact::TaskRestarted)
            } else {
                (ready == 0).then_some(Fact::DriverFirst)
            }
        } else if matches!(entry.event, Event::DriverStopAsked { .. }) {
            Some(Fact::StopAsked)
        } else if matches!(entry.event, Event::SpareReader { held: true }) {
            Some(Fact::SpareReader)
        } else {
            None
        };
        facts.extend(fact);
    }
    let says = |text: &str| {
        findings.iter().any(|one| {
            one.headline.contains(text) || one.details.iter().any(|line| line.contains(text))
        })
    };
    let texts = [
        (Fact::LineEnds, says("became CR LF")),
        (Fact::CrGone, says("every CR is gone")),
        (Fact::LineStarts, says("each line begins with")),
        (
            Fact::OneByte,
            says(" 1 byte put in") || says("1 byte added"),
        ),
        (Fact::Sigpipe, says("SIGPIPE")),
        (Fact::ReadWrite, says("read-write")),
        (Fact::Canary, says("canary")),
        (Fact::RegularFile, says("regular file")),
        (
            Fact::ZeroLimits,
            history.entries.iter().any(|entry| {
                matches!(&entry.event, Event::LogmonStarted { limits, must_refuse: true, .. }
                if limits.max_files == 0 || limits.max_file_bytes.0 == 0)
            }),
        ),
        (
            Fact::Logmon,
            findings.iter().any(|one| {
                matches!(
                    one.rule.family(),
                    crate::rule::Family::Mon | crate::rule::Family::Rot | crate::rule::Family::Sec
                )
            }),
        ),
        (
            Fact::BothStreams,
            findings.iter().any(|one| {
                findings.iter().any(|two| {
                    one.shape == two.shape
                        && one.stream.is_some()
                        && two.stream.is_some()
                        && one.stream != two.stream
                })
            }),
        ),
    ];
    facts.extend(
        texts
            .into_iter()
            .filter(|(_, holds)| *holds)
            .map(|(fact, _)| fact),
    );
    facts
}

/// The likeliest cause of these findings, or `None` if no faulty subject does anything like it.
#[must_use]
pub fn diagnose(findings: &[Finding], history: &History) -> Option<Diagnosis> {
    if findings.is_empty() {
        return None;
    }
    let shapes: BTreeSet<Shape> = findings.iter().map(|finding| finding.shape).collect();
    rank(&shapes, &facts(findings, history))
}

fn rank(shapes: &BTreeSet<Shape>, facts: &BTreeSet<Fact>) -> Option<Diagnosis> {
    let mut scored: Vec<(f64, &Entry)> = entries()
        .map(|entry| (likeness(entry, shapes, facts), entry))
        .collect();
    // A stable sort: of two that are alike the one that stands first in the dictionary.
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let (score, best) = scored
        .first()
        .copied()
        .filter(|(score, _)| *score >= LEAST)?;
    let next = scored
        .get(1)
        .filter(|(score, _)| *score > 0.0)
        .map(|(score, entry)| (entry.subject, *score));
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
    let is_loss = |shape: Shape| {
        matches!(
            shape,
            Shape::LostAll
                | Shape::LostHead
                | Shape::LostMiddle
                | Shape::LostTail
                | Shape::LostPipeContent
        )
    };
    // Shapes that come along with the damage now and then neither speak for nor against.
    let counted: BTreeSet<Shape> = shapes
        .iter()
        .copied()
        .filter(|shape| !entry.along.contains(shape) || entry.shapes.contains(shape))
        .collect();
    let mut common = 0.0;
    for &shape in entry.shapes {
        if counted.contains(&shape) {
            common += 1.0;
        } else if is_loss(shape)
            && counted
                .iter()
                .any(|&other| is_loss(other) && !entry.shapes.contains(&other))
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
    // Of two that fit, the one with more facts that hold is the more likely one.
    (common / union * fit).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject_of(shapes: &[Shape], facts: &[Fact]) -> Option<(&'static str, f64)> {
        rank(
            &shapes.iter().copied().collect(),
            &facts.iter().copied().collect(),
        )
        .map(|diagnosis| (diagnosis.subject, diagnosis.score))
    }

    #[test]
    fn every_entry_is_found_from_its_own_damage() {
        for entry in entries() {
            let facts: Vec<_> = entry.facts.to_vec();
            let found = subject_of(entry.shapes, &facts);
            let own = likeness(
                entry,
                &entry.shapes.iter().copied().collect(),
                &facts.iter().copied().collect(),
            );
            assert!((own - 1.0).abs() < 1e-9, "{}: {own}", entry.subject);
            assert!(
                found.is_some_and(|(_, score)| (score - 1.0).abs() < 1e-9),
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
        let diagnosis = rank(&shapes, &facts).unwrap();
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
    fn facts_tell_subjects_with_the_same_shapes_apart() {
        use Fact::{LineEnds, LineStarts, LogmonKilled, LogmonRestarted, SpareReader};
        assert_eq!(
            subject_of(&[Shape::Altered], &[LineEnds]).unwrap().0,
            "crlf"
        );
        assert_eq!(
            subject_of(&[Shape::Altered], &[LineStarts]).unwrap().0,
            "adds-prefix"
        );
        let killed = [LogmonKilled, LogmonRestarted];
        assert_eq!(
            subject_of(&[Shape::LostMiddle], &killed).unwrap().0,
            "drops-on-epipe"
        );
        let spare = [LogmonKilled, LogmonRestarted, SpareReader];
        assert_eq!(
            subject_of(&[Shape::LostMiddle], &spare).unwrap().0,
            "buffers-and-loses-on-kill"
        );
    }

    #[test]
    fn damage_that_no_subject_does_has_no_cause() {
        let odd = [
            Shape::LostHead,
            Shape::NotNull,
            Shape::GrowthMemory,
            Shape::LineSplit,
        ];
        assert_eq!(subject_of(&odd, &[]), None);
    }
}
