//! The forwarding driver: starts a task with pipes and copies its output into the FIFOs: an edge.
//!
//! What it promises (with the good policy):
//! - The task is started at once, whether or not somebody reads (FIFO-3); its own pipe holds it
//!   back. Both FIFOs are opened in the background, silent ones too (FIFO-4, FIFO-6).
//! - A full pipe is waited for. When the last reader leaves, the descriptor is kept, and the very
//!   same bytes go on with the next reader (FIFO-9, FIFO-10).
//! - When the main process is gone, what is in its pipes is delivered; a process that still holds
//!   them is not waited for (LIFE-3, LIFE-4).
//! - SIGTERM and SIGINT are handed to the task as SIGTERM, and SIGKILL follows 2 s later (LIFE-5). Once its main
//!   process is gone, all that it has started is killed (LIFE-12).
//! - The status is the task's own, 128 + n for signal n (LIFE-11).
//! - Bytes that nobody reads are waited with for 6 s after the task's end, 1.5 s after a stop.
//!   Then their exact number is said on stderr, and a status of 0 is replaced by 75: success is
//!   never reported for output that was lost.

mod destination;
pub(crate) mod family;
mod launch;
mod outlet;
mod phase;
mod pump;

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use self::destination::Destination;
use self::launch::Task;
use self::phase::Phase;
use self::pump::Pump;
use crate::cli::complain;
use crate::disposition::{self, Disposition};
use crate::fault::{Fault, Opening, Policy, Sigpipe, Stop};
use crate::faults::absence::Absence;
use crate::faults::{held_open, left_behind};
use crate::journal::{Event, Role};
use crate::journal_file::{Detail, JournalFile};
use crate::reexec::Reexec;
use crate::script::{Answers, Script, Step};
use crate::stream::Stream;
use crate::task::{TaskArgs, pause, read_script};

/// How long a task may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How long a task has just begun, for the driver that forgets it then.
const EARLY: Duration = Duration::from_secs(5);
/// A path is neither a FIFO nor a character device.
const UNUSABLE: u8 = 66;
/// Output was lost although the task succeeded.
const LOST: u8 = 75;

/// Where a driver writes, and how badly.
#[derive(Debug, clap::Args)]
pub(crate) struct DriverArgs {
    /// The FIFO for the task's stdout; a character device is given to the task as it is.
    #[arg(long, value_name = "PATH")]
    stdout: PathBuf,
    /// The FIFO for the task's stderr; a character device is given to the task as it is.
    #[arg(long, value_name = "PATH")]
    stderr: PathBuf,
    /// Be faulty in this way; `mock_driver faults` lists them.
    #[arg(long, value_name = "NAME", hide_possible_values = true)]
    fault: Option<Fault>,
}

/// The arguments of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    driver: DriverArgs,
    /// Where to keep the journal.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The task.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// The arguments of `play`.
#[derive(Debug, clap::Args)]
pub(crate) struct PlayArgs {
    #[command(flatten)]
    driver: DriverArgs,
    #[command(flatten)]
    task: TaskArgs,
}

impl RunArgs {
    /// The fault, if there is one.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.driver.fault
    }
}

/// How a run went.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The task was never started.
    Refused {
        /// The status to exit with.
        status: u8,
        /// The reason.
        why: String,
    },
    /// The task ended, and its output was delivered or given up.
    Ended(Exit),
}

/// What is reported of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The status, 128 + n for signal n.
    pub(crate) code: u8,
    /// The signal, if that is what the status stands for.
    pub(crate) signal: Option<i32>,
}

impl Outcome {
    /// What is reported. The reason of a refusal is said on stderr.
    pub(crate) fn told(self) -> Exit {
        match self {
            Self::Ended(exit) => exit,
            Self::Refused { status, why } => {
                complain(&why);
                Exit {
                    code: status,
                    signal: None,
                }
            }
        }
    }

    fn refused(status: u8, why: impl std::error::Error + Send + Sync + 'static) -> Self {
        let why = format!("{:#}", anyhow::Error::new(why));
        Self::Refused { status, why }
    }
}

/// For a driver that signals the task itself: a stop only ends the patience.
#[derive(Debug)]
pub(crate) struct Hosting {
    /// Is told the number of the task's process when it runs.
    pub(crate) started: fn(i32),
}

/// Runs the command as a task and gives the status to report.
pub(crate) fn run(args: RunArgs, reexec: &Reexec) -> Result<u8> {
    Ok(run_as(args, None, None, reexec)?.told().code)
}

/// Runs the command as [`run`] does, for a driver that may be away.
pub(crate) fn run_as(
    args: RunArgs,
    absence: Option<Absence>,
    hosting: Option<&Hosting>,
    reexec: &Reexec,
) -> Result<Outcome> {
    let journal = JournalFile::open(args.journal.as_deref(), Detail::All)?;
    journal.hello(Role::Driver);
    let answers = Answers::default();
    let phase = Phase::new(Policy::of(args.driver.fault).patience, absence);
    let phase = phase.context("cannot make a pipe")?;
    let drive = Drive {
        args: &args.driver,
        command: &args.command,
        answers: &answers,
        journal: &journal,
        phase: &phase,
        hosting,
        reexec,
    };
    drive.run()
}

/// Plays a script: the payload is this program's own `task`, all else is as in [`run`].
pub(crate) fn play(args: PlayArgs, reexec: &Reexec) -> Result<u8> {
    // A bad script is refused before anything is started.
    let script = read_script(&args.task.script)?;
    if let Some(reason) = &script.answers.start_error {
        return Ok(refuse_to_start(&script, reason));
    }
    let journal = JournalFile::open(args.task.journal.as_deref(), Detail::All)?;
    journal.hello(Role::Play);
    let mut words: Vec<OsString> = vec!["task".into(), "--marks-only".into()];
    words.extend(["--script".into(), args.task.script.into_os_string()]);
    words.extend(["--run".into(), args.task.run.to_string().into()]);
    words.extend([
        "--generation".into(),
        args.task.generation.to_string().into(),
    ]);
    if let Some(path) = args.task.journal {
        words.extend(["--journal".into(), path.into_os_string()]);
    }
    if let Some(path) = args.task.gates {
        words.extend(["--gates".into(), path.into_os_string()]);
    }
    let answers = &script.answers;
    let argv = reexec.argv(words);
    let phase = Phase::new(Policy::of(args.driver.fault).patience, None);
    let phase = phase.context("cannot make a pipe")?;
    let drive = Drive {
        args: &args.driver,
        command: &argv,
        answers,
        journal: &journal,
        phase: &phase,
        hosting: None,
        reexec,
    };
    let status = drive.run()?.told().code;
    if let Some(message) = &answers.exit_err_msg {
        complain(message);
    }
    Ok(status)
}

/// The start fails, after the pauses before it.
fn refuse_to_start(script: &Script, reason: &str) -> u8 {
    for step in &script.steps {
        if let Step::Sleep { ms } = step {
            pause(Duration::from_millis(*ms));
        }
    }
    complain(&format!("cannot start the task: {reason}"));
    u8::try_from(script.ending().status()).unwrap_or(u8::MAX)
}

/// One run: what is run, where its output goes, and who looks on.
struct Drive<'a> {
    args: &'a DriverArgs,
    command: &'a [OsString],
    answers: &'a Answers,
    journal: &'a JournalFile,
    phase: &'a Phase,
    hosting: Option<&'a Hosting>,
    reexec: &'a Reexec,
}

impl Drive<'_> {
    fn run(&self) -> Result<Outcome> {
        let policy = Policy::of(self.args.fault);
        if policy.own_sigpipe == Sigpipe::Default {
            disposition::set(Signal::SIGPIPE, Disposition::Default)
                .context("cannot restore SIGPIPE")?;
        }
        let paths = [self.args.stdout.as_path(), self.args.stderr.as_path()];
        let destinations = match paths.map(|path| Destination::find(path, policy.opening)) {
            [Ok(stdout), Ok(stderr)] => [stdout, stderr],
            [Err(unusable), _] | [_, Err(unusable)] => {
                return Ok(Outcome::refused(UNUSABLE, unusable));
            }
        };
        // Blocked before any thread exists, so that every thread inherits it.
        let signals = watch_signals().context("cannot watch for signals")?;

        family::adopt().context("cannot adopt what the task leaves behind")?;
        left_behind::at_start(&policy, paths[0], self.reexec)?;
        let held_open = if policy.opening == Opening::BlockingBeforeStart {
            held_open::both_blocking(paths)?
        } else if policy.opening == Opening::ThroughLinks {
            held_open::both_through_links(paths)?
        } else {
            held_open::for_the_task(&policy, paths[0])?
        };
        let task = match Task::launch(self.command, destinations, &policy) {
            Ok(task) => task,
            Err(error) => return Ok(Outcome::refused(error.status(), error)),
        };
        if let Some(hosting) = self.hosting {
            (hosting.started)(task.child.id() as i32);
        }
        let (status, lost) = self.forward(task, &policy, &signals, held_open)?;
        let (code, signal) = (status.code(), status.signal());
        let mut code = policy.report.status(code, signal, self.phase.is_stopped());
        if lost > 0 && code == 0 {
            code = LOST;
        }
        self.journal.add(Event::Exit {
            code: i32::from(code),
            signal: None,
        });
        let signal = signal.filter(|signal| 128 + signal == i32::from(code));
        Ok(Outcome::Ended(Exit { code, signal }))
    }

    /// Copies the task's output until it has ended, and gives its status and the number of lost bytes.
    fn forward(
        &self,
        task: Task,
        policy: &Policy,
        signals: &SignalFd,
        held_open: Vec<OwnedFd>,
    ) -> Result<(ExitStatus, u64)> {
        let (done, running) = nix::unistd::pipe2(OFlag::O_CLOEXEC).context("cannot make a pipe")?;
        let Task { mut child, flows } = task;
        std::thread::scope(|scope| {
            let mut pumps = Vec::new();
            for flow in flows {
                let alive = running.try_clone().context("cannot copy a descriptor")?;
                let pump = Pump::new(flow, policy, self.journal, self.phase, self.reexec);
                pumps.push(scope.spawn(move || {
                    let lost = pump.run();
                    drop(alive);
                    lost
                }));
            }
            drop(running);
            let mut watch = Watch {
                policy,
                answers: self.answers,
                signals,
                phase: self.phase,
                pid: Pid::from_raw(child.id() as i32),
                is_hosted: self.hosting.is_some(),
                kill_at: None,
                started: Instant::now(),
            };
            let status = watch.until_exit(&mut child);
            if self.phase.is_stopped() {
                family::end(policy);
            }
            // Whatever happened, the pumps must end: the scope waits for them.
            self.phase.exited();
            watch.until_delivered(&done)?;
            // A pump opens its FIFO itself, so these have served once all are done.
            drop(held_open);
            let mut lost = 0;
            for pump in pumps {
                lost += pump
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
            anyhow::Ok((status?, lost))
        })
    }
}

/// Blocks the signals that the driver handles and gives a descriptor that reports them.
fn watch_signals() -> nix::Result<SignalFd> {
    let set = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD]);
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Waits for signals, the task's end and the pumps' end.
struct Watch<'a> {
    policy: &'a Policy,
    answers: &'a Answers,
    signals: &'a SignalFd,
    phase: &'a Phase,
    pid: Pid,
    /// Whether the driver signals the task itself.
    is_hosted: bool,
    kill_at: Option<Instant>,
    started: Instant,
}

impl Watch<'_> {
    fn until_exit(&mut self, child: &mut Child) -> Result<ExitStatus> {
        loop {
            if let Some(status) = child.try_wait().context("cannot wait for the task")? {
                return Ok(status);
            }
            self.wait(None)?;
            let asked = self.stop_is_asked()?;
            if asked && self.is_hosted && self.policy.stop == Stop::Prompt {
                self.phase.stop();
            } else if asked && self.kill_at.is_none() {
                match self.policy.stop {
                    Stop::Prompt => {}
                    Stop::AfterDelivery => self.phase.until_unblocked(),
                    Stop::ForgetsEarly => {
                        if self.started.elapsed() < EARLY {
                            std::process::exit(128 + Signal::SIGTERM as i32);
                        }
                    }
                }
                self.phase.stop();
                self.kill_at = Some(Instant::now() + GRACE);
                self.send(Signal::SIGTERM);
            }
            if self.kill_at.is_some_and(|at| at <= Instant::now()) {
                self.send(Signal::SIGKILL);
                self.kill_at = None;
            }
        }
    }

    /// Waits until every pump has dropped its copy of the other end of `done`.
    fn until_delivered(&mut self, done: &impl AsFd) -> Result<()> {
        self.kill_at = None;
        while !self.wait(Some(done))? {
            if self.stop_is_asked()? {
                self.phase.stop();
                family::end(self.policy);
            }
        }
        Ok(())
    }

    /// Waits for a signal, for the time to kill, or for the end of `done`, and says whether that
    /// has come.
    fn wait(&self, done: Option<&dyn AsFd>) -> Result<bool> {
        let timeout = match self.kill_at {
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                // Rounded up, so that the time is over when the wait is.
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(done.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, timeout) {
            Ok(_) => Ok(fds.get(1).and_then(PollFd::any).unwrap_or(false)),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno).context("cannot wait for signals"),
        }
    }

    /// Takes all signals that have come, and answers those that the script has an answer for.
    fn stop_is_asked(&self) -> Result<bool> {
        let mut asked = false;
        while let Some(info) = self.signals.read_signal().context("cannot read signals")? {
            if info.ssi_signo == Signal::SIGCHLD as u32 {
                continue;
            }
            match &self.answers.signal_error {
                Some(message) => complain(message),
                None => asked = true,
            }
        }
        Ok(asked)
    }

    fn send(&self, signal: Signal) {
        // The task is not yet waited for, so the number is still its own.
        kill(self.pid, signal).ok();
    }
}

/// One stream of the task on its way.
#[derive(Debug)]
struct Flow {
    stream: Stream,
    source: std::os::fd::OwnedFd,
    /// Where it goes; `None` is nowhere.
    path: Option<PathBuf>,
}
