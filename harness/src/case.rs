//! One case as it is about to be played: a scenario's variant with every choice made. (core)
//!
//! Written as `case.json` into the case's folder, so that a case can be played and judged again
//! from the folder alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mock_driver::stream::Stream;
use serde::{Deserialize, Serialize};

use crate::adapter::AdapterKind;
use crate::capability::Capability;
use crate::scenario::Scenario;
use crate::serving::Serving;

/// The version of a case's folder: of `case.json`, the trace and the journals. Another one is not
/// read.
pub const BUNDLE_VERSION: u32 = 1;

/// What tells that a start of logmon has returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadySign {
    /// Not known yet: the line `ready`, or that it reads both FIFOs and says nothing for a moment.
    #[default]
    Unknown,
    /// The line. That it reads is not enough: it may still be busy with old files.
    Line,
    /// That it reads both FIFOs. It never prints the line.
    Readers,
}

impl ReadySign {
    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

/// Everything that the case process needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// [`BUNDLE_VERSION`] of the program that played it.
    pub version: u32,
    /// The scenario, its matrix already expanded to one variant.
    pub scenario: Scenario,
    /// The run id that every record carries, 8 hex digits, another one for every attempt.
    pub run: String,
    /// Seed of every script that has none of its own.
    pub seed: u64,
    /// Which attempt at the case this is, counted from 1.
    pub attempt: u32,
    /// The driver's command template, as words.
    pub driver: Vec<String>,
    /// How it is reached.
    #[serde(default, skip_serializing_if = "AdapterKind::is_command")]
    pub adapter: AdapterKind,
    /// What the driver is told to run in the payload's place, for a probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of_task: Option<String>,
    /// logmon's command template, as words.
    pub logmon: Vec<String>,
    /// What tells that it is ready.
    #[serde(default, skip_serializing_if = "ReadySign::is_unknown")]
    pub ready_sign: ReadySign,
    /// How logmon is started for many tasks, in a case about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
    /// How to start this program again (`harness` and what goes before a subcommand).
    pub reexec: Vec<String>,
    /// What driver and logmon declare, and what the machine allows.
    pub driver_capabilities: BTreeSet<Capability>,
    /// The records left out by the payload, for the canary: (stream, sequence number).
    pub leave_out: Option<(Stream, u64)>,
    /// Whether the system calls of driver and logmon are written down, by strace(1).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strace: bool,
}

/// Where things are in a case's folder.
#[derive(Clone, Debug)]
pub struct CaseDir(PathBuf);

impl CaseDir {
    /// The folder of one attempt at one case.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `case.json`.
    #[must_use]
    pub fn case(&self) -> PathBuf {
        self.0.join("case.json")
    }

    /// `trace.jsonl`.
    #[must_use]
    pub fn trace(&self) -> PathBuf {
        self.0.join("trace.jsonl")
    }

    /// `timeline.html`: the picture, where it was asked for.
    #[must_use]
    pub fn picture(&self) -> PathBuf {
        self.0.join("timeline.html")
    }

    /// `verdict.json`.
    #[must_use]
    pub fn verdict(&self) -> PathBuf {
        self.0.join("verdict.json")
    }

    /// The folder that logmon writes to.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Where the case's own file system is mounted, if it has one.
    #[must_use]
    pub fn storage(&self) -> PathBuf {
        self.0.join("storage")
    }

    /// The log folder on the case's own file system; it is mounted at [`CaseDir::log`] as well.
    #[must_use]
    pub fn stored_log(&self) -> PathBuf {
        self.storage().join("log")
    }

    /// The file that takes all the room of the case's own file system.
    #[must_use]
    pub fn filler(&self) -> PathBuf {
        self.storage().join("filler")
    }

    /// The folder of programs that may be replaced.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.0.join("bin")
    }

    /// The folder of the FIFOs.
    #[must_use]
    pub fn fifos(&self) -> PathBuf {
        self.0.join("fifo")
    }

    /// A stream's FIFO.
    #[must_use]
    pub fn fifo(&self, stream: Stream) -> PathBuf {
        self.fifos().join(format!("{}.fifo", stream.as_str()))
    }

    /// A folder for whoever holds logmon's descriptors, and for what logmon is asked over; closed to other users.
    #[must_use]
    pub fn keep(&self) -> PathBuf {
        self.0.join("keep")
    }

    /// What a logmon with many tasks is told of them by: a socket, as a rule. The folder is closed to
    /// other users.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.keep().join("control")
    }

    /// The folder of one of many tasks.
    #[must_use]
    pub fn many(&self, task: u32) -> PathBuf {
        self.0.join("many").join(many_name(task))
    }

    /// A stream's FIFO of one of many tasks.
    #[must_use]
    pub fn many_fifo(&self, task: u32, stream: Stream) -> PathBuf {
        self.fifos()
            .join(format!("{}.fifo", many_log_name(task, stream)))
    }

    /// A stream's FIFO of a task that is started beside the one that the case is about.
    #[must_use]
    pub fn second_fifo(&self, stream: Stream) -> PathBuf {
        self.fifos()
            .join(format!("second.{}.fifo", stream.as_str()))
    }

    /// The journal of that task's payload, and the one that its driver may write.
    #[must_use]
    pub fn second_journals(&self) -> [PathBuf; 2] {
        ["second.jsonl", "second.driver.jsonl"].map(|name| self.task().join(name))
    }

    /// The task's folder, given to the driver.
    #[must_use]
    pub fn task(&self) -> PathBuf {
        self.0.join("task")
    }

    /// The folder in which a file opens a gate.
    #[must_use]
    pub fn gates(&self) -> PathBuf {
        self.task().join("gates")
    }

    /// The journal of the payload in one generation.
    #[must_use]
    pub fn task_journal(&self, generation: u32) -> PathBuf {
        self.task().join(format!("task.{generation}.jsonl"))
    }

    /// The journal that a driver may write in one generation (`HARNESS_DRIVER_JOURNAL`).
    #[must_use]
    pub fn driver_journal(&self, generation: u32) -> PathBuf {
        self.task().join(format!("driver.{generation}.jsonl"))
    }

    /// A script, as the payload reads it.
    #[must_use]
    pub fn script(&self, name: &str) -> PathBuf {
        self.task().join(format!("{name}.script.json"))
    }

    /// A file outside everything that a subject may touch; links planted by the host lead to it.
    #[must_use]
    pub fn canary(&self) -> PathBuf {
        self.0.join("canary")
    }

    /// The system calls of a program, where they were asked for: `strace.logmon.1`.
    #[must_use]
    pub fn strace(&self, program: &str, number: u32) -> PathBuf {
        self.0.join(format!("strace.{program}.{number}"))
    }

    /// What a program printed: `driver.0.stderr`, `logmon.1.stdout`, …
    #[must_use]
    pub fn output(&self, program: &str, number: u32, stream: Stream) -> PathBuf {
        self.0
            .join(format!("{program}.{number}.{}", stream.as_str()))
    }
}

/// The name of a stream's files: `demo.stdout` for `demo.stdout.0`.
#[must_use]
pub fn log_name(stream: Stream) -> String {
    format!("demo.{}", stream.as_str())
}

/// The name of one of many tasks: `t12`.
#[must_use]
pub fn many_name(task: u32) -> String {
    format!("t{task}")
}

/// The name of the files of one of many tasks: `t12.stdout` for `t12.stdout.0`.
#[must_use]
pub fn many_log_name(task: u32, stream: Stream) -> String {
    format!("{}.{}", many_name(task), stream.as_str())
}
