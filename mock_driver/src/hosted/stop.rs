//! Signals, and the end of a task that somebody asks for: an edge.
//!
//! Of a task that is forwarded, the driver signals the task and not its executor, so that the exit that waiters get is the task's own and
//! what it wrote is delivered. The executor is only told that a stop was asked for: then it waits less long for
//! somebody who reads.

use std::fs;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use plugin::Status;
use plugin::failure::plain;
use tokio::time::timeout;

use super::executed;
use super::state::Process;
use super::task::Task;
use crate::executor::process::{began, descendants_of, kill_all};
use crate::fault::Stop;

/// How long what was killed may take to be gone.
const KILLED: Duration = Duration::from_secs(4);
/// How long an executor may take to deliver the rest once its task is destroyed.
const DELIVERED: Duration = Duration::from_secs(2);

/// The signal of this name, with or without `SIG`; without a name SIGTERM.
pub(super) fn signal_of(name: &str) -> Result<Signal, Status> {
    let upper = name.to_ascii_uppercase();
    let full = match upper.as_str() {
        "" => return Ok(Signal::SIGTERM),
        name if name.starts_with("SIG") => name.to_owned(),
        name => format!("SIG{name}"),
    };
    let wrong = |_| {
        plain(format!(
            "signal: there is no {name:?}; a name such as SIGTERM is expected"
        ))
    };
    Signal::from_str(&full).map_err(wrong)
}

impl Task {
    /// Sends a signal to the main process.
    pub(super) async fn signal(&self, name: &str) -> Result<(), Status> {
        if name.is_empty() {
            return Err(plain("signal: a name such as SIGHUP is expected"));
        }
        let signal = signal_of(name)?;
        if let Some(error) = &self.plan.signal_error {
            return Err(plain(error.clone()));
        }
        self.must_run()?;
        if let Some(kept) = &self.kept {
            return executed::signal(kept, signal).await;
        }
        match self.send(signal) {
            Ok(()) => Ok(()),
            Err(errno) => Err(plain(format!("cannot send {signal}: {errno}"))),
        }
    }

    /// Asks the main process to end, and kills the whole task when the time is over: at once if there is none.
    /// Done when the main process is gone; what it wrote may still be on its way.
    pub(super) async fn stop(&self, limit: Duration, signal: Signal) -> Result<(), Status> {
        if let Some(kept) = &self.kept {
            return executed::stop(kept, limit, signal).await;
        }
        if !self.runs() {
            self.kill_orphans();
            return Ok(());
        }
        match self.stop_policy() {
            Stop::Prompt => {}
            policy @ (Stop::AfterDelivery | Stop::ForgetsEarly) => {
                // Whatever the executor makes of it, the driver believes that it is done.
                let forgets = policy == Stop::ForgetsEarly;
                self.was_killed.fetch_or(forgets, Ordering::SeqCst);
                self.tell_executor(Signal::SIGTERM);
                self.progress.end().await;
                return Ok(());
            }
        }
        if !limit.is_zero() {
            // One that is gone already is as good.
            self.send(signal).ok();
            self.tell_executor(Signal::SIGTERM);
            if timeout(limit, self.progress.gone()).await.is_ok() {
                return Ok(());
            }
        }
        self.tell_executor(Signal::SIGTERM);
        self.kill_task();
        let gone = timeout(KILLED, self.progress.gone()).await;
        gone.map_err(|_| plain(format!("the task lives {KILLED:?} after SIGKILL")))
    }

    /// Kills what runs and removes the driver's own files.
    pub(super) async fn destroy(&self) -> Result<(), Status> {
        if let Some(kept) = &self.kept {
            executed::destroy(kept).await?;
            return self.remove_folder();
        }
        self.stop(Duration::ZERO, Signal::SIGKILL).await?;
        if timeout(DELIVERED, self.progress.end()).await.is_err() {
            let left = self.descendants();
            self.was_killed.store(true, Ordering::SeqCst);
            if is_still(self.state.executor) {
                killpg(Pid::from_raw(self.state.executor.pid), Signal::SIGKILL).ok();
            }
            kill_all(&left);
            drop(timeout(KILLED, self.progress.end()).await);
        }
        self.remove_folder()
    }

    fn remove_folder(&self) -> Result<(), Status> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(plain(format!(
                "cannot remove {}: {error}",
                self.folder.display()
            ))),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// All processes of the task. Whatever lost its parent has the executor for one.
    pub(super) fn descendants(&self) -> Vec<i32> {
        if is_still(self.state.executor) {
            descendants_of(self.state.executor.pid)
        } else {
            Vec::new()
        }
    }

    /// Kills all processes of the task, and looks again for those that were just made.
    fn kill_task(&self) {
        let mut left = self.descendants();
        for _ in 0..8 {
            kill_all(&left);
            let now = self.descendants();
            if now.iter().all(|pid| left.contains(pid)) {
                return;
            }
            left = now;
        }
    }

    /// Kills a task that outlived its executor, unless it is the driver's fault to forget such a one.
    fn kill_orphans(&self) {
        let main = self.state.task;
        if is_still(main) && self.stop_policy() != Stop::ForgetsEarly {
            let mut orphans = descendants_of(main.pid);
            orphans.push(main.pid);
            kill_all(&orphans);
        }
    }

    fn send(&self, signal: Signal) -> nix::Result<()> {
        if is_still(self.state.task) {
            kill(Pid::from_raw(self.state.task.pid), signal)
        } else {
            Err(Errno::ESRCH)
        }
    }

    fn tell_executor(&self, signal: Signal) {
        if is_still(self.state.executor) {
            // One that has just ended is as good.
            kill(Pid::from_raw(self.state.executor.pid), signal).ok();
        }
    }
}

/// Whether it is still the same process that has the number.
fn is_still(process: Process) -> bool {
    process.began != 0 && began(process.pid) == Some(process.began)
}
