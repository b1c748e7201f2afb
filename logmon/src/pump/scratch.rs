//! Edge: looking at what lies in a pipe without taking it.
//!
//! `tee(2)` copies references to the pages into a scratch pipe, and the scratch pipe is read. The process
//! has one, made when it is first needed, and empty between two looks. A look never waits, so one is enough
//! for all threads.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, tee};
use nix::unistd::{pipe2, read};

/// What the scratch pipe is raised to when it has too few slots, in bytes: the default of
/// `/proc/sys/fs/pipe-max-size`.
const RAISED_BYTES: i32 = 1024 * 1024;

static SCRATCH: Mutex<Option<Scratch>> = Mutex::new(None);

struct Scratch {
    read_end: OwnedFd,
    write_end: OwnedFd,
}

/// Appends up to so many bytes from the start of the pipe to the buffer and leaves them in the pipe. It
/// gives fewer only if there are no more, or if they lie in more slots than a scratch pipe may have.
pub(crate) fn look(pipe: impl AsFd, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
    with_scratch(|usable| {
        let mut seen = usable.look(&pipe, bytes, buffer)?;
        if seen < bytes && usable.raise() {
            buffer.truncate(buffer.len() - seen);
            seen = usable.look(&pipe, bytes, buffer)?;
        }
        Ok(seen)
    })
}

/// Lends the scratch pipe. One that is not empty after a failure must not be used again: it is put back
/// only after a success.
fn with_scratch<T>(use_it: impl FnOnce(&Scratch) -> io::Result<T>) -> io::Result<T> {
    let mut scratch = SCRATCH.lock().unwrap_or_else(PoisonError::into_inner);
    let usable = match scratch.take() {
        Some(usable) => usable,
        None => Scratch::new()?,
    };
    let result = use_it(&usable)?;
    *scratch = Some(usable);
    Ok(result)
}

impl Scratch {
    fn new() -> io::Result<Scratch> {
        let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Scratch {
            read_end,
            write_end,
        })
    }

    fn look(&self, pipe: impl AsFd, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let teed = loop {
            match tee(
                &pipe,
                &self.write_end,
                bytes,
                SpliceFFlags::SPLICE_F_NONBLOCK,
            ) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(0),
                other => break other?,
            }
        };
        let begin = buffer.len();
        buffer.resize(begin + teed, 0);
        let mut done = begin;
        while done < buffer.len() {
            match read(&self.read_end, &mut buffer[done..]) {
                Err(Errno::EINTR) => {}
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                other => done += other?,
            }
        }
        Ok(teed)
    }

    /// True when it has more slots than before.
    fn raise(&self) -> bool {
        fcntl(&self.write_end, FcntlArg::F_GETPIPE_SZ).is_ok_and(|now| {
            now < RAISED_BYTES
                && fcntl(&self.write_end, FcntlArg::F_SETPIPE_SZ(RAISED_BYTES)).is_ok()
        })
    }
}

/// True when the pipe has no bytes and no writer. The answer is only about this moment.
pub(crate) fn is_deserted(pipe: impl AsFd) -> io::Result<bool> {
    with_scratch(|usable| {
        loop {
            // It gives 0 only when nobody could write, and EAGAIN when somebody could.
            match tee(&pipe, &usable.write_end, 1, SpliceFFlags::SPLICE_F_NONBLOCK) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(false),
                Ok(0) => return Ok(true),
                Ok(_) => {
                    read(&usable.read_end, &mut [0])?;
                    return Ok(false);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    })
}
