//! Writes a journal to a file, each line with one write(2): an edge.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use nix::sys::stat::{SFlag, fstat};
use nix::time::{ClockId, clock_gettime};

use crate::inherited::inherited;
use crate::journal::{Event, FdFacts, FileKind, Line, Role, render_line};

/// A journal, or nowhere.
#[derive(Debug)]
pub(crate) struct JournalFile {
    file: Option<File>,
    detail: Detail,
}

/// How much a journal is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything.
    All,
    /// Marks and gates: the process behind it writes into a pipe of a driver that keeps the same
    /// journal.
    MarksAndGates,
}

/// The journal's file could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the journal {path}")]
pub(crate) struct CannotOpen {
    path: PathBuf,
    source: std::io::Error,
}

impl JournalFile {
    /// Opens the journal for appending, and creates it if it is missing. Without a path nothing is
    /// kept.
    pub(crate) fn open(path: Option<&Path>, detail: Detail) -> Result<Self, CannotOpen> {
        let open = |path: &Path| {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|source| CannotOpen {
                    path: path.to_owned(),
                    source,
                })
        };
        Ok(Self {
            file: path.map(open).transpose()?,
            detail,
        })
    }

    /// Adds a line with the time of now. A line that cannot be written is dropped: a full disk must
    /// not change what the task does.
    pub(crate) fn add(&self, event: Event) {
        let Some(file) = &self.file else { return };
        let kept = match self.detail {
            Detail::All => true,
            Detail::MarksAndGates => matches!(event, Event::Mark { .. } | Event::Gate { .. }),
        };
        if !kept {
            return;
        }
        let text = render_line(&Line {
            at_us: now_us(),
            event,
        });
        // One write to a file opened for appending: the lines of several processes do not mix.
        nix::unistd::write(file, text.as_bytes()).ok();
    }

    /// Adds the first line of a process.
    pub(crate) fn hello(&self, role: Role) {
        if self.file.is_none() {
            return;
        }
        let inherited = inherited();
        self.add(Event::Hello {
            pid: std::process::id(),
            role,
            fd1: facts(std::io::stdout()),
            fd2: facts(std::io::stderr()),
            sig_ignored: inherited.ignored.clone(),
            sig_blocked: inherited.blocked.clone(),
        });
    }

    /// Adds a failed system call.
    pub(crate) fn error(&self, stream: crate::stream::Stream, errno: nix::errno::Errno) {
        self.add(Event::Error {
            stream,
            errno: errno as i32,
            name: format!("{errno:?}"),
        });
    }

    /// Adds the opening of a descriptor.
    pub(crate) fn opened(&self, stream: crate::stream::Stream, fd: impl AsFd) {
        let fd = fd.as_fd().as_raw_fd();
        self.add(Event::Opened { stream, fd });
    }
}

/// `CLOCK_MONOTONIC` in microseconds.
fn now_us() -> u64 {
    match clock_gettime(ClockId::CLOCK_MONOTONIC) {
        Ok(now) => now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1_000,
        Err(_) => 0,
    }
}

fn facts(fd: impl AsFd) -> FdFacts {
    let Ok(stat) = fstat(fd.as_fd()) else {
        return FdFacts {
            dev: 0,
            ino: 0,
            kind: FileKind::Closed,
            rdev: 0,
        };
    };
    let bits = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    let kinds = [
        (SFlag::S_IFIFO, FileKind::Fifo),
        (SFlag::S_IFCHR, FileKind::Char),
        (SFlag::S_IFBLK, FileKind::Block),
        (SFlag::S_IFDIR, FileKind::Dir),
        (SFlag::S_IFLNK, FileKind::Link),
        (SFlag::S_IFSOCK, FileKind::Socket),
    ];
    let kind = kinds
        .into_iter()
        .find_map(|(flag, kind)| (bits == flag).then_some(kind));
    FdFacts {
        dev: stat.st_dev,
        ino: stat.st_ino,
        kind: kind.unwrap_or(FileKind::Regular),
        rdev: stat.st_rdev,
    }
}
