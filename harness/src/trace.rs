//! The trace: everything that happened in one run of one case. (core)
//!
//! On disk a trace is `trace.jsonl`: one [`Entry`] a line, written as it happens, readable after a
//! crash. Times are microseconds of CLOCK_MONOTONIC, the same clock as the journals of the task
//! and the driver, so the three merge.

pub mod adapter;
pub mod many;

use mock_driver::stream::Stream;
use serde::{Deserialize, Serialize};

use crate::case::ReadySign;
use crate::finding::Shape;
use crate::rule::RuleId;
use crate::scenario::{HostFault, LogmonOutcome, SignalName, Who};

/// One event and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Microseconds, CLOCK_MONOTONIC.
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal's number.
    Signal(i32),
}

impl Exit {
    /// The status as a shell and the command adapter report it: 128 + n for signal n.
    #[must_use]
    pub fn as_status(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// What can happen in a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
pub enum Event {
    /// The case began.
    Begun {
        /// The case's id.
        id: String,
        /// The run id in every record, 8 hex digits.
        run: String,
        /// Seed of everything random.
        seed: u64,
    },
    /// A step of the plan began; `path` counts nested steps (`3.0.2`).
    Step {
        /// Where in the plan.
        path: String,
        /// The step in words.
        text: String,
    },
    /// A condition was met.
    Met {
        /// The condition in words.
        text: String,
        /// Milliseconds waited.
        after_ms: u64,
    },
    /// A condition was not met in time.
    Unmet {
        /// The condition in words.
        text: String,
        /// The limit in milliseconds.
        within_ms: u64,
        /// What was seen last, and who waits for whom.
        last: Vec<String>,
        /// The shape that the scenario gives it; none means inconclusive.
        otherwise: Option<Shape>,
        /// The rule that the scenario names for it.
        rule: Option<RuleId>,
        /// The stream concerned.
        stream: Option<Stream>,
    },
    /// A logmon was started.
    LogmonStarted {
        /// Which life, counted from 1. A second logmon beside the first counts on.
        life: u32,
        /// Its process.
        pid: i32,
        /// What must come of it.
        expect: LogmonOutcome,
        /// What was added to its command line.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        words: Vec<String>,
        /// Its limits: files, bytes per file, line guard.
        limits: crate::scenario::Limits,
    },
    /// A logmon is ready.
    LogmonReady {
        /// Which life.
        life: u32,
        /// Milliseconds since it was started.
        after_ms: u64,
        /// What told it: never `Unknown`, but in a trace of an older version.
        #[serde(default)]
        sign: ReadySign,
        /// Whether the suite's user could raise two more pipes to 1 MiB, right before the start and
        /// again now. Tried only in a case about that (HEAL-5).
        #[serde(default)]
        may_raise: bool,
    },
    /// A logmon was not ready in time.
    LogmonNotReady {
        /// Which life.
        life: u32,
        /// Milliseconds waited.
        within_ms: u64,
        /// The end of its standard error.
        stderr: String,
    },
    /// The host sent a signal to a logmon.
    LogmonSignalled {
        /// Which life.
        life: u32,
        /// The signal.
        signal: SignalName,
    },
    /// The host killed a process of logmon that is not its main one, while it held both FIFOs.
    KeeperKilled {
        /// The process.
        pid: i32,
    },
    /// A logmon ended.
    LogmonExited {
        /// Which life.
        life: u32,
        /// How.
        exit: Exit,
        /// Whether the host had asked for it (TERM or KILL sent before).
        asked: bool,
        /// Milliseconds since the signal that asked for it.
        after_ms: Option<u64>,
        /// The end of its standard error.
        stderr: String,
    },
    /// A logmon that was asked to stop was still there at the limit, and was killed.
    LogmonOverdue {
        /// Which life.
        life: u32,
        /// The limit.
        within_ms: u64,
    },
    /// What became of a second logmon beside a running one.
    SecondLogmon {
        /// Its life's number.
        life: u32,
        /// Whether it ended by itself with a failure, or the first one ended.
        yielded: bool,
    },
    /// A running logmon was asked to start once more what it collects.
    StartedAgain {
        /// Other limits than it had been given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limits: Option<crate::scenario::Limits>,
        /// What came of it.
        outcome: StartedAgain,
        /// Milliseconds until then.
        after_ms: u64,
        /// The end of what the command that asked printed on its standard error.
        stderr: String,
    },
    /// The driver was started with a new generation of the task.
    DriverStarted {
        /// The generation, from 0.
        generation: u32,
        /// The driver's process.
        pid: i32,
        /// The script's name.
        script: String,
    },
    /// The driver ended.
    DriverExited {
        /// The generation.
        generation: u32,
        /// How.
        exit: Exit,
        /// The end of its standard error.
        stderr: String,
    },
    /// The host asked the driver to stop.
    DriverStopAsked {
        /// The generation.
        generation: u32,
    },
    /// A driver that was asked to stop, or whose task had ended, was still there at the limit, and
    /// was killed.
    DriverOverdue {
        /// The generation.
        generation: u32,
        /// The limit in milliseconds.
        within_ms: u64,
        /// Who waits for whom.
        last: Vec<String>,
    },
    /// The host sent a signal to the task.
    TaskSignalled {
        /// The generation.
        generation: u32,
        /// The signal.
        signal: SignalName,
    },
    /// The host has stopped the driver's processes, all but the task.
    DriverFrozen {
        /// Which: none if the task is all that is left of it.
        pids: Vec<i32>,
    },
    /// The host lets them go on.
    DriverThawed {},
    /// The task's main process was seen to be gone.
    TaskGone {
        /// The generation.
        generation: u32,
    },
    /// A gate was opened.
    Released {
        /// The gate.
        gate: String,
    },
    /// The fill level of a stream's pipe, recorded when it changed much.
    Pipe {
        /// The stream.
        stream: Stream,
        /// Bytes in it.
        bytes: u64,
        /// Its capacity.
        capacity: u64,
    },
    /// Bytes in all of a stream's files, recorded when it changed.
    Logged {
        /// The stream.
        stream: Stream,
        /// Bytes now standing in the stream's files.
        bytes: u64,
    },
    /// What stands at a FIFO's path.
    FifoIs {
        /// The stream.
        stream: Stream,
        /// When: `before`, `after generation 0`, `end`.
        when: String,
        /// `fifo`, `regular file`, `nothing`, …
        kind: String,
        /// Device number; 0 with nothing there.
        dev: u64,
        /// Inode number.
        ino: u64,
        /// Permission bits.
        #[serde(default)]
        mode: u32,
    },
    /// Who holds a FIFO open. Logmon's and the host's own descriptors are left out.
    Holders {
        /// The stream.
        stream: Stream,
        /// When, as in `FifoIs`, or a condition's name.
        when: String,
        /// One per descriptor.
        holders: Vec<Holder>,
    },
    /// A FIFO was closed by somebody who could write to it. Recorded where the case asks for it.
    WriteEndClosed {
        /// The stream.
        stream: Stream,
        /// The time after which it happened, as an entry has it: when the host looked last.
        #[serde(default)]
        after_us: u64,
    },
    /// The host holds (or no longer holds) spare read ends.
    SpareReader {
        /// Whether it holds them now.
        held: bool,
    },
    /// The log folder as it is.
    Look {
        /// Why: `plan`, `sample` (taken while waiting), `ready`, `end`.
        why: String,
        /// The entries, by name.
        entries: Vec<LookEntry>,
    },
    /// A subject's resources.
    Measured {
        /// Whose.
        of: Who,
        /// Processes counted.
        processes: u64,
        /// Open descriptors.
        fds: u64,
        /// Threads.
        threads: u64,
        /// Resident memory in KiB.
        rss_kib: u64,
        /// How often its threads have gone to sleep since they began.
        #[serde(default)]
        wakeups: u64,
    },
    /// The host brought about a fault.
    FaultBegan {
        /// Which.
        what: HostFault,
    },
    /// A fault of the host is over.
    FaultEnded {
        /// Which.
        what: HostFault,
        /// How long it lasted, in milliseconds.
        lasted_ms: u64,
        /// Processor time that logmon used meanwhile, in milliseconds.
        cpu_ms: u64,
        /// Lines that logmon printed meanwhile.
        lines: u64,
    },
    /// A canary or another planted thing was not as it was left.
    PlantTouched {
        /// Its path.
        path: String,
        /// What is different.
        what: String,
    },
    /// Milliseconds until no process but logmon and the host held a write end, counted from the
    /// end of the last task process, or from the start of the latest logmon if that was later.
    WriteEndsReleased {
        /// The generation.
        generation: u32,
        /// Milliseconds; none if it was still held at the limit.
        after_ms: Option<u64>,
        /// Who still held it.
        holders: Vec<Holder>,
    },
    /// A real program's output, taken directly, for comparison.
    Direct {
        /// The stream.
        stream: Stream,
        /// Bytes.
        bytes: u64,
        /// SHA-256 in hex.
        sha256: String,
    },
    /// A process of the case still lived at its end and was killed.
    LeftBehind {
        /// Its process.
        pid: i32,
        /// Its command line.
        command: String,
        /// Whose it is: `logmon`, `driver`, `task` or `host`; empty if that is not known.
        #[serde(default)]
        part: String,
    },
    /// Something about the tasks of a case in which one logmon serves many.
    Many(many::ManyEvent),
    /// Something between the suite and a driver that it speaks to.
    Adapter(adapter::AdapterEvent),
    /// The suite itself could not go on: neither subject is to blame.
    SuiteError {
        /// What failed, with its causes.
        text: String,
    },
    /// The plan was stopped at the point that was asked for. What follows is its end and nothing else.
    Held {
        /// Where, as in "stopped before step 3, start the task `main`".
        at: String,
    },
    /// The case ended.
    Ended,
}

/// A descriptor of a FIFO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: i32,
    /// Its name, from /proc/PID/comm.
    pub comm: String,
    /// The descriptor.
    pub fd: i32,
    /// Whether it can read.
    pub reads: bool,
    /// Whether it can write.
    pub writes: bool,
    /// `task`, `driver` (the driver's own process or one it started that is not the task) or
    /// `other`.
    pub role: String,
}

/// One name in the log folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LookEntry {
    /// The name.
    pub name: String,
    /// `file`, `folder`, `link`, `fifo`, `other`.
    pub kind: String,
    /// Bytes.
    pub bytes: u64,
    /// Inode.
    pub ino: u64,
}

/// The entries of a trace's text. A torn last line, as a crash leaves it, is left out.
///
/// # Errors
/// Any other line that is not an entry, with its number.
pub fn parse(text: &str) -> Result<Vec<Entry>, TraceError> {
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        match serde_json::from_str(line) {
            Ok(entry) => entries.push(entry),
            Err(_) if lines.peek().is_none() && !text.ends_with('\n') => {}
            Err(source) => {
                return Err(TraceError {
                    line: number + 1,
                    source,
                });
            }
        }
    }
    Ok(entries)
}

/// A line of a trace that is not an entry.
#[derive(Debug, thiserror::Error)]
#[error("read line {line} of the trace")]
pub struct TraceError {
    /// Counted from 1.
    pub line: usize,
    /// Why.
    pub source: serde_json::Error,
}

/// What came of asking a running logmon for another start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum StartedAgain {
    /// The command that asked ended with 0.
    Done,
    /// It ended otherwise.
    Refused {
        /// How.
        exit: Exit,
    },
    /// It had not ended in time, and was killed.
    Unanswered,
    /// The running logmon ended meanwhile.
    LogmonEnded,
}
