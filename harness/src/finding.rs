//! Findings: what is wrong, and the shape of the damage. (core)

use std::fmt;

use mock_driver::stream::Stream;
use serde::{Deserialize, Serialize};

use crate::rule::RuleId;

/// The shape of a damage. The dictionary of likely causes is keyed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Nothing of what was written is in the log.
    LostAll,
    /// The beginning is missing.
    LostHead,
    /// One or more pieces in the middle are missing.
    LostMiddle,
    /// The end is missing.
    LostTail,
    /// What the pipe held when its last descriptor closed is missing, and nothing else.
    LostPipeContent,
    /// Something stands in the log more than once.
    Repeated,
    /// Records are cut or interleaved.
    Torn,
    /// Records stand in another order than they were written.
    Reordered,
    /// Bytes of one stream stand in the other's log.
    StreamsMixed,
    /// Bytes were changed or put in between.
    Altered,
    /// Bytes were added at an end.
    Added,
    /// A line was cut between two files.
    LineSplit,
    /// The FIFO is another inode, or no FIFO any more.
    FifoReplaced,
    /// The driver never opened one of the FIFOs.
    StreamNotOpened,
    /// Somebody beside logmon reads from the FIFO.
    ForeignReader,
    /// A write end is still held after the task's end.
    NoEof,
    /// A call or a write did not come back.
    Blocked,
    /// Something came, but too late.
    Late,
    /// A file is larger than the limit.
    OversizeFile,
    /// A file was closed long before its limit.
    EarlyRotation,
    /// More files than allowed.
    TooManyFiles,
    /// A file that is nobody's log was touched, or a link was followed.
    ForeignTouched,
    /// A log file shrank, vanished without cause or was rewritten.
    FileRewritten,
    /// Something was accepted that must be refused.
    Accepted,
    /// Something was refused that must be accepted, or a process died that must live.
    Died,
    /// The task was killed by a signal that nobody sent it, SIGPIPE for one.
    WriterKilled,
    /// The task was started again, and nobody had asked for it.
    Restarted,
    /// The reported exit is not the task's.
    WrongExit,
    /// Descriptors grow with every restart.
    GrowthFd,
    /// Threads grow with every restart.
    GrowthThread,
    /// Memory grows with every restart, or by too much with every task.
    GrowthMemory,
    /// Processes grow with every task.
    GrowthProcess,
    /// With log collection off, a stream is not the null device.
    NotNull,
    /// The task was started with signals ignored or blocked, or with a descriptor too many.
    BadInheritance,
    /// Somebody who has nothing to do uses the processor, or prints without end.
    Busy,
    /// A write met a FIFO that nobody reads.
    BrokenPipe,
    /// A deleted file is kept open.
    HoldsDeleted,
    /// Output was dropped by policy, and no record says exactly how much.
    Unrecorded,
    /// Others may read or write what is private.
    Exposed,
    /// A write end was closed and opened again while the task ran.
    Reopened,
    /// What the task was given can't be opened by its path.
    NotOpenable,
    /// Something lies where only the log may lie.
    StrayFile,
    /// A pipe holds less than it could.
    SmallPipe,
    /// A process outlived its case.
    LeftBehind,
}

impl Shape {
    /// All shapes, in the order of the enum.
    pub const ALL: &[Self] = &[
        Self::LostAll,
        Self::LostHead,
        Self::LostMiddle,
        Self::LostTail,
        Self::LostPipeContent,
        Self::Repeated,
        Self::Torn,
        Self::Reordered,
        Self::StreamsMixed,
        Self::Altered,
        Self::Added,
        Self::LineSplit,
        Self::FifoReplaced,
        Self::StreamNotOpened,
        Self::ForeignReader,
        Self::NoEof,
        Self::Blocked,
        Self::Late,
        Self::OversizeFile,
        Self::EarlyRotation,
        Self::TooManyFiles,
        Self::ForeignTouched,
        Self::FileRewritten,
        Self::Accepted,
        Self::Died,
        Self::WriterKilled,
        Self::Restarted,
        Self::WrongExit,
        Self::GrowthFd,
        Self::GrowthThread,
        Self::GrowthMemory,
        Self::GrowthProcess,
        Self::NotNull,
        Self::BadInheritance,
        Self::Busy,
        Self::BrokenPipe,
        Self::HoldsDeleted,
        Self::Unrecorded,
        Self::Exposed,
        Self::Reopened,
        Self::NotOpenable,
        Self::StrayFile,
        Self::SmallPipe,
        Self::LeftBehind,
    ];

    /// Whether bytes are missing that were not dropped by policy.
    #[must_use]
    pub fn is_loss(self) -> bool {
        matches!(
            self,
            Self::LostAll
                | Self::LostHead
                | Self::LostMiddle
                | Self::LostTail
                | Self::LostPipeContent
        )
    }

    /// The name used in reports and files, such as `lost-middle`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LostAll => "lost-all",
            Self::LostHead => "lost-head",
            Self::LostMiddle => "lost-middle",
            Self::LostTail => "lost-tail",
            Self::LostPipeContent => "lost-pipe-content",
            Self::Repeated => "repeated",
            Self::Torn => "torn",
            Self::Reordered => "reordered",
            Self::StreamsMixed => "streams-mixed",
            Self::Altered => "altered",
            Self::Added => "added",
            Self::LineSplit => "line-split",
            Self::FifoReplaced => "fifo-replaced",
            Self::StreamNotOpened => "stream-not-opened",
            Self::ForeignReader => "foreign-reader",
            Self::NoEof => "no-eof",
            Self::Blocked => "blocked",
            Self::Late => "late",
            Self::OversizeFile => "oversize-file",
            Self::EarlyRotation => "early-rotation",
            Self::TooManyFiles => "too-many-files",
            Self::ForeignTouched => "foreign-touched",
            Self::FileRewritten => "file-rewritten",
            Self::Accepted => "accepted",
            Self::Died => "died",
            Self::WriterKilled => "writer-killed",
            Self::Restarted => "restarted",
            Self::WrongExit => "wrong-exit",
            Self::GrowthFd => "growth-fd",
            Self::GrowthThread => "growth-thread",
            Self::GrowthMemory => "growth-memory",
            Self::GrowthProcess => "growth-process",
            Self::NotNull => "not-null",
            Self::BadInheritance => "bad-inheritance",
            Self::Busy => "busy",
            Self::BrokenPipe => "broken-pipe",
            Self::HoldsDeleted => "holds-deleted",
            Self::Unrecorded => "unrecorded",
            Self::Exposed => "exposed",
            Self::Reopened => "reopened",
            Self::NotOpenable => "not-openable",
            Self::StrayFile => "stray-file",
            Self::SmallPipe => "small-pipe",
            Self::LeftBehind => "left-behind",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The shape of the damage.
    pub shape: Shape,
    /// The rule that is broken.
    pub rule: RuleId,
    /// The stream concerned, if it is one.
    pub stream: Option<Stream>,
    /// One sentence with figures: what was expected and what was found.
    pub headline: String,
    /// More lines, each a fact: sent and received ranges, file positions, who holds what.
    pub details: Vec<String>,
}
