//! The reading end of a FIFO. This module is an edge.
//!
//! A [`Reader`] can't write; there is no call for it, and the kernel would refuse it:
//! ```compile_fail,E0599
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("fifo");
//! # fifo::create(&path, 0o600).unwrap();
//! let reader = fifo::Reader::open(&path).unwrap();
//! reader.try_write(b"no").unwrap();
//! ```
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("fifo");
//! # fifo::create(&path, 0o600).unwrap();
//! let reader = fifo::Reader::open(&path).unwrap();
//! reader.try_read(&mut [0; 16]).unwrap();
//! ```
//! Nor does it take part in the standard library's writing:
//! ```compile_fail,E0277
//! fn writes<T: std::io::Write>() {}
//! writes::<fifo::Reader>();
//! ```
//! ```
//! fn writes<T: std::io::Write>() {}
//! writes::<Vec<u8>>();
//! fn lends_its_descriptor<T: std::os::fd::AsFd>() {}
//! lends_its_descriptor::<fifo::Reader>();
//! ```

use std::fs::{File, TryLockError};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::stat::FileStat;

use crate::open::{End, Place, identify_read_end, open_end, open_seen_end};
use crate::{Access, Error, Identity, pipe};

/// What one read gave.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// So many bytes were read, at least one unless the buffer was empty.
    Bytes(usize),
    /// There are writers and no bytes (EAGAIN).
    Empty,
    /// There are no bytes and no writer: before the first one or after the last one, which `read(2)`
    /// does not tell apart. It is no end of anything; a new writer revives this reader.
    NoWriter,
}

/// What waiting for data gave.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    /// There are bytes to read.
    Ready,
    /// The last writer has left and no bytes are there (POLLHUP). Before the first writer that this
    /// reader has seen the kernel does not report this; the wait then times out.
    NoWriter,
    /// Nothing happened in the time given.
    TimedOut,
}

/// What trying the lock gave.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// This reader holds the lock now, or held it already.
    Acquired,
    /// Another reader holds it.
    HeldElsewhere,
}

/// The reading end of a FIFO: non-blocking, and not able to write.
///
/// Dropping it closes the descriptor and frees the lock.
#[derive(Debug)]
pub struct Reader {
    // A `File` for its safe flock(2); its reading and writing stay hidden.
    file: File,
    path: Arc<Path>,
    identity: Identity,
}

impl Reader {
    /// Opens the FIFO for reading and returns at once, whether or not a writer exists (contract MON-1).
    ///
    /// # Errors
    /// - [`Error::NotAFifo`] names what is there instead; it was not opened.
    /// - [`Error::Inspect`] with ENOENT: there is nothing; create it first.
    /// - [`Error::NoFileName`], [`Error::OpenFolder`], [`Error::Open`]: the path can't be used.
    pub fn open(path: impl AsRef<Path>) -> Result<Reader, Error> {
        let place = Place::open(path.as_ref())?;
        let (handle, stat) = open_end(&place, End::Read)?;
        Ok(Reader::of(&place, handle, &stat))
    }

    /// Does what [`Reader::open`] does, in a folder that is open, and checks on the opened handle whose
    /// the FIFO is and who can read it (contract SEC-1).
    ///
    /// A FIFO must have been adopted before: even the open and the close of one that is then refused cost
    /// its writer a SIGPIPE.
    ///
    /// # Errors
    /// As [`Reader::open`], but for those of the folder; [`Error::ForeignOwner`],
    /// [`Error::WorldReadable`].
    pub fn open_in(place: &Place<'_>, access: Access) -> Result<Reader, Error> {
        let (handle, stat) = open_end(place, End::Read)?;
        place.require_access(&stat, access)?;
        Ok(Reader::of(place, handle, &stat))
    }

    /// Does what [`Reader::open_in`] does right after [`create_or_adopt_in`](crate::create_or_adopt_in) has
    /// found that the name is a FIFO: it need not be looked at once more.
    ///
    /// # Errors
    /// As [`Reader::open_in`].
    pub fn open_adopted_in(place: &Place<'_>, access: Access) -> Result<Reader, Error> {
        let (handle, stat) = open_seen_end(place, End::Read)?;
        place.require_access(&stat, access)?;
        Ok(Reader::of(place, handle, &stat))
    }

    fn of(place: &Place<'_>, handle: OwnedFd, stat: &FileStat) -> Reader {
        Reader {
            file: File::from(handle),
            path: place.path.into(),
            identity: Identity::of(stat),
        }
    }

    /// Keeps this path instead of a copy of its own, if it is the same one.
    #[must_use]
    pub fn sharing(mut self, path: &Arc<Path>) -> Reader {
        if self.path == *path {
            self.path = Arc::clone(path);
        }
        self
    }

    /// Makes a reader of an opened read end that came from somewhere else, such as another process. `path`
    /// is what it was opened by; it is not looked at.
    ///
    /// The lock of such a reader is shared with everybody who has a copy of the descriptor.
    ///
    /// # Errors
    /// - [`Error::NotAFifo`], [`Error::Inspect`]: it is something else.
    /// - [`Error::Open`] with EBADF: it is no read end, or one that would block.
    pub fn adopt(handle: OwnedFd, path: impl AsRef<Path>) -> Result<Reader, Error> {
        let path = path.as_ref();
        let identity = identify_read_end(&handle, path)?;
        Ok(Reader {
            file: File::from(handle),
            path: path.into(),
            identity,
        })
    }

    /// Reads what is there, up to the length of the buffer, and never waits.
    ///
    /// With an empty buffer it gives `Bytes(0)` and asks nobody.
    ///
    /// # Errors
    /// [`Error::Read`]: `read(2)` failed for another reason than an empty pipe.
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<ReadOutcome, Error> {
        if buffer.is_empty() {
            return Ok(ReadOutcome::Bytes(0));
        }
        loop {
            return match nix::unistd::read(&self.file, buffer) {
                Ok(0) => Ok(ReadOutcome::NoWriter),
                Ok(bytes) => Ok(ReadOutcome::Bytes(bytes)),
                Err(Errno::EAGAIN) => Ok(ReadOutcome::Empty),
                Err(Errno::EINTR) => continue,
                Err(errno) => Err(Error::Read {
                    path: self.path.to_path_buf(),
                    source: errno.into(),
                }),
            };
        }
    }

    /// Blocks this thread until there are bytes, until the last writer has left, or until the time is
    /// over.
    ///
    /// After the last writer has left it returns [`Readable::NoWriter`] at once each time, so a loop
    /// around it must do something else then. [`AsyncReader`](crate::AsyncReader) can wait for the next
    /// writer.
    ///
    /// # Errors
    /// [`Error::Wait`]: `poll(2)` failed.
    pub fn wait_readable(&self, limit: Duration) -> Result<Readable, Error> {
        let flags = pipe::poll_within(&self.file, PollFlags::POLLIN, limit).map_err(|source| {
            Error::Wait {
                path: self.path.to_path_buf(),
                source,
            }
        })?;
        if flags.contains(PollFlags::POLLIN) {
            Ok(Readable::Ready)
        } else if flags.is_empty() {
            Ok(Readable::TimedOut)
        } else {
            Ok(Readable::NoWriter)
        }
    }

    /// Tries to become the only locked reader of this FIFO, without waiting (contract MON-11).
    ///
    /// The lock is an exclusive `flock(2)` on the opened FIFO itself. It binds only those who ask for
    /// it; a second reader can still open and read. It lives as long as this open description: until
    /// the reader and every copy of its descriptor are gone, however the process ends. A program that
    /// another thread starts has such a copy for a moment, between `fork(2)` and `execve(2)`.
    ///
    /// # Errors
    /// [`Error::Lock`]: `flock(2)` failed.
    pub fn try_lock(&self) -> Result<Lock, Error> {
        loop {
            return match self.file.try_lock() {
                Ok(()) => Ok(Lock::Acquired),
                Err(TryLockError::WouldBlock) => Ok(Lock::HeldElsewhere),
                Err(TryLockError::Error(source)) => {
                    if source.kind() == std::io::ErrorKind::Interrupted {
                        continue;
                    }
                    Err(Error::Lock {
                        path: self.path.to_path_buf(),
                        source,
                    })
                }
            };
        }
    }

    /// Tells whether the pipe has no bytes and no writer now. It takes nothing, so it may be asked while
    /// another reader collects, and a writer that this reader has never seen counts, too.
    ///
    /// # Errors
    /// [`Error::Read`]: a pipe to look through could not be made, or `tee(2)` failed.
    pub fn is_deserted(&self) -> Result<bool, Error> {
        pipe::is_deserted(&self.file).map_err(|source| Error::Read {
            path: self.path.to_path_buf(),
            source,
        })
    }

    /// The number of bytes in the pipe now.
    ///
    /// # Errors
    /// [`Error::FillLevel`]: the ioctl failed.
    pub fn fill_level(&self) -> Result<usize, Error> {
        pipe::fill_level(&self.file).map_err(|source| Error::FillLevel {
            path: self.path.to_path_buf(),
            source,
        })
    }

    /// The capacity of the pipe in bytes.
    ///
    /// # Errors
    /// [`Error::Capacity`]: `fcntl(2)` failed.
    pub fn capacity(&self) -> Result<usize, Error> {
        pipe::capacity(&self.file).map_err(|source| Error::Capacity {
            path: self.path.to_path_buf(),
            source,
        })
    }

    /// Sets the capacity of the pipe to at least so many bytes, and gives the new capacity. It is a
    /// property of the pipe, seen from both ends, and gone when the last end closes.
    ///
    /// # Errors
    /// [`Error::SetCapacity`]: EPERM above the user's limit, EBUSY when more bytes lie in the pipe.
    pub fn set_capacity(&self, bytes: usize) -> Result<usize, Error> {
        pipe::set_capacity(&self.file, bytes).map_err(|source| Error::SetCapacity {
            path: self.path.to_path_buf(),
            bytes,
            source,
        })
    }

    /// Which FIFO this is, as it was when opened.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The path that it was opened by. The name may stand for something else by now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl From<Reader> for OwnedFd {
    /// Gives up the type and keeps the descriptor, non-blocking and close-on-exec, with its lock.
    fn from(reader: Reader) -> OwnedFd {
        reader.file.into()
    }
}
