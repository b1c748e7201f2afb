//! The driver's end of a FIFO, typed where the driver is good: an edge.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use fifo::{Writable, Writer, Written};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where a stream's bytes are written.
#[derive(Debug)]
pub(crate) enum Outlet {
    /// A FIFO that can only be written.
    Fifo(Writer),
    /// Any non-blocking descriptor: the faults that open something else.
    Bare(OwnedFd),
}

impl Outlet {
    /// One write.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<Written, Errno> {
        match self {
            Self::Fifo(writer) => writer.try_write(bytes).map_err(|error| errno_of(&error)),
            Self::Bare(fd) => match nix::unistd::write(fd, bytes) {
                Ok(taken) => Ok(Written::Bytes(taken)),
                Err(Errno::EAGAIN) => Ok(Written::Full),
                Err(Errno::EPIPE) => Ok(Written::NoReader),
                Err(errno) => Err(errno),
            },
        }
    }

    /// Waits for room, for the reader's end or for the time.
    pub(crate) fn wait_writable(&self, limit: Duration) -> Result<Writable, Errno> {
        match self {
            Self::Fifo(writer) => writer
                .wait_writable(limit)
                .map_err(|error| errno_of(&error)),
            Self::Bare(fd) => {
                let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
                let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
                match poll(&mut fds, limit)? {
                    0 => Ok(Writable::TimedOut),
                    _ => Ok(Writable::Ready),
                }
            }
        }
    }
}

impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Fifo(writer) => writer.as_fd(),
            Self::Bare(fd) => fd.as_fd(),
        }
    }
}

/// The number behind an error of a FIFO.
pub(crate) fn errno_of(error: &fifo::Error) -> Errno {
    if matches!(error, fifo::Error::NoReader { .. }) {
        return Errno::ENXIO;
    }
    error
        .io_error()
        .and_then(std::io::Error::raw_os_error)
        .map_or(Errno::EINVAL, Errno::from_raw)
}
