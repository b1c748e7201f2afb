//! Looks at what lies in a FIFO and leaves it there. (edge)

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, tee};
use nix::unistd::{pipe2, read};

use super::collect::{CollectError, system};
use super::stream::Outcome;

/// Copies the first bytes that lie in the FIFO, at most as many as fit into `chunk`.
pub(super) fn look(fifo: &OwnedFd, chunk: &mut [u8]) -> Result<Outcome, CollectError> {
    let (scratch, into) = pipe2(OFlag::O_CLOEXEC).map_err(system("make a pipe"))?;
    let teed = tee(
        fifo.as_fd(),
        into.as_fd(),
        chunk.len(),
        SpliceFFlags::SPLICE_F_NONBLOCK,
    );
    match teed {
        Ok(0) => Ok(Outcome::NoWriter),
        Ok(bytes) => take_out(&scratch, &mut chunk[..bytes]).map(|()| Outcome::Bytes(bytes)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(Outcome::Empty),
        Err(errno) => Err(system("copy from a FIFO")(errno)),
    }
}

/// Takes as many bytes as fit into `chunk` out of a pipe that has them.
pub(super) fn take_out(pipe: &OwnedFd, chunk: &mut [u8]) -> Result<(), CollectError> {
    let mut taken = 0;
    while taken < chunk.len() {
        match read(pipe, &mut chunk[taken..]) {
            Ok(0) => return Err(system("take what was copied")(Errno::EPIPE)),
            Ok(bytes) => taken += bytes,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(system("take what was copied")(errno)),
        }
    }
    Ok(())
}
