//! The process of the suite itself: signals that end it, and processes that others leave behind.
//! (edge)
//!
//! The suite is a child subreaper, so what a dead case process leaves behind comes to it and is
//! killed. SIGINT, SIGTERM and SIGHUP are blocked and read from a descriptor: there is no signal
//! handler, and nothing is cut in the middle. So is SIGUSR1, by which somebody asks what goes on.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use executor::Enclosure;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpid};

use crate::runner;

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

/// What is done when somebody asks what goes on.
type Answer = Box<dyn Fn() + Send>;

/// The suite's own process, prepared.
pub struct Machine {
    stop: Stop,
    answer: Arc<Mutex<Option<Answer>>>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl Machine {
    /// Prepares this process. To be called once, before any thread is started, because threads
    /// inherit the signal mask.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn prepare() -> Result<Self, Errno> {
        prctl::set_child_subreaper(true)?;
        // Those of a suite that was killed.
        Enclosure::remove_left();
        let signals = SigSet::from_iter([
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGUSR1,
        ]);
        signals.thread_block()?;
        let fd = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let stop = Stop::default();
        let answer: Arc<Mutex<Option<Answer>>> = Arc::default();
        let (asked, answers) = (stop.clone(), Arc::clone(&answer));
        thread::spawn(move || watch(&fd, &asked, &answers));
        Ok(Self { stop, answer })
    }

    /// Says what is done at each SIGUSR1 from now on; before, it is ignored. It is done on a thread of its
    /// own: one answer at a time, and signals that come meanwhile are answered together.
    pub fn when_asked(&self, answer: impl Fn() + Send + 'static) {
        let mut place = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Box::new(answer));
    }

    /// Whether a signal asked this process to end.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }
}

/// Waits for a signal, then asks the case processes to end until they are gone, and kills those
/// that don't.
fn watch(fd: &SignalFd, stop: &Stop, answer: &Arc<Mutex<Option<Answer>>>) {
    let questions = answers(Arc::clone(answer));
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
        if let Ok(Some(signal)) = fd.read_signal() {
            if signal.ssi_signo == Signal::SIGUSR1 as u32 {
                // Full while an answer is given and another one is due: that one answers this as well.
                questions.try_send(()).ok();
            } else {
                stop.ask();
                asked_at.get_or_insert_with(Instant::now);
            }
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

/// A thread that answers, so that the end of a run waits for no answer.
fn answers(answer: Arc<Mutex<Option<Answer>>>) -> SyncSender<()> {
    let (sender, questions) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for () in questions {
            let answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(answer) = &*answer {
                answer();
            }
        }
    });
    sender
}

/// The case processes of this suite, each with the folder of its case.
pub(super) fn case_processes() -> Vec<(i32, PathBuf)> {
    let folder = |child: &Child| -> Option<PathBuf> {
        let line = child.command.as_deref()?;
        let mut words = line.split(|byte| *byte == 0);
        words.find(|word| *word == CASE_WORD.as_bytes())?;
        Some(PathBuf::from(OsStr::from_bytes(words.next()?)))
    };
    let all = children().into_iter();
    all.filter_map(|child| Some((child.pid.as_raw(), folder(&child)?)))
        .collect()
}

/// Kills what dead case processes left behind and reaps it. Case processes are left alone: whoever started one
/// reaps it.
pub(crate) fn sweep() {
    let own_session = session(getpid());
    let killed = runner::with_case_processes(|ours| {
        let mut killed = Vec::new();
        let others = children().into_iter();
        for child in others.filter(|child| !ours.contains(&child.pid.as_raw())) {
            match fate(&child, own_session) {
                Fate::LeftAlone => {}
                Fate::Reaped => {
                    waitpid(child.pid, Some(WaitPidFlag::WNOHANG)).ok();
                }
                Fate::Killed => {
                    kill(child.pid, Signal::SIGKILL).ok();
                    killed.push(child.pid);
                }
            }
        }
        killed
    });
    for pid in killed {
        // Another thread may have reaped it.
        waitpid(pid, None).ok();
    }
}

/// What is done to a child of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    LeftAlone,
    Reaped,
    Killed,
}

fn fate(child: &Child, own_session: Option<Pid>) -> Fate {
    // A case process and whatever it starts are never in this session. The suite starts other programs there, for
    // itself; the command line of one that calls exec just now may be half of the old one and half of the new one.
    if child.session == own_session {
        return Fate::LeftAlone;
    }
    match child.command {
        Some(_) if child.is_case() => Fate::LeftAlone,
        Some(_) => Fate::Killed,
        // A zombie, and no case process of this suite: those were left out.
        None => Fate::Reaped,
    }
}

#[derive(Debug)]
struct Child {
    pid: Pid,
    /// None for one that is gone.
    session: Option<Pid>,
    /// NUL-separated words; none for a zombie.
    command: Option<Vec<u8>>,
}

impl Child {
    /// The session comes first: one that has left the suite's has a command line that stays.
    fn look(pid: Pid) -> Self {
        Self {
            pid,
            session: session(pid),
            command: command_line(pid),
        }
    }

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
        .map(Child::look)
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

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE: Pid = Pid::from_raw(7);

    fn child(session: i32, command: Option<&[u8]>) -> Child {
        Child {
            pid: Pid::from_raw(9),
            session: Some(Pid::from_raw(session)),
            command: command.map(<[u8]>::to_vec),
        }
    }

    #[test]
    fn a_process_that_is_still_calling_exec_is_left_alone() {
        // The suite's own command line up to its end, and the rest of the new one.
        let torn = child(7, Some(b"harness\0self-test\0se\0/out/running/a.1\0"));
        assert_eq!(fate(&torn, Some(SUITE)), Fate::LeftAlone);
    }

    #[test]
    fn a_case_process_is_left_alone_and_what_it_leaves_is_killed() {
        let case = child(9, Some(b"harness\0__case\0/out/running/a.1\0"));
        assert_eq!(fate(&case, Some(SUITE)), Fate::LeftAlone);
        for session in [8, 9] {
            let left = child(session, Some(b"sleep\x0060\0"));
            assert_eq!(fate(&left, Some(SUITE)), Fate::Killed);
        }
    }

    #[test]
    fn a_zombie_is_reaped_unless_its_starter_does_that() {
        // A daemon leads a session.
        for session in [8, 9] {
            assert_eq!(fate(&child(session, None), Some(SUITE)), Fate::Reaped);
        }
        assert_eq!(fate(&child(7, None), Some(SUITE)), Fate::LeftAlone);
    }
}
