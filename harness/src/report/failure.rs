//! The text of one case that did not pass. (core)

use std::path::Path;

use mock_driver::stream::Stream;

use crate::diagnosis::{self, Diagnosis};
use crate::history::History;
use crate::outcome::{Status, Verdict};
use crate::report::beside::is_shipped;
use crate::report::timeline::{Extent, timeline};
use crate::report::{Paint, PassesHere, expected_lines, rerun, wrapped};
use crate::rule::RuleId;
use crate::scenario::{Scenario, swept_id};
use crate::suite::{CaseResult, Subject};
use crate::trace::Event;

/// Findings that are shown in full; the rest is counted.
const MAX_FINDINGS: usize = 4;

/// Details of one finding that are shown; the rest is counted.
const MAX_DETAILS: usize = 8;

/// Columns of the whole text.
pub(super) const WIDTH: usize = 80;

/// The first lines: status, id, level, rule, time and number of runs; then the promise.
#[must_use]
pub fn failure_head(result: &CaseResult, paint: Paint) -> String {
    let rule = first_rule(&result.verdict, &result.rules);
    let facts = format!(
        "{}  {rule}  {:.2} s  {}",
        result.level.keyword(),
        result.seconds,
        result.failed_runs()
    );
    let named = (result.status, result.status.as_str());
    let head = head(named, &result.id, &result.title, &facts, paint);
    format!("{head}{}", expected_lines(result, "      "))
}

/// The first lines of one attempt that is looked at again.
#[must_use]
pub fn attempt_head(history: &History, verdict: &Verdict, paint: Paint) -> String {
    let scenario = &history.case.scenario;
    let rule = first_rule(verdict, &scenario.rules);
    let facts = format!(
        "{}  {rule}  {:.2} s",
        scenario.level.keyword(),
        history.seconds()
    );
    head(
        (verdict.status(), verdict.word()),
        &scenario.id,
        &scenario.title,
        &facts,
        paint,
    )
}

fn first_rule(verdict: &Verdict, rules: &[RuleId]) -> String {
    let broken = verdict.findings.first().map(|finding| &finding.rule);
    let rule = broken.or(rules.first());
    rule.map(ToString::to_string).unwrap_or_default()
}

fn head(
    (status, word): (Status, &str),
    id: &str,
    title: &str,
    facts: &str,
    paint: Paint,
) -> String {
    let word = word.to_uppercase();
    let used = word.chars().count() + 2 + id.chars().count();
    let gap = WIDTH.saturating_sub(used + facts.chars().count()).max(2);
    format!(
        "{}  {}{:gap$}{facts}\n{}",
        paint.status(status, &word),
        paint.bold(id),
        "",
        wrapped(title, "      ", WIDTH)
    )
}

/// Everything below the head: the findings, what happened, the likely cause and what to do next.
///
/// `bundle` is where the case's folder will be, as a command can name it; none if it is not kept.
#[must_use]
pub fn failure_text(
    scenario: &Scenario,
    verdict: &Verdict,
    history: Option<&History>,
    bundle: Option<&Path>,
) -> String {
    text(scenario, verdict, history, bundle, Extent::Abridged)
}

/// The same of one attempt that is looked at again, with every finding and the whole timeline.
#[must_use]
pub fn whole_text(history: &History, verdict: &Verdict, bundle: &Path) -> String {
    text(
        &history.case.scenario,
        verdict,
        Some(history),
        Some(bundle),
        Extent::Whole,
    )
}

/// The stream whose pipe and log are shown: the first that something is wrong with.
#[must_use]
pub fn focus(verdict: &Verdict) -> Stream {
    let mut concerned = verdict.findings.iter().filter_map(|finding| finding.stream);
    concerned.next().unwrap_or(Stream::Stdout)
}

fn text(
    scenario: &Scenario,
    verdict: &Verdict,
    history: Option<&History>,
    bundle: Option<&Path>,
    extent: Extent,
) -> String {
    let mut out = String::new();
    add_findings(&mut out, verdict, extent);
    if let Some(history) = history {
        add_waiting(&mut out, history);
        let lines = timeline(history, focus(verdict), extent);
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
            let subject = Subject::of_case(&history.case);
            add_beside(&mut out, PassesHere::beside(&subject, scenario).as_ref());
        }
    }
    out.push('\n');
    add_again(&mut out, &scenario.id, history, bundle);
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

/// What to do next.
fn add_again(out: &mut String, id: &str, history: Option<&History>, bundle: Option<&Path>) {
    let rerun = rerun::of_attempt(id, history.map(|history| &history.case));
    if let Some(bundle) = bundle {
        add_bundle(out, bundle);
        // A run knows a case of somebody's own only by its file, and a bundle brings it with it.
        let is_changed = |history: &History| !is_shipped(&history.case.scenario);
        let is_own = match swept_id(id) {
            Some(_) => rerun::is_own(id),
            None => history.is_some_and(is_changed),
        };
        if !is_own {
            add_command(out, "As a run", &rerun);
        }
    } else {
        add_command(out, "Re-run", &rerun);
        add_command(
            out,
            "Look",
            "nothing was kept; run it again with --keep fail",
        );
    }
}

/// The commands that play a kept case again and show it.
pub(super) fn add_bundle(out: &mut String, bundle: &Path) {
    let bundle = bundle.to_string_lossy();
    let bundle = shell_words::quote(&bundle);
    add_command(out, "Re-run", &format!("harness repro {bundle}"));
    add_command(out, "Look", &format!("harness show {bundle} --html"));
}

/// A command on a line of its own, so that it can be copied.
fn add_command(out: &mut String, name: &str, command: &str) {
    out.push_str(&format!("  {name:<15}{command}\n"));
}

fn add_findings(out: &mut String, verdict: &Verdict, extent: Extent) {
    let (most, most_details) = match extent {
        Extent::Abridged => (MAX_FINDINGS, MAX_DETAILS),
        Extent::Whole => (usize::MAX, usize::MAX),
    };
    for error in &verdict.suite_errors {
        out.push_str(&format!(
            "\n{}",
            wrapped(&format!("the suite could not go on: {error}"), "  ", WIDTH)
        ));
    }
    if let Some(at) = &verdict.held {
        let text = format!("the plan was stopped {at}: there is no verdict");
        out.push_str(&format!("\n{}", wrapped(&text, "  ", WIDTH)));
    }
    for finding in verdict.findings.iter().take(most) {
        out.push('\n');
        out.push_str(&wrapped(
            &format!("{} [{}, {}]", finding.headline, finding.shape, finding.rule),
            "  ",
            WIDTH,
        ));
        for detail in finding.details.iter().take(most_details) {
            out.push_str(&wrapped(detail, "     ", WIDTH));
        }
        let rest = finding.details.len().saturating_sub(most_details);
        if rest > 0 {
            out.push_str(&format!("     and {rest} more lines in verdict.json\n"));
        }
    }
    let rest = verdict.findings.len().saturating_sub(most);
    if rest > 0 {
        out.push_str(&format!("\n  and {rest} more findings in verdict.json\n"));
    }
    for unmet in &verdict.unmet {
        let text = format!("not met, so the case proves nothing: {unmet}");
        out.push_str(&format!("\n{}", wrapped(&text, "  ", WIDTH)));
    }
}

/// Who waited for whom, where something hung: what was waited for, and what was seen then.
#[must_use]
pub fn waiting(history: &History) -> Vec<(String, Vec<String>)> {
    let told = |event: &Event| {
        if let Event::Unmet {
            text,
            within_ms,
            last,
            ..
        } = event
        {
            let what = format!("\"{text}\" was not met in {within_ms} ms");
            Some((what, last.clone()))
        } else if let Event::DriverOverdue {
            within_ms, last, ..
        } = event
        {
            let what = format!("the driver was still there after {within_ms} ms");
            Some((what, last.clone()))
        } else {
            None
        }
    };
    let all = history.entries.iter();
    all.filter_map(|entry| told(&entry.event))
        .filter(|(_, last)| !last.is_empty())
        .collect()
}

fn add_waiting(out: &mut String, history: &History) {
    for (what, last) in waiting(history) {
        out.push_str("\n  Who waits for whom\n");
        out.push_str(&wrapped(&format!("{what}:"), "     ", WIDTH));
        for line in last {
            out.push_str(&wrapped(&line, "       ", WIDTH));
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

/// Who passes here, and how to see that.
fn add_beside(out: &mut String, passes_here: Option<&PassesHere>) {
    let Some(passes_here) = passes_here else {
        return;
    };
    add_field(out, "Passes here", &passes_here.named());
    if let Some(command) = &passes_here.command {
        add_command(out, "Beside yours", command);
    }
}

/// A name in a column of its own, and text beside it.
pub(super) fn add_field(out: &mut String, name: &str, text: &str) {
    let indent = " ".repeat(17);
    let lines = wrapped(text, &indent, WIDTH);
    out.push_str(&format!("  {name:<15}{}", lines.trim_start()));
}
