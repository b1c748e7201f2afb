//! A file that a further report goes to. (edge)

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{self, Path, PathBuf};

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

/// Refuses targets of which one would write over another, before anything is opened. `out` is the folder of
/// a run, which writes two files itself; `report.json` may be asked for again.
///
/// # Errors
/// Two targets name one file.
pub(super) fn require_distinct(
    targets: &[ReportTarget],
    out: Option<&Path>,
) -> Result<(), Refusal> {
    let mut taken: BTreeMap<PathBuf, String> = BTreeMap::new();
    if let Some(out) = out {
        let results = out.join("results.jsonl");
        taken.insert(place(&results), results.display().to_string());
    }
    let own = out.map(|out| place(&out.join("report.json")));
    for target in targets {
        let path = target.path.display().to_string();
        let place = place(&target.path);
        let other = if own.as_ref() == Some(&place) && target.kind != ReportKind::Json {
            Some("the report.json of the run".to_owned())
        } else {
            taken.insert(place, path.clone())
        };
        if let Some(other) = other {
            return Err(Refusal::new(
                Ending::Usage,
                format!(
                    "--report: {other} and {path} are one file; give each report a file of its own"
                ),
            ));
        }
    }
    Ok(())
}

/// Where a file is, or would be made: links and `..` are followed as far as there is something.
fn place(path: &Path) -> PathBuf {
    let of_folder = || {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    let found = path.canonicalize().ok().or_else(of_folder);
    found.unwrap_or_else(|| path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

/// Writes every target, whatever becomes of the others. `printed` is what was printed, without colours.
/// Returns what could not be written.
#[must_use]
pub(super) fn write_all(targets: &[Target<'_>], report: &Report, printed: &str) -> Vec<Refusal> {
    let write = |target: &Target<'_>| {
        let text = text_of(target.kind.kind, report, printed)?;
        target.write(&text)
    };
    targets
        .iter()
        .filter_map(|target| write(target).err())
        .collect()
}

/// The text of a report. `printed` is what was printed, without colours.
fn text_of(kind: ReportKind, report: &Report, printed: &str) -> Result<String, Refusal> {
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
