//! Core: what a running stream tells about itself (contract COST-4).

use std::time::SystemTime;

use crate::collect::{Condition, Counters};

/// How bytes get from the FIFO to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PumpKind {
    /// Moved inside of the kernel; a kill costs no byte while somebody else holds the pipes.
    Splice,
    /// Read into memory and written from it.
    ReadWrite,
}

impl PumpKind {
    /// Gives the word for it in a status, such as `read-write`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            PumpKind::Splice => "splice",
            PumpKind::ReadWrite => "read-write",
        }
    }
}

/// What came of the question how a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It answered.
    Status(StreamStatus),
    /// It did not answer in time: a call to its file system does not return.
    Stalled,
    /// It has ended although nobody stopped it, which is a bug.
    Died,
}

impl StreamStatus {
    /// True when it had no writer when it last looked, and no byte is on the way.
    pub(crate) fn is_idle(&self) -> bool {
        self.condition == Condition::NoWriter && self.lag_bytes == 0
    }
}

/// How a stream is, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStatus {
    /// What it has done so far.
    pub counters: Counters,
    /// What it is doing.
    pub condition: Condition,
    /// Bytes on the way: in the FIFO, in pipes behind it and in memory.
    pub lag_bytes: u64,
    /// When bytes were last written to a file; none before the first time.
    pub last_write: Option<SystemTime>,
    /// How bytes are moved.
    pub pump: PumpKind,
    /// The index of the current file, or none before the first one.
    pub current_index: Option<u32>,
}
