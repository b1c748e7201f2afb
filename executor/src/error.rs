//! What can go wrong with a task (core).

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::containment::ContainError;
use crate::isolate::IsolateError;
use crate::program::ProgramError;
use crate::spawn::Stage;
use crate::stop::{Step, StopReport};
use crate::user::UserError;

/// One of the two streams of a task's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        })
    }
}

/// An isolation that this build has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this build of the executor can't isolate a task; build it with `--features isolate`, or ask for the standard \
     isolation"
)]
pub struct UnsupportedIsolation;

/// Why a task was not launched. No process, no cgroup and no descriptor is left of the attempt. A FIFO that was given to
/// the user of the task stays that user's, and a program that was made executable stays so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// This executor has launched a task before.
    #[error("can't launch a second task; one executor has one task")]
    LaunchedBefore,
    /// This executor was shut down, before or meanwhile.
    #[error("can't launch a task after a shutdown; make another executor")]
    ShutDown,
    /// The caller ended the launch while it waited for a reader.
    #[error("the launch was cancelled while {stream} waited for a reader of {}", path.display())]
    Cancelled {
        /// Which stream had no reader yet.
        stream: Stream,
        /// The path of its FIFO.
        path: PathBuf,
    },
    /// The score is none.
    #[error("oom_score_adj {score} is not within -1000..=1000")]
    OomScore {
        /// The score, as it was given.
        score: i16,
    },
    /// The cgroup that the task is to be in stands still, and so would the task. Nothing was started.
    #[error("can't launch a task in a cgroup that is frozen; thaw it first")]
    Frozen,
    /// The user can't be taken on.
    #[error(transparent)]
    User(#[from] UserError),
    /// The program can't be started.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A relative path can't be told from everywhere.
    #[error("can't make the path {path:?} absolute; write it from / on")]
    Absolute {
        /// The path of the task folder, or of the folder that the task starts in.
        path: PathBuf,
        /// The error of `getcwd(2)`, or that the path is empty.
        source: io::Error,
    },
    /// The task can't be contained as it was asked for.
    #[error(transparent)]
    Contain(#[from] ContainError),
    /// The task can't be isolated as it was asked for.
    #[error(transparent)]
    Isolate(#[from] IsolateError),
    /// A container was asked for from an executor that makes none.
    #[error(
        "this executor can't isolate a task; ask an isolating one, or say nothing of a container"
    )]
    Container,
    /// Nobody has opened a FIFO for reading in time.
    #[error("nobody has opened {}, the FIFO of {stream}, for reading within {limit:?}; start the log collector first, or wait longer", path.display())]
    NoReader {
        /// Which stream.
        stream: Stream,
        /// The path of its FIFO.
        path: PathBuf,
        /// How long it was waited for, both streams together.
        limit: Duration,
    },
    /// The output can't be opened.
    #[error("can't open {stream}")]
    OpenLog {
        /// Which stream.
        stream: Stream,
        /// What failed, and on which path.
        source: fifo::Error,
    },
    /// The null device can't be opened.
    #[error("can't open {} for {stream}", path.display())]
    OpenNull {
        /// Which stream.
        stream: Stream,
        /// The path of the device.
        path: PathBuf,
        /// The error of `open(2)`.
        source: io::Error,
    },
    /// The FIFO may be meant for another task (SEC-1). It was not changed.
    #[error("can't use {}, the FIFO of {stream}: it belongs to user {uid}, who is neither root, nor the user of this process, nor that of the task; give it to one of them by chown, or name that user as the task's", path.display())]
    ForeignLog {
        /// Which stream.
        stream: Stream,
        /// The path of its FIFO.
        path: PathBuf,
        /// The user id of its owner.
        uid: u32,
    },
    /// The FIFO has another name, where it may be meant for another task (SEC-1). It was not changed.
    #[error("can't use {}, the FIFO of {stream}: it has another name, too; remove it, and have the log collector make a new one", path.display())]
    LinkedLog {
        /// Which stream.
        stream: Stream,
        /// The path of its FIFO.
        path: PathBuf,
    },
    /// A FIFO can't be given to the user of the task, who could not open `/dev/stdout` then.
    #[error("can't give {}, the FIFO of {stream}, to user {uid}", path.display())]
    GiveLog {
        /// Which stream.
        stream: Stream,
        /// The path of its FIFO.
        path: PathBuf,
        /// The user id.
        uid: u32,
        /// The error of `fchown(2)`.
        source: io::Error,
    },
    /// The process could not be started.
    #[error("can't start {}: it could not {stage}{}", program.display(), way_out(*stage))]
    Start {
        /// The program that was found.
        program: PathBuf,
        /// What the new process could not do.
        stage: Stage,
        /// The error of the system call.
        source: io::Error,
    },
    /// This process has run short of descriptors.
    #[error("can't make a descriptor to wait by")]
    Descriptor {
        /// The error of `eventfd(2)`.
        source: io::Error,
    },
}

fn way_out(stage: Stage) -> &'static str {
    match stage {
        Stage::Cgroup => "; name another parent of its cgroup, or none",
        Stage::OomScore => "; only root can lower it",
        Stage::Folder => "; name another one, or let the user of the task enter it",
        Stage::Program => {
            "; see that its format is of this machine, that the interpreter in its first line exists, and that \
             the user of the task may execute it"
        }
        Stage::Fork
        | Stage::Signals
        | Stage::Descriptors
        | Stage::Session
        | Stage::Terminal
        | Stage::User => "",
    }
}

/// Why nobody can wait for a task.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// Nothing was launched.
    #[error("can't wait for a task that was not launched")]
    NotLaunched,
    /// It has ended, and nobody knows how.
    #[error(
        "how process {pid} ended is lost; this process must not ignore SIGCHLD, and nobody in it may wait for \
         all children"
    )]
    StatusLost {
        /// The pid of the main process.
        pid: i32,
    },
    /// The wait itself failed.
    #[error("can't wait for process {pid}")]
    Wait {
        /// The pid of the main process.
        pid: i32,
        /// The error of `poll(2)` or `waitid(2)`.
        source: io::Error,
    },
}

/// What a shutdown could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The signal has no such name. The task was stopped all the same, with [`DEFAULT_SIGNAL`] and the grace
    /// that was given, and nothing is left of it.
    ///
    /// [`DEFAULT_SIGNAL`]: crate::DEFAULT_SIGNAL
    #[error(
        "there is no signal {name:?}; the task was stopped by {} in its place",
        crate::DEFAULT_SIGNAL
    )]
    UnknownSignal {
        /// The name, as it was given.
        name: String,
        /// What came of each step.
        report: StopReport,
    },
    /// Something is left. Another shutdown goes through all steps again.
    #[error("can't {step}: {why}")]
    Incomplete {
        /// The first step that failed.
        step: Step,
        /// What is left, and why.
        why: String,
        /// The signal, if there is none of that name either.
        unknown_signal: Option<String>,
        /// What came of each step.
        report: StopReport,
    },
    /// A launch that is under way has not given up in time. Another shutdown waits for it again.
    #[error("a launch that is under way has not given up within {limit:?}")]
    Launching {
        /// How long it was waited for.
        limit: Duration,
    },
}

impl ShutdownError {
    /// What came of each step, if any was come to.
    #[must_use]
    pub fn report(&self) -> Option<&StopReport> {
        match self {
            ShutdownError::UnknownSignal { report, .. }
            | ShutdownError::Incomplete { report, .. } => Some(report),
            ShutdownError::Launching { .. } => None,
        }
    }
}

/// Why a signal was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// Nothing was launched.
    #[error("can't signal a task that was not launched")]
    NotLaunched,
    /// The main process has ended.
    #[error("can't signal process {pid}: it has ended")]
    Ended {
        /// Its pid.
        pid: i32,
    },
    /// The signal has no such name.
    #[error("there is no signal {name:?}; `kill -l` lists those that there are")]
    UnknownSignal {
        /// The name, as it was given.
        name: String,
    },
    /// It could not be sent.
    #[error("can't send {name} to process {pid}")]
    Send {
        /// The name, as it was given.
        name: String,
        /// The pid of the main process.
        pid: i32,
        /// The error of `pidfd_send_signal(2)`: EPERM if the process has become another user.
        source: io::Error,
    },
}

/// Why a command in a task gave no code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// No task runs.
    #[error("can't run a command in a task that does not run")]
    NotRunning,
    /// The task stands still, and so would the command. Nothing was started.
    #[error("can't run a command in a task that is frozen; thaw its cgroup first")]
    Frozen,
    /// The program can't be started.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The cgroup of the task can't be entered.
    #[error(transparent)]
    Contain(#[from] ContainError),
    /// The container of the task can't be entered.
    #[error(transparent)]
    Isolate(#[from] IsolateError),
    /// The process could not be started.
    #[error("can't start {}: it could not {stage}{}", program.display(), way_out(*stage))]
    Start {
        /// The program that was found.
        program: PathBuf,
        /// What the new process could not do.
        stage: Stage,
        /// The error of the system call.
        source: io::Error,
    },
    /// There is no terminal for it.
    #[error("can't make a terminal; `sysctl kernel.pty.max` says how many there may be")]
    Terminal {
        /// The error of `open(2)` on `/dev/ptmx`, or of an ioctl of it.
        source: io::Error,
    },
    /// It has not ended in time. It was killed, with its process group.
    #[error("{} has not ended within {limit:?} and was killed", program.display())]
    Deadline {
        /// The program that was found.
        program: PathBuf,
        /// How long it had.
        limit: Duration,
        /// The end of its output until then, see [`Executed::output`](crate::Executed::output).
        output: Vec<u8>,
    },
    /// The task was stopped meanwhile. The command was killed with it.
    #[error("{} was killed, as its task was stopped", program.display())]
    Stopped {
        /// The program that was found.
        program: PathBuf,
        /// The end of its output until then, see [`Executed::output`](crate::Executed::output).
        output: Vec<u8>,
    },
    /// It could not be waited for. It was killed.
    #[error("can't wait for {}", program.display())]
    Wait {
        /// The program that was found.
        program: PathBuf,
        /// The error of `pipe(2)`, `poll(2)`, `read(2)` or `waitid(2)`.
        source: io::Error,
    },
}

/// An error and all of its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
