//! The writing end of a FIFO. This module is an edge.
//!
//! A [`Writer`] can't read; there is no call for it, and the kernel would refuse it:
//! ```compile_fail,E0599
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("fifo");
//! # fifo::create(&path, 0o600).unwrap();
//! # let _reader = fifo::Reader::open(&path).unwrap();
//! let writer = fifo::Writer::try_open(&path).unwrap();
//! writer.try_read(&mut [0; 16]).unwrap();
//! ```
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("fifo");
//! # fifo::create(&path, 0o600).unwrap();
//! # let _reader = fifo::Reader::open(&path).unwrap();
//! let writer = fifo::Writer::try_open(&path).unwrap();
//! writer.try_write(b"yes").unwrap();
//! ```
//! Nor does it take part in the standard library's reading:
//! ```compile_fail,E0277
//! fn reads<T: std::io::Read>() {}
//! reads::<fifo::Writer>();
//! ```
//! ```
//! fn reads<T: std::io::Read>() {}
//! reads::<std::io::Empty>();
//! fn lends_its_descriptor<T: std::os::fd::AsFd>() {}
//! lends_its_descriptor::<fifo::Writer>();
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;

use crate::open::{End, Place, open_end};
use crate::pipe::{self, Deadline};
use crate::{Error, Identity};

/// First pause between two looks for a reader: short, because a reader that starts together with the
/// writer is there within a millisecond.
const FIRST_PAUSE: Duration = Duration::from_micros(500);
/// Longest pause between two looks: it bounds the delay, and costs 100 cheap calls a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// What one write gave.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// So many bytes were accepted, from the start of the chunk. Up to [`PIPE_BUF`](crate::PIPE_BUF)
    /// they are all of it; a longer chunk may be accepted in part.
    Bytes(usize),
    /// The pipe has no room (EAGAIN). Nothing was accepted.
    Full,
    /// Nobody has the FIFO open for reading (EPIPE). Nothing was accepted, and what lies in the pipe
    /// stays there while this writer is open. Keep the writer: a new reader revives it.
    NoReader,
}

/// What waiting for room gave.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writable {
    /// There is room for at least one byte.
    Ready,
    /// The last reader has left (POLLERR).
    NoReader,
    /// Nothing happened in the time given.
    TimedOut,
}

/// The writing end of a FIFO: non-blocking, and not able to read.
///
/// Dropping it closes the descriptor. If it was the last end of the pipe, the bytes in it are gone.
#[derive(Debug)]
pub struct Writer {
    handle: OwnedFd,
    path: PathBuf,
    identity: Identity,
}

impl Writer {
    /// Opens the FIFO for writing if somebody has it open for reading, and returns at once either way.
    ///
    /// # Errors
    /// - [`Error::NoReader`]: nobody reads (ENXIO); try again later.
    /// - [`Error::NotAFifo`] names what is there instead; it was neither opened nor changed.
    /// - [`Error::Inspect`] with ENOENT: there is nothing. It is never created.
    /// - [`Error::NoFileName`], [`Error::OpenFolder`], [`Error::Open`]: the path can't be used.
    pub fn try_open(path: impl AsRef<Path>) -> Result<Writer, Error> {
        Writer::try_open_in(&Place::open(path.as_ref())?)
    }

    /// Does what [`Writer::try_open`] does, in a folder that is open.
    ///
    /// # Errors
    /// As [`Writer::try_open`], but for those of the folder.
    pub fn try_open_in(place: &Place<'_>) -> Result<Writer, Error> {
        let (handle, stat) = open_end(place, End::Write)?;
        Ok(Writer {
            handle,
            path: place.path.to_owned(),
            identity: Identity::of(&stat),
        })
    }

    /// Opens the FIFO for writing, and waits so long for a reader.
    ///
    /// The thread waits here and never in `open(2)`, so the deadline holds (contract FIFO-3). With a
    /// limit of zero it tries once.
    ///
    /// # Errors
    /// [`Error::NoReader`] at the end of the time; the other errors of [`Writer::try_open`] at once.
    pub fn open_within(path: impl AsRef<Path>, limit: Duration) -> Result<Writer, Error> {
        let path = path.as_ref();
        await_reader(limit, || Writer::try_open(path))
    }

    /// Does what [`Writer::open_within`] does, in a folder that is open.
    ///
    /// # Errors
    /// As [`Writer::open_within`], but for those of the folder.
    pub fn open_in_within(place: &Place<'_>, limit: Duration) -> Result<Writer, Error> {
        await_reader(limit, || Writer::try_open_in(place))
    }

    /// Writes what fits and never waits.
    ///
    /// SIGPIPE must be ignored by the process, as it is in Rust programs; otherwise a missing reader
    /// kills the process. A chunk of no bytes gives `Bytes(0)`, reader or not.
    ///
    /// # Errors
    /// [`Error::Write`]: `write(2)` failed for another reason than a full pipe or a missing reader.
    pub fn try_write(&self, chunk: &[u8]) -> Result<Written, Error> {
        loop {
            return match nix::unistd::write(&self.handle, chunk) {
                Ok(bytes) => Ok(Written::Bytes(bytes)),
                Err(Errno::EAGAIN) => Ok(Written::Full),
                Err(Errno::EPIPE) => Ok(Written::NoReader),
                Err(Errno::EINTR) => continue,
                Err(errno) => Err(Error::Write {
                    path: self.path.clone(),
                    source: errno.into(),
                }),
            };
        }
    }

    /// Blocks this thread until the pipe has room, until the last reader has left, or until the time is
    /// over.
    ///
    /// On Linux "room" is a free page, so a write of up to [`PIPE_BUF`](crate::PIPE_BUF) bytes fits
    /// unless another writer was faster. Without a reader it returns [`Writable::NoReader`] at once each
    /// time; [`Writer::wait_for_reader`] waits for a new one.
    ///
    /// # Errors
    /// [`Error::Wait`]: `poll(2)` failed.
    pub fn wait_writable(&self, limit: Duration) -> Result<Writable, Error> {
        let flags =
            pipe::poll_within(&self.handle, PollFlags::POLLOUT, limit).map_err(|source| {
                Error::Wait {
                    path: self.path.clone(),
                    source,
                }
            })?;
        // A pipe with room and without a reader has both flags.
        if flags.contains(PollFlags::POLLERR) {
            Ok(Writable::NoReader)
        } else if flags.contains(PollFlags::POLLOUT) {
            Ok(Writable::Ready)
        } else if flags.is_empty() {
            Ok(Writable::TimedOut)
        } else {
            Err(Error::Wait {
                path: self.path.clone(),
                source: Errno::EBADF.into(),
            })
        }
    }

    /// Blocks this thread until somebody has the FIFO open for reading, at most so long. A full pipe
    /// does not matter. With a limit of zero it looks once.
    ///
    /// # Errors
    /// [`Error::NoReader`] at the end of the time; [`Error::Wait`]: `poll(2)` failed.
    pub fn wait_for_reader(&self, limit: Duration) -> Result<(), Error> {
        let mut pauses = Pauses::until(Deadline::after(limit));
        loop {
            match self.wait_writable(Duration::ZERO)? {
                Writable::Ready | Writable::TimedOut => return Ok(()),
                Writable::NoReader => {
                    if !pauses.pause() {
                        return Err(Error::NoReader {
                            path: self.path.clone(),
                        });
                    }
                }
            }
        }
    }

    /// The number of bytes in the pipe now.
    ///
    /// # Errors
    /// [`Error::FillLevel`]: the ioctl failed.
    pub fn fill_level(&self) -> Result<usize, Error> {
        pipe::fill_level(&self.handle).map_err(|source| Error::FillLevel {
            path: self.path.clone(),
            source,
        })
    }

    /// The capacity of the pipe in bytes.
    ///
    /// # Errors
    /// [`Error::Capacity`]: `fcntl(2)` failed.
    pub fn capacity(&self) -> Result<usize, Error> {
        pipe::capacity(&self.handle).map_err(|source| Error::Capacity {
            path: self.path.clone(),
            source,
        })
    }

    /// Sets the capacity of the pipe to at least so many bytes, and gives the new capacity. It is a
    /// property of the pipe, seen from both ends, and gone when the last end closes.
    ///
    /// # Errors
    /// [`Error::SetCapacity`]: EPERM above the user's limit, EBUSY when more bytes lie in the pipe.
    pub fn set_capacity(&self, bytes: usize) -> Result<usize, Error> {
        pipe::set_capacity(&self.handle, bytes).map_err(|source| Error::SetCapacity {
            path: self.path.clone(),
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

    /// Gives the descriptor in the shape that a task expects on its stdout: blocking. It is still
    /// close-on-exec; `std::process::Command` makes the copy that the child keeps.
    ///
    /// The flag belongs to the open description, so copies made with `dup(2)` turn blocking too.
    ///
    /// # Errors
    /// [`Error::SetBlocking`]: `fcntl(2)` failed; the descriptor is closed.
    pub fn into_child_stdout(self) -> Result<OwnedFd, Error> {
        let set = fcntl(&self.handle, FcntlArg::F_GETFL).and_then(|bits| {
            let flags = OFlag::from_bits_retain(bits) - OFlag::O_NONBLOCK;
            fcntl(&self.handle, FcntlArg::F_SETFL(flags))
        });
        match set {
            Ok(_) => Ok(self.handle),
            Err(errno) => Err(Error::SetBlocking {
                path: self.path,
                source: errno.into(),
            }),
        }
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl From<Writer> for OwnedFd {
    /// Gives up the type and keeps the descriptor, non-blocking and close-on-exec.
    fn from(writer: Writer) -> OwnedFd {
        writer.handle
    }
}

/// Tries until there is a reader, or until the time is over.
fn await_reader(
    limit: Duration,
    try_open: impl Fn() -> Result<Writer, Error>,
) -> Result<Writer, Error> {
    let mut pauses = Pauses::until(Deadline::after(limit));
    loop {
        match try_open() {
            Err(Error::NoReader { path }) => {
                if !pauses.pause() {
                    return Err(Error::NoReader { path });
                }
            }
            outcome => return outcome,
        }
    }
}

/// The growing pauses between two looks for a reader.
struct Pauses {
    deadline: Deadline,
    next: Duration,
}

impl Pauses {
    fn until(deadline: Deadline) -> Pauses {
        Pauses {
            deadline,
            next: FIRST_PAUSE,
        }
    }

    /// Pauses and says true, or says false at once when the time is up.
    #[expect(
        clippy::disallowed_methods,
        reason = "the kernel has no event for \"a reader opened\": fifo(7) leaves only asking again"
    )]
    fn pause(&mut self) -> bool {
        let Some(left) = self.deadline.left() else {
            return false;
        };
        std::thread::sleep(self.next.min(left));
        self.next = LONGEST_PAUSE.min(self.next * 2);
        true
    }
}
