//! `executor run` (edge): one task, the signals of this process, and an exit code.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nix::sys::signal::Signal;

use crate::cgroup::Allowed;
use crate::cli::{Cli, Command, RunArgs};
use crate::containment::remove_left;
use crate::diagnostics::say;
use crate::environment;
use crate::error::{LaunchError, ShutdownError, SignalError, UnsupportedIsolation, chain};
use crate::executor::{Executor, Isolation, Launched, Waited};
use crate::exit::Exit;
use crate::incoming::Incoming;
#[cfg(feature = "isolate")]
use crate::isolate::build;
use crate::isolate::{InContainer, IsolatedOptions};
use crate::one_task::{OneTask, Options, Starter};
use crate::serve::{Reexec, serve};
use crate::signal::Meaning;
use crate::spec::LaunchSpec;
use crate::standard::OnHost;
use crate::stop::StopReport;
use crate::waiting::{Cancel, CancelSource, Deadline, Woken, readable};
use crate::warden::keep;

/// Runs the program with these arguments, the first of which is its name. `reexec` are the words that start it
/// again, in front of a subcommand of its own; without any it is this executable.
pub fn main_with_args(args: impl IntoIterator<Item = OsString>, reexec: Vec<OsString>) -> ExitCode {
    let args = match Cli::try_parse_from(args) {
        Ok(Cli {
            command: Command::Run(args),
        }) => *args,
        Ok(Cli {
            command: Command::Serve(args),
        }) => return serve(&Reexec::new(reexec), args.trusted_root),
        Ok(Cli {
            command: Command::Warden { folder },
        }) => return keep(&folder),
        Ok(Cli {
            command: Command::Container,
        }) => return build(),
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
    match run(args, reexec) {
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

fn run(args: RunArgs, reexec: Vec<OsString>) -> Result<Exit, Failure> {
    let signals = Incoming::watch().map_err(|source| Failure::Signals { source })?;
    let starter = starter(args.isolation(), reexec)?;
    let executor = OneTask::new(
        starter,
        Options {
            allowed: Allowed {
                // This process has one task, and no children of its own.
                subreaper: true,
                ..Allowed::default()
            },
        },
    );
    let run = Run {
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

fn starter(
    isolation: Isolation,
    reexec: Vec<OsString>,
) -> Result<Box<dyn Starter>, UnsupportedIsolation> {
    Ok(match isolation {
        Isolation::Standard => Box::new(OnHost),
        Isolation::Isolated => Box::new(InContainer::new(IsolatedOptions {
            reexec,
            ..IsolatedOptions::default()
        })?),
    })
}

#[cfg(not(feature = "isolate"))]
fn build() -> ExitCode {
    say(UnsupportedIsolation);
    Exit::Failed.into()
}

struct Run {
    executor: OneTask,
    signals: Incoming,
    grace: Duration,
    kill_signal: Option<String>,
    is_verbose: bool,
}

impl Run {
    fn play(&self, spec: &LaunchSpec) -> Result<Exit, Failure> {
        remove_left(&spec.cgroup);
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
        let whole = spec.open_limit;
        let deadline = Deadline::after(whole);
        let mut spec = spec.clone();
        loop {
            let cancel = Cancel::when_readable(&self.signals);
            match self.executor.launch(&spec, cancel) {
                Ok(launched) => return Ok(launched),
                Err(error @ LaunchError::Cancelled { .. }) => match self.next_signal()? {
                    Some(Meaning::Stop(signal)) => return Err(Failure::Stopped { signal }),
                    // There is no task yet that it could be handed to. A child of whoever was this process before is
                    // none of the task's.
                    Some(Meaning::HandOn(_) | Meaning::Child | Meaning::Nothing) => {
                        spec.open_limit = deadline.left_of(whole).unwrap_or_default();
                    }
                    None => return Err(error.into()),
                },
                // What is told is the time that all attempts have had.
                Err(LaunchError::NoReader { stream, path, .. }) => {
                    let limit = whole;
                    return Err(LaunchError::NoReader {
                        stream,
                        path,
                        limit,
                    }
                    .into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the end of the task or for a signal that stops it; gives what came of the shutdown then.
    fn attend(&self) -> Result<Result<StopReport, ShutdownError>, Failure> {
        loop {
            let cancel = Cancel::when_readable(&self.signals);
            match self.executor.wait(None, cancel)? {
                Waited::Ended(_) => return Ok(self.executor.shutdown(None, Duration::ZERO)),
                Waited::Cancelled | Waited::TimedOut => {}
            }
            match self.next_signal()? {
                Some(Meaning::Stop(signal)) => return self.stop(signal),
                Some(Meaning::HandOn(signal)) => self.hand_on(signal),
                Some(Meaning::Child | Meaning::Nothing) | None => self.reap_adopted(),
            }
        }
    }

    /// Stops the task; one more signal meanwhile ends the grace.
    fn stop(&self, signal: Signal) -> Result<Result<StopReport, ShutdownError>, Failure> {
        let done = CancelSource::new().map_err(|source| Failure::Signals { source })?;
        let (executor, grace) = (&self.executor, self.grace);
        let name = self.kill_signal.as_deref().unwrap_or(signal.as_str());
        std::thread::scope(|scope| {
            let polite = scope.spawn(|| {
                let outcome = executor.shutdown(Some(name), grace);
                done.cancel();
                outcome
            });
            let listened = self.listen_until(&done, || {
                // The polite one tells what came of it; both do the same steps.
                drop(executor.shutdown(Some("SIGKILL"), Duration::ZERO));
            });
            let outcome = polite.join().expect("a shutdown does not panic");
            listened.map(|()| outcome)
        })
    }

    /// Takes the next signal, if there is one.
    fn next_signal(&self) -> Result<Option<Meaning>, Failure> {
        let next = self.signals.next();
        next.map_err(|source| Failure::Signals { source })
    }

    /// Calls this for each signal that stops, until it is done.
    fn listen_until(&self, done: &CancelSource, act: impl Fn()) -> Result<(), Failure> {
        let forever = Deadline::of(None);
        loop {
            let woken = readable(done.as_fd(), forever, Cancel::when_readable(&self.signals));
            match woken.map_err(|source| Failure::Signals { source })? {
                Woken::Readable | Woken::TimedOut => return Ok(()),
                Woken::Cancelled => match self.next_signal()? {
                    Some(Meaning::Stop(_)) => act(),
                    Some(Meaning::HandOn(signal)) => self.hand_on(signal),
                    Some(Meaning::Child | Meaning::Nothing) | None => {}
                },
            }
        }
    }

    /// Sends the task a signal that is meant for it.
    fn hand_on(&self, signal: Signal) {
        match self.executor.signal(signal.as_str()) {
            Ok(()) | Err(SignalError::Ended { .. }) => {}
            Err(error) => say(chain(&error)),
        }
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
