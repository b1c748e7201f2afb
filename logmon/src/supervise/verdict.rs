//! Core: what it means that a plugin could not be started, refuses, or has ended.

use plugin::Code;
use plugin::host::{CallError, End, HostError};

use super::machine::{Ending, Event};
use crate::error::is_transient;
use crate::exit::Exit;

/// How far the end of a plugin has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It is not to end.
    No,
    /// It was told to end, and what it had is written, or not all of it could be.
    Drained { has_lost: bool },
    /// It was told to end, and collected nothing.
    Undrained,
}

/// A program that can't be started, or ends before it is a plugin, is none: the exit code says so. One that is
/// killed, or finds the machine short of something, may be one the next time.
pub(super) fn of_launch(error: &HostError) -> Ending {
    let may_be_one = match error {
        HostError::Start { source, .. } => is_transient(source),
        HostError::HandshakeEnd { end, .. } => match end {
            End::Code(code) => *code == i32::from(Exit::System.code()),
            End::Signal(_) | End::Unknown => true,
        },
        HostError::HandshakeDeadline { .. }
        | HostError::HandshakeClosed { .. }
        | HostError::HandshakeLine { .. }
        | HostError::NoCertificate { .. }
        | HostError::WrongCertificate { .. }
        | HostError::AnotherCertificate { .. }
        | HostError::Network { .. } => false,
        HostError::Watch { .. }
        | HostError::Certificate { .. }
        | HostError::Encrypt { .. }
        | HostError::Connect { .. }
        | HostError::Http { .. }
        | HostError::Vanished { .. }
        | HostError::Reused { .. }
        | HostError::Stranger { .. }
        | HostError::Stat { .. } => true,
    };
    if may_be_one {
        Ending::Undrained
    } else {
        Ending::Code(Exit::Unavailable.code())
    }
}

/// What a Start means that went wrong; nothing if it is the end of the plugin, which its process tells. A
/// plugin that is unavailable is about to end, so another one may do what this one refuses.
pub(super) fn of_start(error: &CallError) -> Option<Event> {
    match error {
        CallError::Ended { .. } => None,
        CallError::Refused { .. } if error.code() != Some(Code::Unavailable) => {
            Some(Event::Refused(exit_of_refusal(error).code()))
        }
        CallError::Refused { .. }
        | CallError::Deadline { .. }
        | CallError::Disconnected { .. }
        | CallError::Missing(_)
        | CallError::NoResult { .. } => Some(Event::Unwell),
    }
}

/// The exit for a Start that was refused: a request that makes no sense, a plugin of another kind, or whatever
/// the plugin says.
pub(super) fn exit_of_refusal(error: &CallError) -> Exit {
    match error.code() {
        Some(Code::InvalidArgument) => Exit::Config,
        Some(Code::Unimplemented) => Exit::Unavailable,
        Some(_) | None => Exit::System,
    }
}

/// How a plugin has ended that was told to. Its own codes are its own: any but 0 says that something failed.
pub(super) fn of_end(leaving: Leaving, end: End) -> Ending {
    let has_failed = match end {
        End::Code(code) => code != 0,
        // It had drained, so what ended it then is no matter.
        End::Signal(_) | End::Unknown => false,
    };
    match leaving {
        Leaving::Drained { has_lost } if has_lost || has_failed => {
            Ending::Code(Exit::System.code())
        }
        Leaving::Drained { .. } => Ending::Code(Exit::Drained.code()),
        Leaving::Undrained | Leaving::No => Ending::Undrained,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use plugin::Status;
    use plugin::host::Words;

    use super::*;

    fn refusal(status: Status) -> CallError {
        let status = Box::new(status);
        CallError::Refused {
            call: "Start",
            status,
        }
    }

    #[test]
    fn a_program_that_ends_by_itself_is_no_plugin_and_one_that_was_killed_may_be_one() {
        let ended = |end| {
            let words = Words::default();
            of_launch(&HostError::HandshakeEnd { end, words })
        };
        for code in [0, 1, 64, 66] {
            assert_eq!(ended(End::Code(code)), Ending::Code(69));
        }
        for end in [End::Code(71), End::Signal(9), End::Unknown] {
            assert_eq!(ended(end), Ending::Undrained);
        }
    }

    #[test]
    fn a_machine_that_is_short_of_something_is_tried_again() {
        let start = |source: io::Error| {
            let program = "nomad".into();
            of_launch(&HostError::Start { program, source })
        };
        let errno = io::Error::from_raw_os_error;
        assert_eq!(start(errno(nix::libc::ENOMEM)), Ending::Undrained);
        assert_eq!(start(errno(nix::libc::EAGAIN)), Ending::Undrained);
        assert_eq!(start(errno(nix::libc::ENOENT)), Ending::Code(69));
        assert_eq!(start(errno(nix::libc::EACCES)), Ending::Code(69));
    }

    #[test]
    fn a_refusal_has_the_code_of_what_was_refused() {
        let cases = [
            (Status::invalid_argument(""), Some(Event::Refused(65))),
            (Status::unimplemented(""), Some(Event::Refused(69))),
            (Status::unknown(""), Some(Event::Refused(71))),
            (Status::unavailable(""), Some(Event::Unwell)),
        ];
        for (status, event) in cases {
            assert_eq!(of_start(&refusal(status)), event);
        }
    }

    #[test]
    fn no_answer_is_no_refusal_and_an_end_is_told_by_its_process() {
        let call = "Start";
        let within = Duration::from_secs(1);
        let late = CallError::Deadline { call, within };
        assert_eq!(of_start(&late), Some(Event::Unwell));
        let (end, words) = (End::Code(1), Words::default());
        assert_eq!(of_start(&CallError::Ended { call, end, words }), None);
    }

    #[test]
    fn only_one_that_has_drained_and_says_so_is_the_end() {
        let drained = |has_lost, end| of_end(Leaving::Drained { has_lost }, end);
        for end in [End::Code(0), End::Signal(9), End::Unknown] {
            assert_eq!(drained(false, end), Ending::Code(0));
            assert_eq!(drained(true, end), Ending::Code(71));
            assert_eq!(of_end(Leaving::Undrained, end), Ending::Undrained);
        }
        assert_eq!(drained(false, End::Code(2)), Ending::Code(71));
    }
}
