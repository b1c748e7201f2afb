//! Edge: one process that can't be mistaken for another one.
//!
//! A pid alone says little: its process may be dead, and another one may have it. A pidfd stands for one
//! process; that it stands for the right one is shown by the start time, read after it was opened.

use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::error::SuperviseError;
use super::record::{Identity, start_time};
use crate::watched::Watched;

/// Names the time since the machine began: a pid means nothing after it.
pub(super) fn boot_id() -> Result<String, SuperviseError> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let text = text.map_err(|source| SuperviseError::BootId { source })?;
    Ok(text.trim().to_owned())
}

/// A process, alive or dead by now.
#[derive(Debug)]
pub(crate) struct Process {
    identity: Identity,
    handle: std::os::fd::OwnedFd,
    watched: Watched,
}

impl Process {
    /// Opens the process with this pid; gives none if there is none.
    pub(crate) fn of_pid(pid: i32) -> io::Result<Option<Process>> {
        let Some(number) = Pid::from_raw(pid) else {
            return Ok(None);
        };
        let handle = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let stat = match fs::read(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let start_time = start_time(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let watched = Watched::new(handle.try_clone()?)?;
        Ok(Some(Process {
            identity: Identity { pid, start_time },
            handle,
            watched,
        }))
    }

    /// Opens this very process; gives none if it is gone, whoever has its pid now.
    pub(crate) fn of_identity(identity: Identity) -> io::Result<Option<Process>> {
        let found = Process::of_pid(identity.pid)?;
        Ok(found.filter(|process| process.identity == identity))
    }

    /// Which process it is.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        self.watched.process_ended().await
    }

    /// Sends a signal; to a process that has ended it is none.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
