//! Annotations as GitHub Actions reads them from a job's output. (core)
//!
//! One line for each case and for each thing that is wrong with the run itself, `::error title=…::…`, see "Workflow commands for GitHub Actions".

use crate::report::told::{Meaning, Trouble, headline, meaning, printable, rule, troubles};
use crate::report::{Report, rerun};

/// The lines: an error for each case that did not pass and for what is wrong with the run itself, a warning
/// for each flaky case. Empty if there is nothing to tell.
#[must_use]
pub fn annotations(report: &Report) -> String {
    let mut out = String::new();
    for result in &report.cases {
        let command = match meaning(result.status) {
            Meaning::Bad | Meaning::Broken => "error",
            Meaning::Shaky => "warning",
            Meaning::Good | Meaning::ExpectedFailure | Meaning::Skipped => continue,
        };
        let title = format!("{} {} [{}]", result.status, result.id, rule(result));
        let mut text = headline(result);
        if let Some(cause) = &result.cause {
            text.push_str(&format!("\nLikely cause: {}", cause.text));
        }
        text.push_str(&format!("\nRe-run: {}", rerun(report, &result.id)));
        out.push_str(&line(command, &title, &text));
    }
    for Trouble { kind, text } in troubles(report) {
        out.push_str(&line("error", &format!("harness: {kind}"), &text));
    }
    out
}

fn line(command: &str, title: &str, text: &str) -> String {
    format!("::{command} title={}::{}\n", property(title), data(text))
}

/// A message: its line ends would end the command.
fn data(text: &str) -> String {
    printable(text)
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property: its colons and commas would end it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
