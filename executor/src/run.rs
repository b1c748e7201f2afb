//! `executor run` (edge): one task, the signals of this process, and an exit code.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::cgroup::Allowed;
use crate::cli::{Cli, Command, RunArgs};
use crate::diagnostics::say;
use crate::environment;
use crate::error::{LaunchError, ShutdownError, UnsupportedIsolation, chain};
use crate::executor::{Executor, Isolation, Launched, Waited};
use crate::exit::Exit;
use crate::serve::{Reexec, serve};
use crate::spec::LaunchSpec;
use crate::standard::{Options, StandardExecutor};
use crate::stop::StopReport;
use crate::waiting::{Cancel, CancelSource, Deadline, Woken, readable};
use crate::warden::keep;

/// The signals that stop the task.
pub(crate) const STOPPING: [Signal; 4] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// Runs the program with these arguments, the first of which is its name. `reexec` are the words that start it
/// again, in front of a subcommand of its own; without any it is this executable.
pub fn main_with_args(args: impl IntoIterator<Item = OsString>, reexec: Vec<OsString>) -> ExitCode {
    let args = match Cli::try_parse_from(args) {
        Ok(Cli {
            command: Command::Run(args),
        }) => *args,
        Ok(Cli {
            command: Command::Serve,
        }) => return serve(&Reexec::new(reexec)),
        Ok(Cli {
            command: Command::Warden,
        }) => return keep(),
        Err(error) => {
            // Nobody is left to tell that stdout or stderr is closed.
            drop(error.print());
            let is_asked_for = !error.use_stderr();
            return if is_asked_for {
                ExitCode::SUCCESS
            } else {
                Exit::Failed.into()
            };
        }
    };
    match run(args) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            say(format_args!("can't run the task: {}", chain(&failure)));
            failure.exit().into()
        }
    }
}

/// Why there is no code of a task.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Isolation(#[from] UnsupportedIsolation),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("this program got {signal} before the task was started")]
    Stopped { signal: Signal },
    #[error("can't watch for signals")]
    Signals { source: io::Error },
    #[error(transparent)]
    Wait(#[from] crate::error::WaitError),
    #[error("it does not end, and what is left of it can't be stopped")]
    Stays { source: ShutdownError },
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Failure::Launch(error) => Exit::of_launch(error),
            Failure::Isolation(_)
            | Failure::Stopped { .. }
            | Failure::Signals { .. }
            | Failure::Wait(_)
            | Failure::Stays { .. } => Exit::Failed,
        }
    }
}

fn run(args: RunArgs) -> Result<Exit, Failure> {
    let signals = Signals::watch().map_err(|source| Failure::Signals { source })?;
    if args.isolation() == Isolation::Isolated {
        return Err(UnsupportedIsolation.into());
    }
    let executor = StandardExecutor::new(Options {
        allowed: Allowed {
            // This process has one task, and no children of its own.
            subreaper: true,
            ..Allowed::default()
        },
    });
    let mut run = Run {
        executor,
        signals,
        grace: args.grace(),
        kill_signal: args.kill_signal.clone(),
        is_verbose: args.verbose,
    };
    let inherited = std::env::vars_os();
    let inherited = if args.user.is_some() {
        environment::without_identity(inherited)
    } else {
        inherited.collect()
    };
    run.play(&args.into_spec(inherited, std::env::current_dir().ok()))
}

struct Run {
    executor: StandardExecutor,
    signals: Signals,
    grace: Duration,
    kill_signal: Option<String>,
    is_verbose: bool,
}

impl Run {
    fn play(&mut self, spec: &LaunchSpec) -> Result<Exit, Failure> {
        let launched = self.launch(spec)?;
        self.tell_launched(&launched);
        let failed = match self.attend()? {
            Ok(report) => {
                self.tell_report(&report);
                None
            }
            Err(error) => {
                say(chain(&error));
                error.report().inspect(|report| self.tell_report(report));
                Some(error)
            }
        };
        let waited = self.executor.wait(Some(Duration::ZERO), Cancel::never())?;
        match (waited, failed) {
            (Waited::Ended(status), _) => {
                let code = u8::try_from(status.code()).unwrap_or(Exit::Failed.code());
                Ok(Exit::Task(code))
            }
            (Waited::TimedOut | Waited::Cancelled, Some(source)) => Err(Failure::Stays { source }),
            (Waited::TimedOut | Waited::Cancelled, None) => {
                unreachable!("after a shutdown without an error the main process was reaped")
            }
        }
    }

    /// Launches the task, unless a signal comes before its readers do.
    fn launch(&self, spec: &LaunchSpec) -> Result<Launched, Failure> {
        loop {
            let cancel = Cancel::when_readable(&self.signals);
            match self.executor.launch(spec, cancel) {
                Ok(launched) => return Ok(launched),
                Err(error @ LaunchError::Cancelled { .. }) => match self.signals.next()? {
                    Some(signal) if STOPPING.contains(&signal) => {
                        return Err(Failure::Stopped { signal });
                    }
                    // A child of whoever was this process before is none of the task's.
                    Some(Signal::SIGCHLD) => {}
                    Some(_) | None => return Err(error.into()),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the end of the task or for a signal that stops it; gives what came of the shutdown then.
    fn attend(&mut self) -> Result<Result<StopReport, ShutdownError>, Failure> {
        loop {
            let cancel = Cancel::when_readable(&self.signals);
            match self.executor.wait(None, cancel)? {
                Waited::Ended(_) => return Ok(self.executor.shutdown(None, Duration::ZERO)),
                Waited::Cancelled | Waited::TimedOut => {}
            }
            match self.signals.next()? {
                Some(signal) if STOPPING.contains(&signal) => return self.stop(signal),
                Some(_) | None => self.reap_adopted(),
            }
        }
    }

    /// Stops the task; one more signal meanwhile ends the grace.
    fn stop(&mut self, signal: Signal) -> Result<Result<StopReport, ShutdownError>, Failure> {
        let done = CancelSource::new().map_err(|source| Failure::Signals { source })?;
        let (executor, grace) = (&self.executor, self.grace);
        let name = self.kill_signal.as_deref().unwrap_or(signal.as_str());
        let signals = &mut self.signals;
        std::thread::scope(|scope| {
            let polite = scope.spawn(|| {
                let outcome = executor.shutdown(Some(name), grace);
                done.cancel();
                outcome
            });
            let listened = signals.listen_until(&done, || {
                // The polite one tells what came of it; both do the same steps.
                drop(executor.shutdown(Some("SIGKILL"), Duration::ZERO));
            });
            let outcome = polite.join().expect("a shutdown does not panic");
            listened.map(|()| outcome)
        })
    }

    fn reap_adopted(&self) {
        if let Err(error) = self.executor.reap_adopted() {
            say(format_args!(
                "can't reap what the task left behind: {error}"
            ));
        }
    }

    fn tell_launched(&self, launched: &Launched) {
        if !self.is_verbose {
            return;
        }
        say(format_args!(
            "process {} is contained by a {}",
            launched.pid, launched.contained_by
        ));
        for why in &launched.passed_over {
            say(format_args!("not by better means: {why}"));
        }
        if let Some(gap) = launched.contained_by.gap() {
            say(gap);
        }
    }

    fn tell_report(&self, report: &StopReport) {
        if self.is_verbose {
            for (step, outcome) in report.steps() {
                say(format_args!("{step}: {outcome}"));
            }
        }
    }
}

/// Has what stops a task and the ends of children come through a descriptor from now on. It must be called before there
/// is a second thread.
pub(crate) fn watch_signals() -> io::Result<SignalFd> {
    // Whoever started this program may have ignored SIGCHLD; then the kernel keeps no status of a child.
    expect_children()?;
    let mut set = SigSet::empty();
    STOPPING
        .into_iter()
        .chain([Signal::SIGCHLD])
        .for_each(|signal| set.add(signal));
    set.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&set, flags)?)
}

/// The signals of this process, which come through a descriptor.
struct Signals(SignalFd);

impl AsFd for Signals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Signals {
    /// From now on they come here. It must be called before there is a second thread.
    fn watch() -> io::Result<Signals> {
        Ok(Signals(watch_signals()?))
    }

    /// Takes the next one, if there is one.
    fn next(&self) -> Result<Option<Signal>, Failure> {
        let taken = self.0.read_signal().map_err(|errno| Failure::Signals {
            source: errno.into(),
        })?;
        let number = taken.and_then(|taken| i32::try_from(taken.ssi_signo).ok());
        Ok(number.and_then(|number| Signal::try_from(number).ok()))
    }

    /// Calls this for each signal that stops, until it is done.
    fn listen_until(&self, done: &CancelSource, act: impl Fn()) -> Result<(), Failure> {
        let forever = Deadline::of(None);
        loop {
            let woken = readable(done.as_fd(), forever, Cancel::when_readable(self));
            match woken.map_err(|source| Failure::Signals { source })? {
                Woken::Readable | Woken::TimedOut => return Ok(()),
                Woken::Cancelled => {
                    if self
                        .next()?
                        .is_some_and(|signal| STOPPING.contains(&signal))
                    {
                        act();
                    }
                }
            }
        }
    }
}

pub(crate) fn expect_children() -> nix::Result<()> {
    #[expect(
        unsafe_code,
        reason = "signal(2) has no safe cover, not even for SIG_DFL"
    )]
    // SAFETY: the default runs no code of ours, and no handler of ours is replaced: the program installs none.
    let replaced = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
    replaced.map(drop)
}
