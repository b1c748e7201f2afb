//! Waiting for a task and its executor, on a thread for each task: an edge.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::watch;

use crate::executor::RecoveryFault;
use crate::executor::process::until_readable;
use crate::executor::status::Status;
use crate::faults::watchdog;

/// What is reported of a task that was killed with its executor.
const KILLED: (i32, i32) = (128 + 9, 9);

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) signal: i32,
    /// Whether a process of the task was killed for want of memory, as far as somebody counts.
    pub(super) oom_killed: bool,
    /// Why nothing better is known, or empty.
    pub(super) err: String,
    pub(super) at: SystemTime,
}

/// How far a task is, as all who wait for it see it.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// Whether its main process is gone.
    pub(super) is_gone: watch::Receiver<bool>,
    /// Its end, once the executor has delivered what it wrote and ended, too.
    pub(super) ended: watch::Receiver<Option<Ended>>,
}

impl Progress {
    /// Waits for the end.
    pub(super) async fn end(&self) -> Ended {
        let mut ended = self.ended.clone();
        let result = ended.wait_for(Option::is_some).await;
        let end = result.ok().and_then(|end| end.clone());
        end.unwrap_or_else(|| unknown("nobody waits for the task any more"))
    }

    /// Waits until the main process is gone.
    pub(super) async fn gone(&self) {
        let mut is_gone = self.is_gone.clone();
        // A thread that is gone has seen the end.
        drop(is_gone.wait_for(|is_gone| *is_gone).await);
    }

    pub(super) fn end_now(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }
}

impl Misjudges {
    /// Of a task that this fault's driver has seen run.
    pub(super) fn of(fault: Option<RecoveryFault>) -> Self {
        if fault == Some(RecoveryFault::TakesPauseForDeath) {
            Self::Pause
        } else {
            Self::Nothing
        }
    }
}

/// What a thread waits for.
pub(super) struct Observer {
    /// Readable when the process has ended; none if there was none any more.
    pub(super) executor: Option<OwnedFd>,
    pub(super) task: Option<OwnedFd>,
    /// The executor, for who is its parent.
    pub(super) child: Option<Child>,
    /// What the driver holds until the executor has ended; nothing but by fault.
    pub(super) held: Vec<OwnedFd>,
    pub(super) status: PathBuf,
    /// Whether the executor was killed by this driver.
    pub(super) was_killed: Arc<AtomicBool>,
    pub(super) misjudges: Misjudges,
}

/// What an end is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misjudges {
    /// What it is.
    Nothing,
    /// Success, whatever it was.
    AnyEnd,
    /// Death, if nobody had looked for a while.
    Pause,
}

impl Observer {
    /// Begins to wait.
    pub(super) fn observe(self) -> Progress {
        let (tell_gone, is_gone) = watch::channel(false);
        let (tell_end, ended) = watch::channel(None);
        std::thread::spawn(move || {
            let is_seen = match self.misjudges {
                Misjudges::Pause => {
                    let is_seen = watchdog::sees_the_end(self.executor.as_ref());
                    tell_gone.send_replace(true);
                    is_seen
                }
                Misjudges::Nothing | Misjudges::AnyEnd => {
                    self.until_gone();
                    tell_gone.send_replace(true);
                    until_readable(self.executor.as_ref(), None)
                }
            };
            tell_end.send_replace(Some(self.end(is_seen)));
            if let Some(mut child) = self.child {
                // Its status says no more than the file.
                child.wait().ok();
            }
            drop(self.held);
        });
        Progress { is_gone, ended }
    }

    /// Waits until one of the two has ended.
    fn until_gone(&self) {
        let (Some(executor), Some(task)) = (&self.executor, &self.task) else {
            return;
        };
        loop {
            let mut fds = [executor, task].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
            // EINTR only means another look.
            if poll(&mut fds, PollTimeout::NONE).is_ok_and(|ready| ready > 0) {
                return;
            }
        }
    }

    fn end(&self, is_seen: bool) -> Ended {
        if !is_seen {
            return killed();
        }
        let status = fs::read_to_string(&self.status).ok();
        let status = status.and_then(|text| Status::parse(&text));
        let mut end = match status {
            Some(status) => Ended {
                code: status.code.into(),
                signal: status.signal.unwrap_or(0),
                oom_killed: false,
                err: String::new(),
                at: status.ended,
            },
            None if self.was_killed.load(Ordering::SeqCst) => killed(),
            None => unknown("the executor of the task ended and left no status"),
        };
        if self.misjudges == Misjudges::AnyEnd {
            (end.code, end.signal) = (0, 0);
            end.err.clear();
        }
        end
    }
}

pub(super) fn killed() -> Ended {
    let (code, signal) = KILLED;
    Ended {
        code,
        signal,
        oom_killed: false,
        err: String::new(),
        at: SystemTime::now(),
    }
}

pub(super) fn unknown(why: &str) -> Ended {
    Ended {
        code: -1,
        signal: 0,
        oom_killed: false,
        err: why.to_owned(),
        at: SystemTime::now(),
    }
}
