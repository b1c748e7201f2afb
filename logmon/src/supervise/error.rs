//! Core: what can go wrong in a supervisor.

use std::io;
use std::path::PathBuf;

use crate::exit::Exit;
use crate::keeper::KeeperError;

/// What failed, on which path, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// The words after `--` are no command that can be supervised.
    #[error("{word:?} can't be supervised; write the options of supervise, then `-- run …`")]
    Command {
        /// The first of the words.
        word: String,
    },
    /// The state folder can't be used, or the keeper can't be asked.
    #[error("can't use the state folder")]
    Folder(#[from] KeeperError),
    /// A file in the state folder can't be used.
    #[error("can't use {path}")]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of `open(2)`, `read(2)`, `write(2)`, `fsync(2)`, `rename(2)` or `fcntl(2)`.
        source: io::Error,
    },
    /// Another supervisor is at work in the state folder.
    #[error("another supervisor works in {path}")]
    Busy {
        /// The path of the state folder.
        path: PathBuf,
    },
    /// A logmon of an earlier supervisor runs with other options.
    #[error("logmon {pid} of {path} runs with other options; stop it first")]
    OtherOptions {
        /// The path of the state folder.
        path: PathBuf,
        /// The pid of the logmon.
        pid: i32,
    },
    /// The machine's boot id can't be read.
    #[error("can't read the boot id of the machine")]
    BootId {
        /// The error of `open(2)` or `read(2)`.
        source: io::Error,
    },
    /// A process can't be watched.
    #[error("can't watch process {pid}")]
    Watch {
        /// The pid.
        pid: i32,
        /// The error of `pidfd_open(2)` or epoll.
        source: io::Error,
    },
}

impl SuperviseError {
    /// Gives the exit code of this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            SuperviseError::Command { .. } => Exit::Usage,
            SuperviseError::Folder(source) => source.exit(),
            SuperviseError::OtherOptions { .. } => Exit::Config,
            SuperviseError::Busy { .. } => Exit::Busy,
            SuperviseError::File { .. }
            | SuperviseError::BootId { .. }
            | SuperviseError::Watch { .. } => Exit::System,
        }
    }
}
