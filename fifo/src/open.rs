//! Opens a FIFO through its folder's handle and checks on the handle what it is. This module is an
//! edge.
//!
//! It must never follow a link in the last part of a path (nor below a trusted root) and never open what is visibly not a FIFO:
//! opening a device or a regular file for writing can have effects of its own. The look at the name
//! gives the good error text; the look at the opened handle is the authority, because a name can
//! change its meaning between two calls.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::geteuid;

use crate::Error;
use crate::access::Access;
use crate::folder::{FolderError, open_folder_below};

/// What a path names, without following a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A folder.
    Directory,
    /// A symbolic link, whatever it points to.
    Symlink,
    /// A Unix socket.
    Socket,
    /// A character device, such as `/dev/null`.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

impl FileKind {
    pub(crate) fn of(stat: &FileStat) -> FileKind {
        let bits = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if bits == SFlag::S_IFIFO {
            FileKind::Fifo
        } else if bits == SFlag::S_IFDIR {
            FileKind::Directory
        } else if bits == SFlag::S_IFLNK {
            FileKind::Symlink
        } else if bits == SFlag::S_IFSOCK {
            FileKind::Socket
        } else if bits == SFlag::S_IFCHR {
            FileKind::CharDevice
        } else if bits == SFlag::S_IFBLK {
            FileKind::BlockDevice
        } else {
            FileKind::Regular
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Regular => "regular file",
            FileKind::Directory => "folder",
            FileKind::Symlink => "symbolic link",
            FileKind::Socket => "socket",
            FileKind::CharDevice => "character device",
            FileKind::BlockDevice => "block device",
            FileKind::Fifo => "FIFO",
        })
    }
}

/// Tells one FIFO from every other one on this machine, as long as it exists.
///
/// Two ends with the same identity are ends of the same pipe. A path that was replaced by another FIFO
/// has another identity (contract FIFO-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The device number of the file system.
    pub dev: u64,
    /// The inode number on that file system.
    pub ino: u64,
}

impl Identity {
    pub(crate) fn of(stat: &FileStat) -> Identity {
        Identity {
            dev: stat.st_dev,
            ino: stat.st_ino,
        }
    }
}

/// A handle of the folder that a path lies in, with the name of the file inside it. What is done through
/// the same place is done in the same folder, whatever the path leads to by then.
#[derive(Debug)]
pub struct Place<'a> {
    pub(crate) path: &'a Path,
    pub(crate) folder: OwnedFd,
    pub(crate) name: &'a OsStr,
}

impl<'a> Place<'a> {
    /// Opens the folder of a path as usual, links included; the caller vouches for it.
    ///
    /// # Errors
    /// [`Error::NoFileName`], [`Error::OpenFolder`].
    pub fn open(path: &'a Path) -> Result<Place<'a>, Error> {
        let (folder, name) = split(path)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder =
            openat(AT_FDCWD, folder, flags, Mode::empty()).map_err(|errno| Error::OpenFolder {
                path: path.to_owned(),
                source: FolderError::Open {
                    part: folder.to_owned(),
                    source: errno.into(),
                },
            })?;
        Ok(Place { path, folder, name })
    }

    /// Opens the folder of a path that lies below a trusted root, without following a link on the way
    /// (contract SEC-1). See [`open_folder_below`].
    ///
    /// # Errors
    /// [`Error::NoFileName`], [`Error::OpenFolder`].
    pub fn open_below(root: &Path, path: &'a Path) -> Result<Place<'a>, Error> {
        let (folder, name) = split(path)?;
        let folder = open_folder_below(root, folder).map_err(|source| Error::OpenFolder {
            path: path.to_owned(),
            source,
        })?;
        Ok(Place { path, folder, name })
    }

    /// What the name stands for now; it may be something else a moment later.
    pub(crate) fn kind(&self) -> Result<FileKind, Error> {
        let stat =
            fstatat(&self.folder, self.name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|errno| {
                Error::Inspect {
                    path: self.path.to_owned(),
                    source: errno.into(),
                }
            })?;
        Ok(FileKind::of(&stat))
    }

    pub(crate) fn refuse(&self, kind: FileKind) -> Error {
        Error::NotAFifo {
            path: self.path.to_owned(),
            kind,
        }
    }

    /// Opens the name without following it. `O_NOFOLLOW` and `O_CLOEXEC` are added to the flags.
    pub(crate) fn open_name(&self, flags: OFlag) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&self.folder, self.name, flags, Mode::empty())
    }

    /// Gives the state of an opened handle if it is a FIFO, and refuses it by name if not.
    pub(crate) fn require_fifo(&self, handle: impl AsFd) -> Result<FileStat, Error> {
        let stat = fstat(handle).map_err(|errno| Error::Inspect {
            path: self.path.to_owned(),
            source: errno.into(),
        })?;
        match FileKind::of(&stat) {
            FileKind::Fifo => Ok(stat),
            other @ (FileKind::Regular
            | FileKind::Directory
            | FileKind::Symlink
            | FileKind::Socket
            | FileKind::CharDevice
            | FileKind::BlockDevice) => Err(self.refuse(other)),
        }
    }

    /// Refuses an opened FIFO of a stranger, or one that strangers can read, by its name.
    pub(crate) fn require_access(&self, stat: &FileStat, access: Access) -> Result<(), Error> {
        let mode = stat.st_mode & 0o777;
        access.admit(self.path, (stat.st_uid, mode), geteuid().as_raw())
    }
}

/// The folder of a path and the name in it.
fn split(path: &Path) -> Result<(&Path, &OsStr), Error> {
    let name = path.file_name().ok_or_else(|| Error::NoFileName {
        path: path.to_owned(),
    })?;
    Ok(match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => (parent, name),
        Some(_) | None => (Path::new("."), name),
    })
}

/// Which end is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Read,
    Write,
}

/// Opens one end without ever waiting for the other.
pub(crate) fn open_end(place: &Place<'_>, end: End) -> Result<(OwnedFd, FileStat), Error> {
    let kind = place.kind()?;
    if kind != FileKind::Fifo {
        return Err(place.refuse(kind));
    }
    open_seen_end(place, end)
}

/// Opens one end of what was just seen to be a FIFO.
pub(crate) fn open_seen_end(place: &Place<'_>, end: End) -> Result<(OwnedFd, FileStat), Error> {
    let path = place.path;
    let access = match end {
        End::Read => OFlag::O_RDONLY,
        End::Write => OFlag::O_WRONLY,
    };
    let handle = place
        .open_name(access | OFlag::O_NONBLOCK)
        .map_err(|errno| {
            // A socket gives ENXIO too, a folder EISDIR and a link ELOOP, if one took the name just now.
            match place.kind() {
                Ok(FileKind::Fifo) if errno == Errno::ENXIO && end == End::Write => {
                    Error::NoReader {
                        path: path.to_owned(),
                    }
                }
                Ok(FileKind::Fifo) | Err(_) => Error::Open {
                    path: path.to_owned(),
                    source: errno.into(),
                },
                Ok(other) => place.refuse(other),
            }
        })?;
    let stat = place.require_fifo(&handle)?;
    Ok((handle, stat))
}

/// Says which FIFO an opened descriptor is the non-blocking read end of.
pub(crate) fn identify_read_end(handle: &OwnedFd, path: &Path) -> Result<Identity, Error> {
    let stat = fstat(handle).map_err(|errno| Error::Inspect {
        path: path.to_owned(),
        source: errno.into(),
    })?;
    let kind = FileKind::of(&stat);
    if kind != FileKind::Fifo {
        return Err(Error::NotAFifo {
            path: path.to_owned(),
            kind,
        });
    }
    let failed = |errno: Errno| Error::Open {
        path: path.to_owned(),
        source: errno.into(),
    };
    let flags = fcntl(handle, FcntlArg::F_GETFL).map_err(failed)?;
    let flags = OFlag::from_bits_retain(flags);
    if flags & OFlag::O_ACCMODE != OFlag::O_RDONLY || !flags.contains(OFlag::O_NONBLOCK) {
        return Err(failed(Errno::EBADF));
    }
    Ok(Identity::of(&stat))
}
