//! Edge: a descriptor of another process's end, watched by the runtime: a connection or a pidfd.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What is watched.
#[derive(Debug)]
struct Handle(OwnedFd);

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A descriptor that tells when it is over with the other end.
#[derive(Debug)]
pub(crate) struct Watched(AsyncFd<Handle>);

impl Watched {
    /// Has the runtime watch the descriptor.
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<Watched> {
        Ok(Watched(register(Handle(descriptor))?))
    }

    /// Waits until the process of this pidfd has ended.
    pub(crate) async fn process_ended(&self) -> io::Result<()> {
        self.until(PollFlags::POLLIN).await
    }

    /// Waits until the other end of this connection is closed.
    pub(crate) async fn connection_closed(&self) -> io::Result<()> {
        self.until(PollFlags::POLLHUP).await
    }

    async fn until(&self, wanted: PollFlags) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            // First forgotten, then looked at, so that nothing between the two is missed.
            ready.clear_ready();
            let mut now = [PollFd::new(self.0.get_ref().0.as_fd(), wanted)];
            poll(&mut now, PollTimeout::ZERO)?;
            if now[0]
                .revents()
                .is_some_and(|found| found.intersects(wanted | PollFlags::POLLERR))
            {
                return Ok(());
            }
        }
    }
}

/// Has the runtime watch the handle.
#[expect(
    unsafe_code,
    reason = "tokio's safe constructors are deprecated: they can't know that the descriptor stays open"
)]
fn register(handle: Handle) -> io::Result<AsyncFd<Handle>> {
    // SAFETY: `Handle` owns its descriptor, gives the same one each time and closes it only when it is
    // dropped, which the `AsyncFd` does after it has taken it off its own list.
    let registered = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
    Ok(registered?)
}
