//! Edge: the log folder and the files in it.
//!
//! The folder is a handle, opened once without following a link; every file is reached through it, by
//! its plain name, without following a link, and what it is gets checked on its own handle (SEC-1,
//! SEC-2). A link in a folder *above* the log folder is followed: those belong to the host. If the host
//! names a trusted root, none is followed from there on.
//!
//! A new file begins without a name (`O_TMPFILE`), so that a full disk or a lack of descriptors is met
//! before an old file is deleted for its sake, and a crash leaves nothing behind. Where the file system
//! can't do that, the file is made under its name with `O_EXCL`, after the deletion. So is the first file
//! of a stream, for which none is deleted: that takes two calls instead of ten.
//!
//! The current file carries a `flock(2)`. A newcomer asks for it exclusively, so a shared lock, taken on
//! the new file before it has its name, is enough to keep the newcomer out all the time. A file that had
//! its name before may be locked by a newcomer first; then it is the newcomer's, and a start is
//! refused.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use fifo::{FolderError, open_folder_below};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, Whence, geteuid, linkat, lseek, unlinkat};
use rustix::fs::RawDir;

use crate::config::StreamConfig;
use crate::error::Error;
use crate::name::StreamName;
use crate::recovery::{Entry, EntryKind, Owner};

/// Permission bits of a new log file, less the umask: the group may read, for log shippers; others not.
pub(crate) const LOG_FILE_MODE: libc::mode_t = 0o640;
/// Permission bits of a log folder that vanished and is made again, less the umask.
const LOG_DIR_MODE: libc::mode_t = 0o750;
/// Bytes of a listing that are asked for at once.
const LISTING_BYTES: usize = 32 * 1024;

/// The log folder, by handle.
#[derive(Debug)]
pub(crate) struct LogDir {
    /// The settings of the stream: where the folder is, and the name of the stream's files in it.
    config: Arc<StreamConfig>,
    folder: OwnedFd,
}

/// Tells one folder from every other one, as long as it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The number of the file system that it is on (`st_dev`).
    pub(crate) device: libc::dev_t,
    inode: libc::ino_t,
}

/// A log file that is open for writing at its end, with its lock.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: Flock<OwnedFd>,
}

/// What opening the file to resume gave.
#[derive(Debug)]
pub(crate) enum Resumed {
    /// It is ours.
    File {
        /// The file, positioned at its end.
        file: LogFile,
        /// Its length in bytes.
        bytes: u64,
        /// It has bytes and the last one is no newline.
        is_mid_line: bool,
    },
    /// It is not what the listing said.
    Changed,
}

/// What giving a file its name gave.
#[derive(Debug)]
pub(crate) enum Published {
    /// It has its name.
    File(LogFile),
    /// The folder was removed; it is made again at its path, and the file has to be prepared in it.
    FolderReplaced,
    /// Something else has the name.
    NameTaken,
}

impl LogDir {
    /// Opens the folder; a symbolic link is refused, and one on the way from the root, too.
    pub(crate) fn open(config: &Arc<StreamConfig>) -> Result<LogDir, Error> {
        let folder = open_folder(config).map_err(|source| Error::OpenLogDir {
            path: config.log_dir.to_path_buf(),
            source,
        })?;
        Ok(LogDir {
            config: Arc::clone(config),
            folder,
        })
    }

    /// Says which folder it is, and whether everybody can remove and replace files in it, now.
    pub(crate) fn inspect(&self) -> Result<(Identity, bool), Error> {
        let stat = fstat(&self.folder).map_err(|errno| Error::OpenLogDir {
            path: self.path().to_owned(),
            source: cant_open(self.path(), errno),
        })?;
        let identity = Identity {
            device: stat.st_dev,
            inode: stat.st_ino,
        };
        Ok((identity, lets_others_replace(stat.st_mode)))
    }

    /// Lists the entries whose names begin with the name of one of the streams and a dot.
    pub(crate) fn list(&self, names: &[StreamName]) -> Result<Vec<Entry>, Error> {
        self.try_list(names).map_err(|errno| Error::ListLogDir {
            path: self.path().to_owned(),
            source: errno.into(),
        })
    }

    fn try_list(&self, names: &[StreamName]) -> Result<Vec<Entry>, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let listing = openat(&self.folder, ".", flags, Mode::empty())?;
        let mut buffer = Vec::with_capacity(LISTING_BYTES);
        let mut listing = RawDir::new(listing, buffer.spare_capacity_mut());
        let ours = geteuid().as_raw();
        let mut entries = Vec::new();
        while let Some(item) = listing.next() {
            let item = item.map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
            let file_name = item.file_name();
            let is_of = |name: &StreamName| name.is_prefix_of(file_name.to_bytes());
            if !names.iter().any(is_of) {
                continue;
            }
            let stat = match fstatat(&self.folder, file_name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => continue,
                other => other?,
            };
            entries.push(Entry {
                name: file_name.to_bytes().to_vec(),
                kind: if is_regular(&stat) {
                    EntryKind::Regular
                } else {
                    EntryKind::Other
                },
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
                links: stat.st_nlink,
                owner: if stat.st_uid == ours {
                    Owner::Ours
                } else {
                    Owner::Other
                },
            });
        }
        Ok(entries)
    }

    /// Opens an existing log file to append to it.
    pub(crate) fn resume(&self, index: u32) -> Result<Resumed, Error> {
        let file_name = self.config.name.file_name(index);
        let path = self.path().join(&file_name);
        let failed = |errno: Errno| Error::OpenLogFile {
            path: path.clone(),
            source: errno.into(),
        };
        // O_NONBLOCK: if it is a FIFO by now, the open must not wait for its other end.
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = match openat(&self.folder, file_name.as_str(), flags, Mode::empty()) {
            Err(Errno::ELOOP | Errno::ENOENT | Errno::EISDIR | Errno::ENXIO) => {
                return Ok(Resumed::Changed);
            }
            other => other.map_err(failed)?,
        };
        let stat = fstat(&file).map_err(failed)?;
        if !is_regular(&stat) || stat.st_uid != geteuid().as_raw() || stat.st_nlink != 1 {
            return Ok(Resumed::Changed);
        }
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((_, Errno::EWOULDBLOCK)) => return Err(Error::LogFileHeld { path }),
            other => other.map_err(|(_, errno)| failed(errno))?,
        };
        // The length counts from here on, as nobody else writes any more.
        let end = lseek(&*file, 0, Whence::SeekEnd).map_err(failed)?;
        let is_mid_line = ends_mid_line(&*file, end).map_err(failed)?;
        let bytes = u64::try_from(end).unwrap_or(0);
        Ok(Resumed::File {
            file: LogFile { file },
            bytes,
            is_mid_line,
        })
    }

    /// Gets a new file without a name, or none where the file system has no such files.
    pub(crate) fn prepare(&mut self) -> Result<Option<LogFile>, Error> {
        let prepared = match self.try_prepare() {
            // The folder was removed or replaced: it is looked up, or made again, at its path (HEAL-3).
            // What the kernel says about files in a removed folder depends on the file system.
            Err(_) if !self.is_at_its_path() => {
                self.reopen()?;
                self.try_prepare()
            }
            other => other,
        };
        prepared.map_err(|errno| Error::PrepareLogFile {
            path: self.path().to_owned(),
            source: errno.into(),
        })
    }

    fn is_at_its_path(&self) -> bool {
        let here = fstat(&self.folder);
        // Whatever links it leads through: the numbers are compared, nothing is opened.
        let there = fstatat(AT_FDCWD, self.path(), AtFlags::AT_SYMLINK_NOFOLLOW);
        match (here, there) {
            (Ok(here), Ok(there)) => (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino),
            (Ok(_), Err(Errno::ENOENT)) => false,
            (Err(_), _) | (_, Err(_)) => true,
        }
    }

    fn try_prepare(&self) -> Result<Option<LogFile>, Errno> {
        let flags = OFlag::O_RDWR | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(LOG_FILE_MODE);
        let file = match openat(&self.folder, ".", flags, mode) {
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL) => return Ok(None),
            other => other?,
        };
        if nix::sys::stat::stat(path_in_proc(&file).as_str()).is_err() {
            // Without /proc it could not be given a name.
            return Ok(None);
        }
        let file = Flock::lock(file, FlockArg::LockSharedNonblock).map_err(|(_, errno)| errno)?;
        Ok(Some(LogFile { file }))
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let failed = |source| Error::OpenLogDir {
            path: self.path().to_owned(),
            source,
        };
        self.make_again().map_err(failed)?;
        self.folder = open_folder(&self.config).map_err(failed)?;
        Ok(())
    }

    fn make_again(&self) -> Result<(), FolderError> {
        let mode = Mode::from_bits_truncate(LOG_DIR_MODE);
        let (root, path) = (&self.config.trusted_root, self.path());
        let made = match (root, path.parent(), path.file_name()) {
            (Some(root), Some(above), Some(name)) if *path != **root => {
                mkdirat(open_folder_below(root, above)?, name, mode)
            }
            // The path of the root is the host's, like every path without a root.
            (Some(_) | None, Some(_) | None, Some(_) | None) => mkdirat(AT_FDCWD, path, mode),
        };
        match made {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(cant_open(self.path(), errno)),
        }
    }

    /// Gives the prepared file its name; without one, makes a new file of this name. Nothing that exists
    /// is opened or replaced.
    ///
    /// # Errors
    /// [`Error::LogFileHeld`]: a newcomer has locked the new file before it was locked here.
    pub(crate) fn publish(
        &mut self,
        index: u32,
        prepared: Option<&LogFile>,
    ) -> Result<Published, Error> {
        let file_name = self.config.name.file_name(index);
        match self.try_publish(&file_name, prepared) {
            Ok(file) => Ok(Published::File(file)),
            Err(Errno::EEXIST) => Ok(Published::NameTaken),
            // A removed folder takes files without a name and refuses names (HEAL-3).
            Err(Errno::ENOENT) => self.reopen().map(|()| Published::FolderReplaced),
            Err(Errno::EWOULDBLOCK) => Err(Error::LogFileHeld {
                path: self.path().join(file_name),
            }),
            Err(_) if !self.is_at_its_path() => self.reopen().map(|()| Published::FolderReplaced),
            Err(errno) => Err(Error::PublishLogFile {
                path: self.path().join(file_name),
                source: errno.into(),
            }),
        }
    }

    fn try_publish(&self, file_name: &str, prepared: Option<&LogFile>) -> Result<LogFile, Errno> {
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let Some(prepared) = prepared else {
            let mode = Mode::from_bits_truncate(LOG_FILE_MODE);
            let new = flags | OFlag::O_CREAT | OFlag::O_EXCL;
            let file = openat(&self.folder, file_name, new, mode)?;
            return self.lock_new(file, file_name);
        };
        let link = path_in_proc(prepared);
        match linkat(
            AT_FDCWD,
            link.as_str(),
            &self.folder,
            file_name,
            AtFlags::AT_SYMLINK_FOLLOW,
        ) {
            // The name may be ours already, from a try that failed after this call.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        let named = fstatat(&self.folder, file_name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let nameless = fstat(prepared)?;
        if (named.st_dev, named.st_ino) != (nameless.st_dev, nameless.st_ino) {
            return Err(Errno::EEXIST);
        }
        // Opened again by its name: /proc shows the nameless handle as "(deleted)" for good, which would
        // look like a deleted file that is kept open (ROT-7).
        let file = openat(&self.folder, file_name, flags, Mode::empty())?;
        let file = Flock::lock(file, FlockArg::LockSharedNonblock).map_err(|(_, errno)| errno)?;
        Ok(LogFile { file })
    }

    /// Locks a file that was made under its name. One that can't be locked is taken away again: nobody would
    /// count it.
    fn lock_new(&self, file: OwnedFd, file_name: &str) -> Result<LogFile, Errno> {
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(file) => Ok(LogFile { file }),
            // A newcomer has it, and goes on with it.
            Err((_, Errno::EWOULDBLOCK)) => Err(Errno::EWOULDBLOCK),
            Err((file, errno)) => {
                let named = fstatat(&self.folder, file_name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                let mine = fstat(&file)?;
                if (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino) {
                    unlinkat(&self.folder, file_name, UnlinkatFlags::NoRemoveDir)?;
                }
                Err(errno)
            }
        }
    }

    /// Deletes a log file. One that is gone or is no regular file any more counts as deleted.
    pub(crate) fn delete(&self, index: u32) -> Result<(), Error> {
        let file_name = self.config.name.file_name(index);
        match self.try_delete(&file_name) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(Error::DeleteLogFile {
                path: self.path().join(file_name),
                source: errno.into(),
            }),
        }
    }

    fn try_delete(&self, file_name: &str) -> Result<(), Errno> {
        if is_regular(&fstatat(
            &self.folder,
            file_name,
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )?) {
            unlinkat(&self.folder, file_name, UnlinkatFlags::NoRemoveDir)?;
        }
        Ok(())
    }

    /// Deletes a log file to make room, and gives its length in bytes. One that is gone, or is foreign by
    /// now in the sense of [`crate::recovery`], is left alone and gives none.
    pub(crate) fn delete_for_space(&self, index: u32) -> Result<Option<u64>, Error> {
        let file_name = self.config.name.file_name(index);
        match self.try_delete_for_space(&file_name) {
            Err(Errno::ENOENT) => Ok(None),
            other => other.map_err(|errno| Error::DeleteLogFile {
                path: self.path().join(file_name),
                source: errno.into(),
            }),
        }
    }

    fn try_delete_for_space(&self, file_name: &str) -> Result<Option<u64>, Errno> {
        let stat = fstatat(&self.folder, file_name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if !is_regular(&stat) || stat.st_uid != geteuid().as_raw() || stat.st_nlink != 1 {
            return Ok(None);
        }
        unlinkat(&self.folder, file_name, UnlinkatFlags::NoRemoveDir)?;
        Ok(Some(u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Lends the handle of the folder.
    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Gives the path that the folder was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.config.log_dir
    }
}

impl LogFile {
    /// True when the file has bytes and the last one is no newline.
    pub(crate) fn is_mid_line(&self) -> io::Result<bool> {
        let end = lseek(&*self.file, 0, Whence::SeekEnd)?;
        Ok(ends_mid_line(&*self.file, end)?)
    }
}

/// True when a file of this length has bytes and the last one is no newline.
pub(crate) fn ends_mid_line(file: impl AsFd, end: libc::off_t) -> Result<bool, Errno> {
    let mut last = [b'\n'];
    if end > 0 {
        nix::sys::uio::pread(file, &mut last, end - 1)?;
    }
    Ok(last != *b"\n")
}

impl AsFd for LogFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The path that names an open file, with or without a name of its own (`proc_pid_fd(5)`).
fn path_in_proc(file: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

/// From the trusted root on no link is followed.
fn open_folder(config: &StreamConfig) -> Result<OwnedFd, FolderError> {
    let path = &*config.log_dir;
    if let Some(root) = &config.trusted_root {
        return open_folder_below(root, path);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, path, flags, Mode::empty()).map_err(|errno| cant_open(path, errno))
}

fn cant_open(path: &Path, errno: Errno) -> FolderError {
    FolderError::Open {
        part: path.to_owned(),
        source: errno.into(),
    }
}

/// Others can write in a folder of this mode, and no sticky bit keeps them to what is theirs (`inode(7)`).
fn lets_others_replace(mode: libc::mode_t) -> bool {
    mode & libc::S_IWOTH != 0 && mode & libc::S_ISVTX == 0
}

pub(crate) fn is_regular(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT) == SFlag::S_IFREG
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_a_file_of_ours_with_one_name_is_deleted_for_space() {
        let folder = tempfile::tempdir().unwrap();
        let config = Arc::new(StreamConfig::in_folder(folder.path(), "web.stdout"));
        let dir = LogDir::open(&config).unwrap();
        let path = |index: u32| folder.path().join(config.name.file_name(index));
        fs::write(path(0), "12345").unwrap();
        fs::write(folder.path().join("victim"), "kept").unwrap();
        symlink("victim", path(1)).unwrap();
        fs::hard_link(folder.path().join("victim"), path(2)).unwrap();
        fs::create_dir(path(3)).unwrap();
        let delete = |index| dir.delete_for_space(index).unwrap();
        assert_eq!(delete(0), Some(5));
        assert!(!path(0).exists());
        for index in 0..5 {
            assert_eq!(delete(index), None, "{index}");
        }
        assert!(path(1).is_symlink() && path(2).is_file() && path(3).is_dir());
    }

    #[test]
    fn a_file_that_has_its_name_at_once_is_new_and_keeps_newcomers_out() {
        let folder = tempfile::tempdir().unwrap();
        let config = Arc::new(StreamConfig::in_folder(folder.path(), "web.stdout"));
        let mut dir = LogDir::open(&config).unwrap();
        fs::write(folder.path().join("victim"), "kept").unwrap();
        symlink("victim", folder.path().join("web.stdout.0")).unwrap();
        let taken = dir.publish(0, None).unwrap();
        assert!(matches!(taken, Published::NameTaken));
        let published = dir.publish(1, None).unwrap();
        assert!(matches!(published, Published::File(_)));
        let newcomer = dir.resume(1).unwrap_err();
        assert!(matches!(newcomer, Error::LogFileHeld { .. }), "{newcomer}");
    }
}
