//! A file that a further report goes to. (edge)

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::args::{ReportKind, ReportTarget};
use super::refusal::Refusal;
use crate::outcome::Ending;
use crate::report::{self, Report};
use crate::suite;

/// A file of `--report`, open from before the run until its end.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// What was asked for.
    pub(super) kind: &'a ReportTarget,
    file: File,
}

impl<'a> Target<'a> {
    /// Opens the file, or makes it. What stands in it stays until [`Target::write`]. No folder is
    /// made.
    ///
    /// # Errors
    /// It can't be written, or its folder is missing.
    pub(super) fn open(kind: &'a ReportTarget) -> Result<Self, Refusal> {
        let path = &kind.path;
        let opened = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        match opened {
            Ok(file) => Ok(Self { kind, file }),
            Err(error) => Err(refusal(path, &error)),
        }
    }

    /// Replaces what stands in the file.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn write(&self, text: &str) -> Result<(), Refusal> {
        let written = || {
            // Pipes and devices have no length.
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            (&self.file).write_all(text.as_bytes())
        };
        written().map_err(|error| refusal(&self.kind.path, &error))
    }
}

/// The text of a report. `printed` is what was printed, without colours.
pub(super) fn text_of(kind: ReportKind, report: &Report, printed: &str) -> Result<String, Refusal> {
    Ok(match kind {
        ReportKind::Junit => report::junit(report).map_err(|error| suite_bug(&error))?,
        ReportKind::Json => report.to_json().map_err(|error| suite_bug(&error))?,
        ReportKind::Text => printed.to_owned(),
        ReportKind::Tap => report::tap(report),
        ReportKind::Md => report::markdown(report),
        ReportKind::Html => report::html(report),
    })
}

fn suite_bug(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(Ending::SuiteBug, suite::error_chain(error))
}

fn refusal(path: &Path, error: &io::Error) -> Refusal {
    let why = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => {
            format!("there is no folder {}; make it first", folder.display())
        }
        Some(_) | None => error.to_string(),
    };
    Refusal::new(
        Ending::BadConfiguration,
        format!("can't write the report {}: {why}", path.display()),
    )
}
