//! What a faulty logmon does wrong, by name. (core)

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One way in which a logmon can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fault {
    /// Nothing: the baseline that passes every case.
    None,
    /// Keeps up to 64 KiB in memory until it is asked to end.
    BuffersAndLosesOnKill,
    /// Ends at once on SIGTERM and leaves what lies in the pipe.
    LosesOnSigterm,
    /// Stops reading a stream at its first end of file, and ends after both.
    EndsAtFirstEof,
    /// Stops reading a stream at its first end of file, and holds it open.
    HoldsWithoutDraining,
    /// Fills each file to its last byte and cuts the line there.
    SplitsLines,
    /// Counts bytes that it did not write, and closes a file too early.
    RotatesEarly,
    /// Looks at the limit only after the line that goes beyond it.
    Oversize,
    /// Deletes the oldest file one rotation too late.
    KeepsOneFileTooMany,
    /// Counts and deletes whatever begins with the stream's name.
    PurgesByBarePrefix,
    /// Begins with the file of index 0 every time it starts.
    RestartsAtIndex0,
    /// Empties the file that it goes on with.
    TruncatesOnRestart,
    /// Writes stdout into stderr's files and the other way round.
    SwapsStreams,
    /// Leaves a waiting thread behind for every generation of the task.
    ParksThreadPerRestart,
    /// Opens a log file through whatever link stands there.
    FollowsSymlink,
    /// Reads from whatever stands at the FIFO's path.
    AcceptsPlainFile,
    /// Waits without an end when the FIFO's path is something else.
    HangsOnRefusal,
    /// Ends an open line when it is asked to end.
    AddsNewlineAtStop,
    /// Takes no lock: two of them share the bytes of a FIFO.
    SharesFifo,
    /// Takes a limit of 0 for no limit.
    AcceptsZeroLimits,
    /// Takes a limit that is no number of its type for a very large one.
    SaturatesLimits,
    /// Writes what came only 2 s later.
    LateVisibility,
    /// Takes 4 s to end.
    SlowStop,
    /// Takes 3 s before it opens anything.
    SlowStart,
    /// Opens the FIFOs as a shell does, and so waits for a writer.
    WaitsForWriterInOpen,
    /// Removes the FIFOs that it finds and makes new ones.
    ReplacesFifo,
    /// Leaves out every carriage return.
    StripsCr,
    /// Ends when a file can't be written.
    EndsOnWriteError,
    /// Leaves its FIFOs as small as they are made.
    KeepsSmallPipe,
    /// Throws away what can't be written, and says nothing.
    DropsOnWriteError,
    /// Tries a write that failed again at once, and complains each time.
    SpinsOnWriteError,
    /// Tells of each try to write or to rotate in thousands of lines, in a fault and before.
    FloodsItsOutput,
    /// Tries nothing again after a file could not be written or made.
    GivesUpAfterFault,
    /// Ends when the log folder is gone at a rotation.
    NeedsItsLogFolder,
    /// Makes its files in the folder that it once opened, whatever stands at the path by now.
    KeepsRemovedFolder,
    /// Ends when it can open nothing more at a rotation.
    EndsOnEmfile,
    /// Tells of each rotation, and ends when nobody reads that.
    NeedsItsOutput,
    /// Looks for its own program at each rotation, and ends when it was replaced.
    NeedsItsBinary,
    /// Says ready and 0 beside a running one, whatever limits it was given.
    IgnoresOtherLimits,
    /// Lets its FIFOs go and opens them anew when it is asked to start what it collects already.
    StartsOver,
    /// Makes FIFOs that everybody can read.
    WorldReadableFifo,
    /// Opens a log folder through a symbolic link.
    FollowsFolderLink,
    /// Never closes a file, deleted or not.
    KeepsDeletedOpen,
    /// Looks at its FIFOs every two milliseconds, whether or not there is anything.
    PollsWhenIdle,
    /// Takes no FIFO that lies outside of the log folder.
    WantsFifosAmongLogs,
    /// Says that its FIFOs are held while it is dead, and nobody holds them.
    KeepsNothing,
    /// Has its FIFOs held, and keeps what it has read for a while before it writes it.
    ReadsBeforeItWrites,
    /// Has its FIFOs held, and takes what it has written out of them only a while later.
    RepeatsAfterKill,
    /// Has its FIFOs held, and does not see that whoever holds them has died.
    ForgetsItsHolder,
    /// Has its FIFOs held, and does not send away whoever holds them when it is asked to end.
    LeavesItsHolder,
    /// Deletes its oldest files, however few, when the disk is full.
    DeletesHistoryWhenFull,
    /// Ends when it can't make a file in its folder.
    EndsOnReadOnly,
    /// Lets the task wait on a full disk, although it was told to drop.
    BlocksUnderDrop,
    /// Drops by policy and tells nobody.
    DropsWithoutRecord,
    /// Tells of fewer bytes than it dropped: it counts lines without their newlines.
    MiscountsDrops,
    /// Drops by policy what it reads, wherever a line begins or ends.
    DropsPartsOfLines,
    /// Takes an option that it does not know for one that turns collection off.
    UnknownOptionTurnsOff,
    /// Says only that it can't start when an option is unknown.
    RefusesWithoutAName,
    /// Moves bytes from the FIFO straight to the file, and holds the FIFO's lock meanwhile.
    SplicesStraightToFile,
    /// Has 256 KiB of memory for each of many tasks.
    MemoryPerTask,
    /// Refuses every task beyond the hundredth.
    ServesAHundred,
    /// Starts a process for each of many tasks.
    ProcessPerTask,
    /// Reads one of many tasks' stdout into another one's log, and the other way round.
    MixesTasks,
    /// Keeps the FIFOs of tasks open that were taken away.
    KeepsStoppedTasks,
    /// Says that a task is taken away before its FIFOs are empty.
    AnswersBeforeDrained,
    /// Keeps what it reads in memory until a task is taken away.
    WritesAtStop,
    /// Says that a task is started for which there were no descriptors.
    StartsWithoutDescriptors,
    /// Takes every descriptor for starts, and gives up a task that then has none for its next file.
    GivesUpOnEmfile,
    /// Does not say why a task is not started.
    RefusesSilently,
    /// Reads from the FIFOs of a task that it then does not start.
    TakesWhatItRefuses,
}

impl Fault {
    /// All of them, the correct baseline first.
    pub const ALL: &[Self] = &[
        Self::None,
        Self::BuffersAndLosesOnKill,
        Self::LosesOnSigterm,
        Self::EndsAtFirstEof,
        Self::HoldsWithoutDraining,
        Self::SplitsLines,
        Self::RotatesEarly,
        Self::Oversize,
        Self::KeepsOneFileTooMany,
        Self::PurgesByBarePrefix,
        Self::RestartsAtIndex0,
        Self::TruncatesOnRestart,
        Self::SwapsStreams,
        Self::ParksThreadPerRestart,
        Self::FollowsSymlink,
        Self::AcceptsPlainFile,
        Self::HangsOnRefusal,
        Self::AddsNewlineAtStop,
        Self::SharesFifo,
        Self::AcceptsZeroLimits,
        Self::SaturatesLimits,
        Self::LateVisibility,
        Self::SlowStop,
        Self::SlowStart,
        Self::WaitsForWriterInOpen,
        Self::ReplacesFifo,
        Self::StripsCr,
        Self::EndsOnWriteError,
        Self::KeepsSmallPipe,
        Self::DropsOnWriteError,
        Self::SpinsOnWriteError,
        Self::FloodsItsOutput,
        Self::GivesUpAfterFault,
        Self::NeedsItsLogFolder,
        Self::KeepsRemovedFolder,
        Self::EndsOnEmfile,
        Self::NeedsItsOutput,
        Self::NeedsItsBinary,
        Self::IgnoresOtherLimits,
        Self::StartsOver,
        Self::WorldReadableFifo,
        Self::FollowsFolderLink,
        Self::KeepsDeletedOpen,
        Self::PollsWhenIdle,
        Self::WantsFifosAmongLogs,
        Self::KeepsNothing,
        Self::ReadsBeforeItWrites,
        Self::RepeatsAfterKill,
        Self::ForgetsItsHolder,
        Self::LeavesItsHolder,
        Self::DeletesHistoryWhenFull,
        Self::EndsOnReadOnly,
        Self::BlocksUnderDrop,
        Self::DropsWithoutRecord,
        Self::MiscountsDrops,
        Self::DropsPartsOfLines,
        Self::UnknownOptionTurnsOff,
        Self::RefusesWithoutAName,
        Self::SplicesStraightToFile,
        Self::MemoryPerTask,
        Self::ServesAHundred,
        Self::ProcessPerTask,
        Self::MixesTasks,
        Self::KeepsStoppedTasks,
        Self::AnswersBeforeDrained,
        Self::WritesAtStop,
        Self::StartsWithoutDescriptors,
        Self::GivesUpOnEmfile,
        Self::RefusesSilently,
        Self::TakesWhatItRefuses,
    ];

    /// The name used on command lines and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::BuffersAndLosesOnKill => "buffers-and-loses-on-kill",
            Self::LosesOnSigterm => "loses-on-sigterm",
            Self::EndsAtFirstEof => "ends-at-first-eof",
            Self::HoldsWithoutDraining => "holds-without-draining",
            Self::SplitsLines => "splits-lines",
            Self::RotatesEarly => "rotates-early",
            Self::Oversize => "oversize",
            Self::KeepsOneFileTooMany => "keeps-one-file-too-many",
            Self::PurgesByBarePrefix => "purges-by-bare-prefix",
            Self::RestartsAtIndex0 => "restarts-at-index-0",
            Self::TruncatesOnRestart => "truncates-on-restart",
            Self::SwapsStreams => "swaps-streams",
            Self::ParksThreadPerRestart => "parks-thread-per-restart",
            Self::FollowsSymlink => "follows-symlink",
            Self::AcceptsPlainFile => "accepts-plain-file",
            Self::HangsOnRefusal => "hangs-on-refusal",
            Self::AddsNewlineAtStop => "adds-newline-at-stop",
            Self::SharesFifo => "shares-fifo",
            Self::AcceptsZeroLimits => "accepts-zero-limits",
            Self::SaturatesLimits => "saturates-limits",
            Self::LateVisibility => "late-visibility",
            Self::SlowStop => "slow-stop",
            Self::SlowStart => "slow-start",
            Self::WaitsForWriterInOpen => "waits-for-writer-in-open",
            Self::ReplacesFifo => "replaces-fifo",
            Self::StripsCr => "strips-cr",
            Self::EndsOnWriteError => "ends-on-write-error",
            Self::KeepsSmallPipe => "keeps-small-pipe",
            Self::DropsOnWriteError => "drops-on-write-error",
            Self::SpinsOnWriteError => "spins-on-write-error",
            Self::FloodsItsOutput => "floods-its-output",
            Self::GivesUpAfterFault => "gives-up-after-fault",
            Self::NeedsItsLogFolder => "needs-its-log-folder",
            Self::KeepsRemovedFolder => "keeps-removed-folder",
            Self::EndsOnEmfile => "ends-on-emfile",
            Self::NeedsItsOutput => "needs-its-output",
            Self::NeedsItsBinary => "needs-its-binary",
            Self::IgnoresOtherLimits => "ignores-other-limits",
            Self::StartsOver => "starts-over",
            Self::WorldReadableFifo => "world-readable-fifo",
            Self::FollowsFolderLink => "follows-folder-link",
            Self::KeepsDeletedOpen => "keeps-deleted-open",
            Self::PollsWhenIdle => "polls-when-idle",
            Self::WantsFifosAmongLogs => "wants-fifos-among-logs",
            Self::KeepsNothing => "keeps-nothing",
            Self::ReadsBeforeItWrites => "reads-before-it-writes",
            Self::RepeatsAfterKill => "repeats-after-kill",
            Self::ForgetsItsHolder => "forgets-its-holder",
            Self::LeavesItsHolder => "leaves-its-holder",
            Self::DeletesHistoryWhenFull => "deletes-history-when-full",
            Self::EndsOnReadOnly => "ends-on-read-only",
            Self::BlocksUnderDrop => "blocks-under-drop",
            Self::DropsWithoutRecord => "drops-without-record",
            Self::MiscountsDrops => "miscounts-drops",
            Self::DropsPartsOfLines => "drops-parts-of-lines",
            Self::UnknownOptionTurnsOff => "unknown-option-turns-off",
            Self::RefusesWithoutAName => "refuses-without-a-name",
            Self::SplicesStraightToFile => "splices-straight-to-file",
            Self::MemoryPerTask => "memory-per-task",
            Self::ServesAHundred => "serves-a-hundred",
            Self::ProcessPerTask => "process-per-task",
            Self::MixesTasks => "mixes-tasks",
            Self::KeepsStoppedTasks => "keeps-stopped-tasks",
            Self::AnswersBeforeDrained => "answers-before-drained",
            Self::WritesAtStop => "writes-at-stop",
            Self::StartsWithoutDescriptors => "starts-without-descriptors",
            Self::GivesUpOnEmfile => "gives-up-on-emfile",
            Self::RefusesSilently => "refuses-silently",
            Self::TakesWhatItRefuses => "takes-what-it-refuses",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no faulty logmon is named `{0}`")]
pub struct UnknownFault(pub String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        Self::ALL
            .iter()
            .copied()
            .find(|fault| fault.as_str() == name)
            .ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_own_name_only() {
        for fault in Fault::ALL {
            assert_eq!(fault.as_str().parse(), Ok(*fault));
        }
        assert_eq!(
            "nonsense".parse::<Fault>(),
            Err(UnknownFault("nonsense".into()))
        );
    }
}
