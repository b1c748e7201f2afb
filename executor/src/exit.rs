//! The exit codes of `executor run`, in one place (core).
//!
//! | code | meaning |
//! |---|---|
//! | 0..=255 | the task's own code, or 128 and the number of the signal that ended it; then nothing stands on stderr but what `--verbose` asks for, unless something could not be cleaned up |
//! | 125 | the task was not started, or how it ended is lost: a wrong option, no reader, no such user, no cgroup |
//! | 126 | its program is there and can't be executed |
//! | 127 | its program is not there |
//!
//! A task may end with 125, 126 or 127 itself. The three of the executor come with a line on stderr that begins
//! with `executor: can't run the task: `, and stderr is never the task's: that goes to its FIFO.
//!
//! `executor serve` ends with 0 after a detach, or when its stdin has ended and no task is left; else with 125 and a line
//! on stderr for each reason. If its stdin can't be read any more, the tasks live on.

use std::process::ExitCode;

use crate::error::LaunchError;
use crate::program::ProgramError;
use crate::spawn::Stage;

/// How `executor run` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As the task did, `0..=255`.
    Task(u8),
    /// The executor failed.
    Failed,
    /// The program can't be executed.
    NotExecutable,
    /// The program is not there.
    NotFound,
}

impl Exit {
    /// Gives the number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Task(code) => code,
            Exit::Failed => 125,
            Exit::NotExecutable => 126,
            Exit::NotFound => 127,
        }
    }

    /// Gives the exit for a task that was not launched.
    #[must_use]
    pub fn of_launch(error: &LaunchError) -> Exit {
        match error {
            LaunchError::Program(ProgramError::NotFound { .. }) => Exit::NotFound,
            LaunchError::Program(ProgramError::NotExecutable { .. })
            | LaunchError::Start {
                stage: Stage::Program,
                ..
            } => Exit::NotExecutable,
            LaunchError::LaunchedBefore
            | LaunchError::ShutDown
            | LaunchError::Cancelled { .. }
            | LaunchError::OomScore { .. }
            | LaunchError::Frozen
            | LaunchError::Program(ProgramError::Use { .. })
            | LaunchError::User(_)
            | LaunchError::Contain(_)
            | LaunchError::Isolate(_)
            | LaunchError::Container
            | LaunchError::NoReader { .. }
            | LaunchError::OpenLog { .. }
            | LaunchError::OpenNull { .. }
            | LaunchError::GiveLog { .. }
            | LaunchError::Start { .. }
            | LaunchError::Absolute { .. }
            | LaunchError::ForeignLog { .. }
            | LaunchError::LinkedLog { .. }
            | LaunchError::Descriptor { .. } => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
