//! The file of expected failures on disk. (edge)

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chrono::{NaiveDate, Utc};

use super::refusal::Refusal;
use super::run::scenarios;
use crate::expected::{Expectations, Problem};
use crate::outcome::Ending;
use crate::report;
use crate::scenario::Scenario;

/// Reads and checks a file, and refuses what has expired. `own` are the cases of the user's files.
///
/// # Errors
/// The file can't be read, or something in it can't stand.
pub(super) fn load(path: &Path, own: &[Scenario]) -> Result<Expectations, Refusal> {
    let read = read(path, &fs_text(path)?, own)?;
    let expired = read.expired(today());
    if expired.is_empty() {
        Ok(read)
    } else {
        Err(refused(path, &expired))
    }
}

/// Checks a file's text; what has expired stays.
///
/// # Errors
/// Something in it can't stand.
pub(super) fn read(path: &Path, text: &str, own: &[Scenario]) -> Result<Expectations, Refusal> {
    let mut known: BTreeSet<String> = scenarios(&[])?.into_iter().map(|one| one.id).collect();
    known.extend(own.iter().map(|one| one.id.clone()));
    Expectations::read(text, &known).map_err(|problems| refused(path, &problems))
}

/// The text of a file.
///
/// # Errors
/// It can't be read.
pub(super) fn fs_text(path: &Path) -> Result<String, Refusal> {
    fs::read_to_string(path).map_err(|error| {
        Refusal::new(
            Ending::BadConfiguration,
            format!(
                "can't read the expected failures in {}: {error}",
                path.display()
            ),
        )
    })
}

/// The day it is in UTC, by which entries expire.
pub(super) fn today() -> NaiveDate {
    Utc::now().date_naive()
}

fn refused(path: &Path, problems: &[Problem]) -> Refusal {
    let mut text = format!("{} can't be used\n", path.display());
    for Problem { line, text: what } in problems {
        let what = format!("{}:{line}: {what}", path.display());
        text.push_str(&report::wrapped(&what, "  ", 80));
    }
    Refusal::new(Ending::BadConfiguration, text)
}
