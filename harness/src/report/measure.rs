//! Whether others may be held to what a report says. (core)

use crate::outcome::Ending;
use crate::report::{REPORT_VERSION, Report};
use crate::suite::ENDED_BY_FAIL_FAST;

/// Why the run of a report decided nothing that a later run, or a file of expected failures, can be held to;
/// a clause each. Empty if it can.
#[must_use]
pub fn no_measure(report: &Report) -> Vec<String> {
    let mut wrong = Vec::new();
    if report.version != REPORT_VERSION {
        wrong.push(format!(
            "its version is {}, and this program reads {REPORT_VERSION}",
            report.version
        ));
    }
    if !report.complete {
        wrong.push("the run did not come to its end".to_owned());
    } else if !gave_a_verdict(report) {
        wrong.push("the run gave no verdict".to_owned());
    }
    let mut skips = report.cases.iter().filter_map(|one| one.skipped.as_ref());
    if skips.any(|skip| skip.why == ENDED_BY_FAIL_FAST) {
        wrong.push("--fail-fast ended the run before everything was played".to_owned());
    }
    if !report.cases.iter().any(|one| one.status.has_run()) {
        wrong.push("no case was played".to_owned());
    }
    wrong
}

fn gave_a_verdict(report: &Report) -> bool {
    match report.ending {
        Some(Ending::Conformant | Ending::Failures | Ending::ExpectationsStale | Ending::Flaky) => {
            true
        }
        Some(
            Ending::NothingRan
            | Ending::OutOfBudget
            | Ending::Stopped
            | Ending::Blind
            | Ending::Unfit
            | Ending::BadSubject
            | Ending::SuiteBug
            | Ending::Interrupted
            | Ending::BadConfiguration
            | Ending::Usage,
        )
        | None => false,
    }
}
