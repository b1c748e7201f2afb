//! Expected failures in the words of a report. (core)

use std::collections::BTreeMap;

use crate::expected::{Expectations, Outcome, is_stale};
use crate::outcome::Status;
use crate::report::json::{ExpectationFacts, ListedEntry, StaleEntry};
use crate::report::{Report, hanging, wrapped};
use crate::suite::CaseResult;

impl ExpectationFacts {
    /// What stands in a file before anything is played. `renew` is a command, such as that of
    /// [`renewing`].
    #[must_use]
    pub fn of(file: String, expected: &Expectations, renew: String) -> Self {
        let listed = expected.entries().iter().map(|entry| ListedEntry {
            case: entry.case.clone(),
            line: entry.line,
            outcome: entry.outcome,
            shapes: entry.shapes.clone(),
            reason: entry.reason.clone(),
            covers: entry.covers.clone(),
        });
        let listed: Vec<ListedEntry> = listed.collect();
        Self {
            file,
            entries: listed.len(),
            stale: Vec::new(),
            renew,
            listed,
        }
    }

    /// Finds the entries that stand for no case, by all cases of a run that left nothing out.
    pub fn find_stale(&mut self, cases: &[CaseResult]) {
        let by_id: BTreeMap<&str, Status> = cases
            .iter()
            .map(|one| (one.id.as_str(), one.status))
            .collect();
        let listed = self.listed.iter();
        self.stale = listed
            .filter(|entry| is_stale(&entry.covers, |case| by_id.get(case).copied()))
            .map(|entry| StaleEntry {
                case: entry.case.clone(),
                line: entry.line,
                reason: entry.reason.clone(),
            })
            .collect();
    }
}

/// The command that makes a file of expected failures agree with a report.
#[must_use]
pub fn renewing(file: &str, report: &str) -> String {
    shell_words::join(["harness", "xfail", "update", file, "--from", report])
}

/// What was expected of a case, in lines after `indent`: the shapes and the reason, where it is
/// tracked, and what does not agree. Empty if nothing was expected.
#[must_use]
pub fn expected_lines(result: &CaseResult, indent: &str) -> String {
    let sentences = expected_sentences(result);
    sentences
        .iter()
        .map(|sentence| wrapped(sentence, indent, 80))
        .collect()
}

/// All that an entry says of a case that did not simply pass, a sentence each: shapes and reason, where it
/// is tracked, what does not agree. Empty if nothing was expected.
pub(super) fn expected_sentences(result: &CaseResult) -> Vec<String> {
    let Some(expected) = &result.expected else {
        return Vec::new();
    };
    let more = [&expected.issue, &expected.note].into_iter().flatten();
    [expected_in_words(result)]
        .into_iter()
        .chain(more.cloned())
        .collect()
}

/// `expected [lost-tail]: the reason (until 2027-03-01)`; empty if nothing was expected.
pub(super) fn expected_in_words(result: &CaseResult) -> String {
    let Some(expected) = &result.expected else {
        return String::new();
    };
    let shapes: Vec<&str> = expected.shapes.iter().map(|one| one.as_str()).collect();
    let until = match &expected.until {
        Some(until) => format!(" (until {until})"),
        None => String::new(),
    };
    format!(
        "expected [{}]: {}{until}",
        shapes.join(", "),
        expected.reason
    )
}

/// What is wrong with an entry of a file that stands for no case of the run.
pub(super) fn stale_in_words(stale: &StaleEntry, file: &str) -> String {
    let StaleEntry { case, line, .. } = stale;
    format!("{case}, line {line} of {file}: none of its cases applies to this subject")
}

/// A line for each entry that stands for no case of the run.
pub(super) fn stale_lines(facts: &ExpectationFacts) -> String {
    let line = |stale| hanging("stale         ", &stale_in_words(stale, &facts.file), 80);
    facts.stale.iter().map(line).collect()
}

/// What says that entries for flaky cases excused nothing: all of their cases that were played passed. That may
/// be luck, so it is nothing that is wrong. Empty if there are none.
pub(super) fn unused_lines(report: &Report) -> String {
    let Some(facts) = &report.expectations else {
        return String::new();
    };
    let is_unused = |entry: &&ListedEntry| {
        let covered = |one: &&CaseResult| one.status.has_run() && entry.covers.contains(&one.id);
        let mut played = report.cases.iter().filter(covered).peekable();
        entry.outcome == Outcome::Flaky
            && played.peek().is_some()
            && played.all(|one| one.status == Status::Pass)
    };
    let unused: Vec<String> = facts
        .listed
        .iter()
        .filter(is_unused)
        .map(|one| one.line.to_string())
        .collect();
    if unused.is_empty() {
        return String::new();
    }
    let text = format!(
        "{} of {} say that a case is flaky, and it passed: take them out if it is mended (line {})",
        match unused.len() {
            1 => "1 entry".to_owned(),
            many => format!("{many} entries"),
        },
        facts.file,
        unused.join(", ")
    );
    hanging("unused        ", &text, 80)
}
