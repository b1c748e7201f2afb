//! Standard output of a plugin, taken over once the handshake is written (edge): from then on it goes to
//! the host as chunks, through a pipe of the process to itself. A thread of its own reads the pipe: a task of
//! a runtime whose threads all wait for room in it would never come to make room.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{dup2_stderr, dup2_stdout};
use tokio::sync::oneshot;

use super::outlet::Outlet;
use crate::proto::go_plugin::stdio_data::Channel;

/// Enough for a buffer and a few calls.
const STACK_BYTES: usize = 64 * 1024;

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
    pumps: Vec<oneshot::Receiver<()>>,
}

impl Captured {
    /// Takes one descriptor over.
    pub(super) fn add(&mut self, channel: Channel, outlet: &SharedOutlet) -> io::Result<()> {
        let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC)?;
        let (ended, pump_ended) = oneshot::channel::<()>();
        let outlet = outlet.clone();
        thread::Builder::new()
            .name("output".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                pump(File::from(read_end), channel, &outlet);
                // Dropping this is the word to whoever waits.
                drop(ended);
            })?;
        let fd = match channel {
            Channel::Stderr => io::stderr().as_fd().try_clone_to_owned()?,
            Channel::Stdout | Channel::Invalid => io::stdout().as_fd().try_clone_to_owned()?,
        };
        Original::put(channel, write_end)?;
        self.originals.push(Original { channel, fd });
        self.pumps.push(pump_ended);
        Ok(())
    }

    /// Gives everything back, and gives the ends of the pumps, which come when all that was written is in the
    /// outlet. A child that has standard output still keeps them from coming.
    pub(super) fn give_back(mut self) -> Vec<oneshot::Receiver<()>> {
        self.originals.clear();
        std::mem::take(&mut self.pumps)
    }
}

fn pump(mut pipe: File, channel: Channel, outlet: &SharedOutlet) {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => outlet.lock().push(channel, &buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
