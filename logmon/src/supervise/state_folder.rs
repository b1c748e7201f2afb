//! Edge: the folder of a supervisor: its lock, the record for its successor, the keeper's socket.
//!
//! The lock is one of fcntl(2), on the file `lock`: it ends with the process, and everybody who can open
//! the file can ask which process holds it. The record is replaced as a whole: written to another name,
//! synced, renamed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, openat, renameat};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use tracing::warn;

use super::error::SuperviseError;
use super::record::Record;
use crate::keeper::{PrivateFolder, create_folder};

const LOCK: &str = "lock";
const RECORD: &str = "state";
const NEW_RECORD: &str = "state.new";
const SOCKET: &str = "keeper.sock";
/// A record has less than a thousand bytes; more is none.
const MAX_RECORD_BYTES: u64 = 4096;

/// The folder, locked by this process.
#[derive(Debug)]
pub(crate) struct StateFolder {
    folder: PrivateFolder,
    _lock: File,
}

impl StateFolder {
    /// Makes the folder if it is missing, and becomes the only supervisor in it.
    pub(crate) fn open(path: &Path) -> Result<StateFolder, SuperviseError> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        create_folder(&absolute)?;
        let folder = PrivateFolder::open(&absolute)?;
        let file =
            open_lock(&folder, OFlag::O_CREAT).map_err(|errno| failed(&folder, LOCK, errno))?;
        match fcntl(&file, FcntlArg::F_SETLK(&whole_file())) {
            Ok(_) => Ok(StateFolder {
                folder,
                _lock: file,
            }),
            Err(Errno::EAGAIN | Errno::EACCES) => Err(SuperviseError::Busy { path: absolute }),
            Err(errno) => Err(failed(&folder, LOCK, errno)),
        }
    }

    /// The path of the folder, absolute.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of the keeper's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// Reads the record. One that can't be read is told of, and is as good as none: the next one takes its
    /// place.
    pub(crate) fn load(&self) -> Result<Option<Record>, SuperviseError> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&self.folder, RECORD, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(failed(&self.folder, RECORD, errno)),
        };
        let mut bytes = Vec::new();
        match file.take(MAX_RECORD_BYTES).read_to_end(&mut bytes) {
            Ok(_) => match Record::decode(&bytes) {
                Ok(record) => Ok(Some(record)),
                Err(why) => {
                    let path = self.folder.path().join(RECORD);
                    warn!(path = %path.display(), %why, "the state can't be used, and is made anew");
                    Ok(None)
                }
            },
            Err(source) => Err(SuperviseError::File {
                path: self.folder.path().join(RECORD),
                source,
            }),
        }
    }

    /// Replaces the record.
    pub(crate) fn save(&self, record: &Record) -> Result<(), SuperviseError> {
        let written = || -> io::Result<()> {
            let flags = OFlag::O_WRONLY
                | OFlag::O_CREAT
                | OFlag::O_TRUNC
                | OFlag::O_NOFOLLOW
                | OFlag::O_CLOEXEC;
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            let mut file = File::from(openat(&self.folder, NEW_RECORD, flags, mode)?);
            file.write_all(record.encode().as_bytes())?;
            file.sync_all()?;
            renameat(&self.folder, NEW_RECORD, &self.folder, RECORD)?;
            nix::unistd::fsync(&self.folder)?;
            Ok(())
        };
        written().map_err(|source| SuperviseError::File {
            path: self.folder.path().join(RECORD),
            source,
        })
    }

    /// Removes the record, as nothing runs any more.
    pub(crate) fn forget(&self) -> Result<(), SuperviseError> {
        match unlinkat(&self.folder, RECORD, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(failed(&self.folder, RECORD, errno)),
        }
    }
}

/// Asks who is the supervisor in a folder.
#[derive(Debug)]
pub(crate) struct LockQuery {
    file: File,
}

impl LockQuery {
    /// Opens the folder's lock.
    pub(crate) fn open(path: &Path) -> Result<LockQuery, SuperviseError> {
        let folder = PrivateFolder::open(path)?;
        match open_lock(&folder, OFlag::empty()) {
            Ok(file) => Ok(LockQuery { file }),
            Err(errno) => Err(failed(&folder, LOCK, errno)),
        }
    }

    /// Gives the pid of the supervisor; none if there is none.
    pub(crate) fn holder(&self) -> io::Result<Option<i32>> {
        let mut lock = whole_file();
        fcntl(&self.file, FcntlArg::F_GETLK(&mut lock))?;
        let is_free = i32::from(lock.l_type) == libc::F_UNLCK;
        Ok((!is_free).then_some(lock.l_pid))
    }
}

fn open_lock(folder: &PrivateFolder, flags: OFlag) -> nix::Result<File> {
    let flags = flags | OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(folder, LOCK, flags, Mode::S_IRUSR | Mode::S_IWUSR).map(File::from)
}

/// An exclusive lock of the whole file.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn failed(folder: &PrivateFolder, name: &str, errno: Errno) -> SuperviseError {
    SuperviseError::File {
        path: folder.path().join(name),
        source: errno.into(),
    }
}
