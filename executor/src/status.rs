//! How a process ended (core).

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// How a process ended, as waitid(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It ended itself with this code, `0..=255`.
    Code(i32),
    /// A signal with this number ended it, `1..=64`.
    Signal(i32),
}

impl End {
    /// The code as a shell tells it: the process's own one, or 128 and the number of the signal. `0..=255`.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            End::Code(code) => code,
            End::Signal(number) => 128 + number,
        }
    }

    /// The number of the signal that ended it, if one did.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self {
            End::Code(_) => None,
            End::Signal(number) => Some(number),
        }
    }
}

/// `ended with code 3`, or `was ended by signal 9`.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Code(code) => write!(f, "ended with code {code}"),
            End::Signal(number) => write!(f, "was ended by signal {number}"),
        }
    }
}

/// How a command in a task came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandEnd {
    /// By itself, or by somebody's signal.
    Ended(End),
    /// Its time was over, and it was killed with its process group.
    Deadline,
    /// Its task was stopped, and it was killed with that.
    Stopped,
    /// Whoever wanted it does not any more, and it was killed with its process group.
    Cancelled,
}

impl CommandEnd {
    /// How the process itself ended: what was killed did so by SIGKILL.
    #[must_use]
    pub fn end(self) -> End {
        match self {
            CommandEnd::Ended(end) => end,
            CommandEnd::Deadline | CommandEnd::Stopped | CommandEnd::Cancelled => {
                End::Signal(SIGKILL)
            }
        }
    }
}

/// Its number is the same on every machine, signal(7).
const SIGKILL: i32 = 9;

/// How the main process of a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    /// Its code or its signal.
    pub end: End,
    /// True if the kernel killed a process of the task for want of memory, by the counter of the task's own
    /// cgroup; none if there is no such counter.
    pub oom_killed: Option<bool>,
    /// When the executor saw that it had ended. The kernel keeps no time of it, so it is late if nobody
    /// waited.
    pub seen_at: SystemTime,
}

impl ExitStatus {
    /// The code as a shell tells it, see [`End::code`].
    #[must_use]
    pub fn code(&self) -> i32 {
        self.end.code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_counts_as_128_and_its_number() {
        assert_eq!(
            (End::Signal(9).code(), End::Signal(9).signal()),
            (137, Some(9))
        );
        assert_eq!((End::Signal(15).code(), End::Signal(2).code()), (143, 130));
        assert_eq!((End::Code(3).code(), End::Code(3).signal()), (3, None));
    }

    #[test]
    fn a_command_that_was_killed_ended_by_that_signal() {
        for killed in [
            CommandEnd::Deadline,
            CommandEnd::Stopped,
            CommandEnd::Cancelled,
        ] {
            assert_eq!(killed.end(), End::Signal(9), "{killed:?}");
        }
        assert_eq!(CommandEnd::Ended(End::Code(3)).end(), End::Code(3));
    }
}
