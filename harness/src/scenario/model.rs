//! The shape of a scenario file. (core)
//!
//! A scenario says what the task writes (`[tasks.main]`, a script of the mock driver), what the
//! host does meanwhile (`[[plan]]`, a list of actions that wait for conditions) and what must hold
//! at the end (`[expect]`). It never says how a subject is started: adapters do.
//!
//! An unknown key is an error everywhere. Sizes are bytes, or text such as `"64KiB"`.

use std::collections::BTreeMap;

use mock_driver::script::Script;
use mock_driver::stream::Stream;
use serde::{Deserialize, Serialize};

use super::fault::{HostFault, Victim};
use super::limits::Limits;
use super::many::{Many, ManyStep};
use super::size::Size;
use crate::rule::{Level, Profile, RuleId};

/// One case: data that a runner can play, a judge can judge and a reader can read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// `family/name`; never reused for another case.
    pub id: String,
    /// The promise that the case checks, as one sentence.
    pub title: String,
    /// The rules it checks. The first is named when the streams are damaged.
    pub rules: Vec<RuleId>,
    /// The strictest level among its rules.
    #[serde(default = "default_level")]
    pub level: Level,
    /// The profile that the case belongs to.
    #[serde(default = "default_profile")]
    pub profile: Profile,
    /// Free words to filter by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Capabilities without which the case does not apply.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// Axes of variants: the file stands for one case per combination of values.
    #[serde(default)]
    pub matrix: BTreeMap<String, Vec<String>>,
    /// The limits that logmon is started with.
    #[serde(default)]
    pub limits: Limits,
    /// What the host prepares.
    #[serde(default)]
    pub host: Host,
    /// That one logmon serves many tasks, and how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub many: Option<Many>,
    /// The tasks' scripts by name; `main` is the one that is started unless an action says else.
    #[serde(default)]
    pub tasks: BTreeMap<String, Script>,
    /// What the host does, in this order.
    pub plan: Vec<Step>,
    /// What must hold at the end, beside what always must.
    #[serde(default)]
    pub expect: Expect,
}

fn default_level() -> Level {
    Level::Must
}

fn default_profile() -> Profile {
    Profile::Base
}

/// A capability that a case needs, perhaps in some of its variants only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Need {
    /// Needed in every variant.
    Always(String),
    /// Needed in the variants that `only` selects.
    Sometimes {
        /// The capability's name.
        capability: String,
        /// The variants.
        only: Only,
    },
}

/// Selects variants: for each axis named, the values that match.
pub type Only = BTreeMap<String, Vec<String>>;

/// What the host prepares before the first action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// What stands at the two FIFO paths.
    pub fifos: FifoKind,
    /// Things put into a folder beforehand.
    pub plant: Vec<Plant>,
    /// What stands at the log folder's path.
    pub log_folder: FolderKind,
    /// The size of the file system below the log folder, for `log_folder = "tmpfs"`. The kernel
    /// counts it in pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_folder_bytes: Option<Size>,
    /// What logmon prints to.
    pub logmon_output: LogmonOutput,
    /// Where logmon's program stands.
    pub logmon_binary: LogmonBinary,
}

/// What stands at the log folder's path before anything starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FolderKind {
    /// A folder.
    #[default]
    Present,
    /// A symbolic link to a folder elsewhere.
    Symlink,
    /// A folder on a file system of its own, of `log_folder_bytes`, in memory. Needs
    /// `storage-faults`.
    Tmpfs,
    /// A folder on a file system that the suite serves and that can stall. Needs
    /// `stalling-storage`.
    Stalling,
}

/// What logmon prints to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogmonOutput {
    /// Files, which nothing can take away. They fall under RLIMIT_FSIZE as the log does.
    #[default]
    Files,
    /// Pipes, which the host reads until a fault says otherwise.
    Pipes,
}

/// Where logmon's program stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogmonBinary {
    /// Where its template says.
    #[default]
    Own,
    /// In the case's folder: a copy that can be replaced.
    Copy,
}

/// What stands at the two FIFO paths before anything starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FifoKind {
    /// FIFOs that the host made.
    #[default]
    Present,
    /// Nothing; logmon makes them.
    Absent,
    /// Regular files with text in them.
    PlainFile,
    /// Symbolic links to real FIFOs elsewhere.
    Symlink,
    /// Folders.
    Folder,
    /// Unix sockets.
    Socket,
    /// No FIFOs at all: the driver is given `/dev/null` twice (log collection is off).
    Disabled,
}

/// One thing that the host puts somewhere, and which nobody may touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plant {
    /// The folder.
    #[serde(default)]
    pub place: Place,
    /// The name; `{stdout_name}` and `{stderr_name}` stand for the streams' file names.
    pub name: String,
    /// What it is.
    pub kind: PlantKind,
    /// A file's content; for `old-log`, numbered text that retention may delete.
    #[serde(default)]
    pub text: String,
    /// For a file: grown to this size with dots.
    #[serde(default)]
    pub bytes: Option<Size>,
}

/// Where a thing is planted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The log folder.
    #[default]
    Log,
    /// The FIFOs' folder.
    Fifo,
}

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlantKind {
    /// A regular file that is nobody's log: must stay as it is.
    File,
    /// A log file of an earlier life: belongs to the stream, retention may delete it.
    OldLog,
    /// A folder.
    Folder,
    /// A symbolic link to the canary, a file outside both folders that nobody may touch.
    SymlinkToCanary,
    /// A hard link to the canary.
    HardLinkToCanary,
}

/// One step of the plan, perhaps in some variants only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The variants that play it; empty means all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub only: Only,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
}

/// What the host does. Every wait has a limit, and says what was seen last when it is not met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Starts the next life of logmon and waits until it is ready, or until it ends if `expect`
    /// says that it must or may refuse. One that may refuse and does is started once more, without
    /// `words`: so the plan goes on with a logmon that runs.
    StartLogmon {
        /// What must come of it.
        #[serde(default)]
        expect: LogmonOutcome,
        /// Words at the end of its command line.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        words: Vec<String>,
        /// Other limits than the scenario's.
        #[serde(default)]
        limits: Option<Limits>,
    },
    /// Starts one more logmon on the same FIFOs beside the running one. It must end by itself and
    /// report a failure, or take over so that the first one ends.
    SecondLogmon {
        /// Other limits than the scenario's.
        #[serde(default)]
        limits: Option<Limits>,
    },
    /// Asks the running logmon to start once more what it collects. It must say that it does, unless the limits
    /// are other ones. A logmon that can't be asked is started once more beside it, as `second-logmon` does.
    StartAgain {
        /// Other limits than the scenario's.
        #[serde(default)]
        limits: Option<Limits>,
    },
    /// Sends SIGTERM to logmon and waits for its end.
    StopLogmon {
        /// Milliseconds until a stop is late.
        #[serde(default = "default_stop_ms")]
        within_ms: u64,
    },
    /// Sends a signal to logmon. KILL waits until it is reaped, STOP until it is stopped.
    SignalLogmon {
        /// The signal.
        signal: SignalName,
    },
    /// Starts the driver with the next generation of the task. Does not wait.
    StartTask {
        /// The script's name.
        #[serde(default = "default_script")]
        script: String,
    },
    /// Has the driver start a second task beside the one that runs, with FIFOs of its own that the host reads, and
    /// waits until it stands at a gate. Nobody waits for its end: it must have come when the plan has.
    StartSecondTask {
        /// The script's name. It has a gate.
        script: String,
    },
    /// Sends SIGTERM to the driver and waits for its end.
    StopDriver {
        /// Milliseconds until a stop is late.
        #[serde(default = "default_stop_driver_ms")]
        within_ms: u64,
    },
    /// Sends a signal to the task's main process.
    SignalTask {
        /// The signal.
        signal: SignalName,
    },
    /// Has a driver that is spoken to leave its tasks alone, and waits until its process has ended.
    DetachDriver {},
    /// Kills the process of a driver that is spoken to, and nothing else, once it has given the handles
    /// of its tasks.
    KillDriver {},
    /// Starts another process of the driver, has it take the tasks over, and waits for its answer.
    RecoverDriver {},
    /// Stops all processes of the driver but the task, as SIGSTOP does, and waits until they stand still.
    FreezeDriver {},
    /// Lets them go on.
    ThawDriver {},
    /// Waits until the driver has ended, and with it the current generation. That of a task which
    /// `recover-driver` did not bring back ends with the task.
    AwaitExit {
        /// Milliseconds.
        #[serde(default = "default_exit_ms")]
        within_ms: u64,
    },
    /// Lets the task pass a gate.
    Release {
        /// The gate's name.
        gate: String,
    },
    /// Waits for a condition.
    Await(Await),
    /// Lets time pass that the contract itself names.
    Elapse {
        /// Milliseconds.
        ms: u64,
        /// The rule and its words.
        because: String,
    },
    /// The host opens both FIFOs for reading, never reads, and holds them.
    HoldReader {
        /// Sets the pipes' capacity meanwhile; for a pipe smaller than any default.
        #[serde(default)]
        pipe_bytes: Option<Size>,
    },
    /// The host closes what `hold-reader` opened.
    DropReader {},
    /// Records the log folder: names, sizes, inodes. Every look must respect the limits.
    Look {},
    /// Records descriptors, threads, processes and memory of a subject.
    Measure {
        /// Whose.
        of: Who,
    },
    /// Brings about a fault of the host, which lasts until it is mended or the case ends.
    Break {
        /// Which.
        what: HostFault,
    },
    /// Ends a fault of the host.
    Mend {
        /// Which.
        what: HostFault,
    },
    /// Kills at random instants while the task writes to a stream, each time as soon as everything
    /// is back. The instants are spread over the bytes that the script writes to it.
    KillOften {
        /// What is killed.
        what: Victim,
        /// How often, at least 1.
        count: u32,
        /// The stream that tells the instants.
        #[serde(default = "default_flood")]
        stream: Stream,
        /// The gates of a flood in `count` parts, one for each kill: the task never runs ahead of the kills, however
        /// busy the machine is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate: Option<String>,
    },
    /// Does something with all tasks of a case in which one logmon serves many.
    ManyTasks {
        /// What.
        step: ManyStep,
    },
    /// Plays steps again and again.
    Repeat {
        /// How often, at least 1.
        times: u32,
        /// The steps.
        plan: Vec<Step>,
    },
}

fn default_script() -> String {
    "main".into()
}

fn default_flood() -> Stream {
    Stream::Stdout
}

fn default_stop_ms() -> u64 {
    3_000
}

fn default_stop_driver_ms() -> u64 {
    5_000
}

fn default_exit_ms() -> u64 {
    15_000
}

/// A condition with its limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Await {
    /// What must become true.
    pub until: Condition,
    /// The stream that it is about; both, where that makes sense, if left out.
    #[serde(default)]
    pub stream: Option<Stream>,
    /// For `accepted` and `logged`: this many bytes; all that the script writes, or all that the
    /// task wrote so far, if left out.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// For `at-gate`: the gate.
    #[serde(default)]
    pub gate: Option<String>,
    /// Milliseconds until the condition counts as not met.
    #[serde(default = "default_await_ms")]
    pub within_ms: u64,
    /// What it means when the condition is not met: a finding of this shape. If left out, the
    /// case is then inconclusive.
    #[serde(default)]
    pub otherwise: Option<crate::finding::Shape>,
    /// The rule that such a finding names; the scenario's first if left out.
    #[serde(default)]
    pub rule: Option<RuleId>,
}

fn default_await_ms() -> u64 {
    5_000
}

/// What a plan can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The task has written `bytes` (or its whole script) in this generation: its journal says so.
    Accepted,
    /// The log ends with the last bytes that the task wrote so far, or holds `bytes`.
    Logged,
    /// The FIFO holds all it can: a writer is blocked in it, or its level stands still.
    PipeFull,
    /// The FIFO is empty.
    PipeEmpty,
    /// The task waits at the gate.
    AtGate,
    /// Some process other than logmon and the host holds the FIFO's write end.
    WriterHolds,
    /// No process other than logmon and the host holds the FIFO's write end.
    NoWriterHolds,
    /// The task's main process runs (its journal has begun).
    TaskRuns,
    /// The task's main process is gone.
    TaskGone,
    /// The driver has ended.
    DriverGone,
    /// The current logmon has ended, by itself or after a signal that `signal-logmon` sent.
    LogmonGone,
    /// logmon holds no deleted log file open.
    DeletedFilesClosed,
    /// A call on the log folder's file system waits, because that is stalled.
    StorageHangs,
}

/// What must come of starting a logmon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogmonOutcome {
    /// It becomes ready.
    #[default]
    Ready,
    /// It ends with an error and touches nothing.
    Refused,
    /// It becomes ready all the same and does its work, or it ends with an error that names what it
    /// refuses: one of the options among `words`.
    ReadyOrRefused,
}

/// A process or a group of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// The current life of logmon.
    Logmon,
    /// Everything that the driver started and that still lives, itself included.
    Driver,
}

/// The signals that plans use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalName {
    /// SIGTERM.
    #[serde(rename = "TERM")]
    Term,
    /// SIGKILL.
    #[serde(rename = "KILL")]
    Kill,
    /// SIGSTOP.
    #[serde(rename = "STOP")]
    Stop,
    /// SIGCONT.
    #[serde(rename = "CONT")]
    Cont,
}

/// What must hold at the end.
///
/// Always checked, with no key: FIFOs unchanged, files within the limits at every look, planted
/// things untouched, reported exits equal to the task's own, write ends released after the exit,
/// nothing left running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// How the joined files of stdout compare with what the task wrote.
    pub stdout: Exactness,
    /// The same for stderr.
    pub stderr: Exactness,
    /// Milliseconds after the exit of the task's main process until the driver must report it.
    pub report_exit_ms: u64,
    /// Milliseconds after the last task process's exit until no write end is held.
    pub release_ms: u64,
    /// Bytes that each kill -9 of a logmon may cost a stream (profile base makes no promise about
    /// what a killed logmon had already read).
    pub loss_per_kill_bytes: u64,
    /// Whether the driver must report the task's own exit; off where the case makes that
    /// impossible.
    pub exit_matters: bool,
    /// Whether both FIFOs' write ends must have been held while the task ran.
    pub both_streams_opened: bool,
    /// Whether nobody may close a FIFO that it could write to while the task runs.
    pub opened_once: bool,
    /// Whether closed files must be full: larger than limit - line_guard, and within one record of
    /// the limit. Each record has to come with one write then.
    pub full_files: bool,
    /// Whether no write may meet a FIFO that nobody reads (EPIPE), though logmon is dead for a while.
    pub unbroken: bool,
    /// Whether a driver may answer that it can't take a living task over. The task must be left alone all
    /// the same.
    pub may_lose_tasks: bool,
    /// How much a subject may grow between its first and its last `measure`.
    pub growth: Option<Growth>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            stdout: Exactness::Exact,
            stderr: Exactness::Exact,
            report_exit_ms: 5_000,
            release_ms: 3_000,
            loss_per_kill_bytes: 0,
            exit_matters: true,
            both_streams_opened: false,
            opened_once: false,
            full_files: false,
            unbroken: false,
            may_lose_tasks: false,
            growth: None,
        }
    }
}

/// How a stream's files compare with what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exactness {
    /// Every byte, in order, once.
    Exact,
    /// A contiguous suffix: retention may have deleted the beginning.
    Suffix,
    /// Every record once and whole, in order per writer (several writers at a time).
    Unordered,
    /// The bytes of the same program run without any driver, by hash and length.
    SameAsDirect,
    /// A prefix of what the script would have written, at least as long as what was accepted.
    AtLeastAccepted,
    /// Whole lines may be missing anywhere, and the loss is recorded (DATA-6); what is there stands
    /// in order and once.
    Lossy,
    /// Not judged.
    Unchecked,
}

/// Bounds of growth, each as the total between the first and the last measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// Whose.
    pub of: Who,
    /// Open descriptors.
    pub fds: u64,
    /// Threads.
    pub threads: u64,
    /// Resident memory in KiB.
    pub rss_kib: u64,
    /// How often its threads went to sleep and woke up again, if that is bounded.
    #[serde(default)]
    pub wakeups: Option<u64>,
}
