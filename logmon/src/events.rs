//! Core: what the state machine of a stream is told, what it answers, and what it counts.

use std::ops::Range;
use std::time::Duration;

use nix::libc;

use crate::limits::Limits;
use crate::losses::Loss;
use crate::planner::{RotationStep, Step};

/// What to do when the folder takes no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// Let the task wait. Nothing is lost.
    Block,
    /// Let the task go on. For lack of space the oldest rotated files are deleted first; where that does
    /// not help, output is dropped. Both are recorded.
    Drop,
}

/// Why a step failed, as far as that makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The file system is full, or the user's share of it is used up: ENOSPC, EDQUOT (`write(2)`,
    /// `open(2)`). Deleting a file may mend it.
    NoSpace,
    /// Anything else, such as EFBIG, EIO, EROFS or EMFILE. Deleting a file would not mend it.
    Other,
}

impl Fault {
    /// Tells the fault from the number of an error of the system, if it has one.
    #[must_use]
    pub fn of_errno(errno: Option<i32>) -> Fault {
        if matches!(errno, Some(libc::ENOSPC | libc::EDQUOT)) {
            Fault::NoSpace
        } else {
            Fault::Other
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The stream is ready.
    Started,
    /// So many bytes came to be known; they are the last ones of the window.
    Read(usize),
    /// The same, and more may lie in the FIFO.
    ReadPart(usize),
    /// The bytes of [`Step::Look`] are seen.
    Looked,
    /// The current file ends so.
    FoundEnding {
        /// Its last byte is there and is no newline.
        is_mid_line: bool,
    },
    /// Everything in the window is seen, and stays so until [`Collect::needs_sight`](crate::collect::Collect::needs_sight) says otherwise.
    TookIn,
    /// There are bytes to read after a time without a writer.
    WriterCame,
    /// There are writers and no bytes. Told only in answer to [`Reading::AtOnce`].
    Empty,
    /// There are no bytes and no writer.
    NoWriter,
    /// Reading failed.
    ReadFailed,
    /// The time waited for has come, and there was nothing to read.
    Tick,
    /// The stream shall keep these limits from now on.
    SetLimits(Limits),
    /// The stream shall end.
    Stop,
    /// So many bytes, from the start of the window, were written. The window still has them; the edge
    /// takes them out right after.
    Wrote(usize),
    /// A step of a rotation is done.
    Rotated(RotationStep),
    /// Something foreign has the name with this index.
    NameTaken(u32),
    /// The prepared file is lost, because its folder is; that is a failure, too.
    Unprepared,
    /// The file with this index is gone, or is foreign by now.
    Deleted(u32),
    /// The file with this index was deleted for space.
    DeletedForSpace {
        /// Its index.
        index: u32,
        /// Its length in bytes; none if it was gone, or was foreign by now and left alone.
        bytes: Option<u64>,
    },
    /// The step failed.
    Failed {
        /// Which step it was.
        step: Step,
        /// Why.
        fault: Fault,
    },
    /// The loss named by [`Action::Record`] is recorded.
    Recorded(Loss),
    /// It could not be recorded.
    NotRecorded,
    /// The bytes named by [`Action::Discard`] are out of the window.
    Discarded,
}

/// How to wait for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Do not read, and let no write end the wait.
    No,
    /// Wait for bytes or for the last writer to leave.
    Bytes,
    /// There is no writer: wait until there are bytes.
    NextWriter,
    /// Read what is there and do not wait.
    AtOnce,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Perform a step of the plan: a write, a deletion or a step of a rotation.
    Perform(Step),
    /// Take the window into memory, where all of it is seen.
    TakeIn,
    /// Take these bytes out of the window; they are counted as dropped.
    Discard(Range<usize>),
    /// Record what was lost.
    Record(Box<Loss>),
    /// Wait for bytes, for a stop, or until the time given.
    Wait {
        /// How to wait for bytes.
        reading: Reading,
        /// When to stop waiting, since the stream's start.
        until: Option<Duration>,
    },
    /// End. The bytes left in the window were not placed.
    Finish,
}

/// What a person should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The folder takes no bytes; told once for each time of trouble, and rate-limited.
    TroubleBegan,
    /// It takes bytes again; told only if its beginning was.
    TroubleEnded {
        /// How long it took none.
        lasted: Duration,
    },
    /// From now on output is dropped.
    DroppingBegan,
    /// Output is kept again.
    DroppingEnded {
        /// Exactly how many bytes were dropped since the beginning.
        bytes: u64,
        /// How long it lasted.
        lasted: Duration,
    },
    /// Log files were deleted for space; rate-limited, and exact in sum.
    DeletedForSpace {
        /// How many.
        files: u64,
        /// How many bytes they had.
        bytes: u64,
    },
    /// A loss could not be recorded; it is tried again. Rate-limited.
    NotRecorded,
}

/// Counters of one stream (contract COST-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Bytes read from the FIFO.
    pub read_bytes: u64,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// Bytes dropped under [`OnFull::Drop`].
    pub dropped_bytes: u64,
    /// Rotated files deleted for space under [`OnFull::Drop`].
    pub deleted_for_space_files: u64,
    /// Bytes that these had.
    pub deleted_for_space_bytes: u64,
    /// Files begun.
    pub rotations: u64,
    /// Steps that failed, and records of losses that could not be written.
    pub failures: u64,
}

/// What a stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It collects, or waits for its writer to write.
    Collecting,
    /// It waits for a writer.
    NoWriter,
    /// The folder takes no bytes; the task waits when its pipe is full.
    Blocked,
    /// The folder takes no bytes; output is dropped and counted.
    Dropping,
    /// It drains and ends.
    Stopping,
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::Error;

    #[test]
    fn only_a_full_disk_and_a_used_up_quota_are_a_lack_of_space() {
        let fault = |errno: i32| {
            Error::WriteLogFile {
                path: "/logs/web.stdout.0".into(),
                source: io::Error::from_raw_os_error(errno),
            }
            .fault()
        };
        for errno in [libc::ENOSPC, libc::EDQUOT] {
            assert_eq!(fault(errno), Fault::NoSpace, "{errno}");
        }
        for errno in [
            libc::EFBIG,
            libc::EIO,
            libc::EROFS,
            libc::ENOENT,
            libc::EMFILE,
            libc::EACCES,
        ] {
            assert_eq!(fault(errno), Fault::Other, "{errno}");
        }
        let no_number = Error::PrepareLogFile {
            path: "/logs".into(),
            source: io::ErrorKind::StorageFull.into(),
        };
        assert_eq!(no_number.fault(), Fault::Other);
    }
}
