//! Standard output of a plugin, taken over once the handshake is written (edge): from then on it goes to
//! the host as chunks, through a pipe of the process to itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{dup2_stderr, dup2_stdout};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::outlet::Outlet;
use crate::proto::go_plugin::stdio_data::Channel;

/// The outlet, as everybody who adds or fetches has it.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedOutlet(Arc<Mutex<Outlet>>);

impl SharedOutlet {
    pub(super) fn lock(&self) -> MutexGuard<'_, Outlet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One descriptor that is taken over; gives it back when dropped.
struct Original {
    channel: Channel,
    fd: OwnedFd,
}

impl Original {
    fn put(channel: Channel, fd: impl AsFd) -> io::Result<()> {
        match channel {
            Channel::Stderr => dup2_stderr(fd)?,
            Channel::Stdout | Channel::Invalid => dup2_stdout(fd)?,
        }
        Ok(())
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        // It was open a moment ago; if it cannot be put back, the process ends anyway.
        drop(Self::put(self.channel, &self.fd));
    }
}

/// What of the process goes to the host as chunks.
#[derive(Default)]
pub(super) struct Captured {
    originals: Vec<Original>,
    pumps: Vec<JoinHandle<()>>,
}

impl Captured {
    /// Takes one descriptor over.
    pub(super) fn add(&mut self, channel: Channel, outlet: &SharedOutlet) -> io::Result<()> {
        let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC)?;
        let receiver = pipe::Receiver::from_owned_fd(read_end)?;
        let fd = match channel {
            Channel::Stderr => io::stderr().as_fd().try_clone_to_owned()?,
            Channel::Stdout | Channel::Invalid => io::stdout().as_fd().try_clone_to_owned()?,
        };
        Original::put(channel, write_end)?;
        self.originals.push(Original { channel, fd });
        self.pumps
            .push(tokio::spawn(pump(receiver, channel, outlet.clone())));
        Ok(())
    }

    /// Gives everything back, and gives the pumps, which end when all that was written is in the outlet. A
    /// child that has standard output still keeps them from ending.
    pub(super) fn give_back(mut self) -> Vec<JoinHandle<()>> {
        self.originals.clear();
        std::mem::take(&mut self.pumps)
    }
}

async fn pump(mut pipe: pipe::Receiver, channel: Channel, outlet: SharedOutlet) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        outlet.lock().push(channel, &buffer[..count]);
    }
}
