//! What can go wrong while a task is measured (core).

use std::io;
use std::path::PathBuf;

/// What of a file of the kernel is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The file ends before the field, or has no such line.
    #[error("find {field} in {text:?}")]
    Missing {
        /// The field, as proc(5) or the kernel's document on cgroup-v2 names it.
        field: &'static str,
        /// The beginning of the text in which it was looked for, at most 200 characters.
        text: String,
    },
    /// The field is no number that fits, or no character where there should be one.
    #[error("read {field} out of {text:?}")]
    Malformed {
        /// The field, as proc(5) or the kernel's document on cgroup-v2 names it.
        field: &'static str,
        /// What stands there, at most 200 characters.
        text: String,
    },
}

impl ParseError {
    pub(super) fn missing(field: &'static str, text: &[u8]) -> ParseError {
        let text = shortened(text);
        ParseError::Missing { field, text }
    }

    pub(super) fn malformed(field: &'static str, text: &[u8]) -> ParseError {
        let text = shortened(text);
        ParseError::Malformed { field, text }
    }
}

fn shortened(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(200).collect()
}

/// What failed, of which process, file or cgroup. One variant is one operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// There is no such cgroup, or no longer. The task has ended, or the path is wrong.
    #[error("find the cgroup {}: it is gone, or its path is wrong", path.display())]
    NoGroup {
        /// The path of the cgroup.
        path: PathBuf,
    },
    /// There is no such process, or no longer. The task has ended, or the pid is wrong.
    #[error("find process {pid}: it has ended, or the pid is wrong")]
    NoProcess {
        /// The pid.
        pid: u32,
    },
    /// The processes of a cgroup, or the groups below it, can't be listed.
    #[error(
        "list the processes of cgroup {}; this user must be allowed to read it, and it must not be threaded",
        path.display()
    )]
    ListGroup {
        /// The path of the file or folder that was read.
        path: PathBuf,
        /// The error of `open(2)`, `read(2)` or `getdents64(2)`.
        source: io::Error,
    },
    /// The CPU counter of a cgroup can't be read.
    #[error("read the CPU counter {}", path.display())]
    ReadCounter {
        /// The path of the file.
        path: PathBuf,
        /// The error of `open(2)` or `read(2)`.
        source: io::Error,
    },
    /// The processes of the machine can't be listed.
    #[error("list the processes in {}; proc(5) must be mounted there", path.display())]
    ListProcesses {
        /// The path of the folder.
        path: PathBuf,
        /// The error of `open(2)` or `getdents64(2)`.
        source: io::Error,
    },
    /// What proc(5) says about a process can't be read. A process that has ended is no such error.
    #[error("read {}", path.display())]
    ReadProcess {
        /// The path of the file.
        path: PathBuf,
        /// The error of `open(2)` or `read(2)`.
        source: io::Error,
    },
    /// A file of the kernel is not as it is documented.
    #[error("understand {}", path.display())]
    Parse {
        /// The path of the file.
        path: PathBuf,
        /// Which field, and what stands there.
        source: ParseError,
    },
    /// The machine does not say how long its ticks, how large its pages or how many its processors are.
    #[error("ask sysconf(3) for {what}")]
    Machine {
        /// What was asked for.
        what: &'static str,
        /// The error of `sysconf(3)`, or that it knows no limit.
        source: io::Error,
    },
}

impl StatsError {
    /// True if there is nothing left to measure: the cgroup or the first process of the tree has gone. Whoever
    /// asks again gets the same answer.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            StatsError::NoGroup { .. } | StatsError::NoProcess { .. } => true,
            StatsError::ListGroup { .. }
            | StatsError::ReadCounter { .. }
            | StatsError::ListProcesses { .. }
            | StatsError::ReadProcess { .. }
            | StatsError::Parse { .. }
            | StatsError::Machine { .. } => false,
        }
    }
}
