//! What every executor can do, whatever it isolates a task by (core).

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::cgroup::Kind;
use crate::error::{
    ExecError, LaunchError, ShutdownError, SignalError, UnsupportedIsolation, WaitError,
};
use crate::exec_stream::{ExecRequest, ExecStream};
use crate::isolate::{IsolatedExecutor, IsolatedOptions};
use crate::one_task::Options;
use crate::spec::LaunchSpec;
use crate::standard::StandardExecutor;
use crate::status::{End, ExitStatus};
use crate::stop::StopReport;
use crate::waiting::Cancel;

/// The signal of a shutdown that names none.
pub const DEFAULT_SIGNAL: &str = "SIGINT";

/// What separates a task from the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Nothing but its user and its control group: it sees the files, processes and network of the host.
    #[default]
    Standard,
    /// It sees files and processes of its own, in a build with the feature `isolate`.
    Isolated,
}

/// A task that was launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// The pid of its main process, which leads a session and a process group of this number.
    pub pid: i32,
    /// What contains it.
    pub contained_by: Kind,
    /// Why better means do not contain it, each in a line; empty if the best one does.
    pub passed_over: Vec<String>,
}

/// What waiting for a task gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The main process has ended.
    Ended(ExitStatus),
    /// It lives, and the time is over.
    TimedOut,
    /// It lives, and the caller has ended the wait.
    Cancelled,
}

/// What a command in a task gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// The last [`TAIL_BYTES`](crate::TAIL_BYTES) of its stdout and stderr together.
    pub output: Vec<u8>,
    /// How it ended.
    pub end: End,
}

impl Executed {
    /// The code as a shell tells it, see [`End::code`].
    #[must_use]
    pub fn code(&self) -> i32 {
        self.end.code()
    }
}

/// Runs one task. All calls may be made from any thread at any time; none but [`Executor::wait`] without a limit
/// waits for ever, as far as the kernel lets a call return.
pub trait Executor: Send + Sync {
    /// Starts the task, and returns once its program runs.
    ///
    /// Waits for the readers of its FIFOs, at most [`LaunchSpec::open_limit`]. When it returns, this process
    /// holds no end of a FIFO: the readers see the end of the output when the last process of the task has
    /// closed it.
    ///
    /// # Errors
    /// [`LaunchError`]; nothing of a task is left of the attempt, and it may be made again unless the error is
    /// [`LaunchError::LaunchedBefore`] or [`LaunchError::ShutDown`].
    fn launch(&self, spec: &LaunchSpec, cancel: Cancel<'_>) -> Result<Launched, LaunchError>;

    /// Waits for the end of the main process, at most so long. Any number of threads may wait; after the end
    /// all get the same answer at once. What else is of the task may live on.
    ///
    /// # Errors
    /// [`WaitError::NotLaunched`] before a launch; [`WaitError::StatusLost`] if somebody else has reaped it.
    fn wait(&self, limit: Option<Duration>, cancel: Cancel<'_>) -> Result<Waited, WaitError>;

    /// Stops the task and all that it has started, and says what each step did. The main process alone gets
    /// the signal, [`DEFAULT_SIGNAL`] if none is named, and this time to end.
    ///
    /// It is right at any time and any number of times: without a task it only keeps one from being launched.
    /// Of two at once the one with less grace counts.
    ///
    /// # Errors
    /// [`ShutdownError::UnknownSignal`]: the task was stopped all the same. [`ShutdownError::Incomplete`]:
    /// something is left; it may be tried again. [`ShutdownError::Launching`]: a launch has not given up yet.
    fn shutdown(&self, signal: Option<&str>, grace: Duration) -> Result<StopReport, ShutdownError>;

    /// Sends a signal to the main process alone: `SIGHUP`, `HUP` or `1`.
    ///
    /// # Errors
    /// [`SignalError`]: there is no such signal, or no such process any more.
    fn signal(&self, name: &str) -> Result<(), SignalError>;

    /// Runs a command in the task, with its user, environment, folder and control group, and waits so long for
    /// its end. It is no failure that it ends with another code than 0.
    ///
    /// # Errors
    /// [`ExecError::Deadline`]: it was killed, with its process group. The others say why it was not started,
    /// or that the task was stopped.
    fn exec(
        &self,
        limit: Duration,
        program: &Path,
        args: &[OsString],
    ) -> Result<Executed, ExecError>;

    /// Starts a command in the task as [`Executor::exec`] does, and speaks with it while it runs: through three pipes,
    /// or a terminal of its own. The last message of [`ExecStream::output`] says how it ended. What it has started
    /// may live on until the task is stopped.
    ///
    /// It costs a thread, which kills it with its process group when its time is over, although nobody looks.
    ///
    /// # Errors
    /// Why it was not started.
    fn exec_streaming(&self, request: &ExecRequest) -> Result<ExecStream, ExecError>;

    /// The version of what the calls mean, as three numbers. It changes when a call means something else.
    fn version(&self) -> &'static str;
}

/// Makes an executor that isolates its task like this. One of [`Isolation::Isolated`] starts this executable again,
/// whose main must be [`main_with_args`](crate::main_with_args); any other program makes an [`IsolatedExecutor`].
///
/// # Errors
/// [`UnsupportedIsolation`]: never is less isolation taken in its place.
pub fn new(
    isolation: Isolation,
    options: Options,
) -> Result<Box<dyn Executor>, UnsupportedIsolation> {
    match isolation {
        Isolation::Standard => Ok(Box::new(StandardExecutor::new(options))),
        Isolation::Isolated => Ok(Box::new(IsolatedExecutor::new(IsolatedOptions::default())?)),
    }
}
