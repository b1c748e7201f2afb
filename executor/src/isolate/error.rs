//! Why a task can't be isolated (core).

use std::io;
use std::path::PathBuf;

use super::birth::BirthError;
use super::capabilities::CapabilityError;
use super::needs::Missing;
use crate::error::UnsupportedIsolation;

/// Why a task can't be isolated as it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IsolateError {
    /// This build can't.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedIsolation),
    /// Nothing was said of what the task finds around it.
    #[error("an isolated task needs a root: name the folder that it is to see as /")]
    NoContainer,
    /// Something is missing on this machine, or for this user.
    #[error("can't isolate a task: {0}")]
    Missing(Missing),
    /// What was asked for can be on no machine.
    #[error("can't isolate a task as it was asked for: {why}")]
    Refused {
        /// What is wrong, with the path or the number.
        why: String,
    },
    /// The capabilities can't be given.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// A folder, a file or a device of the host can't be used.
    #[error("can't use {} as {what} of the task", path.display())]
    Use {
        /// What it was to be.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of `stat(2)`, or what is wrong.
        source: io::Error,
    },
    /// A word is no text, as the configuration of a container must be.
    #[error("can't isolate a task: {what} {text:?} is not UTF-8")]
    NoText {
        /// What it is.
        what: &'static str,
        /// The word, what is wrong in it replaced.
        text: String,
    },
    /// The folder of the container can't be made or written.
    #[error("can't make the folder of the container")]
    Folder {
        /// The error of `mkdir(2)`, `open(2)` or `write(2)`.
        source: io::Error,
    },
    /// The container was not built.
    #[error(transparent)]
    Birth(#[from] BirthError),
}
