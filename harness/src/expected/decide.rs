//! What an expected failure makes of a result. (core)
//!
//! | listed as | played | becomes |
//! |---|---|---|
//! | fail | failed, each attempt with exactly the shapes listed | xfail |
//! | fail | failed otherwise | fail |
//! | fail | passed | xpass |
//! | fail | flaky | flaky |
//! | flaky | failed or flaky, no attempt with another shape or with none | xfail |
//! | flaky | failed or flaky otherwise | as it was |
//! | flaky | passed | pass |
//! | any | anything else | as it was |

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::expected::file::brackets;
use crate::expected::{Entry, Outcome};
use crate::finding::Shape;
use crate::outcome::Status;

/// What was expected of a case, as reports tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// What the entry says.
    pub outcome: Outcome,
    /// The damage that it excuses.
    pub shapes: BTreeSet<Shape>,
    /// Why.
    pub reason: String,
    /// Where it is tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    /// The last day on which it counts, such as `2027-03-01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What does not agree with the entry, and what to do, as a sentence without a full stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The status of a case that an entry covers, and what reports tell of it.
///
/// `failed_as` has the shapes of each attempt that did not pass, each set once; an attempt that
/// proved nothing has none.
#[must_use]
pub fn decide(entry: &Entry, status: Status, failed_as: &[BTreeSet<Shape>]) -> (Status, Expected) {
    let (status, note) = row(entry, status, failed_as);
    let expected = Expected {
        outcome: entry.outcome,
        shapes: entry.shapes.clone(),
        reason: entry.reason.clone(),
        issue: entry.issue.clone(),
        until: entry.until.map(|until| until.to_string()),
        note,
    };
    (status, expected)
}

fn row(entry: &Entry, status: Status, failed_as: &[BTreeSet<Shape>]) -> (Status, Option<String>) {
    match (entry.outcome, status) {
        (Outcome::Fail, Status::Pass) => (
            Status::Xpass,
            Some("it passes; remove the entry: harness xfail update".to_owned()),
        ),
        (Outcome::Flaky, Status::Pass) => (Status::Pass, None),
        (Outcome::Fail, Status::Fail) | (Outcome::Flaky, Status::Fail | Status::Flaky) => {
            if is_excused(entry, failed_as) {
                (Status::Xfail, None)
            } else {
                (status, Some(other_shape(entry, failed_as)))
            }
        }
        (Outcome::Fail, Status::Flaky) => (
            Status::Flaky,
            Some(format!(
                "it is expected to fail every time, and it passed too; if that is known, give the \
                 entry outcome = \"flaky\" (it failed with {})",
                all_brackets(failed_as)
            )),
        ),
        (_, Status::Inconclusive) => (
            status,
            Some("an expected failure does not excuse a case that proves nothing".to_owned()),
        ),
        (
            _,
            Status::Xfail
            | Status::Xpass
            | Status::SkippedCapability
            | Status::SkippedFilter
            | Status::ErrorSuite
            | Status::ErrorEnvironment,
        ) => (status, None),
    }
}

/// Whether a run that left nothing out played none of the cases that an entry covers. `status_of` has
/// the status of each case of the run.
#[must_use]
pub fn is_stale(covers: &[String], status_of: impl Fn(&str) -> Option<Status>) -> bool {
    covers
        .iter()
        .all(|case| matches!(status_of(case), None | Some(Status::SkippedCapability)))
}

/// Whether attempts that did not pass did so as the entry says.
#[must_use]
pub fn is_excused(entry: &Entry, failed_as: &[BTreeSet<Shape>]) -> bool {
    !failed_as.is_empty()
        && failed_as.iter().all(|shapes| match entry.outcome {
            Outcome::Fail => *shapes == entry.shapes,
            Outcome::Flaky => !shapes.is_empty() && shapes.is_subset(&entry.shapes),
        })
}

fn other_shape(entry: &Entry, failed_as: &[BTreeSet<Shape>]) -> String {
    format!(
        "expected with {}, failed with {}: this is another failure",
        entry.brackets(),
        all_brackets(failed_as)
    )
}

fn all_brackets(failed_as: &[BTreeSet<Shape>]) -> String {
    let one = |shapes: &BTreeSet<Shape>| {
        if shapes.is_empty() {
            "no shape, as an attempt proved nothing".to_owned()
        } else {
            brackets(shapes)
        }
    };
    let all: Vec<String> = failed_as.iter().map(one).collect();
    all.join(" and with ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expected::Expectations;

    use Shape::{Late, LostTail, Torn};
    use Status::{
        ErrorEnvironment, ErrorSuite, Fail, Flaky, Inconclusive, Pass, SkippedCapability,
        SkippedFilter, Xfail, Xpass,
    };

    fn entry(outcome: Outcome, shapes: &[Shape]) -> Entry {
        Entry {
            number: 1,
            line: 1,
            case: "data/x".to_owned(),
            outcome,
            shapes: shapes.iter().copied().collect(),
            reason: "known".to_owned(),
            issue: None,
            until: None,
            covers: vec!["data/x".to_owned()],
        }
    }

    fn sets(sets: &[&[Shape]]) -> Vec<BTreeSet<Shape>> {
        sets.iter()
            .map(|one| one.iter().copied().collect())
            .collect()
    }

    /// Listed as, with shapes; played, with the shapes of its attempts; what becomes of it.
    type Row<'a> = (Outcome, &'a [Shape], Status, &'a [&'a [Shape]], Status);

    const TABLE: &[Row<'_>] = &[
        // The same failure, and another one.
        (Outcome::Fail, &[LostTail], Fail, &[&[LostTail]], Xfail),
        (
            Outcome::Fail,
            &[LostTail, Torn],
            Fail,
            &[&[Torn, LostTail]],
            Xfail,
        ),
        (Outcome::Fail, &[LostTail], Fail, &[&[Torn]], Fail),
        (Outcome::Fail, &[LostTail], Fail, &[&[LostTail, Torn]], Fail),
        (Outcome::Fail, &[LostTail, Torn], Fail, &[&[LostTail]], Fail),
        // Every attempt counts.
        (
            Outcome::Fail,
            &[LostTail],
            Fail,
            &[&[LostTail], &[Late]],
            Fail,
        ),
        (Outcome::Fail, &[LostTail], Fail, &[&[LostTail], &[]], Fail),
        (Outcome::Fail, &[LostTail], Fail, &[], Fail),
        (Outcome::Fail, &[LostTail], Pass, &[], Xpass),
        (Outcome::Fail, &[LostTail], Flaky, &[&[LostTail]], Flaky),
        // Flaky: it may pass, and nothing else.
        (Outcome::Flaky, &[LostTail], Pass, &[], Pass),
        (Outcome::Flaky, &[LostTail], Flaky, &[&[LostTail]], Xfail),
        (Outcome::Flaky, &[LostTail], Fail, &[&[LostTail]], Xfail),
        (
            Outcome::Flaky,
            &[LostTail, Torn],
            Fail,
            &[&[LostTail], &[Torn]],
            Xfail,
        ),
        (Outcome::Flaky, &[LostTail], Flaky, &[&[Torn]], Flaky),
        (
            Outcome::Flaky,
            &[LostTail],
            Fail,
            &[&[LostTail, Torn]],
            Fail,
        ),
        (Outcome::Flaky, &[LostTail], Flaky, &[&[]], Flaky),
        (Outcome::Flaky, &[LostTail], Flaky, &[], Flaky),
        // What is neither a pass nor a failure is never excused, and never a surprise.
        (
            Outcome::Fail,
            &[LostTail],
            Inconclusive,
            &[&[]],
            Inconclusive,
        ),
        (
            Outcome::Flaky,
            &[LostTail],
            Inconclusive,
            &[&[]],
            Inconclusive,
        ),
        (Outcome::Fail, &[LostTail], ErrorSuite, &[], ErrorSuite),
        (
            Outcome::Flaky,
            &[LostTail],
            ErrorEnvironment,
            &[],
            ErrorEnvironment,
        ),
        (
            Outcome::Fail,
            &[LostTail],
            SkippedCapability,
            &[],
            SkippedCapability,
        ),
        (
            Outcome::Flaky,
            &[LostTail],
            SkippedFilter,
            &[],
            SkippedFilter,
        ),
    ];

    #[test]
    fn every_row_of_the_table_holds() {
        for (outcome, listed, status, failed_as, becomes) in TABLE {
            let (now, expected) = decide(&entry(*outcome, listed), *status, &sets(failed_as));
            assert_eq!(
                now, *becomes,
                "{outcome} {listed:?}, played {status} {failed_as:?}: {expected:?}"
            );
        }
    }

    #[test]
    fn an_entry_is_stale_if_none_of_its_cases_was_played() {
        let text =
            "[[expect]]\ncase = \"mon/*\"\noutcome = \"fail\"\nshape = \"torn\"\nreason = \"r\"\n";
        let known = ["mon/a", "mon/b"].map(str::to_owned).into();
        let read = Expectations::read(text, &known).unwrap();
        let is_stale = |a: Option<Status>, b: Option<Status>| {
            let status = |case: &str| if case == "mon/a" { a } else { b };
            is_stale(&read.entries()[0].covers, status)
        };
        assert!(is_stale(Some(SkippedCapability), Some(SkippedCapability)));
        assert!(is_stale(None, Some(SkippedCapability)));
        assert!(!is_stale(Some(SkippedCapability), Some(Xfail)));
        assert!(!is_stale(Some(SkippedCapability), Some(SkippedFilter)));
        assert!(!is_stale(Some(Pass), None));
    }

    #[test]
    fn another_shape_is_told_with_both() {
        let (_, expected) = decide(
            &entry(Outcome::Fail, &[LostTail]),
            Fail,
            &sets(&[&[LostTail], &[Late, Torn]]),
        );
        assert_eq!(
            expected.note.unwrap(),
            "expected with [lost-tail], failed with [lost-tail] and with [torn, late]: this is \
             another failure"
        );
    }

    #[test]
    fn what_is_as_expected_needs_no_note() {
        for (outcome, listed, status, failed_as, becomes) in TABLE {
            let (_, expected) = decide(&entry(*outcome, listed), *status, &sets(failed_as));
            assert_eq!(expected.reason, "known");
            if *becomes == Xfail {
                assert_eq!(expected.note, None, "{listed:?} {status}");
            }
        }
    }
}
