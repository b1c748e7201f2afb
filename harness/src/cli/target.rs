//! A file that a further report goes to. (edge)

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

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

/// Files that no target may name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Taken<'a> {
    /// Those that a run writes into its folder itself; `report.json` may be asked for again.
    Out(&'a Path),
    /// Those that a merge reads.
    Shards(&'a [PathBuf]),
}

/// Refuses targets of which one would write over another or over what is taken, before anything is opened.
///
/// # Errors
/// Two names are of one file.
pub(super) fn require_distinct(targets: &[ReportTarget], others: Taken<'_>) -> Result<(), Refusal> {
    let (files, own) = match others {
        Taken::Out(out) => (
            vec![out.join("results.jsonl")],
            Some(suite::resolved(&out.join("report.json"))),
        ),
        Taken::Shards(shards) => (shards.to_vec(), None),
    };
    let mut taken: BTreeMap<PathBuf, String> = files
        .iter()
        .map(|file| (suite::resolved(file), file.display().to_string()))
        .collect();
    for target in targets {
        let path = target.path.display().to_string();
        let place = suite::resolved(&target.path);
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

/// Refuses what can't be written, before anything is made or removed. A target in `out` itself is opened when that
/// folder is there.
///
/// # Errors
/// A target is a folder, can't be written, or its folder is missing or can't be written.
pub(super) fn require_writable(targets: &[ReportTarget], out: &Path) -> Result<(), Refusal> {
    let out = suite::resolved(out);
    for target in targets {
        let path = &target.path;
        let place = suite::resolved(path);
        let folder = place.parent().unwrap_or(Path::new("/"));
        let checked = if place.is_dir() {
            Err(io::ErrorKind::IsADirectory.into())
        } else if place.exists() {
            access(&place, AccessFlags::W_OK).map_err(io::Error::from)
        } else if folder == out {
            Ok(())
        } else {
            access(folder, AccessFlags::W_OK | AccessFlags::X_OK).map_err(io::Error::from)
        };
        checked.map_err(|error| refusal(path, &error))?;
    }
    Ok(())
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
