//! A task that was started: its main process, and what else is of it (edge).
//!
//! The main process is not reaped before a shutdown. Until then its zombie keeps its number, and that of its
//! process group, from becoming somebody else's. Its status is read without taking it, waitid(2) with WNOWAIT.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid,
};

use crate::containment::Containment;
use crate::isolate::{Container, does_nothing};
use crate::processes;
use crate::spawn::Newborn;
use crate::status::{End, ExitStatus};
use crate::user::Credentials;
use crate::waiting::{Cancel, CancelSource, Deadline, Woken, readable};

/// Locks what stays right when a thread panics with it: each change of it is one assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What every process of the task is started with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) env: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) task_folder: Option<PathBuf>,
    pub(crate) cwd: PathBuf,
    pub(crate) oom_score_adj: Option<i16>,
    /// What it is isolated by, if it is.
    pub(crate) container: Option<Container>,
}

/// The commands that run in the task beside its main process.
#[derive(Debug, Default)]
pub(crate) struct Execs(BTreeSet<i32>);

impl Execs {
    pub(crate) fn has(&self, pid: i32) -> bool {
        self.0.contains(&pid)
    }

    pub(crate) fn add(&mut self, pid: i32) {
        self.0.insert(pid);
    }
}

#[derive(Debug, Default)]
struct Leader {
    status: Option<ExitStatus>,
    is_reaped: bool,
}

/// A task.
#[derive(Debug)]
pub(crate) struct Task {
    pid: Pid,
    pidfd: OwnedFd,
    leader: Mutex<Leader>,
    pub(crate) containment: Containment,
    pub(crate) context: Context,
    pub(crate) execs: Mutex<Execs>,
    execs_changed: Condvar,
    /// Ends the commands in the task when it is stopped.
    stopping: CancelSource,
    /// Held by the one shutdown that is cleaning up.
    cleaning: Mutex<()>,
}

impl Task {
    pub(crate) fn new(
        newborn: Newborn,
        containment: Containment,
        context: Context,
        stopping: CancelSource,
    ) -> Task {
        Task {
            pid: newborn.pid,
            pidfd: newborn.pidfd,
            leader: Mutex::default(),
            containment,
            context,
            execs: Mutex::default(),
            execs_changed: Condvar::new(),
            stopping,
            cleaning: Mutex::default(),
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// True if the main process has ended.
    pub(crate) fn has_ended(&self) -> io::Result<bool> {
        let now = Deadline::after(Duration::ZERO);
        Ok(readable(self.pidfd.as_fd(), now, Cancel::never())? == Woken::Readable)
    }

    /// Waits until the main process has ended. A pidfd is readable from then on, pidfd_open(2).
    pub(crate) fn await_end(&self, deadline: Deadline, cancel: Cancel<'_>) -> io::Result<Woken> {
        readable(self.pidfd.as_fd(), deadline, cancel)
    }

    /// How the main process ended; none while it lives.
    pub(crate) fn status(&self) -> io::Result<Option<ExitStatus>> {
        let mut leader = lock(&self.leader);
        self.read_status(&mut leader)
    }

    fn read_status(&self, leader: &mut Leader) -> io::Result<Option<ExitStatus>> {
        if leader.status.is_none() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            let ended = waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?;
            leader.status = ended.as_ref().and_then(end_of).map(|end| ExitStatus {
                end,
                oom_killed: self.containment.oom_kills().map(|kills| kills > 0),
                seen_at: SystemTime::now(),
            });
        }
        Ok(leader.status)
    }

    /// Sends a signal to the main process alone; says whether it was there.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<bool> {
        Ok(!self.has_ended()? && processes::signal(&self.pidfd, signal)?)
    }

    /// How long the main process may take to end after a signal: no time if it is the first one of its namespace, and is
    /// not told of the signal.
    pub(crate) fn grace_after(&self, signal: Signal, grace: Duration) -> Duration {
        let is_first =
            (self.context.container.as_ref()).is_some_and(|container| container.is_first);
        let path = format!("/proc/{}/status", self.pid());
        let is_told = !is_first
            || std::fs::read_to_string(path).is_ok_and(|status| !does_nothing(&status, signal));
        if is_told { grace } else { Duration::ZERO }
    }

    /// Kills the process group of the main process, if its number is certain to be this task's.
    pub(crate) fn kill_group(&self) -> io::Result<()> {
        let mut leader = lock(&self.leader);
        // Whoever else reaps the children of this process may have given the number free.
        if leader.is_reaped
            || matches!(self.read_status(&mut leader), Err(error) if is_lost(&error))
        {
            return Ok(());
        }
        match kill_process_group(self.pid, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            // Those that are left run as somebody else; the others have got it, kill(2).
            Err(errno) => Err(errno.into()),
        }
    }

    /// True once the main process was reaped.
    pub(crate) fn is_reaped(&self) -> bool {
        lock(&self.leader).is_reaped
    }

    /// Reaps the main process; says whether it had not been before. Its status is known from then on.
    pub(crate) fn reap(&self) -> io::Result<bool> {
        let mut leader = lock(&self.leader);
        if leader.is_reaped {
            return Ok(false);
        }
        match self.read_status(&mut leader) {
            Ok(None) => return Err(io::Error::other("it has not ended")),
            Ok(Some(_)) => {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?;
            }
            // Somebody else was faster.
            Err(error) if is_lost(&error) => {}
            Err(error) => return Err(error),
        }
        leader.is_reaped = true;
        Ok(true)
    }

    /// Waits for its turn to clean up, at most as long as another shutdown takes to.
    pub(crate) fn begin_cleaning(&self) -> MutexGuard<'_, ()> {
        lock(&self.cleaning)
    }

    /// From now on commands in the task end, and no new one begins.
    pub(crate) fn stop_execs(&self) {
        self.stopping.cancel();
    }

    /// What ends a command in the task before its time.
    pub(crate) fn stopping(&self) -> Cancel<'_> {
        Cancel::when_readable(&self.stopping)
    }

    /// Takes a command off the list; it is reaped.
    pub(crate) fn exec_ended(&self, pid: i32) {
        lock(&self.execs).0.remove(&pid);
        self.execs_changed.notify_all();
    }

    /// Waits until no command runs in the task; says whether that came.
    pub(crate) fn await_execs(&self, deadline: Deadline) -> bool {
        let mut execs = lock(&self.execs);
        while !execs.0.is_empty() {
            let Some(left) = deadline.left_of(Duration::from_secs(1)) else {
                return false;
            };
            let waited = self.execs_changed.wait_timeout(execs, left);
            execs = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// How a process ended, as waitid(2) tells it.
pub(crate) fn end_of(status: &WaitIdStatus) -> Option<End> {
    let code = status.exit_status().map(End::Code);
    code.or_else(|| status.terminating_signal().map(End::Signal))
}

/// True if the status of a child is nowhere: this process ignores SIGCHLD, or somebody else in it has taken it.
pub(crate) fn is_lost(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::CHILD)
}
