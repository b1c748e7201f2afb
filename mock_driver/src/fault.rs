//! The named faults and the policies that they change: a core.
//!
//! The forwarding code asks a [`Policy`] at each of its decisions and knows no fault by name. A
//! fault is the good policy with some answers replaced.

use std::time::Duration;

/// A realistic bug of a driver's forwarding code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
#[expect(
    missing_docs,
    reason = "`Fault::description` says it, for the reader of the program too"
)]
pub enum Fault {
    DiesOfSigpipe,
    DropsOnEpipe,
    CloseThenReopen,
    ResendsLastRecord,
    RestartsTaskOnEpipe,
    DropsOnEagain,
    ResendsAfterShortWrite,
    GivesUpOnEnxio,
    #[value(name = "gives-up-after-1s")]
    GivesUpAfterOneSecond,
    CreatesPlainFile,
    ReplacesFifo,
    OpensReadWriteAndExitsFirst,
    LosesUnterminatedTail,
    ChildKeepsFifo,
    TornWriters,
    BlockBuffers,
    MergesStreams,
    SwapsStreams,
    AddsPrefix,
    Crlf,
    SkipsSilentStream,
    BlocksStartWithoutReader,
    LeaksFdPerRestart,
    ClosesEarly,
    TruncatesAtNul,
    WrongExitCode,
    #[value(name = "reports-0-on-stop")]
    ReportsZeroOnStop,
    ReadsOwnFifo,
    LeaksFifoIntoTask,
    IgnoresSigpipeForTask,
    DeafToStop,
    WaitsForChildren,
    DisabledThroughPipe,
    TrustsThePath,
    FollowsTheLink,
    OpensPerChunk,
    SocketsForStreams,
    ForgetsTaskOnEarlyStop,
    LogsIntoLogFolder,
    KillsOnlyTheLeader,
    LeavesOrphans,
}

impl Fault {
    /// What the fault does, in one line.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::DiesOfSigpipe => "leaves SIGPIPE at its default and dies when the reader is gone",
            Self::DropsOnEpipe => "throws away what it cannot write while there is no reader",
            Self::CloseThenReopen => {
                "on EPIPE closes its end before it opens a new one: what lies in the pipe is gone"
            }
            Self::ResendsLastRecord => "after EPIPE sends the last delivered line once more",
            Self::RestartsTaskOnEpipe => "on EPIPE kills the task and starts it again",
            Self::DropsOnEagain => "throws away the rest of a chunk when the pipe is full",
            Self::ResendsAfterShortWrite => {
                "writes a chunk once more from its start if the pipe had room for a part of it"
            }
            Self::GivesUpOnEnxio => "gives a stream up for good when nobody reads at the start",
            Self::GivesUpAfterOneSecond => {
                "waits for a reader only until 1 s after the task's end, then drops its output"
            }
            Self::CreatesPlainFile => "writes a regular file and renames it over the FIFO",
            Self::ReplacesFifo => "removes the FIFO and makes a new one in its place",
            Self::OpensReadWriteAndExitsFirst => {
                "opens the FIFO for reading and writing and exits with the only descriptor"
            }
            Self::LosesUnterminatedTail => {
                "forwards whole lines and drops a last one without its newline"
            }
            Self::ChildKeepsFifo => "leaves a process behind that holds the write ends for 30 s",
            Self::TornWriters => "copies a stream by two unlocked copiers in pieces of 990 bytes",
            Self::BlockBuffers => "gathers 64 KiB before it writes",
            Self::MergesStreams => "sends stderr into the FIFO of stdout",
            Self::SwapsStreams => "sends each stream into the other's FIFO",
            Self::AddsPrefix => "puts a time and a stream name in front of each line",
            Self::Crlf => "turns each newline into a carriage return and a newline",
            Self::SkipsSilentStream => "opens a FIFO only when the task writes its first byte",
            Self::BlocksStartWithoutReader => {
                "opens both FIFOs by a blocking open(2) before it starts the task"
            }
            Self::LeaksFdPerRestart => {
                "leaves a process with one descriptor behind for 60 s after each run"
            }
            Self::ClosesEarly => {
                "gathers output for up to 100 ms and forgets what is left as soon as the task is gone"
            }
            Self::TruncatesAtNul => "takes a chunk for a C string: the rest behind a NUL is lost",
            Self::WrongExitCode => {
                "reports 0 for every failed task and 1 for one that a signal ended"
            }
            Self::ReportsZeroOnStop => {
                "reports 0 once it was asked to stop, however the task ended"
            }
            Self::ReadsOwnFifo => "opens its FIFOs for reading too and takes chunks out of them",
            Self::LeaksFifoIntoTask => "hands the task a further descriptor of its stdout FIFO",
            Self::IgnoresSigpipeForTask => "starts the task with SIGPIPE ignored",
            Self::DeafToStop => "does not look at SIGTERM while its delivery is blocked",
            Self::WaitsForChildren => {
                "reports the exit only when the last process has closed the pipes"
            }
            Self::DisabledThroughPipe => {
                "gives the task a pipe that it discards instead of the null device"
            }
            Self::TrustsThePath => "opens whatever stands at the path, and writes into it",
            Self::FollowsTheLink => {
                "opens both FIFOs before it starts the task, also those that links lead to"
            }
            Self::OpensPerChunk => "opens the FIFO for each chunk and closes it behind that",
            Self::SocketsForStreams => "gives the task sockets instead of pipes",
            Self::ForgetsTaskOnEarlyStop => {
                "ends at once when it is asked to stop a task that has just begun, and leaves the task"
            }
            Self::LogsIntoLogFolder => "keeps a log of its own in the task's log folder",
            Self::KillsOnlyTheLeader => "ends the main process alone when it is asked to stop",
            Self::LeavesOrphans => {
                "kills the task's process group at a stop, and nobody who has left that"
            }
        }
    }

    /// The policy of a driver with this fault.
    #[must_use]
    pub fn policy(self) -> Policy {
        let good = Policy::GOOD;
        match self {
            Self::DiesOfSigpipe => Policy {
                own_sigpipe: Sigpipe::Default,
                ..good
            },
            Self::DropsOnEpipe => Policy {
                on_no_reader: OnNoReader::Drop,
                ..good
            },
            Self::CloseThenReopen => Policy {
                on_no_reader: OnNoReader::Reopen,
                ..good
            },
            Self::ResendsLastRecord => Policy {
                on_no_reader: OnNoReader::Resend,
                ..good
            },
            Self::RestartsTaskOnEpipe => Policy {
                on_no_reader: OnNoReader::RestartTask,
                ..good
            },
            Self::DropsOnEagain => Policy {
                on_full: OnFull::Drop,
                ..good
            },
            Self::ResendsAfterShortWrite => Policy {
                on_full: OnFull::StartOver,
                ..good
            },
            Self::GivesUpOnEnxio => Policy {
                opening: Opening::Once,
                ..good
            },
            Self::GivesUpAfterOneSecond => Policy {
                patience: Some(Duration::from_secs(1)),
                ..good
            },
            Self::CreatesPlainFile => Policy {
                opening: Opening::PlainFile,
                ..good
            },
            Self::ReplacesFifo => Policy {
                opening: Opening::Replace,
                // It waits for a reader that can no longer come.
                patience: Some(Duration::from_millis(500)),
                ..good
            },
            Self::OpensReadWriteAndExitsFirst => Policy {
                opening: Opening::ReadWrite,
                ..good
            },
            Self::LosesUnterminatedTail => Policy {
                change: Change::WholeLines,
                ..good
            },
            Self::ChildKeepsFifo => Policy {
                left_behind: LeftBehind::FifoHolder,
                ..good
            },
            Self::TornWriters => Policy {
                change: Change::SwapPieces(990),
                ..good
            },
            Self::BlockBuffers => Policy {
                change: Change::Blocks(65_536),
                ..good
            },
            Self::MergesStreams => Policy {
                route: Route::Merged,
                ..good
            },
            Self::SwapsStreams => Policy {
                route: Route::Swapped,
                ..good
            },
            Self::AddsPrefix => Policy {
                change: Change::Prefix("2024-01-01T00:00:00Z stdout F "),
                ..good
            },
            Self::Crlf => Policy {
                change: Change::CrLf,
                ..good
            },
            Self::SkipsSilentStream => Policy {
                opening: Opening::AtFirstByte,
                ..good
            },
            Self::BlocksStartWithoutReader => Policy {
                opening: Opening::BlockingBeforeStart,
                ..good
            },
            Self::LeaksFdPerRestart => Policy {
                left_behind: LeftBehind::FolderHolder,
                ..good
            },
            Self::ClosesEarly => Policy {
                at_exit: AtExit::Stop,
                ..good
            },
            Self::TruncatesAtNul => Policy {
                change: Change::CutAtNul,
                ..good
            },
            Self::WrongExitCode => Policy {
                report: Report::Careless,
                ..good
            },
            Self::ReportsZeroOnStop => Policy {
                report: Report::ZeroOnStop,
                ..good
            },
            Self::ReadsOwnFifo => Policy {
                reads_back: true,
                ..good
            },
            Self::LeaksFifoIntoTask => Policy {
                task_gets_fifo: true,
                ..good
            },
            Self::IgnoresSigpipeForTask => Policy {
                task_sigpipe: Sigpipe::Ignore,
                ..good
            },
            Self::DeafToStop => Policy {
                stop: Stop::AfterDelivery,
                patience: None,
                ..good
            },
            Self::WaitsForChildren => Policy {
                at_exit: AtExit::WaitForHolders,
                ..good
            },
            Self::DisabledThroughPipe => Policy {
                disabled: Disabled::Discard,
                ..good
            },
            Self::TrustsThePath => Policy {
                opening: Opening::Anything,
                ..good
            },
            Self::FollowsTheLink => Policy {
                opening: Opening::ThroughLinks,
                ..good
            },
            Self::OpensPerChunk => Policy {
                opening: Opening::ForEachChunk,
                ..good
            },
            Self::SocketsForStreams => Policy {
                task_end: TaskEnd::Socket,
                ..good
            },
            Self::ForgetsTaskOnEarlyStop => Policy {
                stop: Stop::ForgetsEarly,
                ..good
            },
            Self::LogsIntoLogFolder => Policy {
                left_behind: LeftBehind::OwnLog,
                ..good
            },
            Self::KillsOnlyTheLeader => Policy {
                family: Family::Leader,
                ..good
            },
            Self::LeavesOrphans => Policy {
                family: Family::Group,
                ..good
            },
        }
    }
}

/// What the forwarding code does where a driver can do one thing or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub(crate) opening: Opening,
    pub(crate) on_full: OnFull,
    pub(crate) on_no_reader: OnNoReader,
    pub(crate) change: Change,
    pub(crate) route: Route,
    pub(crate) at_exit: AtExit,
    pub(crate) report: Report,
    pub(crate) left_behind: LeftBehind,
    pub(crate) reads_back: bool,
    pub(crate) task_gets_fifo: bool,
    pub(crate) own_sigpipe: Sigpipe,
    pub(crate) task_sigpipe: Sigpipe,
    pub(crate) stop: Stop,
    pub(crate) family: Family,
    pub(crate) disabled: Disabled,
    pub(crate) task_end: TaskEnd,
    /// How long undelivered bytes may wait without any progress once the task is gone; `None` is
    /// for ever.
    pub(crate) patience: Option<Duration>,
}

impl Policy {
    /// The policy of a driver that keeps the contract.
    ///
    /// A reader that comes up to 5 s after the start finds the output of a task that ended at once
    /// (FIFO-4), so the patience is a second longer.
    pub const GOOD: Self = Self {
        opening: Opening::Background,
        on_full: OnFull::Wait,
        on_no_reader: OnNoReader::Keep,
        change: Change::None,
        route: Route::Straight,
        at_exit: AtExit::Drain,
        report: Report::Own,
        left_behind: LeftBehind::Nothing,
        reads_back: false,
        task_gets_fifo: false,
        own_sigpipe: Sigpipe::Ignore,
        task_sigpipe: Sigpipe::Default,
        stop: Stop::Prompt,
        family: Family::Whole,
        disabled: Disabled::NullDevice,
        task_end: TaskEnd::Pipe,
        patience: Some(Duration::from_secs(6)),
    };

    /// The good policy, or that of the fault.
    #[must_use]
    pub fn of(fault: Option<Fault>) -> Self {
        fault.map_or(Self::GOOD, Fault::policy)
    }
}

/// When and how a FIFO is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// At once, tried again until there is a reader, while the task runs.
    Background,
    /// When there is a byte to deliver, tried again until there is a reader.
    AtFirstByte,
    /// One try; without a reader the stream is discarded.
    Once,
    /// By a blocking open(2) before the task is started.
    BlockingBeforeStart,
    /// For reading and writing.
    ReadWrite,
    /// A regular file is renamed over it.
    PlainFile,
    /// A new FIFO takes its place first.
    Replace,
    /// At once, whatever it is, behind links too.
    Anything,
    /// Before the task is started, and behind links too, but only FIFOs that somebody reads.
    ThroughLinks,
    /// For each chunk, and it is closed behind that.
    ForEachChunk,
}

/// What happens to bytes that do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFull {
    Wait,
    Drop,
    /// Wait, then write the whole chunk, also what was taken of it; what is left then as a good driver does.
    StartOver,
}

/// What happens when the last reader has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnNoReader {
    /// Keep the descriptor, wait for a reader and go on with the same bytes.
    Keep,
    /// Throw the rest of the chunk away.
    Drop,
    /// Close, then open again, then go on.
    Reopen,
    /// Keep the descriptor, and send the last delivered line again first.
    Resend,
    /// Kill the task, and begin with it anew.
    RestartTask,
}

/// What is done to the bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Prefix(&'static str),
    CrLf,
    CutAtNul,
    WholeLines,
    Blocks(usize),
    SwapPieces(usize),
}

/// Which FIFO a stream goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Straight,
    Merged,
    Swapped,
}

/// What is done with the task's pipes when the main process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtExit {
    /// What is in them is delivered.
    Drain,
    /// It is left.
    Stop,
    /// They are read until no process holds them.
    WaitForHolders,
}

/// Which status is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    Own,
    Careless,
    /// A stop that was asked for counts as success.
    ZeroOnStop,
}

/// Which process is left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftBehind {
    Nothing,
    FifoHolder,
    FolderHolder,
    /// No process, but a file.
    OwnLog,
}

/// What SIGPIPE does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sigpipe {
    Default,
    Ignore,
}

/// When a stop is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Prompt,
    AfterDelivery,
    /// Right after the start the driver ends, and only that.
    ForgetsEarly,
}

/// How much of a task ends with a stop, beside its main process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// All that it has started.
    Whole,
    /// What is still in its process group.
    Group,
    /// Nothing.
    Leader,
}

/// What the task writes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskEnd {
    Pipe,
    Socket,
}

/// What a task gets whose output is not collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disabled {
    NullDevice,
    Discard,
}

impl Report {
    /// The status for a task that exited with `code` or was ended by `signal`; `stopped` says
    /// whether a stop was asked for.
    pub(crate) fn status(self, code: Option<i32>, signal: Option<i32>, stopped: bool) -> u8 {
        let own = match (code, signal) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => 1,
        };
        let status = match self {
            Self::ZeroOnStop if stopped => 0,
            Self::Own | Self::ZeroOnStop => own,
            Self::Careless => i32::from(signal.is_some()),
        };
        u8::try_from(status).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_fault_differs_from_the_good_policy_and_from_the_others() {
        let faults = Fault::value_variants();
        for (index, fault) in faults.iter().enumerate() {
            assert_ne!(fault.policy(), Policy::GOOD, "{fault:?}");
            assert!(!fault.description().is_empty());
            for other in &faults[..index] {
                assert_ne!(fault.policy(), other.policy(), "{fault:?} and {other:?}");
            }
        }
    }

    #[test]
    fn a_status_is_the_tasks_own_or_128_and_the_signal() {
        assert_eq!(Report::Own.status(Some(7), None, false), 7);
        assert_eq!(Report::Own.status(None, Some(15), true), 143);
        assert_eq!(Report::Careless.status(Some(7), None, false), 0);
        assert_eq!(Report::Careless.status(None, Some(15), true), 1);
        assert_eq!(Report::ZeroOnStop.status(None, Some(15), true), 0);
        assert_eq!(Report::ZeroOnStop.status(None, Some(15), false), 143);
    }
}
