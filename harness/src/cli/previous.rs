//! A report that an earlier run wrote. (edge)

use std::fs;
use std::path::Path;

use super::refusal::Refusal;
use crate::outcome::Ending;
use crate::report::{self, REPORT_VERSION, Report};
use crate::suite::error_chain;

/// Reads a `report.json`.
///
/// # Errors
/// It can't be read, or is no report of this form.
pub(super) fn read(path: &Path) -> Result<Report, Refusal> {
    let unfit = |why: String| {
        let text = format!("can't use the report {}: {why}", path.display());
        Refusal::new(Ending::BadConfiguration, text)
    };
    let text = fs::read_to_string(path).map_err(|error| unfit(error.to_string()))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| {
        unfit(format!(
            "{}; give a report.json of `harness run`",
            error_chain(&error)
        ))
    })?;
    if report.version == REPORT_VERSION {
        Ok(report)
    } else {
        Err(unfit(format!(
            "its version is {}, and this program reads {REPORT_VERSION}",
            report.version
        )))
    }
}

/// The cases that the run of a report played, for `--no-fewer`.
///
/// # Errors
/// It can't be read, or tells of a run that decided nothing or was cut short: that one may have played too few
/// itself, and no later run could ever fail by it.
pub(super) fn played(path: &Path) -> Result<Vec<String>, Refusal> {
    let report = read(path)?;
    let wrong = report::no_measure(&report);
    if !wrong.is_empty() {
        return Err(Refusal::new(
            Ending::BadConfiguration,
            format!(
                "--no-fewer {}: {}; give the report of a run that came to a verdict",
                path.display(),
                wrong.join("; ")
            ),
        ));
    }
    let played = report.cases.into_iter().filter(|one| one.status.has_run());
    Ok(played.map(|one| one.id).collect())
}
