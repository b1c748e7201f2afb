//! Which descriptors a program gets that this process starts (edge).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

/// The first that is none of stdin, stdout and stderr.
const FIRST: RawFd = 3;

/// Has all descriptors but stdin, stdout and stderr closed where this process, or a child that it makes, becomes
/// another program, execve(2). Whoever started this process may have left some open that are nobody's business: a
/// pipe whose reader waits for its end, a file that only root may open.
///
/// It allocates nothing and takes no lock, so it may be called between fork(2) and execve(2).
///
/// # Errors
/// The error of reading `/proc/self/fd`.
pub(crate) fn keep_from_programs() -> io::Result<()> {
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
        for file in &open {
            fcntl_setfd(file, FdFlags::empty()).unwrap();
        }
        keep_from_programs().unwrap();
        for file in &open {
            assert_eq!(fcntl_getfd(file).unwrap(), FdFlags::CLOEXEC);
        }
        assert_eq!(fcntl_getfd(io::stderr().as_fd()).unwrap(), FdFlags::empty());
    }
}
