//! Core: what can go wrong between logmon and its keeper.

use std::io;
use std::path::PathBuf;

use crate::exit::Exit;

/// What failed, on which path, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// The path has no file name.
    #[error("{path} is no path of a socket")]
    NoFileName {
        /// The path.
        path: PathBuf,
    },
    /// A folder could not be made or opened.
    #[error("can't use the folder {path}; it must be a folder and no symbolic link")]
    Folder {
        /// The path of the folder.
        path: PathBuf,
        /// The error of `mkdir(2)`, `open(2)` or `fstat(2)`.
        source: io::Error,
    },
    /// A folder is open to others.
    #[error("the folder {path} must belong to the user of logmon and have the mode 0700")]
    OpenToOthers {
        /// The path of the folder.
        path: PathBuf,
    },
    /// The lock of the socket could not be taken.
    #[error("can't lock {path}")]
    Lock {
        /// The path of the lock file.
        path: PathBuf,
        /// The error of `open(2)`, `fstat(2)` or `flock(2)`.
        source: io::Error,
    },
    /// Another process serves at this path.
    #[error("another keeper serves {path}")]
    Busy {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The socket could not be made or served.
    #[error("can't serve {path}")]
    Serve {
        /// The path of the socket.
        path: PathBuf,
        /// The error of `socket(2)`, `bind(2)`, `listen(2)` or `poll(2)`.
        source: io::Error,
    },
    /// The socket could not be reached.
    #[error("can't connect to the keeper at {path}")]
    Connect {
        /// The path of the socket.
        path: PathBuf,
        /// The error of `socket(2)` or `connect(2)`.
        source: io::Error,
    },
    /// The process at the other end is of another user.
    #[error("the process behind {path} runs as another user, {uid}")]
    OtherUser {
        /// The path of the socket.
        path: PathBuf,
        /// Its user id.
        uid: u32,
    },
    /// The keeper closed the connection.
    #[error("the keeper at {path} is gone")]
    Gone {
        /// The path of the socket.
        path: PathBuf,
        /// The error of `sendmsg(2)` or `recvmsg(2)`.
        source: io::Error,
    },
    /// The keeper did not answer in time.
    #[error("the keeper at {path} does not answer")]
    Silent {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The keeper answered something else than it was asked for.
    #[error("the keeper at {path} does not keep to the protocol")]
    Strange {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The keeper refused.
    #[error("the keeper at {path} refused: {why}")]
    Refused {
        /// The path of the socket.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The keeper could not be started.
    #[error("can't start a keeper")]
    Start {
        /// The error of `fork(2)` or `execve(2)`.
        source: io::Error,
    },
    /// The connection could not be watched.
    #[error("can't watch the keeper")]
    Watch {
        /// The error of epoll.
        source: io::Error,
    },
    /// There is no manager with a descriptor store.
    #[error(
        "there is no descriptor store: NOTIFY_SOCKET is not set; start logmon as a service with FileDescriptorStoreMax="
    )]
    NoStore,
    /// The manager's descriptor store could not be reached.
    #[error("can't reach the descriptor store")]
    Store {
        /// The error of `socket(2)` or `sendmsg(2)`.
        source: io::Error,
    },
    /// A FIFO could not be opened a second time.
    #[error("can't open the spare end for the keeper")]
    Spare(#[from] fifo::Error),
}

impl KeeperError {
    /// Gives the exit code of this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            KeeperError::NoFileName { .. }
            | KeeperError::Folder { .. }
            | KeeperError::OpenToOthers { .. }
            | KeeperError::OtherUser { .. } => Exit::Path,
            KeeperError::Busy { .. } => Exit::Busy,
            KeeperError::NoStore => Exit::Config,
            KeeperError::Lock { .. }
            | KeeperError::Serve { .. }
            | KeeperError::Connect { .. }
            | KeeperError::Gone { .. }
            | KeeperError::Silent { .. }
            | KeeperError::Strange { .. }
            | KeeperError::Refused { .. }
            | KeeperError::Start { .. }
            | KeeperError::Watch { .. }
            | KeeperError::Store { .. }
            | KeeperError::Spare(_) => Exit::System,
        }
    }
}
