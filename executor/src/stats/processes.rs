//! Reads the files of processes in /proc (edge).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::error::{ParseError, StatsError};
use super::meter::ProcessReading;
use super::proc_files::{Stat, resident_bytes, swapped_bytes};
use super::sampler::SwapDetail;
use super::units::Machine;

const PROC: &str = "/proc";

/// The folder of a process. It stands for that process alone: when it has ended, all reads fail with ESRCH,
/// whoever has its pid then.
struct Folder {
    path: PathBuf,
    handle: OwnedFd,
}

impl Folder {
    /// Opens it; gives none if there is no such process.
    fn open(pid: u32) -> Result<Option<Folder>, StatsError> {
        let path = Path::new(PROC).join(pid.to_string());
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let opened = openat(CWD, &path, flags, Mode::empty());
        let handle = unless_gone(opened.map_err(io::Error::from), &path)?;
        Ok(handle.map(|handle| Folder { path, handle }))
    }

    /// Reads one of its files; gives none if the process has ended.
    fn file<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, ParseError>,
    ) -> Result<Option<T>, StatsError> {
        let path = self.path.join(name);
        let flags = OFlags::CLOEXEC | OFlags::RDONLY;
        let opened = openat(&self.handle, name, flags, Mode::empty());
        let read = opened.map_err(io::Error::from).and_then(|file| {
            let mut text = Vec::with_capacity(2048);
            File::from(file).read_to_end(&mut text)?;
            Ok(text)
        });
        let Some(text) = unless_gone(read, &path)? else {
            return Ok(None);
        };
        let parsed = parse(&text).map_err(|source| StatsError::Parse { path, source })?;
        Ok(Some(parsed))
    }
}

/// None for what a process leaves behind that has ended: no folder, or one that answers ESRCH.
fn unless_gone<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>, StatsError> {
    let gone = [
        rustix::io::Errno::NOENT.raw_os_error(),
        rustix::io::Errno::SRCH.raw_os_error(),
    ];
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.raw_os_error().is_some_and(|it| gone.contains(&it)) => Ok(None),
        Err(source) => Err(StatsError::ReadProcess {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Reads what the process uses; gives none if it has ended.
pub(super) fn read(
    pid: u32,
    machine: &Machine,
    swap: SwapDetail,
) -> Result<Option<ProcessReading>, StatsError> {
    let Some(folder) = Folder::open(pid)? else {
        return Ok(None);
    };
    let Some(stat) = folder.file("stat", |text| Stat::parse(text, machine))? else {
        return Ok(None);
    };
    let Some(rss_bytes) = folder.file("statm", |text| resident_bytes(text, machine))? else {
        return Ok(None);
    };
    let swap_bytes = match swap {
        SwapDetail::LeftOut => None,
        SwapDetail::Measured => {
            let Some(bytes) = folder.file("status", swapped_bytes)? else {
                return Ok(None);
            };
            bytes
        }
    };
    Ok(Some(ProcessReading {
        pid,
        started_ticks: stat.started_ticks,
        cpu: stat.cpu,
        rss_bytes,
        swap_bytes,
    }))
}

/// Reads parent and start time of the process; gives none if it has ended.
pub(super) fn stat(pid: u32, machine: &Machine) -> Result<Option<Stat>, StatsError> {
    let Some(folder) = Folder::open(pid)? else {
        return Ok(None);
    };
    folder.file("stat", |text| Stat::parse(text, machine))
}

/// Lists the pids of all processes that this one sees.
pub(super) fn all() -> Result<Vec<u32>, StatsError> {
    let failed = |source| StatsError::ListProcesses {
        path: PROC.into(),
        source,
    };
    let mut pids = Vec::new();
    for entry in fs::read_dir(PROC).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        // Whatever is no number is no process.
        pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_folder_of_a_process_that_was_waited_for_has_no_files() {
        let mut child = Command::new("/bin/cat")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let folder = Folder::open(child.id()).unwrap().unwrap();
        let length = |text: &[u8]| Ok(text.len());
        assert!(folder.file("stat", length).unwrap().unwrap() > 0);
        // cat ends with its input.
        drop(child.stdin.take());
        child.wait().unwrap();
        for name in ["stat", "statm", "status"] {
            assert_eq!(folder.file(name, length).unwrap(), None, "{name}");
        }
    }

    #[test]
    fn a_file_that_can_not_be_understood_is_named() {
        let folder = Folder::open(std::process::id()).unwrap().unwrap();
        let parse = |text: &[u8]| Err::<(), _>(ParseError::missing("a field", &text[..0]));
        let error = folder.file("stat", parse).unwrap_err();
        let path = format!("/proc/{}/stat", std::process::id());
        assert_eq!(error.to_string(), format!("understand {path}"));
    }

    #[test]
    fn this_process_is_among_all() {
        assert!(all().unwrap().contains(&std::process::id()));
    }
}
