//! Reads a played case back from its folder. (edge)

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mock_driver::journal;
use mock_driver::stream::Stream;

use super::plants;
use crate::case::{BUNDLE_VERSION, Case, CaseDir, log_name, many_log_name};
use crate::history::{History, LogFile, Said};
use crate::observe::{look, stream_files};
use crate::scenario::OnFull;
use crate::trace::{self, Entry, Event};

/// A played case could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file could not be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds no played case.
    #[error(
        "{path} is no bundle: there is no case.json in it; give the folder that a failure's last lines \
         name"
    )]
    NoBundle {
        /// The folder.
        path: PathBuf,
    },
    /// The folder was written by a program of another version.
    #[error(
        "{path} is of {}, and this harness reads version {BUNDLE_VERSION}; use the harness that wrote it, \
         or play the case again",
        version.map_or("a time before bundles had versions".to_owned(), |one| format!("version {one}"))
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that stands in it.
        version: Option<u64>,
    },
    /// `case.json` is no case.
    #[error("read {path} as a case")]
    Case {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The trace has a line that is no entry.
    #[error("read {path} as a trace")]
    Trace {
        /// The file.
        path: PathBuf,
        /// Which line, and why.
        source: trace::TraceError,
    },
}

/// Reads `case.json`.
pub(super) fn load_case(dir: &CaseDir) -> Result<Case, LoadError> {
    let path = dir.case();
    if !path.exists() {
        let path = dir.path().to_owned();
        return Err(LoadError::NoBundle { path });
    }
    let text = read(&path)?;
    let wrong = |source| LoadError::Case {
        path: path.clone(),
        source,
    };
    let whole: serde_json::Value = serde_json::from_str(&text).map_err(wrong)?;
    // Before the rest, which may be another one in another version.
    let version = whole.get("version").and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(BUNDLE_VERSION)) {
        return Err(LoadError::Version { path, version });
    }
    serde_json::from_str(&text).map_err(wrong)
}

/// Reads everything that was left in a case's folder.
///
/// A journal may be missing, and it may end in a cut line, as a killed process leaves it: lines
/// that are none are left out.
///
/// # Errors
/// If the case, the trace or a log file can't be read.
pub fn load(dir: &CaseDir) -> Result<History, LoadError> {
    let case = load_case(dir)?;
    let path = dir.trace();
    let mut entries =
        trace::parse(&read(&path)?).map_err(|source| LoadError::Trace { path, source })?;
    entries.sort_by_key(|entry| entry.at_us);
    let foreign = plants::foreign_paths(dir, &case.scenario.host.plant);
    let mut files = BTreeMap::new();
    for stream in Stream::BOTH {
        let mut list = Vec::new();
        for (index, path) in stream_files(&dir.log(), &log_name(stream)) {
            // What the host put there is nobody's log, whatever its name.
            if foreign.contains(&path) {
                continue;
            }
            list.push(log_file(index, path)?);
        }
        files.insert(stream, list);
    }
    let many = many_files(dir, &case)?;
    let said = match case.scenario.limits.on_full {
        OnFull::Block => Vec::new(),
        OnFull::Drop => said(dir, &entries)?,
    };
    Ok(History {
        said,
        task: journals(dir, "task")?,
        driver: journals(dir, "driver")?,
        case,
        entries,
        files,
        many,
    })
}

/// The files of every task of a case with many.
fn many_files(
    dir: &CaseDir,
    case: &Case,
) -> Result<BTreeMap<u32, BTreeMap<Stream, Vec<LogFile>>>, LoadError> {
    let mut tasks = BTreeMap::new();
    for task in 0..case.scenario.many.map_or(0, |many| many.tasks) {
        let mut files = BTreeMap::new();
        for stream in Stream::BOTH {
            let mut list = Vec::new();
            for (index, path) in stream_files(&dir.many(task), &many_log_name(task, stream)) {
                list.push(log_file(index, path)?);
            }
            files.insert(stream, list);
        }
        tasks.insert(task, files);
    }
    Ok(tasks)
}

fn log_file(index: u64, path: PathBuf) -> Result<LogFile, LoadError> {
    let bytes = fs::read(&path).map_err(|source| LoadError::Read {
        path: path.clone(),
        source,
    })?;
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(LogFile { index, name, bytes })
}

/// What every logmon printed, and the text files in the log folder that are no stream's.
fn said(dir: &CaseDir, entries: &[Entry]) -> Result<Vec<Said>, LoadError> {
    let lives = entries.iter().filter_map(|entry| {
        if let Event::LogmonStarted { life, .. } = entry.event {
            Some(life)
        } else {
            None
        }
    });
    let printed = lives.flat_map(|life| Stream::BOTH.map(|to| dir.output("logmon", life, to)));
    let of_streams: Vec<PathBuf> = Stream::BOTH
        .into_iter()
        .flat_map(|stream| stream_files(&dir.log(), &log_name(stream)))
        .map(|(_, path)| path)
        .collect();
    let beside = look(&dir.log())
        .into_iter()
        .filter(|entry| entry.kind == "file")
        .map(|entry| dir.log().join(entry.name))
        .filter(|path| !of_streams.contains(path));
    let text = |path: PathBuf| {
        let place = path.file_name().unwrap_or_default().to_string_lossy();
        let place = place.into_owned();
        let text = read(&path)?;
        Ok(Said { place, text })
    };
    printed.chain(beside).map(text).collect()
}

fn journals(dir: &CaseDir, who: &str) -> Result<BTreeMap<u32, Vec<journal::Line>>, LoadError> {
    let mut journals = BTreeMap::new();
    let folder = dir.task();
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name
            .strip_prefix(who)
            .and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".jsonl"));
        let Some(generation) = number.and_then(|number| number.parse().ok()) else {
            continue;
        };
        let text = read(&entry.path())?;
        let lines = text
            .lines()
            .filter_map(|line| journal::parse_line(line).ok());
        journals.insert(generation, lines.collect());
    }
    Ok(journals)
}

fn read(path: &Path) -> Result<String, LoadError> {
    let bytes = fs::read(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
