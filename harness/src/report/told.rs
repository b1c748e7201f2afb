//! What every further report tells of a case: what is wrong in one line, its shape and its rule. (core)

use crate::outcome::Status;
pub(super) use crate::printable::printable;
use crate::report::Report;
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

/// How the run ended, in a few words.
pub(super) fn ending(report: &Report) -> String {
    let Some(ending) = report.ending else {
        return "the run has not ended".to_owned();
    };
    let (_, text) = ending_words(ending, report);
    format!("{text} (exit {})", ending.code())
}
