//! The text of one case that did not pass. (core)

use std::path::Path;

use mock_driver::stream::Stream;

use crate::diagnosis::{self, Diagnosis};
use crate::history::History;
use crate::outcome::{Status, Verdict};
use crate::report::{Paint, rerun, timeline, wrapped};
use crate::scenario::Scenario;
use crate::suite::CaseResult;
use crate::trace::Event;

/// Findings that are shown in full; the rest is counted.
const MAX_FINDINGS: usize = 4;

/// Details of one finding that are shown; the rest is counted.
const MAX_DETAILS: usize = 8;

/// Columns of the whole text.
const WIDTH: usize = 80;

/// The first lines: status, id, level, rule, time and number of runs; then the promise.
#[must_use]
pub fn failure_head(result: &CaseResult, paint: Paint) -> String {
    let word = result.status.as_str().to_uppercase();
    let rule = result
        .verdict
        .findings
        .first()
        .map(|finding| &finding.rule)
        .or(result.rules.first())
        .map(ToString::to_string)
        .unwrap_or_default();
    let facts = format!(
        "{}  {rule}  {:.2} s  {}",
        result.level.keyword(),
        result.seconds,
        result.failed_runs()
    );
    let used = word.chars().count() + 2 + result.id.chars().count();
    let gap = WIDTH.saturating_sub(used + facts.chars().count()).max(2);
    format!(
        "{}  {}{:gap$}{facts}\n{}",
        paint.status(result.status, &word),
        paint.bold(&result.id),
        "",
        wrapped(&result.title, "      ", WIDTH)
    )
}

/// Everything below the head: the findings, what happened, the likely cause and what to do next.
///
/// `bundle` is where the case's folder will be; none if it is not kept.
#[must_use]
pub fn failure_text(
    scenario: &Scenario,
    verdict: &Verdict,
    history: Option<&History>,
    bundle: Option<&Path>,
) -> String {
    let mut out = String::new();
    add_findings(&mut out, verdict);
    if let Some(history) = history {
        add_waiting(&mut out, history);
        let focus = verdict
            .findings
            .iter()
            .find_map(|finding| finding.stream)
            .unwrap_or(Stream::Stdout);
        let lines = timeline(history, focus);
        if !lines.is_empty() {
            out.push('\n');
        }
        for line in lines {
            out.push_str(format!("  {line}").trim_end());
            out.push('\n');
        }
        if verdict.status() == Status::Fail {
            out.push('\n');
            add_cause(
                &mut out,
                diagnosis::diagnose(&verdict.findings, history).as_ref(),
            );
        }
    }
    out.push('\n');
    out.push_str(&format!(
        "  {:<15}{}\n",
        "Re-run",
        rerun::of_attempt(&scenario.id, history.map(|history| &history.case))
    ));
    match bundle {
        Some(bundle) => add_field(&mut out, "Look", &bundle.display().to_string()),
        None => add_field(
            &mut out,
            "Look",
            "nothing was kept; run it again with --keep fail",
        ),
    }
    let mut rules: Vec<&str> = verdict
        .findings
        .iter()
        .map(|one| one.rule.as_str())
        .collect();
    if rules.is_empty() {
        rules.extend(scenario.rules.first().map(|rule| rule.as_str()));
    }
    rules.dedup();
    for rule in rules.iter().take(2) {
        add_field(&mut out, "Rule", &format!("harness explain {rule}"));
    }
    out
}

fn add_findings(out: &mut String, verdict: &Verdict) {
    for error in &verdict.suite_errors {
        out.push_str(&format!(
            "\n{}",
            wrapped(&format!("the suite could not go on: {error}"), "  ", WIDTH)
        ));
    }
    for finding in verdict.findings.iter().take(MAX_FINDINGS) {
        out.push('\n');
        out.push_str(&wrapped(
            &format!("{} [{}, {}]", finding.headline, finding.shape, finding.rule),
            "  ",
            WIDTH,
        ));
        for detail in finding.details.iter().take(MAX_DETAILS) {
            out.push_str(&wrapped(detail, "     ", WIDTH));
        }
        let rest = finding.details.len().saturating_sub(MAX_DETAILS);
        if rest > 0 {
            out.push_str(&format!("     and {rest} more lines in verdict.json\n"));
        }
    }
    let rest = verdict.findings.len().saturating_sub(MAX_FINDINGS);
    if rest > 0 {
        out.push_str(&format!("\n  and {rest} more findings in verdict.json\n"));
    }
    for unmet in &verdict.unmet {
        let text = format!("not met, so the case proves nothing: {unmet}");
        out.push_str(&format!("\n{}", wrapped(&text, "  ", WIDTH)));
    }
}

/// Who waited for whom, where something hung.
fn add_waiting(out: &mut String, history: &History) {
    for entry in &history.entries {
        let (what, last) = if let Event::Unmet {
            text,
            within_ms,
            last,
            ..
        } = &entry.event
        {
            (format!("\"{text}\" was not met in {within_ms} ms"), last)
        } else if let Event::DriverOverdue {
            within_ms, last, ..
        } = &entry.event
        {
            (
                format!("the driver was still there after {within_ms} ms"),
                last,
            )
        } else {
            continue;
        };
        if last.is_empty() {
            continue;
        }
        out.push_str("\n  Who waits for whom\n");
        out.push_str(&wrapped(&format!("{what}:"), "     ", WIDTH));
        for line in last {
            out.push_str(&wrapped(line, "       ", WIDTH));
        }
    }
}

fn add_cause(out: &mut String, diagnosis: Option<&Diagnosis>) {
    let Some(diagnosis) = diagnosis else {
        add_field(
            out,
            "Likely cause",
            "no match: no faulty subject that we know does this",
        );
        return;
    };
    let next = match &diagnosis.next {
        Some((name, score)) => format!("; next `{name}`: {score:.2}"),
        None => String::new(),
    };
    let text = format!(
        "{} (shape of faulty subject `{}`: {:.2}{next})",
        diagnosis.cause, diagnosis.subject, diagnosis.score
    );
    add_field(out, "Likely cause", &text);
    if !diagnosis.ways_out.is_empty() {
        add_field(out, "Ways out", &diagnosis.ways_out.join(" | "));
    }
}

/// A name in a column of its own, and text beside it.
fn add_field(out: &mut String, name: &str, text: &str) {
    let indent = " ".repeat(17);
    let lines = wrapped(text, &indent, WIDTH);
    out.push_str(&format!("  {name:<15}{}", lines.trim_start()));
}
