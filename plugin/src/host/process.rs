//! The process of a plugin, held by a pidfd (edge): its number may be somebody else's by the time that it is
//! used, its descriptor never is.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::error::{EndError, HostError};
use super::identity::{Stat, StatError};

/// How long the end of a killed process is waited for when its host is dropped.
const DROP_WAIT: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Another process was its parent, or has asked before.
    Unknown,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::Unknown => f.write_str("ended"),
        }
    }
}

/// A process that is killed when this is dropped, unless it was released.
#[derive(Debug)]
pub(super) struct Process {
    pid: i32,
    pidfd: AsyncFd<OwnedFd>,
    is_ours: AtomicBool,
    /// How it ended, once somebody has asked: the kernel answers only once.
    end: OnceLock<End>,
}

impl Process {
    /// Watches a child that was just started. It cannot be gone: nobody has asked how it ended.
    pub(super) fn of_child(pid: i32) -> Result<Self, HostError> {
        let process = Self::open(pid).map_err(|source| HostError::Watch { pid, source })?;
        process.is_ours.store(true, Ordering::Relaxed);
        Ok(process)
    }

    /// Watches a process that somebody started. It is nothing to kill before [`Process::take`].
    pub(super) fn find(pid: i32) -> Result<Self, HostError> {
        Self::open(pid).map_err(|source| match Errno::from_io_error(&source) {
            Some(Errno::SRCH) => HostError::Vanished { pid },
            _ => HostError::Watch { pid, source },
        })
    }

    fn open(pid: i32) -> io::Result<Self> {
        let number = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = pidfd_open(number, PidfdFlags::empty())?;
        Ok(Self {
            pid,
            pidfd: register(pidfd)?,
            is_ours: AtomicBool::new(false),
            end: OnceLock::new(),
        })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// From now on it is killed when this is dropped.
    pub(super) fn take(&self) {
        self.is_ours.store(true, Ordering::Relaxed);
    }

    /// From now on it is left alone when this is dropped.
    pub(super) fn release(&self) {
        self.is_ours.store(false, Ordering::Relaxed);
    }

    /// Gives its end, or nothing if it lives on after this time.
    pub(super) async fn end_within(&self, within: Duration) -> Option<End> {
        timeout(within, self.end()).await.ok()
    }

    /// Ends when it has ended.
    pub(super) async fn ended(&self) {
        // A pidfd is readable from the end of its process on, see pidfd_open(2). An error is one of the
        // runtime, which is then at its own end.
        drop(self.pidfd.readable().await);
    }

    /// Gives its end.
    pub(super) async fn end(&self) -> End {
        self.ended().await;
        *self.end.get_or_init(|| self.reap())
    }

    fn reap(&self) -> End {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => End::Code(code),
                (None, Some(signal)) => End::Signal(signal),
                (None, None) => End::Unknown,
            },
            // ECHILD: it is somebody else's.
            Ok(None) | Err(_) => End::Unknown,
        }
    }

    /// Kills it. That it has ended already is as good.
    pub(super) fn kill(&self) -> Result<(), EndError> {
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(EndError::Kill {
                pid: self.pid,
                source: errno.into(),
            }),
        }
    }

    /// Kills it and waits for its end, at most a second. Says whether it has ended; one that was released
    /// is left alone, and lives on.
    pub(super) fn end_now(&self) -> bool {
        if self.end.get().is_some() {
            return true;
        }
        if !self.is_ours.load(Ordering::Relaxed) || self.kill().is_err() {
            return false;
        }
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let ended = poll(&mut fds, Some(&DROP_WAIT)) == Ok(1);
        if ended {
            self.end.get_or_init(|| self.reap());
        }
        ended
    }

    /// Gives what the kernel tells about it.
    pub(super) fn stat(&self) -> Result<Stat, HostError> {
        stat(self.pid)
    }
}

#[expect(
    unsafe_code,
    reason = "tokio's safe constructors are deprecated: they can't know that the descriptor stays open"
)]
fn register(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` has the same open descriptor from its making to its drop, and the `AsyncFd`
    // drops it after it has taken it off its own list.
    let registered = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
    Ok(registered?)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_now();
    }
}

/// Gives what the kernel tells about any process.
pub(super) fn stat(pid: i32) -> Result<Stat, HostError> {
    let read = std::fs::read(format!("/proc/{pid}/stat"));
    read.map_err(|source| StatError::Read { pid, source })
        .and_then(|bytes| Stat::parse(&String::from_utf8_lossy(&bytes)))
        .map_err(|source| HostError::Stat { pid, source })
}
