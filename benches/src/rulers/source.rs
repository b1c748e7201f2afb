//! Edge: the FIFO that a ruler reads, in blocking mode.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result};
use fifo::Reader;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// A FIFO. read(2) and splice(2) on it wait for bytes if it has a writer, which must be there before.
pub(super) struct Source {
    reader: Reader,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Source> {
        let reader = Reader::open(path)?;
        set_blocking(&reader)?;
        Ok(Source { reader })
    }

    /// The next bytes; 0 when the last writer has left.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        retried(|| nix::unistd::read(&self.reader, buffer)).context("cannot read the FIFO")
    }

    /// How many bytes lie in the pipe.
    pub(super) fn fill_level(&self) -> Result<usize> {
        Ok(self.reader.fill_level()?)
    }

    /// Makes the pipe larger where that is allowed, and gives its capacity in bytes.
    pub(super) fn raise_capacity(&self, bytes: usize) -> Result<usize> {
        match self.reader.set_capacity(bytes) {
            Ok(capacity) => Ok(capacity),
            Err(_) => Ok(self.reader.capacity()?),
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// Takes O_NONBLOCK from a descriptor.
pub(crate) fn set_blocking(end: impl AsFd) -> Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&end, FcntlArg::F_GETFL)?) - OFlag::O_NONBLOCK;
    fcntl(&end, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Calls again after a signal.
pub(super) fn retried<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
}
