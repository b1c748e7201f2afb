//! Edge: the pipe between the FIFO and the file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;

/// Both ends of the pipe that bytes go through between leaving the FIFO and being in a file.
///
/// While both ends are open in some process the bytes in it live, whoever is killed. The read end is to
/// be read by one logmon only, and the write end to be written by it.
#[derive(Debug)]
pub(crate) struct StagingPipe {
    read_end: OwnedFd,
    write_end: OwnedFd,
}

impl StagingPipe {
    /// The most that it is raised to, in bytes: as much as the FIFO, which then is emptied in one go. A
    /// writer that waits is woken once for each, and waking it is most of what blocks cost.
    pub(crate) const RAISED_BYTES: usize = 1024 * 1024;

    /// The most for a stream that has no place among those with a large one, in bytes.
    pub(crate) const USUAL_BYTES: usize = 256 * 1024;

    /// Makes an empty one.
    ///
    /// # Errors
    /// The error of `pipe2(2)`: there are no descriptors left.
    pub(crate) fn new() -> io::Result<StagingPipe> {
        let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(StagingPipe {
            read_end,
            write_end,
        })
    }

    /// Puts together the two ends of one that an earlier life has left.
    #[must_use]
    pub(crate) fn from_ends(read_end: OwnedFd, write_end: OwnedFd) -> StagingPipe {
        StagingPipe {
            read_end,
            write_end,
        }
    }

    /// Lends the read end and the write end, in this order.
    #[must_use]
    pub(crate) fn ends(&self) -> [BorrowedFd<'_>; 2] {
        [self.read_end.as_fd(), self.write_end.as_fd()]
    }

    /// How many bytes are in it.
    pub(crate) fn fill_level(&self) -> io::Result<usize> {
        fifo::fill_level(&self.read_end)
    }

    /// Moves up to so many bytes from the start of a pipe, fewer when there is no room for more; 0 when
    /// there is none at all.
    pub(crate) fn take_from(&self, source: impl AsFd, bytes: usize) -> io::Result<usize> {
        let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
        loop {
            match splice(&source, None, &self.write_end, None, bytes, flags) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(0),
                other => return Ok(other?),
            }
        }
    }

    /// Moves up to so many bytes to the position of a file. The bytes that are not in the file afterwards
    /// are still in the pipe, at every moment.
    pub(crate) fn give_to(&self, file: impl AsFd, bytes: usize) -> io::Result<usize> {
        loop {
            match splice(
                &self.read_end,
                None,
                &file,
                None,
                bytes,
                SpliceFFlags::SPLICE_F_MOVE,
            ) {
                Err(Errno::EINTR) => {}
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                other => return Ok(other?),
            }
        }
    }

    /// Raises the capacity as far as it is ever raised. Where that is refused, the pipe serves as it is.
    pub(crate) fn raise(&self) {
        self.raise_to(|_| StagingPipe::RAISED_BYTES);
    }

    /// Raises the capacity to four times what it was, and to no more than so many bytes. What a user may have
    /// in pipes is limited (`pipe-user-pages-soft`), so only a stream that needs more gets more. Where that is
    /// refused, the pipe serves as it is.
    pub(crate) fn grow(&self, most: usize) {
        self.raise_to(|now| (now * 4).min(most));
    }

    fn raise_to(&self, wanted: impl FnOnce(usize) -> usize) {
        let now = fcntl(&self.write_end, FcntlArg::F_GETPIPE_SZ).unwrap_or(0);
        let now = usize::try_from(now).unwrap_or(0);
        let wanted = wanted(now);
        if let Ok(bytes) = i32::try_from(wanted)
            && wanted > now
        {
            let _raised: Result<i32, Errno> = fcntl(&self.write_end, FcntlArg::F_SETPIPE_SZ(bytes));
        }
    }
}

impl AsFd for StagingPipe {
    /// Lends the read end.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read_end.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(pipe: &StagingPipe) -> usize {
        let bytes = fcntl(&pipe.write_end, FcntlArg::F_GETPIPE_SZ).unwrap();
        usize::try_from(bytes).unwrap()
    }

    /// True if this user may have another pipe of that size now (`pipe(7)`).
    fn may_be_raised() -> bool {
        let pipe = StagingPipe::new().unwrap();
        pipe.raise();
        capacity(&pipe) == StagingPipe::RAISED_BYTES
    }

    #[test]
    fn a_pipe_grows_by_four_and_no_further_than_it_is_raised() {
        let could = may_be_raised();
        let pipe = StagingPipe::new().unwrap();
        let mut sizes = vec![capacity(&pipe)];
        for most in [StagingPipe::USUAL_BYTES, StagingPipe::RAISED_BYTES] {
            for _ in 0..2 {
                pipe.grow(most);
                sizes.push(capacity(&pipe));
            }
        }
        if could && may_be_raised() {
            assert_eq!(sizes, [1 << 16, 1 << 18, 1 << 18, 1 << 20, 1 << 20]);
        } else {
            assert!(sizes.is_sorted(), "{sizes:?}");
        }
    }
}
