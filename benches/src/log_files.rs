//! Edge: reads the log that a collector kept, and checks every byte of it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::check::{Checker, closed_file_bytes, place};
use crate::collector::{Collector, Task};
use crate::work::Work;

/// What is true of a log that holds what was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogFacts {
    /// Files but the last that end within a line.
    pub(crate) cut_ends: usize,
    /// The largest file, in bytes.
    pub(crate) largest_bytes: u64,
}

struct LogFile {
    path: PathBuf,
    bytes: u64,
    place: u64,
}

/// Checks that the files hold the end of what was written, without a gap or a repetition; of a collector
/// with exact files also that no byte can be missing from those that it deleted.
pub(crate) fn checked(
    collector: Collector,
    task: &Task<'_>,
    work: Work,
    written_bytes: u64,
) -> Result<LogFacts> {
    let files = listed(task.log_dir, work)?;
    let kept_bytes = files.iter().map(|file| file.bytes).sum();
    ensure!(
        kept_bytes > 0 || written_bytes == 0,
        "{collector} kept nothing"
    );
    let Some(mut checker) = Checker::of_the_end(work, written_bytes, kept_bytes) else {
        bail!("{collector} kept {kept_bytes} bytes of {written_bytes}");
    };
    let mut cut_ends = 0;
    for (number, file) in files.iter().enumerate() {
        let last_byte = feed(&mut checker, &file.path)
            .with_context(|| format!("{collector}: {}", file.path.display()))?;
        cut_ends += usize::from(number + 1 < files.len() && last_byte != Some(b'\n'));
    }
    ensure!(checker.is_complete(), "{collector}: the end is missing");
    let all_fits = written_bytes <= task.max_file_bytes * u64::from(task.max_files) / 2;
    ensure!(
        !all_fits || kept_bytes == written_bytes,
        "{collector} lost {} bytes at the beginning",
        written_bytes - kept_bytes
    );
    if collector.has_exact_files() {
        check_exact(collector, task, work, written_bytes, &files)?;
    }
    Ok(LogFacts {
        cut_ends,
        largest_bytes: files.iter().map(|file| file.bytes).max().unwrap_or(0),
    })
}

/// The log files in the order of their content.
fn listed(folder: &Path, work: Work) -> Result<Vec<LogFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("log") || name.starts_with('@') || name == "current" {
            let mut head = Vec::new();
            File::open(&path)?
                .take(2 * work.line_bytes as u64)
                .read_to_end(&mut head)?;
            files.push(LogFile {
                bytes: fs::metadata(&path)?.len(),
                place: place(&head),
                path,
            });
        }
    }
    files.sort_by_key(|file| file.place);
    Ok(files)
}

/// Feeds a file; gives its last byte.
fn feed(checker: &mut Checker, path: &Path) -> Result<Option<u8>> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut last = None;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(last);
        }
        checker.feed(&buffer[..count])?;
        last = Some(buffer[count - 1]);
    }
}

/// Closed files have one size, so the index of the last one and its size give the length of the stream.
fn check_exact(
    collector: Collector,
    task: &Task<'_>,
    work: Work,
    written_bytes: u64,
    files: &[LogFile],
) -> Result<()> {
    let closed_bytes = closed_file_bytes(work, task.max_file_bytes);
    let Some((last, closed)) = files.split_last() else {
        return Ok(());
    };
    for file in closed {
        ensure!(
            file.bytes == closed_bytes,
            "{collector}: {} has {} bytes, and {closed_bytes} would fit",
            file.path.display(),
            file.bytes
        );
    }
    let index: u64 = last
        .path
        .extension()
        .and_then(|index| index.to_str()?.parse().ok())
        .with_context(|| format!("{} has no index", last.path.display()))?;
    ensure!(
        index * closed_bytes + last.bytes == written_bytes,
        "{collector}: {} bytes were written, and the files up to {} held {}",
        written_bytes,
        last.path.display(),
        index * closed_bytes + last.bytes
    );
    Ok(())
}
