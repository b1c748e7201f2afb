//! What both ends of a pipe can be asked: capacity, fill level, readiness. This module is an edge.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, tee};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Bytes that one write may have and still be contiguous in the pipe, whoever else writes: 4,096 on
/// Linux (`pipe(7)`).
pub const PIPE_BUF: usize = libc::PIPE_BUF;

/// A point in time until which to wait; none when it lies too far ahead to be told.
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(limit))
    }

    /// What is left, or none once the time is up. A deadline too far ahead never is.
    pub(crate) fn left(&self) -> Option<Duration> {
        match self.0 {
            Some(end) => end
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero()),
            None => Some(Duration::MAX),
        }
    }
}

/// Waits until the descriptor has an event or the limit is over; gives no flags in the latter case.
/// It looks at least once, even with a limit of zero.
pub(crate) fn poll_within(
    end: impl AsFd,
    interest: PollFlags,
    limit: Duration,
) -> io::Result<PollFlags> {
    let deadline = Deadline::after(limit);
    loop {
        let left = deadline.left().unwrap_or(Duration::ZERO);
        // poll(2) counts whole milliseconds; rounded down, the last one would be a busy loop.
        let wait_ms = left.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(wait_ms).unwrap_or(PollTimeout::MAX);
        let mut entries = [PollFd::new(end.as_fd(), interest)];
        match poll(&mut entries, timeout) {
            Ok(0) if left.is_zero() => return Ok(PollFlags::empty()),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(entries[0].revents().unwrap_or(PollFlags::empty())),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The capacity in bytes (F_GETPIPE_SZ).
pub(crate) fn capacity(end: impl AsFd) -> io::Result<usize> {
    to_count(fcntl(end, FcntlArg::F_GETPIPE_SZ)?)
}

/// Sets the capacity (F_SETPIPE_SZ) and gives what the kernel made of it.
pub(crate) fn set_capacity(end: impl AsFd, bytes: usize) -> io::Result<usize> {
    let bytes = libc::c_int::try_from(bytes).map_err(|_| io::Error::from(Errno::EINVAL))?;
    to_count(fcntl(end, FcntlArg::F_SETPIPE_SZ(bytes))?)
}

/// Gives the number of bytes in a pipe now (FIONREAD), named or not, by either end.
///
/// # Errors
/// The error of the ioctl: the descriptor is no pipe.
#[expect(unsafe_code, reason = "nix has no safe cover of this ioctl")]
pub fn fill_level(end: impl AsFd) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to the address given, which is that of a live local; the
    // descriptor is borrowed for the time of the call.
    let code = unsafe { libc::ioctl(end.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    Errno::result(code)?;
    to_count(bytes)
}

/// True when the pipe has no bytes and no writer.
///
/// tee(2) takes nothing. It gives 0 only when nobody could write, and EAGAIN when somebody could; poll(2)
/// says nothing of writers before the first one that this descriptor has seen.
pub(crate) fn is_deserted(end: impl AsFd) -> io::Result<bool> {
    let (_through, into) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    loop {
        match tee(&end, &into, 1, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(bytes) => return Ok(bytes == 0),
            Err(Errno::EAGAIN) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn to_count(value: libc::c_int) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::Error::from(Errno::EOVERFLOW))
}
