//! What every further report tells of a case: what is wrong in one line, its shape and its rule; and what
//! is wrong with the run itself. (core)

use crate::outcome::{Ending, Status};
pub(super) use crate::printable::printable;
use crate::report::Report;
use crate::report::expected::stale_in_words;
use crate::report::summary::ending_words;
use crate::suite::CaseResult;

/// What a case means for the run, for reports that know less than our statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// As it should be.
    Good,
    /// It failed, as was expected.
    ExpectedFailure,
    /// It passed, but only when it was played again.
    Shaky,
    /// Not as it should be.
    Bad,
    /// Nothing is known, and neither subject is known to be to blame.
    Broken,
    /// It was not played.
    Skipped,
}

/// What a status means.
pub(super) fn meaning(status: Status) -> Meaning {
    match status {
        Status::Pass => Meaning::Good,
        Status::Xfail => Meaning::ExpectedFailure,
        Status::Flaky => Meaning::Shaky,
        Status::Fail | Status::Xpass => Meaning::Bad,
        Status::Inconclusive | Status::ErrorSuite | Status::ErrorEnvironment => Meaning::Broken,
        Status::SkippedCapability | Status::SkippedFilter => Meaning::Skipped,
    }
}

/// The cases that are no pass and were played, in the order of the suite.
pub(super) fn not_passed(report: &Report) -> impl Iterator<Item = &CaseResult> {
    report.cases.iter().filter(|one| match meaning(one.status) {
        Meaning::Good | Meaning::Skipped => false,
        Meaning::ExpectedFailure | Meaning::Shaky | Meaning::Bad | Meaning::Broken => true,
    })
}

/// Something that is wrong with the run itself, and that no case shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// In one word, which never changes.
    pub(super) kind: &'static str,
    /// In one line.
    pub(super) text: String,
}

/// The name under which forms that know only cases tell of the run itself.
pub(super) const THE_RUN: &str = "harness/run";

/// Everything that is wrong with the run itself, the gravest first. Empty if whoever looks at the cases
/// alone sees how the run ended.
pub(super) fn troubles(report: &Report) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut add = |kind: &'static str, text: &str| {
        let text = text.replace('\n', " ");
        troubles.push(Trouble { kind, text });
    };
    let message = report.message.as_deref();
    match (no_verdict(report), message) {
        (Some(kind), Some(message)) => add(kind, &format!("{}: {message}", in_words(report))),
        (Some(kind), None) => add(kind, &in_words(report)),
        (None, Some(message)) => add("message", message),
        (None, None) => {}
    }
    for one in &report.fewer {
        let text = format!("{}: played before, and not now: {}", one.case, one.why);
        add("fewer", &text);
    }
    for entry in report.expectations.iter().flat_map(|facts| &facts.stale) {
        let file = report.expectations.as_ref().map_or("", |facts| &facts.file);
        add("stale", &stale_in_words(entry, file));
    }
    if !report.not_begun.is_empty() {
        let text = format!("there was no time for {}", report.not_begun.join(", "));
        add("not-begun", &text);
    }
    troubles
}

/// The kind of an ending that says nothing about the subject, or that no case shows.
fn no_verdict(report: &Report) -> Option<&'static str> {
    let is_shown = |status: Status| report.cases.iter().any(|one| one.status == status);
    Some(match report.ending {
        None => "not-ended",
        Some(Ending::Conformant | Ending::Flaky | Ending::ExpectationsStale | Ending::Failures) => {
            return None;
        }
        Some(Ending::SuiteBug) if is_shown(Status::ErrorSuite) => return None,
        Some(Ending::Unfit) if is_shown(Status::ErrorEnvironment) => return None,
        Some(Ending::NothingRan) => "nothing-ran",
        Some(Ending::OutOfBudget) => "out-of-budget",
        Some(Ending::Blind) => "blind",
        Some(Ending::Unfit) => "unfit",
        Some(Ending::BadSubject) => "bad-subject",
        Some(Ending::SuiteBug) => "suite-bug",
        Some(Ending::Interrupted) => "interrupted",
        Some(Ending::Stopped) => "stopped",
        Some(Ending::BadConfiguration) => "bad-configuration",
        Some(Ending::Usage) => "usage",
    })
}

/// The shape of the first finding, or the status where there is none.
pub(super) fn kind(result: &CaseResult) -> &str {
    match result.verdict.findings.first() {
        Some(finding) => finding.shape.as_str(),
        None => result.status.as_str(),
    }
}

/// The rule that is broken first, or the first one that the case checks; empty if it names none.
pub(super) fn rule(result: &CaseResult) -> &str {
    let broken = result.verdict.findings.first().map(|finding| &finding.rule);
    broken
        .or(result.rules.first())
        .map_or("", |rule| rule.as_str())
}

/// What is wrong, or why the case was not played, in one line; empty if it passed.
pub(super) fn headline(result: &CaseResult) -> String {
    let verdict = &result.verdict;
    if let Some(skip) = &result.skipped {
        return skip.why.clone();
    }
    let text = if let Some(error) = verdict.suite_errors.first() {
        error.clone()
    } else if let Some(finding) = verdict.findings.first() {
        finding.headline.clone()
    } else if let Some(unmet) = verdict.unmet.first() {
        format!("not met: {unmet}")
    } else if result.status == Status::Xpass {
        "it passed, and the expectations say that it fails".to_owned()
    } else {
        String::new()
    };
    text.replace('\n', " ")
}

/// How the run ended, in a few words and with its exit code.
pub(super) fn ending(report: &Report) -> String {
    let text = in_words(report);
    match report.ending {
        Some(ending) => format!("{text} (exit {})", ending.code()),
        None => text,
    }
}

fn in_words(report: &Report) -> String {
    match report.ending {
        Some(ending) => ending_words(ending, report).1,
        None => "the run has not ended".to_owned(),
    }
}
