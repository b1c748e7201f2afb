//! Which descriptors a program gets that this process starts (edge).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::libc;
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

/// The first that is none of stdin, stdout and stderr.
pub(crate) const FIRST: RawFd = 3;

/// Has all descriptors but stdin, stdout and stderr closed where this process, or a child that it makes, becomes
/// another program, execve(2). Whoever started this process may have left some open that are nobody's business: a
/// pipe whose reader waits for its end, a file that only root may open.
///
/// It allocates nothing and takes no lock, so it may be called between fork(2) and execve(2).
///
/// # Errors
/// The error of reading `/proc/self/fd`, which is done where the kernel can't do all at once.
pub(crate) fn keep_from_programs() -> io::Result<()> {
    // Before Linux 5.11, or behind a filter of system calls.
    mark_all().or_else(|_| mark_listed())
}

/// Marks them all by one call, close_range(2).
fn mark_all() -> Result<(), Errno> {
    let (first, last) = (FIRST.cast_unsigned(), u32::MAX);
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    #[expect(unsafe_code, reason = "close_range(2) has no safe cover")]
    // SAFETY: it closes nothing now. What this process has open with a purpose in a program it opens so, or puts in the
    // place of one of the first three.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if outcome == 0 {
        return Ok(());
    }
    Err(Errno::from_raw_os_error(nix::errno::Errno::last_raw()))
}

/// Marks one after the other. What it needs of the stack is not to be taken where all are marked at once.
#[cold]
#[inline(never)]
fn mark_listed() -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let list = openat(CWD, c"/proc/self/fd", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&list, &mut buffer);
    while let Some(entry) = entries.next() {
        let number = entry?.file_name().to_str().ok().map(str::parse::<RawFd>);
        if let Some(Ok(number)) = number
            && number >= FIRST
            && number != list.as_raw_fd()
        {
            close_on_exec(number)?;
        }
    }
    Ok(())
}

fn close_on_exec(number: RawFd) -> io::Result<()> {
    #[expect(
        unsafe_code,
        reason = "a descriptor that somebody else has opened has no owner in this program"
    )]
    // SAFETY: the kernel has just listed it, it is not -1, and it is used for two calls of fcntl(2) alone, which give
    // an error if it was closed since.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let marked = fcntl_getfd(fd).and_then(|flags| {
        if flags.contains(FdFlags::CLOEXEC) {
            return Ok(());
        }
        fcntl_setfd(fd, flags | FdFlags::CLOEXEC)
    });
    match marked {
        Ok(()) | Err(Errno::BADF) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_open_is_closed_in_a_program_but_the_three_that_it_gets() {
        // More than one read of the folder gives.
        let open: Vec<File> = (0..300).map(|_| File::open("/dev/null").unwrap()).collect();
        let ways: [fn() -> io::Result<()>; 3] =
            [|| Ok(mark_all()?), mark_listed, keep_from_programs];
        for way in ways {
            for file in &open {
                fcntl_setfd(file, FdFlags::empty()).unwrap();
            }
            way().unwrap();
            for file in &open {
                assert_eq!(fcntl_getfd(file).unwrap(), FdFlags::CLOEXEC);
            }
            assert_eq!(fcntl_getfd(io::stderr().as_fd()).unwrap(), FdFlags::empty());
        }
    }
}
