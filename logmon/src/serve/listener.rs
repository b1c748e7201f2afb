//! Edge: the control socket: in a safe folder, of mode 0600, of one server only.
//!
//! Beside the socket lies a file `SOCKET.lock` with the server's `flock(2)`. The lock ends with the
//! process, so a socket that is found under the lock is a dead server's and is replaced. The lock file
//! stays when the server ends: to remove it would let two servers hold two locks.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, umask};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use tokio::net::UnixListener;

use crate::error::Error;

/// A socket that listens. Dropping it removes the socket's name.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    place: Place,
    identity: (libc::dev_t, libc::ino_t),
    _lock: Flock<OwnedFd>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    folder: OwnedFd,
    name: String,
}

impl ControlSocket {
    /// Listens at the path.
    ///
    /// # Errors
    /// [`Error::ControlFolder`]: others could replace the socket. [`Error::ServerRunning`]: another
    /// server listens there. [`Error::NoSocket`]: something else has the name. [`Error::Control`].
    pub(crate) fn listen(path: &Path) -> Result<ControlSocket, Error> {
        let place = Place::open(path)?;
        let lock = place.lock()?;
        place.remove_socket()?;
        let listener = place.bind()?;
        let stat = place.stat(&place.name)?;
        Ok(ControlSocket {
            listener,
            identity: (stat.st_dev, stat.st_ino),
            place,
            _lock: lock,
        })
    }

    /// Gives the socket to accept clients from.
    pub(crate) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let is_ours = self
            .place
            .stat(&self.place.name)
            .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.identity);
        if is_ours {
            // The next server replaces it anyway.
            drop(self.place.remove_socket());
        }
    }
}

impl Place {
    fn open(path: &Path) -> Result<Place, Error> {
        let unusable = |what: &'static str| Error::ControlFolder {
            path: path.to_owned(),
            what,
        };
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| unusable("its name is no file name in UTF-8"))?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder =
            openat(AT_FDCWD, parent, flags, Mode::empty()).map_err(|errno| Error::Control {
                path: path.to_owned(),
                operation: "open the folder of",
                source: errno.into(),
            })?;
        let place = Place {
            path: path.to_owned(),
            folder,
            name: name.to_owned(),
        };
        let stat =
            fstat(&place.folder).map_err(|errno| place.failed("inspect the folder of", errno))?;
        if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
            return Err(unusable("its folder belongs to another user"));
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(unusable(
                "its folder can be written by others; give it mode 0755 or stricter",
            ));
        }
        Ok(place)
    }

    fn lock(&self) -> Result<Flock<OwnedFd>, Error> {
        let name = format!("{}.lock", self.name);
        let failed = |errno| self.failed("lock", errno);
        let flags = OFlag::O_RDWR
            | OFlag::O_CREAT
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o600);
        let file = openat(&self.folder, name.as_str(), flags, mode).map_err(failed)?;
        let stat = fstat(&file).map_err(failed)?;
        if !is_kind(&stat, SFlag::S_IFREG) || stat.st_uid != geteuid().as_raw() {
            return Err(Error::NoSocket {
                path: self.path.with_file_name(name),
            });
        }
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err((_, Errno::EWOULDBLOCK)) => Err(Error::ServerRunning {
                path: self.path.clone(),
            }),
            Err((_, errno)) => Err(failed(errno)),
        }
    }

    /// Removes a dead server's socket. The lock must be held.
    fn remove_socket(&self) -> Result<(), Error> {
        let stat = match fstatat(
            &self.folder,
            self.name.as_str(),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        ) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other.map_err(|errno| self.failed("inspect", errno))?,
        };
        if !is_kind(&stat, SFlag::S_IFSOCK) {
            return Err(Error::NoSocket {
                path: self.path.clone(),
            });
        }
        unlinkat(&self.folder, self.name.as_str(), UnlinkatFlags::NoRemoveDir)
            .map_err(|errno| self.failed("replace", errno))
    }

    fn bind(&self) -> Result<UnixListener, Error> {
        // By way of the handle: the folder that was checked is the one that is used, and a long path
        // fits into the 108 bytes of an address (unix(7)).
        let address = format!("/proc/self/fd/{}/{}", self.folder.as_raw_fd(), self.name);
        // The socket must never be open to others, not even between two system calls.
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(&address);
        umask(before);
        bound.map_err(|source| Error::Control {
            path: self.path.clone(),
            operation: "listen at",
            source,
        })
    }

    fn stat(&self, name: &str) -> Result<FileStat, Error> {
        fstatat(self.folder.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(|errno| self.failed("inspect", errno))
    }

    fn failed(&self, operation: &'static str, errno: Errno) -> Error {
        Error::Control {
            path: self.path.clone(),
            operation,
            source: errno.into(),
        }
    }
}

fn is_kind(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT) == kind
}
