//! The report as TAP, version 14. (core)
//!
//! Each case is one test point, in the order of the suite, so numbers stay the same as long as the suite
//! does. A case that was not played is `# SKIP` with the reason, one that failed as expected is
//! `# TODO`. What did not pass has a block of YAML. A run that was cut short, or showed nothing, ends with
//! `Bail out!`: whoever reads only TAP must not take it for a pass.

use crate::outcome::Ending;
use crate::report::summary::ending_words;
use crate::report::told::{Meaning, headline, kind, meaning, printable, rule};
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
        Meaning::Good | Meaning::Shaky => ("ok", None),
        Meaning::Bad | Meaning::Broken => ("not ok", None),
        Meaning::ExpectedFailure => ("not ok", Some("TODO")),
        Meaning::Skipped => ("ok", Some("SKIP")),
    };
    out.push_str(&format!("{ok} {number} - {}", escaped(&result.id)));
    if let Some(directive) = directive {
        let why = escaped(&headline(result));
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
    let why = match report.ending {
        None => "the run has not ended".to_owned(),
        Some(
            Ending::Conformant
            | Ending::Flaky
            | Ending::ExpectationsStale
            | Ending::Failures
            | Ending::SuiteBug,
        ) => return None,
        Some(
            ending @ (Ending::Interrupted
            | Ending::NothingRan
            | Ending::OutOfBudget
            | Ending::Blind
            | Ending::Unfit
            | Ending::BadSubject
            | Ending::BadConfiguration
            | Ending::Usage),
        ) => ending_words(ending, report).1,
    };
    Some(match &report.message {
        Some(message) => format!("{why}: {message}"),
        None => why,
    })
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
