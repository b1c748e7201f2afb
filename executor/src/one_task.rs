//! An executor of one task, however the processes of that are started (edge).

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::cgroup::{Allowed, Kind};
use crate::error::{ExecError, LaunchError, ShutdownError, SignalError, WaitError};
use crate::exec::{self, Done, Running};
use crate::exec_ends::Near;
use crate::exec_stream::{self, ExecRequest, ExecStream};
use crate::executor::{DEFAULT_SIGNAL, Executed, Executor, Launched, Waited};
use crate::life::{Action, Event, Life, Phase};
use crate::signal;
use crate::spawn::{ChildEnds, Newborn};
use crate::spec::LaunchSpec;
use crate::stats::{Cgroup, Machine, PidSource, Sampler, StatsError, SwapDetail, Tree};
use crate::status::CommandEnd;
use crate::stop::{StopReport, stop};
use crate::task::{Task, is_lost, lock};
use crate::waiting::{Cancel, CancelSource, Deadline, Woken};

/// The version of what the calls mean.
const VERSION: &str = "2.0.0";

/// How long a shutdown waits for a launch to give up. It looks every 20 ms while it waits for a reader; what is
/// left is the start of a process.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(15);

/// What an executor may do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What it may contain a task by.
    pub allowed: Allowed,
}

/// How the processes of a task are started.
pub(crate) trait Starter: fmt::Debug + Send + Sync {
    /// Starts the main process, in what contains it. What a start that failed has made is gone.
    fn start(
        &self,
        spec: &LaunchSpec,
        allowed: Allowed,
        cancels: &[Cancel<'_>],
    ) -> Result<Task, LaunchError>;

    /// Looks for the program of a command that is to run beside the main process; gives the path that it is started by.
    fn find(&self, task: &Task, program: &Path) -> Result<PathBuf, ExecError>;

    /// Starts such a command, which gets these as stdin, stdout and stderr, and the terminal, if it has one, as that
    /// which controls its session.
    fn start_beside(
        &self,
        task: &Task,
        command: (&Path, &[OsString]),
        ends: ChildEnds,
    ) -> Result<Newborn, ExecError>;
}

#[derive(Debug)]
struct Inner {
    life: Life,
    task: Option<Arc<Task>>,
    /// Ends the launch that is under way.
    launching: Option<Arc<CancelSource>>,
}

/// A task from before its launch until its end. When it is dropped the task is killed, with all that it has started,
/// unless a shutdown has told before that not all of it could be done.
#[derive(Debug)]
pub(crate) struct OneTask {
    starter: Box<dyn Starter>,
    options: Options,
    inner: Mutex<Inner>,
    changed: Condvar,
}

/// A task as it is contained, for whoever counts what it uses. It may be kept longer than the executor.
#[derive(Debug, Clone)]
pub struct Contained {
    task: Arc<Task>,
}

impl Contained {
    /// The pid of the main process. It may have ended; before a shutdown its number is nobody else's.
    #[must_use]
    pub fn leader(&self) -> i32 {
        self.task.pid()
    }

    /// What contains the task.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.task.containment.kind()
    }

    /// The folder of the task's own control group, if one contains it. A shutdown removes it.
    #[must_use]
    pub fn cgroup(&self) -> Option<&Path> {
        self.task.containment.cgroup()
    }

    /// The folder of a control group that only counts, if there is one beside.
    pub(crate) fn counter(&self) -> Option<&Path> {
        self.task.containment.counter()
    }

    /// Gives the pids of the living processes of the task, in no order; those that what contains it can't
    /// find are missing, see [`Kind::gap`].
    ///
    /// # Errors
    /// The error of reading the control group or `/proc`.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        let members = self.task.containment.members(self.leader())?;
        let mut pids: Vec<i32> = members.iter().map(|stat| stat.pid).collect();
        if !self.task.has_ended()? {
            pids.push(self.leader());
        }
        Ok(pids)
    }

    /// Makes a sampler of what the task uses. Its CPU time is the counter of the control group, if one of version 2
    /// contains it, and the sum over its processes otherwise. After a shutdown it gives errors that say
    /// [`StatsError::is_gone`].
    ///
    /// # Errors
    /// [`StatsError`]: the machine does not tell its units, or the task is gone.
    pub fn sampler(&self, swap: SwapDetail) -> Result<Arc<Sampler>, StatsError> {
        let machine = Machine::this()?;
        let source: Box<dyn PidSource> = match self.cgroup() {
            Some(folder) => Box::new(Cgroup::new(folder, machine)),
            None => Box::new(Tree::below(self.leader().cast_unsigned(), machine)?),
        };
        Ok(Arc::new(Sampler::new(source, machine, swap)))
    }
}

impl OneTask {
    /// Makes one that has no task yet.
    pub(crate) fn new(starter: Box<dyn Starter>, options: Options) -> OneTask {
        OneTask {
            starter,
            options,
            inner: Mutex::new(Inner {
                life: Life::new(),
                task: None,
                launching: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// Where the task is in its life.
    pub(crate) fn phase(&self) -> Phase {
        self.inner().life.phase()
    }

    /// The task as it is contained; none before a launch.
    pub(crate) fn contained(&self) -> Option<Contained> {
        let task = self.inner().task.clone();
        task.map(|task| Contained { task })
    }

    /// Reaps what a child subreaper got back from its task and has ended; gives how many that were. Call it at
    /// SIGCHLD, or zombies gather until the shutdown. Without a subreaper there is nothing to do.
    ///
    /// # Errors
    /// The error of `waitid(2)`, or of reading `/proc`.
    pub(crate) fn reap_adopted(&self) -> io::Result<usize> {
        let task = self.inner().task.clone();
        task.map_or(Ok(0), |task| {
            task.containment.reap_adopted(task.pid(), &task.execs)
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// The task, if its main process lives.
    fn running(&self) -> Result<Arc<Task>, ExecError> {
        let task = {
            let inner = self.inner();
            let is_running = inner.life.phase() == Phase::Running;
            inner.task.clone().filter(|_| is_running)
        };
        // Nobody may have waited for it.
        let task = task.filter(|task| !task.has_ended().unwrap_or(false));
        task.ok_or(ExecError::NotRunning)
    }

    /// Runs a command in the task until it ends, so long, or until the caller does not want it any more.
    pub(crate) fn command(
        &self,
        limit: Option<Duration>,
        cancel: Cancel<'_>,
        command: (&Path, &[OsString]),
    ) -> Result<Done, ExecError> {
        exec::run(&*self.starter, &self.running()?, limit, cancel, command)
    }

    /// Starts a command in the task that is spoken with, for whoever attends to it.
    pub(crate) fn begin(&self, request: &ExecRequest) -> Result<(Near, Running), ExecError> {
        exec::begin(&*self.starter, &self.running()?, request)
    }

    /// Says that something has happened to the task.
    fn happened(&self, event: Event) -> Action {
        let action = self.inner().life.handle(event);
        self.changed.notify_all();
        action
    }

    /// Waits until the launch that is under way has given up.
    fn await_launch(&self) -> Result<(), ShutdownError> {
        let deadline = Deadline::after(GIVE_UP_LIMIT);
        let mut inner = self.inner();
        while inner.life.phase() == Phase::Abandoning {
            let Some(left) = deadline.left_of(Duration::from_secs(1)) else {
                return Err(ShutdownError::Launching {
                    limit: GIVE_UP_LIMIT,
                });
            };
            let waited = self.changed.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    fn stop(&self, task: &Task, signal: Signal, grace: Duration) -> StopReport {
        let report = stop(task, signal, grace);
        let event = match report.failure() {
            None => Event::StopDone,
            Some(_) => Event::StopFailed,
        };
        let _nothing = self.happened(event);
        report
    }

    /// Stops whatever there is, with a signal that is known.
    fn shut_down(&self, signal: Signal, grace: Duration) -> Result<StopReport, ShutdownError> {
        let (action, task) = {
            let mut inner = self.inner();
            let action = inner.life.handle(Event::StopAsked);
            if let Some(launching) = &inner.launching {
                launching.cancel();
            }
            (action, inner.task.clone())
        };
        match action {
            Action::CancelLaunch => {
                self.await_launch()?;
                // What came up all the same is stopped by who launched it. Both may do it.
                let task = self.inner().task.clone();
                Ok(task.map_or_else(StopReport::default, |task| {
                    self.stop(&task, Signal::KILL, Duration::ZERO)
                }))
            }
            Action::Stop | Action::Abandon => {
                Ok(task.map_or_else(StopReport::default, |task| self.stop(&task, signal, grace)))
            }
            Action::Nothing | Action::Launch | Action::RefuseSecond | Action::RefuseClosed => {
                Ok(StopReport::default())
            }
        }
    }
}

impl Executor for OneTask {
    fn launch(&self, spec: &LaunchSpec, cancel: Cancel<'_>) -> Result<Launched, LaunchError> {
        let own = CancelSource::new().map_err(|source| LaunchError::Descriptor { source })?;
        let own = Arc::new(own);
        {
            let mut inner = self.inner();
            match inner.life.handle(Event::LaunchAsked) {
                Action::Launch => inner.launching = Some(Arc::clone(&own)),
                Action::RefuseSecond => return Err(LaunchError::LaunchedBefore),
                Action::RefuseClosed
                | Action::Nothing
                | Action::CancelLaunch
                | Action::Abandon
                | Action::Stop => return Err(LaunchError::ShutDown),
            }
        }
        let started = self.starter.start(
            spec,
            self.options.allowed,
            &[cancel, Cancel::when_readable(&*own)],
        );
        let mut inner = self.inner();
        inner.launching = None;
        let is_abandoned = inner.life.phase() == Phase::Abandoning;
        let task = match started {
            Ok(task) => Arc::new(task),
            Err(error) => {
                drop(inner);
                let _nothing = self.happened(Event::LaunchFailed);
                return Err(if is_abandoned {
                    LaunchError::ShutDown
                } else {
                    error
                });
            }
        };
        inner.task = Some(Arc::clone(&task));
        drop(inner);
        if self.happened(Event::Launched) == Action::Abandon {
            // Whoever asked for the shutdown goes through the same steps and tells what came of them.
            let _report = self.stop(&task, Signal::KILL, Duration::ZERO);
            return Err(LaunchError::ShutDown);
        }
        Ok(Launched {
            pid: task.pid(),
            contained_by: task.containment.kind(),
            passed_over: task.containment.passed_over().to_vec(),
        })
    }

    fn wait(&self, limit: Option<Duration>, cancel: Cancel<'_>) -> Result<Waited, WaitError> {
        let task = {
            let inner = self.inner();
            let task = inner.task.clone().filter(|_| inner.life.has_task());
            task.ok_or(WaitError::NotLaunched)?
        };
        let pid = task.pid();
        let failed = |source: io::Error| {
            if is_lost(&source) {
                WaitError::StatusLost { pid }
            } else {
                WaitError::Wait { pid, source }
            }
        };
        match task
            .await_end(Deadline::of(limit), cancel)
            .map_err(failed)?
        {
            Woken::Cancelled => Ok(Waited::Cancelled),
            Woken::TimedOut => Ok(Waited::TimedOut),
            Woken::Readable => {
                let status = task.status().map_err(failed)?;
                let _nothing = self.happened(Event::LeaderEnded);
                status
                    .map(Waited::Ended)
                    .ok_or(WaitError::StatusLost { pid })
            }
        }
    }

    fn shutdown(&self, signal: Option<&str>, grace: Duration) -> Result<StopReport, ShutdownError> {
        let name = signal
            .filter(|name| !name.is_empty())
            .unwrap_or(DEFAULT_SIGNAL);
        let known = signal::named(name);
        let unknown = known.is_none().then(|| name.to_owned());
        let report = self.shut_down(known.unwrap_or(Signal::INT), grace)?;
        let failure = report.failure().map(|(step, why)| (step, why.to_owned()));
        match (failure, unknown) {
            (None, None) => Ok(report),
            (None, Some(name)) => Err(ShutdownError::UnknownSignal { name, report }),
            (Some((step, why)), unknown_signal) => Err(ShutdownError::Incomplete {
                step,
                why,
                unknown_signal,
                report,
            }),
        }
    }

    fn signal(&self, name: &str) -> Result<(), SignalError> {
        let signal = signal::named(name).ok_or_else(|| SignalError::UnknownSignal {
            name: name.to_owned(),
        })?;
        let task = self.inner().task.clone().ok_or(SignalError::NotLaunched)?;
        let pid = task.pid();
        match task.signal(signal) {
            Ok(true) => Ok(()),
            Ok(false) => Err(SignalError::Ended { pid }),
            Err(source) => Err(SignalError::Send {
                name: name.to_owned(),
                pid,
                source,
            }),
        }
    }

    fn exec(
        &self,
        limit: Duration,
        program: &Path,
        args: &[OsString],
    ) -> Result<Executed, ExecError> {
        let Done {
            program,
            end,
            output,
        } = self.command(Some(limit), Cancel::never(), (program, args))?;
        match end {
            CommandEnd::Ended(end) => Ok(Executed { output, end }),
            CommandEnd::Deadline => Err(ExecError::Deadline {
                program,
                limit,
                output,
            }),
            CommandEnd::Stopped | CommandEnd::Cancelled => {
                Err(ExecError::Stopped { program, output })
            }
        }
    }

    fn exec_streaming(&self, request: &ExecRequest) -> Result<ExecStream, ExecError> {
        exec_stream::converse(&*self.starter, &self.running()?, request)
    }

    fn version(&self) -> &'static str {
        VERSION
    }
}

impl Drop for OneTask {
    fn drop(&mut self) {
        // A shutdown has told what is left, after waiting for it as long as it may. It would wait that long again.
        if self.phase() == Phase::Stopping {
            return;
        }
        // Nobody is left who could be told what it could not do.
        drop(self.shut_down(Signal::KILL, Duration::ZERO));
    }
}

/// Makes a public executor of a [`OneTask`].
macro_rules! executor_of_one_task {
    ($name:ident) => {
        impl $name {
            /// Where the task is in its life.
            #[must_use]
            pub fn phase(&self) -> $crate::Phase {
                self.0.phase()
            }

            /// The task as it is contained; none before a launch.
            #[must_use]
            pub fn contained(&self) -> Option<$crate::Contained> {
                self.0.contained()
            }

            /// Reaps what a child subreaper got back from its task and has ended; gives how many that were. Call it
            /// at SIGCHLD, or zombies gather until the shutdown. Without a subreaper there is nothing to do.
            ///
            /// # Errors
            /// The error of `waitid(2)`, or of reading `/proc`.
            pub fn reap_adopted(&self) -> std::io::Result<usize> {
                self.0.reap_adopted()
            }
        }

        impl $crate::Executor for $name {
            fn launch(
                &self,
                spec: &$crate::LaunchSpec,
                cancel: $crate::Cancel<'_>,
            ) -> Result<$crate::Launched, $crate::LaunchError> {
                self.0.launch(spec, cancel)
            }

            fn wait(
                &self,
                limit: Option<std::time::Duration>,
                cancel: $crate::Cancel<'_>,
            ) -> Result<$crate::Waited, $crate::WaitError> {
                self.0.wait(limit, cancel)
            }

            fn shutdown(
                &self,
                signal: Option<&str>,
                grace: std::time::Duration,
            ) -> Result<$crate::StopReport, $crate::ShutdownError> {
                self.0.shutdown(signal, grace)
            }

            fn signal(&self, name: &str) -> Result<(), $crate::SignalError> {
                self.0.signal(name)
            }

            fn exec(
                &self,
                limit: std::time::Duration,
                program: &std::path::Path,
                args: &[std::ffi::OsString],
            ) -> Result<$crate::Executed, $crate::ExecError> {
                self.0.exec(limit, program, args)
            }

            fn exec_streaming(
                &self,
                request: &$crate::ExecRequest,
            ) -> Result<$crate::ExecStream, $crate::ExecError> {
                self.0.exec_streaming(request)
            }

            fn version(&self) -> &'static str {
                self.0.version()
            }
        }
    };
}
pub(crate) use executor_of_one_task;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_paths::LogPaths;
    use crate::standard::OnHost;

    /// Drops the executor of a task after these events; says whether the task has ended by then.
    fn is_ended_by_drop(events: &[Event]) -> bool {
        let options = Options {
            allowed: Allowed {
                subreaper: false,
                ..Allowed::default()
            },
        };
        let executor = OneTask::new(Box::new(OnHost), options);
        let spec = LaunchSpec::new("/bin/sh", LogPaths::disabled("/"));
        let spec = spec.args(["-c", "exec sleep 1000"]);
        executor.launch(&spec, Cancel::never()).unwrap();
        for event in events {
            let _nothing = executor.happened(*event);
        }
        let task = executor.contained().unwrap().task;
        drop(executor);
        let has_ended = task.has_ended().unwrap();
        let report = stop(&task, Signal::KILL, Duration::ZERO);
        assert_eq!(report.failure(), None);
        has_ended
    }

    #[test]
    fn a_drop_does_not_repeat_a_shutdown_that_has_told_of_its_failure() {
        assert!(is_ended_by_drop(&[]));
        assert!(is_ended_by_drop(&[Event::LeaderEnded]));
        assert!(!is_ended_by_drop(&[Event::StopAsked, Event::StopFailed]));
    }
}
