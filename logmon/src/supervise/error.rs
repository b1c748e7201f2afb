//! Core: what can go wrong in a supervisor.

use std::ffi::OsString;
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
    /// What is asked for can't be said to a plugin.
    #[cfg(feature = "plugin")]
    #[error(transparent)]
    Unsayable(#[from] crate::nomad::Unsayable),
    /// The command of a plugin can't be split into words.
    #[cfg(feature = "plugin")]
    #[error("option --plugin: can't split {text:?} into words as a shell does")]
    Words {
        /// The command.
        text: String,
        /// What is wrong with it.
        source: shell_words::ParseError,
    },
    /// The command of a plugin is empty.
    #[cfg(feature = "plugin")]
    #[error("option --plugin names no program; give one, such as --plugin 'nomad logmon'")]
    NoProgram,
    /// The program of a plugin is none, or could not become one.
    #[cfg(feature = "plugin")]
    #[error("{program:?} did not become a plugin")]
    NoPlugin {
        /// Program and arguments.
        program: String,
        /// Which step failed.
        source: plugin::host::HostError,
    },
    /// A plugin does not collect what it was told to.
    #[cfg(feature = "plugin")]
    #[error("the plugin {program:?} does not collect")]
    Refused {
        /// Program and arguments.
        program: String,
        /// What it answered.
        source: plugin::host::CallError,
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
    /// Says that these words are no command that can be supervised.
    pub(super) fn of_command(words: &[OsString]) -> SuperviseError {
        let word = words.first().map(|word| word.to_string_lossy());
        SuperviseError::Command {
            word: word.unwrap_or_default().into_owned(),
        }
    }

    /// Gives the exit code of this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            SuperviseError::Command { .. } => Exit::Usage,
            #[cfg(feature = "plugin")]
            SuperviseError::Words { .. } | SuperviseError::NoProgram => Exit::Usage,
            #[cfg(feature = "plugin")]
            SuperviseError::Unsayable(_) => Exit::Config,
            #[cfg(feature = "plugin")]
            SuperviseError::NoPlugin { .. } => Exit::Unavailable,
            #[cfg(feature = "plugin")]
            SuperviseError::Refused { source, .. } => super::verdict::exit_of_refusal(source),
            SuperviseError::Folder(source) => source.exit(),
            SuperviseError::OtherOptions { .. } => Exit::Config,
            SuperviseError::Busy { .. } => Exit::Busy,
            SuperviseError::File { .. }
            | SuperviseError::BootId { .. }
            | SuperviseError::Watch { .. } => Exit::System,
        }
    }
}
