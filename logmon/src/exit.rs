//! Core: the exit codes of logmon, in one place. `logmon supervise` ends with the code of its logmon.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | drained after SIGTERM or SIGINT, or because supervisor and task were gone; nothing that was read is lost. A keeper: nobody needs it |
//! | 1 | `plugin`: not started by a host, or the host was not reached; what hosts of plugins expect |
//! | 64 | usage: an unknown option, a missing one, a command that can't be supervised |
//! | 65 | refused configuration: a limit of 0, an unsafe name, one name twice; no such task; a descriptor store without a manager; a logmon with other options in the state folder; options that a plugin can't be told, or refuses |
//! | 66 | refused path: not a FIFO, a symbolic link, a log folder that can't be used, a keeper's or supervisor's folder that others can enter, a control socket's folder that others can write |
//! | 69 | `ctl` and `status`: no server answers at the control socket, or it ended before it answered; `supervise`: the program is no plugin, or none that collects |
//! | 70 | a bug of logmon's own |
//! | 71 | the system refused something, or bytes were lost at the stop, or wait at the keeper; a retry may work |
//! | 75 | another logmon holds the FIFO or the log files, another keeper its socket, another supervisor its folder, another server its control socket |

use std::process::ExitCode;

/// How a run of logmon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Drained; nothing that was read is lost.
    Drained,
    /// The command line is not understood.
    Usage,
    /// The configuration is refused.
    Config,
    /// A path is refused.
    Path,
    /// No server answers, or a program is no plugin.
    Unavailable,
    /// A bug of logmon's own.
    Bug,
    /// The system refused something.
    System,
    /// Another logmon is at work.
    Busy,
}

impl Exit {
    /// Gives the exit with this number; an unknown one is the system's.
    pub(crate) fn of_code(code: u8) -> Exit {
        [
            Exit::Drained,
            Exit::Usage,
            Exit::Config,
            Exit::Path,
            Exit::Unavailable,
            Exit::Bug,
            Exit::System,
            Exit::Busy,
        ]
        .into_iter()
        .find(|exit| exit.code() == code)
        .unwrap_or(Exit::System)
    }

    /// Gives the number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Drained => 0,
            Exit::Usage => 64,
            Exit::Config => 65,
            Exit::Path => 66,
            Exit::Unavailable => 69,
            Exit::Bug => 70,
            Exit::System => 71,
            Exit::Busy => 75,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
