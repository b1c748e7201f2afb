//! Expected failures in the words of a report. (core)

use crate::report::{hanging, wrapped};
use crate::suite::CaseResult;

use super::json::ExpectationFacts;

/// What was expected of a case, in lines after `indent`: the shapes and the reason, where it is
/// tracked, and what does not agree. Empty if nothing was expected.
#[must_use]
pub fn expected_lines(result: &CaseResult, indent: &str) -> String {
    let Some(expected) = &result.expected else {
        return String::new();
    };
    let mut out = wrapped(&expected_in_words(result), indent, 80);
    if let Some(issue) = &expected.issue {
        out.push_str(&wrapped(issue, indent, 80));
    }
    if let Some(note) = &expected.note {
        out.push_str(&wrapped(note, indent, 80));
    }
    out
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

/// A line for each entry that stands for no case of the run.
pub(super) fn stale_lines(facts: &ExpectationFacts) -> String {
    let line = |stale: &super::json::StaleEntry| {
        let text = format!(
            "{}, line {} of {}: none of its cases applies to this subject",
            stale.case, stale.line, facts.file
        );
        hanging("stale         ", &text, 80)
    };
    facts.stale.iter().map(line).collect()
}
