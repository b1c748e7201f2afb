//! The faulty logmons: how each is started, and which case must catch it. (core)

use super::catalogue::{Kind, Known, Part};
use crate::adapter::AdapterKind;
use crate::faulty_logmon::Fault as LogmonFault;
use crate::finding::Shape;

/// What a logmon declares whose FIFOs are held while it is dead.
const KEEPS: &[&str] = &["keeps-descriptors"];

/// The faulty logmons whose FIFOs are held while they are dead.
const HELD: &[LogmonFault] = &[
    LogmonFault::ReadsBeforeItWrites,
    LogmonFault::RepeatsAfterKill,
    LogmonFault::ForgetsItsHolder,
    LogmonFault::LeavesItsHolder,
];

/// The faulty logmons that serve many tasks, beside the good one.
const MANY: &[LogmonFault] = &[
    LogmonFault::None,
    LogmonFault::MemoryPerTask,
    LogmonFault::ServesAHundred,
    LogmonFault::ProcessPerTask,
    LogmonFault::MixesTasks,
    LogmonFault::KeepsStoppedTasks,
    LogmonFault::AnswersBeforeDrained,
    LogmonFault::WritesAtStop,
    LogmonFault::StartsWithoutDescriptors,
    LogmonFault::GivesUpOnEmfile,
    LogmonFault::RefusesSilently,
    LogmonFault::TakesWhatItRefuses,
];

/// Those that can be asked to start once more what they collect.
const AGAIN: &[LogmonFault] = &[LogmonFault::None, LogmonFault::StartsOver];

/// A faulty logmon, or the plain one that is none.
pub(super) fn faulty_logmon(name: &str, kind: Kind) -> Known {
    let task = "--log-dir {log_dir} \
                --stdout {stdout_fifo}={stdout_name} --stderr {stderr_fifo}={stderr_name} \
                --max-files {max_files} --max-file-size {max_file_bytes} \
                --line-guard {line_guard} --on-full {on_full}";
    let is_held = HELD.iter().any(|fault| fault.as_str() == name);
    let holder = if is_held {
        " --holder {keep_dir}/holder"
    } else {
        ""
    };
    let again = if AGAIN.iter().any(|fault| fault.as_str() == name) {
        " --start {start} --again {keep_dir}/again"
    } else {
        ""
    };
    Known {
        name: if kind == (Kind::Good { program: None }) {
            "plain".into()
        } else {
            name.to_owned()
        },
        part: Part::Logmon,
        template: format!("{{self}} faulty-logmon {name} run {task}{holder}{again}"),
        serving: MANY.iter().any(|fault| fault.as_str() == name).then(|| {
            let command = |order: &str, rest: &str| {
                format!("{{self}} faulty-logmon {name} {order} --control {{control}}{rest}")
            };
            [
                command("serve", ""),
                command("start", &format!(" --task {{task_id}} {task}")),
                command("stop", " --task {task_id}"),
            ]
        }),
        adapter: AdapterKind::Command,
        capabilities: if is_held || name == LogmonFault::KeepsNothing.as_str() {
            KEEPS
        } else {
            &[]
        },
        kind,
    }
}

/// The case that must catch a faulty logmon, and the shape.
pub(super) fn logmon_catch(fault: LogmonFault) -> Option<(&'static str, Shape)> {
    Some(match fault {
        LogmonFault::None => return None,
        LogmonFault::BuffersAndLosesOnKill => ("mon/kill-empty-pipe-spare", Shape::LostHead),
        LogmonFault::LosesOnSigterm => ("mon/stop-drains", Shape::LostPipeContent),
        LogmonFault::EndsAtFirstEof => ("mon/eof-is-not-the-end", Shape::Died),
        LogmonFault::HoldsWithoutDraining => ("mon/drains", Shape::Blocked),
        LogmonFault::SplitsLines => ("rot/lines-in-pieces", Shape::LineSplit),
        LogmonFault::RotatesEarly => ("rot/boundary", Shape::EarlyRotation),
        LogmonFault::Oversize => ("rot/boundary", Shape::OversizeFile),
        LogmonFault::KeepsOneFileTooMany => ("rot/retention", Shape::TooManyFiles),
        LogmonFault::PurgesByBarePrefix => ("rot/hostile-names", Shape::ForeignTouched),
        LogmonFault::RestartsAtIndex0 => ("rot/continues-after-restart", Shape::Reordered),
        LogmonFault::TruncatesOnRestart => ("rot/continues-after-restart", Shape::FileRewritten),
        LogmonFault::SwapsStreams => ("data/smoke", Shape::StreamsMixed),
        LogmonFault::ParksThreadPerRestart => ("cost/logmon-restarts", Shape::GrowthThread),
        LogmonFault::FollowsSymlink => ("sec/planted-links", Shape::ForeignTouched),
        LogmonFault::AcceptsPlainFile => ("mon/refuses-plain-file", Shape::Accepted),
        LogmonFault::HangsOnRefusal => ("mon/refuses-plain-file", Shape::Blocked),
        LogmonFault::AddsNewlineAtStop => ("mon/stop-adds-nothing", Shape::Altered),
        LogmonFault::SharesFifo => ("mon/second-logmon", Shape::Accepted),
        LogmonFault::AcceptsZeroLimits => ("rot/limits-refused-bytes", Shape::Accepted),
        LogmonFault::SaturatesLimits => ("rot/limits-odd-bytes-low", Shape::Accepted),
        LogmonFault::LateVisibility => ("data/prompt", Shape::Late),
        LogmonFault::SlowStop => ("mon/one-stream", Shape::Blocked),
        LogmonFault::SlowStart => ("mon/start-order-before", Shape::Late),
        LogmonFault::WaitsForWriterInOpen => ("mon/one-stream", Shape::Blocked),
        LogmonFault::ReplacesFifo => ("mon/restart-stop-idle-spare", Shape::LostTail),
        LogmonFault::StripsCr => ("data/binary", Shape::Altered),
        LogmonFault::EndsOnWriteError => ("heal/file-size-limit", Shape::Died),
        LogmonFault::KeepsSmallPipe => ("fifo/frozen-reader", Shape::SmallPipe),
        LogmonFault::DropsOnWriteError => ("heal/file-size-limit", Shape::LostMiddle),
        LogmonFault::SpinsOnWriteError => ("heal/file-size-limit", Shape::Busy),
        LogmonFault::FloodsItsOutput => ("heal/file-size-limit", Shape::Busy),
        LogmonFault::GivesUpAfterFault => ("heal/file-size-limit", Shape::Blocked),
        LogmonFault::NeedsItsLogFolder => ("heal/log-folder-away", Shape::Died),
        LogmonFault::KeepsRemovedFolder => ("heal/log-folder-removed", Shape::LostAll),
        LogmonFault::EndsOnEmfile => ("heal/no-descriptors", Shape::Died),
        LogmonFault::NeedsItsOutput => ("mon/loses-its-output", Shape::Died),
        LogmonFault::NeedsItsBinary => ("mon/loses-its-binary", Shape::Died),
        LogmonFault::IgnoresOtherLimits => ("mon/other-limits", Shape::Accepted),
        LogmonFault::StartsOver => ("mon/start-again", Shape::BrokenPipe),
        LogmonFault::WorldReadableFifo => ("sec/private-fifo", Shape::Exposed),
        LogmonFault::FollowsFolderLink => ("sec/linked-log-folder", Shape::Accepted),
        LogmonFault::KeepsDeletedOpen => ("rot/lets-go", Shape::HoldsDeleted),
        LogmonFault::PollsWhenIdle => ("cost/idle", Shape::Busy),
        LogmonFault::KeepsNothing => ("mon/kill-kept-full", Shape::BrokenPipe),
        LogmonFault::ReadsBeforeItWrites => ("mon/kill-random-logmon-lines", Shape::LostMiddle),
        LogmonFault::RepeatsAfterKill => ("mon/kill-random-logmon-blocks", Shape::Repeated),
        LogmonFault::ForgetsItsHolder => ("mon/kill-random-keeper-lines", Shape::Died),
        LogmonFault::LeavesItsHolder => ("mon/stop-drains", Shape::LeftBehind),
        LogmonFault::DeletesHistoryWhenFull => ("heal/disk-full", Shape::LostHead),
        LogmonFault::EndsOnReadOnly => ("heal/read-only", Shape::Died),
        LogmonFault::BlocksUnderDrop => ("heal/disk-full-drop", Shape::Blocked),
        LogmonFault::DropsWithoutRecord => ("heal/disk-full-drop", Shape::Unrecorded),
        LogmonFault::MiscountsDrops => ("heal/disk-full-drop", Shape::Unrecorded),
        LogmonFault::DropsPartsOfLines => ("heal/disk-full-drop", Shape::Torn),
        LogmonFault::UnknownOptionTurnsOff => ("mon/unknown-option", Shape::LostAll),
        LogmonFault::RefusesWithoutAName => ("mon/unknown-option", Shape::Died),
        LogmonFault::SplicesStraightToFile => ("heal/stalled-storage", Shape::Blocked),
        LogmonFault::MemoryPerTask => ("cost/thousand-tasks", Shape::GrowthMemory),
        LogmonFault::ServesAHundred => ("cost/hundred-tasks", Shape::Died),
        LogmonFault::ProcessPerTask => ("cost/hundred-tasks", Shape::GrowthProcess),
        LogmonFault::MixesTasks => ("cost/hundred-tasks", Shape::StreamsMixed),
        LogmonFault::KeepsStoppedTasks => ("cost/hundred-tasks", Shape::GrowthFd),
        LogmonFault::AnswersBeforeDrained => ("cost/hundred-tasks", Shape::Late),
        LogmonFault::WritesAtStop => ("cost/hundred-tasks", Shape::Late),
        LogmonFault::StartsWithoutDescriptors => ("heal/too-few-descriptors", Shape::LostAll),
        LogmonFault::GivesUpOnEmfile => ("heal/too-few-descriptors", Shape::LostTail),
        LogmonFault::RefusesSilently => ("heal/too-few-descriptors", Shape::Died),
        LogmonFault::TakesWhatItRefuses => ("heal/too-few-descriptors", Shape::LostHead),
        LogmonFault::WantsFifosAmongLogs => ("data/smoke", Shape::Died),
    })
}
