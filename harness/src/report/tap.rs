//! The report as TAP, version 14. (core)
//!
//! Each case is one test point, in the order of the suite, so numbers stay the same as long as the suite
//! does. A case that was not played is `# SKIP` with the reason, one that failed as expected is
//! `# TODO` with the reason. What did not pass has a block of YAML. A flaky case is `not ok`, as a run with
//! it is no pass (exit 3). A run that was cut short, showed nothing, or misses something that no test point
//! stands for, ends with `Bail out!`: whoever reads only TAP must not take it for a pass.

use crate::report::expected::{expected_in_words, expected_sentences};
use crate::report::told::{Meaning, headline, kind, meaning, printable, rule, troubles};
use crate::report::{Report, rerun};
use crate::suite::CaseResult;

/// The TAP text.
#[must_use]
pub fn tap(report: &Report) -> String {
    let mut out = format!("TAP version 14\n1..{}\n", report.cases.len());
    comment(&mut out, &format!("suite: {}", report.suite));
    comment(&mut out, &format!("subject: {}", report.subject.name));
    comment(&mut out, &format!("seed: {}", report.seed));
    for (index, result) in report.cases.iter().enumerate() {
        point(&mut out, index + 1, result);
        if let Some(fields) = diagnostics(report, result) {
            out.push_str("  ---\n");
            for (name, value) in fields {
                let gap = if value.starts_with('\n') { "" } else { " " };
                out.push_str(&format!("  {name}:{gap}{value}\n"));
            }
            out.push_str("  ...\n");
        }
    }
    if let Some(why) = bail_out(report) {
        out.push_str(&format!("Bail out! {}\n", one_line(&why)));
    }
    out
}

fn comment(out: &mut String, text: &str) {
    out.push_str(&format!("# {}\n", one_line(text)));
}

fn point(out: &mut String, number: usize, result: &CaseResult) {
    let (ok, directive) = match meaning(result.status) {
        Meaning::Good => ("ok", None),
        Meaning::Bad | Meaning::Broken | Meaning::Shaky => ("not ok", None),
        Meaning::ExpectedFailure => ("not ok", Some("TODO")),
        Meaning::Skipped => ("ok", Some("SKIP")),
    };
    out.push_str(&format!("{ok} {number} - {}", escaped(&result.id)));
    if let Some(directive) = directive {
        let why = if directive == "TODO" && result.expected.is_some() {
            expected_in_words(result)
        } else {
            headline(result)
        };
        let why = escaped(&why);
        out.push_str(format!(" # {directive} {why}").trim_end());
    }
    out.push('\n');
}

/// Names and values in YAML; none where there is nothing to tell.
fn diagnostics(report: &Report, result: &CaseResult) -> Option<Vec<(&'static str, String)>> {
    match meaning(result.status) {
        Meaning::Good | Meaning::Skipped => return None,
        Meaning::ExpectedFailure | Meaning::Shaky | Meaning::Bad | Meaning::Broken => {}
    }
    let mut fields = vec![
        ("message", quoted(&headline(result))),
        ("severity", quoted(result.status.as_str())),
        ("promise", quoted(&result.title)),
        ("level", quoted(result.level.keyword())),
        ("rule", quoted(rule(result))),
        ("shape", quoted(kind(result))),
        ("failed", quoted(&result.failed_runs())),
        ("duration_ms", format!("{:.0}", result.seconds * 1e3)),
    ];
    let details: Vec<String> = result
        .verdict
        .findings
        .iter()
        .flat_map(|finding| &finding.details)
        .map(|detail| format!("\n    - {}", quoted(detail)))
        .collect();
    if !details.is_empty() {
        fields.push(("details", details.concat().trim_end().to_owned()));
    }
    let expected = expected_sentences(result);
    if !expected.is_empty() {
        fields.push(("expected", quoted(&expected.join("; "))));
    }
    if let Some(cause) = &result.cause {
        fields.push(("likely_cause", quoted(&cause.text)));
    }
    fields.push(("rerun", quoted(&rerun(report, &result.id))));
    if let Some(bundle) = &result.bundle {
        fields.push(("bundle", quoted(&bundle.display().to_string())));
    }
    Some(fields)
}

fn bail_out(report: &Report) -> Option<String> {
    let troubles = troubles(report);
    let texts: Vec<String> = troubles.into_iter().map(|one| one.text).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// In a description `#` begins a directive, and `\` takes its meaning.
fn escaped(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('#', "\\#")
}

fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ").trim().to_owned()
}

/// A text in double quotes. What JSON can say, YAML says with the same words.
fn quoted(text: &str) -> String {
    serde_json::Value::from(printable(text)).to_string()
}
