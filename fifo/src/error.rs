//! The one error type of the crate. This module is a core: it holds data and classifies it.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::access::Owner;
use crate::folder::FolderError;
use crate::open::FileKind;

/// What failed, on which path, and why. One variant is one operation.
///
/// The text names the operation and the path; the cause is the `source`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path has no last part that could name a file, such as `/` or `..`. Give another path.
    #[error("use {} as the path of a FIFO: it names no file", path.display())]
    NoFileName {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The mode has bits other than the nine permission bits. Give a mode of `0..=0o777`.
    #[error("create FIFO {} with mode {mode:#o}: only permission bits are allowed", path.display())]
    InvalidMode {
        /// The path of the FIFO.
        path: PathBuf,
        /// The mode as it was given.
        mode: u32,
    },
    /// The path names something that is not a FIFO. It was not changed.
    #[error("use {} as a FIFO: it is a {kind}", path.display())]
    NotAFifo {
        /// The path that was refused.
        path: PathBuf,
        /// What is there instead.
        kind: FileKind,
    },
    /// Nobody has the FIFO open for reading (ENXIO). Try again later.
    #[error("open FIFO {} for writing: nobody has it open for reading", path.display())]
    NoReader {
        /// The path of the FIFO.
        path: PathBuf,
    },
    /// The parent folder could not be opened.
    #[error("open the folder of FIFO {}", path.display())]
    OpenFolder {
        /// The path of the FIFO.
        path: PathBuf,
        /// Which part of the path, and why.
        source: FolderError,
    },
    /// The FIFO could not be made. When something has that name already, the cause is EEXIST.
    #[error("create FIFO {}", path.display())]
    Create {
        /// The path of the FIFO.
        path: PathBuf,
        /// The error of `mkfifoat(3)`.
        source: io::Error,
    },
    /// The FIFO belongs to somebody who may not give this process anything to read. It was not changed.
    #[error(
        "adopt FIFO {}: it belongs to user {uid}, who is neither root nor this process's user \
         {process_uid}; name that user as the owner of the FIFO, or give it away with chown", path.display()
    )]
    ForeignOwner {
        /// The path of the FIFO.
        path: PathBuf,
        /// The user id of its owner.
        uid: u32,
        /// The effective user id of this process.
        process_uid: u32,
    },
    /// Everybody may read from the FIFO, and so take bytes away. It was not changed.
    #[error(
        "adopt FIFO {}: with its mode {mode:04o} everybody can read, and take bytes away; use chmod o-r \
         on it", path.display()
    )]
    WorldReadable {
        /// The path of the FIFO.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The FIFO was made, but could not be given to its owner. It was removed again.
    #[error("give the new FIFO {} to {owner}", path.display())]
    SetOwner {
        /// The path of the FIFO.
        path: PathBuf,
        /// The owner that was asked for.
        owner: Owner,
        /// The error of `fchownat(2)`: EPERM without the privilege.
        source: io::Error,
    },
    /// The FIFO was made, but bits of its mode could not be set. It was removed again.
    #[error("set the mode of FIFO {}", path.display())]
    SetMode {
        /// The path of the FIFO.
        path: PathBuf,
        /// The error of `chmod(2)`.
        source: io::Error,
    },
    /// The type of the file could not be found out; ENOENT when there is none.
    #[error("inspect FIFO {}", path.display())]
    Inspect {
        /// The path of the FIFO.
        path: PathBuf,
        /// The error of `fstat(2)` or of the `openat(2)` before it.
        source: io::Error,
    },
    /// The FIFO could not be opened.
    #[error("open FIFO {}", path.display())]
    Open {
        /// The path of the FIFO.
        path: PathBuf,
        /// The error of `openat(2)`.
        source: io::Error,
    },
    /// A read failed for a reason other than an empty pipe.
    #[error("read from FIFO {}", path.display())]
    Read {
        /// The path that the reader was opened by.
        path: PathBuf,
        /// The error of `read(2)`.
        source: io::Error,
    },
    /// A write failed for a reason other than a full pipe or a missing reader.
    #[error("write to FIFO {}", path.display())]
    Write {
        /// The path that the writer was opened by.
        path: PathBuf,
        /// The error of `write(2)`.
        source: io::Error,
    },
    /// Waiting for readiness failed.
    #[error("wait for FIFO {}", path.display())]
    Wait {
        /// The path that the end was opened by.
        path: PathBuf,
        /// The error of `poll(2)` or of epoll.
        source: io::Error,
    },
    /// The reader could not be made ready for asynchronous waiting.
    #[error("register FIFO {} for readiness", path.display())]
    Register {
        /// The path that the reader was opened by.
        path: PathBuf,
        /// The error of epoll or of the runtime.
        source: io::Error,
    },
    /// The capacity of the pipe could not be read.
    #[error("read the capacity of FIFO {}", path.display())]
    Capacity {
        /// The path that the end was opened by.
        path: PathBuf,
        /// The error of `fcntl(2)`.
        source: io::Error,
    },
    /// The capacity of the pipe could not be set: EPERM above the user's limit, EBUSY when more bytes
    /// lie in the pipe than would fit.
    #[error("set the capacity of FIFO {} to {bytes} bytes", path.display())]
    SetCapacity {
        /// The path that the end was opened by.
        path: PathBuf,
        /// The capacity that was asked for, in bytes.
        bytes: usize,
        /// The error of `fcntl(2)`.
        source: io::Error,
    },
    /// The number of bytes in the pipe could not be read.
    #[error("read the fill level of FIFO {}", path.display())]
    FillLevel {
        /// The path that the end was opened by.
        path: PathBuf,
        /// The error of `ioctl(2)`.
        source: io::Error,
    },
    /// The lock could not be tried.
    #[error("lock FIFO {}", path.display())]
    Lock {
        /// The path that the reader was opened by.
        path: PathBuf,
        /// The error of `flock(2)`.
        source: io::Error,
    },
    /// The descriptor could not be made blocking for a child.
    #[error("make the descriptor of FIFO {} blocking", path.display())]
    SetBlocking {
        /// The path that the writer was opened by.
        path: PathBuf,
        /// The error of `fcntl(2)`.
        source: io::Error,
    },
}

impl Error {
    /// The path that the operation was about, as the caller gave it.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Error::NoFileName { path }
            | Error::InvalidMode { path, .. }
            | Error::NotAFifo { path, .. }
            | Error::NoReader { path }
            | Error::OpenFolder { path, .. }
            | Error::Create { path, .. }
            | Error::ForeignOwner { path, .. }
            | Error::WorldReadable { path, .. }
            | Error::SetOwner { path, .. }
            | Error::SetMode { path, .. }
            | Error::Inspect { path, .. }
            | Error::Open { path, .. }
            | Error::Read { path, .. }
            | Error::Write { path, .. }
            | Error::Wait { path, .. }
            | Error::Register { path, .. }
            | Error::Capacity { path, .. }
            | Error::SetCapacity { path, .. }
            | Error::FillLevel { path, .. }
            | Error::Lock { path, .. }
            | Error::SetBlocking { path, .. } => path,
        }
    }

    /// The error of the system call, when there was one.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Error::NoFileName { .. }
            | Error::InvalidMode { .. }
            | Error::NotAFifo { .. }
            | Error::NoReader { .. }
            | Error::ForeignOwner { .. }
            | Error::WorldReadable { .. } => None,
            Error::OpenFolder { source, .. } => source.io_error(),
            Error::Create { source, .. }
            | Error::SetOwner { source, .. }
            | Error::SetMode { source, .. }
            | Error::Inspect { source, .. }
            | Error::Open { source, .. }
            | Error::Read { source, .. }
            | Error::Write { source, .. }
            | Error::Wait { source, .. }
            | Error::Register { source, .. }
            | Error::Capacity { source, .. }
            | Error::SetCapacity { source, .. }
            | Error::FillLevel { source, .. }
            | Error::Lock { source, .. }
            | Error::SetBlocking { source, .. } => Some(source),
        }
    }

    /// True when the same call may succeed later although nobody repairs anything: no reader yet, or a
    /// shortage of descriptors, memory or space.
    ///
    /// A missing file, a missing permission and a wrong kind of file are not transient.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        if matches!(self, Error::NoReader { .. }) {
            return true;
        }
        let Some(code) = self.io_error().and_then(io::Error::raw_os_error) else {
            return false;
        };
        matches!(
            Errno::from_raw(code),
            Errno::EAGAIN
                | Errno::EBUSY
                | Errno::EDQUOT
                | Errno::EINTR
                | Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOBUFS
                | Errno::ENOLCK
                | Errno::ENOMEM
                | Errno::ENOSPC
        )
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn open(errno: Errno) -> Error {
        Error::Open {
            path: "/run/a".into(),
            source: errno.into(),
        }
    }

    #[test]
    fn a_shortage_and_a_missing_reader_are_transient() {
        assert!(
            Error::NoReader {
                path: "/run/a".into()
            }
            .is_transient()
        );
        assert!(open(Errno::EMFILE).is_transient());
        assert!(open(Errno::ENOMEM).is_transient());
        assert!(open(Errno::ENOSPC).is_transient());
    }

    #[test]
    fn a_wrong_kind_a_missing_file_and_a_missing_permission_are_permanent() {
        let kind = FileKind::Socket;
        assert!(
            !Error::NotAFifo {
                path: "/run/a".into(),
                kind
            }
            .is_transient()
        );
        assert!(!Error::NoFileName { path: "/".into() }.is_transient());
        assert!(!open(Errno::ENOENT).is_transient());
        assert!(!open(Errno::EACCES).is_transient());
    }

    #[test]
    fn the_text_names_the_path_and_leaves_the_cause_to_the_source() {
        let error = open(Errno::EACCES);
        assert_eq!(error.to_string(), "open FIFO /run/a");
        assert_eq!(error.path(), Path::new("/run/a"));
        let source = error.source().expect("a failed system call is the source");
        assert!(
            source.to_string().contains("Permission denied"),
            "got {source}"
        );
        let kind = FileKind::Symlink;
        let error = Error::NotAFifo {
            path: "/run/a".into(),
            kind,
        };
        assert_eq!(
            error.to_string(),
            "use /run/a as a FIFO: it is a symbolic link"
        );
        assert!(error.io_error().is_none());
    }
}
