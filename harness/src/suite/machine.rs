//! The process of the suite itself: signals that end it, and processes that others leave behind.
//! (edge)
//!
//! The suite is a child subreaper, so what a dead case process leaves behind comes to it and is
//! killed. SIGINT, SIGTERM and SIGHUP are blocked and read from a descriptor: there is no signal
//! handler, and nothing is cut in the middle.

use std::fs;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpid};

/// The word in a case process's command line by which the suite knows its own.
pub(crate) const CASE_WORD: &str = "__case";

/// Milliseconds between two looks for case processes while the suite is being stopped.
const STOP_POLL_MS: u16 = 50;

/// How long a case process may take to clean up after it was asked to end.
const GRACE: Duration = Duration::from_secs(5);

/// Whether the run is to be stopped. Clones share one answer.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether somebody asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The suite's own process, prepared.
#[derive(Debug)]
pub struct Machine {
    stop: Stop,
}

impl Machine {
    /// Prepares this process. To be called once, before any thread is started, because threads
    /// inherit the signal mask.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn prepare() -> Result<Self, Errno> {
        prctl::set_child_subreaper(true)?;
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            .collect();
        signals.thread_block()?;
        let fd = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let stop = Stop::default();
        let asked = stop.clone();
        thread::spawn(move || watch(&fd, &asked));
        Ok(Self { stop })
    }

    /// Gives the mask back that this process was started with: nothing blocked. For a case
    /// process, which inherits the mask of the thread that started it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn unblock_signals() -> Result<(), Errno> {
        SigSet::empty().thread_set_mask()
    }

    /// Whether a signal asked this process to end.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }
}

/// Waits for a signal, then asks the case processes to end until they are gone, and kills those
/// that don't.
fn watch(fd: &SignalFd, stop: &Stop) {
    let mut asked_at: Option<Instant> = None;
    loop {
        let timeout = match asked_at {
            None => PollTimeout::NONE,
            Some(_) => PollTimeout::from(STOP_POLL_MS),
        };
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
        if matches!(fd.read_signal(), Ok(Some(_))) {
            stop.ask();
            asked_at.get_or_insert_with(Instant::now);
        }
        if let Some(since) = asked_at {
            let signal = if since.elapsed() < GRACE {
                Signal::SIGTERM
            } else {
                Signal::SIGKILL
            };
            for child in children() {
                if child.is_case() {
                    // It may have ended meanwhile; then there is nobody to ask.
                    kill(child.pid, signal).ok();
                }
            }
        }
    }
}

/// Kills what dead case processes left behind and reaps it. Live case processes are left alone.
pub(crate) fn sweep() {
    let own = command_line(getpid());
    for child in children() {
        match &child.command {
            Some(_) if child.is_case() => {}
            // A child that has not yet called exec looks like this process.
            Some(_) if child.command == own => {}
            Some(_) => {
                kill(child.pid, Signal::SIGKILL).ok();
                waitpid(child.pid, None).ok();
            }
            // A zombie. One that leads a session may be a case process, which its starter reaps.
            None if session(child.pid) != Some(child.pid) => {
                waitpid(child.pid, Some(WaitPidFlag::WNOHANG)).ok();
            }
            None => {}
        }
    }
}

struct Child {
    pid: Pid,
    /// NUL-separated words; none for a zombie.
    command: Option<Vec<u8>>,
}

impl Child {
    fn is_case(&self) -> bool {
        self.command.as_deref().is_some_and(|line| {
            line.split(|byte| *byte == 0)
                .any(|word| word == CASE_WORD.as_bytes())
        })
    }
}

/// The children of all threads of this process.
fn children() -> Vec<Child> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_ascii_whitespace()
                .filter_map(|word| word.parse().ok())
                .map(Pid::from_raw)
                .collect::<Vec<_>>()
        })
        .map(|pid| Child {
            pid,
            command: command_line(pid),
        })
        .collect()
}

fn command_line(pid: Pid) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/cmdline"))
        .ok()
        .filter(|line| !line.is_empty())
}

/// The sixth field of /proc/PID/stat, see proc_pid_stat(5).
fn session(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name
        .split_ascii_whitespace()
        .nth(3)?
        .parse()
        .ok()
        .map(Pid::from_raw)
}
