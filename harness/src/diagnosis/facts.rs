//! What a history shows beside the shapes of the damage. (core)

use std::collections::{BTreeMap, BTreeSet};

use mock_driver::journal;
use mock_driver::script::Step;
use mock_driver::stream::Stream;

use crate::finding::{Finding, Shape};
use crate::history::History;
use crate::judge;
use crate::rule::Family;
use crate::scenario::{FifoKind, FolderKind, HostFault, LogmonOutcome, OnFull, SignalName};
use crate::tally;
use crate::trace::{Event, Exit};

/// What a history shows beside the shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// A logmon was killed.
    LogmonKilled,
    /// A logmon was asked to stop while the driver ran or a pipe held bytes.
    StoppedMidway,
    /// More than one logmon became ready, one after the other.
    LogmonRestarted,
    /// A logmon was not ready in time.
    LogmonNotReady,
    /// A finding speaks of a logmon that was ready late.
    LateReady,
    /// A logmon neither refused what it must refuse nor became ready.
    NoRefusal,
    /// A logmon did not end in time after it was asked to stop.
    LogmonOverdue,
    /// A logmon ended by itself, although it had to go on.
    EndedUnasked,
    /// A second logmon stayed beside the first.
    SecondStayed,
    /// A logmon became ready with what it must refuse.
    ReadyThough,
    /// The task ran more than once.
    TaskRestarted,
    /// The driver was started and the task never was.
    TaskNotStarted,
    /// A process of the task outlived the case.
    TaskLeft,
    /// The task had a child in its process group.
    ChildInside,
    /// The task had a child that had left its process group.
    ChildOutside,
    /// A second task ran beside the first.
    SecondTask,
    /// The driver did not end in time after it was asked to stop.
    StopOverdue,
    /// The driver reported 0 after it was asked to stop.
    ZeroAfterStop,
    /// The driver did not end in time by itself.
    ExitOverdue,
    /// A pipe was at least half full when something did not go on.
    FullPipe,
    /// A pipe held bytes when something had been waited for in vain.
    LeftInPipe,
    /// The driver ran before any logmon did.
    DriverFirst,
    /// The driver ended by itself before any logmon was there, a while after its start.
    GaveUpWaiting,
    /// The driver opened a FIFO for writing although nobody had it open for reading.
    OpenedAlone,
    /// No driver wrote a journal, so nothing tells how it opened the FIFOs.
    NoDriverJournal,
    /// The host held spare read ends.
    SpareReader,
    /// A finding speaks of CR and LF.
    LineEnds,
    /// A finding speaks of CRs that are gone.
    CrGone,
    /// A finding speaks of the beginnings of lines.
    LineStarts,
    /// All that is missing is last lines without their newlines.
    OpenLineLost,
    /// What is missing begins with a NUL.
    LostFromNul,
    /// All that is missing stands at the ends of runs of the task.
    LostAtRunEnd,
    /// A single byte was put in or added.
    OneByte,
    /// A finding speaks of the processor time that logmon used in a fault.
    ProcessorUsed,
    /// A finding speaks of the lines that logmon printed in a fault.
    ManyLines,
    /// The finding is about SIGPIPE.
    Sigpipe,
    /// The other FIFO was opened read-write.
    ReadWrite,
    /// The limits are zero.
    ZeroLimits,
    /// A limit is negative or overflows.
    OddLimits,
    /// A link was followed to the canary.
    Canary,
    /// The finding's rule is one that logmon keeps.
    Logmon,
    /// What stands at the path is a regular file.
    RegularFile,
    /// Damage of the same shape in both streams.
    BothStreams,
    /// Something was killed again and again in a flood.
    KilledOften,
    /// Whoever holds logmon's descriptors was killed.
    KeeperKilled,
    /// A second logmon was given other limits than the first.
    OtherLimits,
    /// A running logmon was asked to start once more what it collects.
    StartedAgain,
    /// A logmon was given an option that it can't know.
    UnknownOption,
    /// A symbolic link stood at the log folder's path.
    LinkedFolder,
    /// Symbolic links stood at the FIFOs' paths.
    LinkedFifo,
    /// Nothing of logmon's tells of a loss.
    NoRecord,
    /// logmon was told to drop output when its disk is full.
    ToldToDrop,
    /// One logmon served many tasks.
    ManyTasks,
    /// It had too few descriptors for all of them.
    FewDescriptors,
    /// What was written to it stood in no file while its tasks ran.
    NotLogged,
    /// A driver that had left its task was asked to take it over.
    Recovered,
    /// It did not answer in time.
    RecoverOverdue,
    /// A driver stood still for a while.
    DriverPaused,
    /// All that is missing was written while no driver was there.
    LostWhileAway,
    /// The task ended while no driver was there.
    EndedWhileAway,
    /// The host brought about this fault.
    Broken(HostFault),
}

/// The facts of a history.
#[must_use]
pub fn facts(findings: &[Finding], history: &History) -> BTreeSet<Fact> {
    let mut facts = played(history);
    facts.extend(super::recoveries::facts(history));
    let texts = [
        (Fact::LineEnds, "became CR LF"),
        (Fact::CrGone, "every CR is gone"),
        (Fact::LineStarts, "each line begins with"),
        (Fact::OneByte, " 1 byte put in"),
        (Fact::OneByte, "1 byte added"),
        (Fact::LostFromNul, judge::FROM_NUL),
        (Fact::NoRecord, judge::NO_RECORD),
        (Fact::LateReady, "was ready only"),
        (Fact::ProcessorUsed, "ms of the processor in"),
        (Fact::ManyLines, "logmon printed"),
        (Fact::Sigpipe, "SIGPIPE"),
        (Fact::ReadWrite, "read-write"),
        (Fact::Canary, "canary"),
        (Fact::RegularFile, "regular file"),
        (Fact::NotLogged, "stood in no file"),
    ];
    let says = |text: &str| {
        findings.iter().any(|one| {
            one.headline.contains(text) || one.details.iter().any(|line| line.contains(text))
        })
    };
    facts.extend(
        texts
            .into_iter()
            .filter(|(_, text)| says(text))
            .map(|(fact, _)| fact),
    );
    let marked = |one: &Finding, mark: &str| one.details.iter().any(|line| line.contains(mark));
    let all_lost = |is_so: &dyn Fn(&Finding) -> bool| {
        // Only the losses of a stream were looked at piece by piece.
        let lost = |one: &&Finding| one.shape.is_loss() && one.stream.is_some();
        let mut losses = findings.iter().filter(lost).peekable();
        losses.peek().is_some() && losses.all(is_so)
    };
    if all_lost(&|one| marked(one, judge::OPEN_LINE)) {
        facts.insert(Fact::OpenLineLost);
    }
    if all_lost(&|one| {
        matches!(one.shape, Shape::LostTail | Shape::LostAll) || marked(one, judge::RUN_END)
    }) {
        facts.insert(Fact::LostAtRunEnd);
    }
    let is_logmons =
        |one: &Finding| matches!(one.rule.family(), Family::Mon | Family::Rot | Family::Sec);
    if findings.iter().any(is_logmons) {
        facts.insert(Fact::Logmon);
    }
    let has = |shape: Shape, stream: Stream| {
        findings
            .iter()
            .any(|one| one.shape == shape && one.stream == Some(stream))
    };
    if findings
        .iter()
        .any(|one| Stream::BOTH.iter().all(|&stream| has(one.shape, stream)))
    {
        facts.insert(Fact::BothStreams);
    }
    facts
}

/// How long a driver that drops its output at once is certainly not there any more.
const A_WHILE_US: u64 = 900_000;

/// What the trace and the journals show.
fn played(history: &History) -> BTreeSet<Fact> {
    let mut facts = BTreeSet::new();
    let (mut must_refuse, mut was_ready) = (BTreeSet::new(), BTreeSet::new());
    let mut levels: BTreeMap<Stream, (u64, u64)> = BTreeMap::new();
    let (mut ready, mut started, mut running) = (0, 0, 0_i32);
    let (mut stop_asked, mut ended) = (BTreeSet::new(), BTreeSet::new());
    let mut driver_began = BTreeMap::new();
    for entry in &history.entries {
        let is_full = levels
            .values()
            .any(|(bytes, size)| *bytes > 0 && bytes * 2 >= *size);
        let fact = match &entry.event {
            Event::LogmonSignalled { signal, .. } => match signal {
                SignalName::Kill => Some(Fact::LogmonKilled),
                SignalName::Term => {
                    let holds_bytes = levels.values().any(|(bytes, _)| *bytes > 0);
                    (running > 0 || holds_bytes).then_some(Fact::StoppedMidway)
                }
                SignalName::Stop | SignalName::Cont => None,
            },
            Event::LogmonStarted {
                life,
                expect,
                limits,
                ..
            } => {
                let must = *expect == LogmonOutcome::Refused;
                if must {
                    must_refuse.insert(*life);
                }
                let is_zero = limits.max_files == 0 || limits.max_file_bytes.0 == 0;
                if must && *life > 1 && *limits != history.case.scenario.limits {
                    facts.insert(Fact::OtherLimits);
                }
                if *expect == LogmonOutcome::ReadyOrRefused {
                    facts.insert(Fact::UnknownOption);
                }
                if must && !limits.texts.is_empty() {
                    facts.insert(Fact::OddLimits);
                }
                (must && is_zero).then_some(Fact::ZeroLimits)
            }
            Event::LogmonReady { life, .. } => {
                ready += 1;
                was_ready.insert(*life);
                if must_refuse.contains(life) {
                    Some(Fact::ReadyThough)
                } else {
                    (ready > 1).then_some(Fact::LogmonRestarted)
                }
            }
            Event::LogmonNotReady { life, .. } => Some(if must_refuse.contains(life) {
                Fact::NoRefusal
            } else {
                Fact::LogmonNotReady
            }),
            Event::LogmonOverdue { .. } => Some(Fact::LogmonOverdue),
            Event::SecondLogmon { life, yielded } => {
                (!yielded && !ended.contains(life)).then_some(Fact::SecondStayed)
            }
            Event::StartedAgain { limits, .. } => {
                if limits.is_some() {
                    facts.insert(Fact::OtherLimits);
                }
                Some(Fact::StartedAgain)
            }
            Event::DriverStarted { generation, .. } => {
                started += 1;
                running += 1;
                driver_began.insert(*generation, entry.at_us);
                if history.task.get(generation).is_none_or(Vec::is_empty) {
                    facts.insert(Fact::TaskNotStarted);
                }
                if started > 1 {
                    Some(Fact::TaskRestarted)
                } else {
                    (ready == 0).then_some(Fact::DriverFirst)
                }
            }
            Event::DriverExited {
                generation, exit, ..
            } => {
                running -= 1;
                let waited_us = driver_began
                    .get(generation)
                    .map_or(0, |began_us| entry.at_us.saturating_sub(*began_us));
                if ready == 0 && waited_us >= A_WHILE_US && !stop_asked.contains(generation) {
                    facts.insert(Fact::GaveUpWaiting);
                }
                (*exit == Exit::Code(0) && stop_asked.contains(generation))
                    .then_some(Fact::ZeroAfterStop)
            }
            Event::DriverStopAsked { generation } => {
                stop_asked.insert(*generation);
                None
            }
            Event::DriverOverdue { generation, .. } => {
                if is_full {
                    facts.insert(Fact::FullPipe);
                }
                Some(if stop_asked.contains(generation) {
                    Fact::StopOverdue
                } else {
                    Fact::ExitOverdue
                })
            }
            Event::Unmet { otherwise, .. } => {
                if levels.values().any(|(bytes, _)| *bytes > 0) {
                    facts.insert(Fact::LeftInPipe);
                }
                let is_blocked = *otherwise == Some(Shape::Blocked);
                (is_blocked && is_full).then_some(Fact::FullPipe)
            }
            Event::LogmonExited { life, asked, .. } => {
                ended.insert(*life);
                (!asked && was_ready.contains(life) && !must_refuse.contains(life))
                    .then_some(Fact::EndedUnasked)
            }
            Event::Pipe {
                stream,
                bytes,
                capacity,
            } => {
                levels.insert(*stream, (*bytes, *capacity));
                None
            }
            Event::SpareReader { held } => held.then_some(Fact::SpareReader),
            Event::LeftBehind { part, .. } => (part == "task").then_some(Fact::TaskLeft),
            Event::KeeperKilled { .. } => Some(Fact::KeeperKilled),
            Event::DriverFrozen { .. } => Some(Fact::DriverPaused),
            Event::FaultBegan { what } => Some(Fact::Broken(*what)),
            Event::Begun { .. }
            | Event::Step { .. }
            | Event::Met { .. }
            | Event::TaskSignalled { .. }
            | Event::DriverThawed {}
            | Event::TaskGone { .. }
            | Event::Released { .. }
            | Event::Logged { .. }
            | Event::FifoIs { .. }
            | Event::Holders { .. }
            | Event::Look { .. }
            | Event::Measured { .. }
            | Event::FaultEnded { .. }
            | Event::PlantTouched { .. }
            | Event::WriteEndsReleased { .. }
            | Event::WriteEndClosed { .. }
            | Event::Direct { .. }
            | Event::Many(_)
            | Event::Adapter(_)
            | Event::SuiteError { .. }
            | Event::Held { .. }
            | Event::Ended => None,
        };
        facts.extend(fact);
    }
    if history.case.scenario.host.log_folder == FolderKind::Symlink {
        facts.insert(Fact::LinkedFolder);
    }
    if history.case.scenario.host.fifos == FifoKind::Symlink {
        facts.insert(Fact::LinkedFifo);
    }
    if tally::flooded(&history.case.scenario.plan).is_some() {
        facts.insert(Fact::KilledOften);
    }
    if history.case.scenario.limits.on_full == OnFull::Drop {
        facts.insert(Fact::ToldToDrop);
    }
    if history.case.scenario.has_second_task() {
        facts.insert(Fact::SecondTask);
    }
    facts.extend(children(history));
    if let Some(many) = history.case.scenario.many {
        facts.insert(Fact::ManyTasks);
        facts.extend(many.descriptors.map(|_| Fact::FewDescriptors));
    }
    if opened_alone(history) {
        facts.insert(Fact::OpenedAlone);
    }
    if history.driver.values().all(Vec::is_empty) {
        facts.insert(Fact::NoDriverJournal);
    }
    facts
}

/// Where the children stand that the scripts start which were played.
fn children(history: &History) -> BTreeSet<Fact> {
    let played = history.entries.iter().filter_map(|entry| {
        let Event::DriverStarted { script, .. } = &entry.event else {
            return None;
        };
        history.case.scenario.tasks.get(script)
    });
    let steps = played.flat_map(|script| &script.steps);
    let child = |step: &Step| {
        let Step::Child { apart, .. } = step else {
            return None;
        };
        Some(if *apart {
            Fact::ChildOutside
        } else {
            Fact::ChildInside
        })
    };
    steps.filter_map(child).collect()
}

/// Whether the driver's journal shows an opened FIFO before anybody could have had it open for
/// reading. An open for writing alone waits then, or fails with ENXIO, fifo(7): it was read-write.
fn opened_alone(history: &History) -> bool {
    let first_reader = history
        .entries
        .iter()
        .find(|entry| {
            matches!(
                entry.event,
                Event::LogmonStarted { .. } | Event::SpareReader { held: true }
            )
        })
        .map(|entry| entry.at_us);
    history.driver.values().flatten().any(|line| {
        matches!(line.event, journal::Event::Opened { .. })
            && first_reader.is_none_or(|reader| line.at_us < reader)
    })
}
