//! The report as GitHub-flavoured Markdown, for the summary of a CI job. (core)
//!
//! What was not played is counted by reason, and what passed is only counted: the summary is read when
//! something is wrong. Its size is bounded, because GitHub refuses a summary of more than 1 MiB.

use std::collections::BTreeMap;

use crate::outcome::Status;
use crate::report::expected::expected_sentences;
use crate::report::told::{
    Meaning, Trouble, ending, headline, kind, meaning, not_passed, printable, rule, troubles,
};
use crate::report::{Report, rerun};
use crate::suite::{CaseResult, Counts};

/// Cases that are told with all that is known of them; the rest has its line in the table only.
const MAX_DETAILED: usize = 50;

/// Things that are wrong with the run itself and are told; the rest is counted.
const MAX_TROUBLES: usize = 500;

/// Lines of a failure's text that are shown; the rest is counted.
const MAX_LINES: usize = 150;

/// The Markdown text.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut out = format!("## harness: {}\n\n", escaped(ending(report)));
    out.push_str(&format!(
        "**Subject:** {}  \n",
        escaped(&report.subject.name)
    ));
    let shard = report.shard.map_or_else(String::new, |facts| {
        let shard = facts.shard;
        format!(", shard {shard}, which says nothing about the whole")
    });
    out.push_str(&format!(
        "**Suite:** {}, seed {}, {:.1} s{shard}\n\n",
        escaped(&report.suite),
        report.seed,
        report.seconds
    ));
    of_the_run(&mut out, report);
    counts(&mut out, &Counts::of(&report.cases));
    failures(&mut out, report);
    for result in not_passed(report).take(MAX_DETAILED) {
        details(&mut out, report, result);
    }
    let rest = not_passed(report).count().saturating_sub(MAX_DETAILED);
    if rest > 0 {
        out.push_str(&format!("\n{rest} more are told in `report.json`.\n"));
    }
    skipped(&mut out, report);
    out
}

/// What is wrong with the run itself.
fn of_the_run(out: &mut String, report: &Report) {
    let troubles = troubles(report);
    if troubles.is_empty() {
        return;
    }
    out.push_str("### What is wrong with the run\n\n");
    for Trouble { kind, text } in troubles.iter().take(MAX_TROUBLES) {
        out.push_str(&format!("- **{kind}:** {}\n", escaped(text)));
    }
    let rest = troubles.len().saturating_sub(MAX_TROUBLES);
    if rest > 0 {
        out.push_str(&format!("- {rest} more are told in `report.json`\n"));
    }
    out.push('\n');
}

fn counts(out: &mut String, counts: &Counts) {
    out.push_str("| status | cases |\n|---|---:|\n");
    for (status, count) in &counts.by_status {
        out.push_str(&format!("| {status} | {count} |\n"));
    }
}

fn failures(out: &mut String, report: &Report) {
    if not_passed(report).next().is_none() {
        return;
    }
    out.push_str("\n### What did not pass\n\n");
    out.push_str("| case | status | level | rule | shape | what is wrong |\n");
    out.push_str("|---|---|---|---|---|---|\n");
    for result in not_passed(report) {
        let cells = [
            &result.id,
            result.status.as_str(),
            result.level.keyword(),
            rule(result),
            kind(result),
            &headline(result),
        ];
        let cells = cells.map(escaped).join(" | ");
        out.push_str(&format!("| {cells} |\n"));
    }
    out.push('\n');
}

fn details(out: &mut String, report: &Report, result: &CaseResult) {
    out.push_str(&format!(
        "<details><summary><code>{}</code> {}: {} ({})</summary>\n\n",
        html_escaped(&result.id),
        result.status,
        html_escaped(&result.title),
        result.failed_runs()
    ));
    for sentence in expected_sentences(result) {
        out.push_str(&format!("> {}\n\n", escaped(sentence)));
    }
    if let Some(cause) = &result.cause {
        out.push_str(&format!(
            "**Likely cause:** {} (shape of faulty subject {}, {:.2})\n\n",
            escaped(&cause.text),
            escaped(&cause.subject),
            cause.score
        ));
        if !cause.ways_out.is_empty() {
            out.push_str("**Ways out:**\n\n");
            for way in &cause.ways_out {
                out.push_str(&format!("- {}\n", escaped(way)));
            }
            out.push('\n');
        }
    }
    if let Some(passes) = &result.passes_here {
        out.push_str(&format!("**Passes here:** {}\n\n", escaped(passes.named())));
        if let Some(command) = &passes.command {
            out.push_str(&fenced("sh", command));
            out.push('\n');
        }
    }
    out.push_str("**Re-run:**\n\n");
    out.push_str(&fenced("sh", &rerun(report, &result.id)));
    if !result.text.is_empty() {
        out.push('\n');
        out.push_str(&fenced("text", &shortened(&result.text)));
    }
    out.push_str("\n</details>\n\n");
}

fn skipped(out: &mut String, report: &Report) {
    let mut reasons: BTreeMap<(Status, &str), usize> = BTreeMap::new();
    for result in &report.cases {
        if let (Meaning::Skipped, Some(skip)) = (meaning(result.status), &result.skipped) {
            *reasons.entry((result.status, &skip.why)).or_default() += 1;
        }
    }
    if reasons.is_empty() {
        return;
    }
    out.push_str("\n### What was not played\n\n| status | why | cases |\n|---|---|---:|\n");
    for ((status, why), count) in reasons {
        out.push_str(&format!("| {status} | {} | {count} |\n", escaped(why)));
    }
}

fn shortened(text: &str) -> String {
    let text = text.trim_matches('\n');
    let rest = text.lines().count().saturating_sub(MAX_LINES);
    if rest == 0 {
        return text.to_owned();
    }
    let mut lines: Vec<&str> = text.lines().take(MAX_LINES).collect();
    let more = format!("… ({rest} more lines)");
    lines.push(&more);
    lines.join("\n")
}

/// A block of code, its fence longer than whatever stands inside.
fn fenced(language: &str, text: &str) -> String {
    let mut longest = 0;
    let mut here = 0;
    for c in text.chars() {
        here = if c == '`' { here + 1 } else { 0 };
        longest = longest.max(here);
    }
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}{language}\n{}\n{fence}\n", printable(text))
}

/// Text that stands for itself, on one line.
fn escaped(text: impl AsRef<str>) -> String {
    let mut out = String::new();
    for c in printable(text.as_ref()).chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '#' | '&' | '$' | '!' => {
                out.extend(['\\', c]);
            }
            c => out.push(c),
        }
    }
    out
}

fn html_escaped(text: &str) -> String {
    let text = printable(text).replace(['\n', '\t'], " ");
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
