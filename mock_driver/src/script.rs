//! Scripts: what a task writes and does, step by step, as TOML or JSON: a core.
//!
//! ```toml
//! seed = 7
//! exit_code = 3
//! [[step]]
//! do = "records"
//! stream = "stdout"
//! count = 1000
//! [[step]]
//! do = "gate"
//! name = "go-on"
//! [[step]]
//! do = "text"
//! stream = "stderr"
//! text = "done"
//! ```
//!
//! The steps are played in order by one thread. A key that no step knows is an error. The fields
//! of Nomad's mock driver are taken at the top level too and become steps; see [`nomad`].

mod batch;
mod expected;
pub mod nomad;
mod signal;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::batch::{Batch, Content, Numbering, Unit, WriterPart};
pub use self::expected::{Chunk, ChunkKind, ExactStream, Expected};
pub use self::nomad::Answers;
pub use self::signal::Signal;
use crate::record;
use crate::stream::Stream;

/// What a task writes and does. It serialises in the form of a script's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Written")]
pub struct Script {
    /// Chooses the filler of records, lines and raw bytes.
    pub seed: u64,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// How the task ends after the last step.
    pub end: End,
    /// A record that the payload leaves out as if it had been lost. Only a script's file says so:
    /// what is expected, and the form in which a script serialises, know nothing of it. It shows
    /// whether a missing record is seen.
    pub leave_out: Option<LeaveOut>,
    /// How the driver answers what a host asks for.
    pub answers: Answers,
}

/// A record that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaveOut {
    /// The stream that it belongs to.
    pub stream: Stream,
    /// Its sequence number.
    pub seq: u32,
}

/// How a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// By exit(2) with this status.
    Exit(u8),
    /// By this signal at its default disposition.
    Die(Signal),
}

impl End {
    /// The status that a driver reports: 128 + n for signal n.
    #[must_use]
    pub fn status(self) -> i32 {
        match self {
            Self::Exit(code) => i32::from(code),
            Self::Die(signal) => 128 + signal.number(),
        }
    }
}

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Step {
    /// Writes numbered records.
    Records {
        /// Where to.
        stream: Stream,
        /// How many; with several writers, each writes so many.
        count: u32,
        /// Bytes of each.
        #[serde(default = "record_bytes")]
        bytes: usize,
        /// Whether any byte may occur in them.
        #[serde(default)]
        binary: bool,
        /// Bytes of each write(2); without it, one write a record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pieces: Option<NonZeroUsize>,
        /// Records of each write(2); without it, one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        together: Option<NonZeroUsize>,
        /// A pause after each write, in microseconds.
        #[serde(default)]
        pause_us: u64,
        /// Writing processes. More than one write concurrently under the numbers 1, 2, …, whole
        /// records only; a single one is the task itself, number 0.
        #[serde(default = "one_writer")]
        writers: u8,
        /// Leaves out the newline of the last record.
        #[serde(default)]
        last_unterminated: bool,
    },
    /// Writes this text as it stands, in one write.
    Text {
        /// Where to.
        stream: Stream,
        /// The text; no newline is added.
        text: String,
    },
    /// Writes arbitrary bytes.
    Raw {
        /// Where to.
        stream: Stream,
        /// How many.
        bytes: u64,
        /// Bytes of each write(2).
        #[serde(default = "raw_chunk")]
        chunk: NonZeroUsize,
    },
    /// Writes lines of printable characters.
    Lines {
        /// Where to.
        stream: Stream,
        /// Bytes of each line, its newline included; 1 is an empty line.
        lengths: Vec<NonZeroUsize>,
        /// Bytes of each write(2); without it, one write a line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pieces: Option<NonZeroUsize>,
    },
    /// Does nothing for a while.
    Sleep {
        /// Milliseconds.
        ms: u64,
    },
    /// Waits until a file of this name exists in the folder of gates.
    Gate {
        /// The file's name.
        name: String,
    },
    /// Writes a line into the journal.
    Mark {
        /// What it says.
        name: String,
    },
    /// Closes a stream for good.
    Close {
        /// Which.
        stream: Stream,
    },
    /// Opens `/dev/stdout` or `/dev/stderr` by its path, as many programs do, and writes through what it
    /// gets from here on. If that fails, the journal has the error, and the stream stays as it is.
    Reopen {
        /// Which.
        stream: Stream,
    },
    /// Starts a child that keeps streams open and goes on.
    Child {
        /// The streams that it keeps; it closes the others.
        streams: Vec<Stream>,
        /// How long it keeps them, in milliseconds. Either this or `until_gate`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold_ms: Option<u64>,
        /// The gate that it waits for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_gate: Option<String>,
        /// What it writes to each kept stream at its end. A driver that reports the exit of the
        /// main process need not deliver what is written after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Whether it leaves the task's process group, as a daemon does.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        apart: bool,
    },
    /// Runs a program with the task's own descriptors and waits for it.
    Exec {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// Ignores a signal from here on.
    Ignore {
        /// Which.
        signal: Signal,
    },
    /// Ends by a signal.
    Die {
        /// Which.
        signal: Signal,
    },
    /// Ends with a status.
    Exit {
        /// The status.
        code: u8,
    },
}

fn record_bytes() -> usize {
    100
}

fn one_writer() -> u8 {
    1
}

fn raw_chunk() -> NonZeroUsize {
    const CHUNK: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
    CHUNK
}

/// The script's file as it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    seed: u64,
    exit_code: u8,
    exit_signal: Option<Signal>,
    step: Vec<Step>,
    leave_out: Option<LeaveOut>,
    run_for: Option<String>,
    stdout_string: Option<String>,
    stdout_repeat: Option<u32>,
    stdout_repeat_duration: Option<String>,
    stderr_string: Option<String>,
    stderr_repeat: Option<u32>,
    stderr_repeat_duration: Option<String>,
    start_block_for: Option<String>,
    exit_err_msg: Option<String>,
    start_error: Option<String>,
    start_error_recoverable: Option<bool>,
    kill_after: Option<String>,
    signal_error: Option<String>,
    exec_command: Option<serde_json::Value>,
    plugin_exit_after: Option<serde_json::Value>,
}

/// A script in the form of its file, its steps as steps.
#[derive(Serialize)]
struct Written {
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_signal: Option<Signal>,
    #[serde(flatten)]
    answers: Answers,
    step: Vec<Step>,
}

impl From<Script> for Written {
    fn from(script: Script) -> Self {
        let (exit_code, exit_signal) = match script.end {
            End::Exit(code) => (Some(code), None),
            End::Die(signal) => (None, Some(signal)),
        };
        Self {
            seed: script.seed,
            exit_code,
            exit_signal,
            answers: script.answers,
            step: script.steps,
        }
    }
}

impl TryFrom<Document> for Script {
    type Error = ScriptError;

    fn try_from(document: Document) -> Result<Self, ScriptError> {
        Self::from_document(document, Path::new("inside another file"))
    }
}

/// A script was refused.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file is not TOML, or has an unknown key or a value of the wrong type.
    #[error("cannot read the script {path} as TOML")]
    Toml {
        /// The script's file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// The file is not JSON, or has an unknown key or a value of the wrong type.
    #[error("cannot read the script {path} as JSON")]
    Json {
        /// The script's file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A step makes no sense.
    #[error("step {number} of the script {path}: {problem}")]
    Step {
        /// The script's file.
        path: PathBuf,
        /// Which step, from 1.
        number: usize,
        /// What is wrong.
        problem: String,
    },
    /// A field of Nomad's mock driver that cannot be played by a process.
    #[error("the script {path} has the field `{field}`: {problem}")]
    Field {
        /// The script's file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Why it is refused.
        problem: String,
    },
}

impl Script {
    /// Reads a script. A path that ends in `.json` is read as JSON, any other as TOML; the path
    /// serves for nothing else but messages.
    ///
    /// # Errors
    /// If a key is unknown, a value is out of range, or a step makes no sense where it stands.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScriptError> {
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        let document: Document = if is_json {
            serde_json::from_str(text).map_err(|source| ScriptError::Json {
                path: path.to_owned(),
                source,
            })?
        } else {
            toml::from_str(text).map_err(|source| ScriptError::Toml {
                path: path.to_owned(),
                source,
            })?
        };
        Self::from_document(document, path)
    }

    fn from_document(document: Document, path: &Path) -> Result<Self, ScriptError> {
        let end = match document.exit_signal {
            Some(signal) => End::Die(signal),
            None => End::Exit(document.exit_code),
        };
        let seed = document.seed;
        let leave_out = document.leave_out;
        let (answers, steps) =
            nomad::translate(document).map_err(|refused| ScriptError::Field {
                path: path.to_owned(),
                field: refused.field,
                problem: refused.problem,
            })?;
        let end = answers.start_error_status().map_or(end, End::Exit);
        let script = Self::new(seed, steps, end).map_err(|refused| ScriptError::Step {
            path: path.to_owned(),
            number: refused.number,
            problem: refused.problem,
        })?;
        Ok(Self {
            leave_out,
            answers,
            ..script
        })
    }

    /// Builds a script from its steps.
    ///
    /// # Errors
    /// If a step makes no sense where it stands.
    pub fn new(seed: u64, steps: Vec<Step>, end: End) -> Result<Self, RefusedStep> {
        check(&steps)?;
        Ok(Self {
            seed,
            steps,
            end,
            leave_out: None,
            answers: Answers::default(),
        })
    }

    /// How the task ends when the whole script is played: the first step that ends it, or the
    /// script's own end.
    #[must_use]
    pub fn ending(&self) -> End {
        self.steps.iter().find_map(Step::ending).unwrap_or(self.end)
    }
}

impl Step {
    /// How this step ends the task, if it does.
    pub(crate) fn ending(&self) -> Option<End> {
        match *self {
            Self::Die { signal } => Some(End::Die(signal)),
            Self::Exit { code } => Some(End::Exit(code)),
            Self::Records { .. }
            | Self::Text { .. }
            | Self::Raw { .. }
            | Self::Lines { .. }
            | Self::Sleep { .. }
            | Self::Gate { .. }
            | Self::Mark { .. }
            | Self::Close { .. }
            | Self::Reopen { .. }
            | Self::Child { .. }
            | Self::Exec { .. }
            | Self::Ignore { .. } => None,
        }
    }

    /// The streams that this step writes to or hands on.
    fn uses(&self) -> &[Stream] {
        match self {
            Self::Records { stream, .. }
            | Self::Text { stream, .. }
            | Self::Raw { stream, .. }
            | Self::Lines { stream, .. }
            | Self::Close { stream }
            | Self::Reopen { stream } => std::slice::from_ref(stream),
            Self::Child { streams, .. } => streams,
            Self::Sleep { .. }
            | Self::Gate { .. }
            | Self::Mark { .. }
            | Self::Exec { .. }
            | Self::Ignore { .. }
            | Self::Die { .. }
            | Self::Exit { .. } => &[],
        }
    }
}

/// A step that makes no sense where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {number}: {problem}")]
pub struct RefusedStep {
    /// Which, from 1.
    pub number: usize,
    /// What is wrong.
    pub problem: String,
}

fn check(steps: &[Step]) -> Result<(), RefusedStep> {
    let mut closed = [false; 2];
    let mut numbers = [0_u64; 2];
    for (index, step) in steps.iter().enumerate() {
        let number = index + 1;
        let refuse = |problem: String| Err(RefusedStep { number, problem });
        if let Some(stream) = step.uses().iter().find(|stream| closed[stream.index()]) {
            return refuse(format!("{stream} was closed by an earlier step"));
        }
        match step {
            Step::Records {
                stream,
                count,
                bytes,
                pieces,
                together,
                writers,
                ..
            } => {
                if !(record::MIN_LEN..=record::MAX_LEN).contains(bytes) {
                    return refuse(format!(
                        "a record has {} to {} bytes, not {bytes}",
                        record::MIN_LEN,
                        record::MAX_LEN
                    ));
                }
                if !(1..=record::MAX_WRITER).contains(writers) {
                    return refuse(format!(
                        "1 to {} writers, not {writers}",
                        record::MAX_WRITER
                    ));
                }
                if *writers > 1 && (pieces.is_some() || together.is_some()) {
                    return refuse(
                        "several writers write whole records one by one, without `pieces` and \
                         `together`"
                            .into(),
                    );
                }
                if pieces.is_some() && together.is_some() {
                    return refuse("a write is a piece of a record or several records: take `pieces` or `together`".into());
                }
                numbers[stream.index()] += u64::from(*count);
                if numbers[stream.index()] > u64::from(record::MAX_SEQ) {
                    return refuse(format!("more than {} records", record::MAX_SEQ));
                }
            }
            Step::Close { stream } => closed[stream.index()] = true,
            Step::Child {
                hold_ms,
                until_gate,
                ..
            } if hold_ms.is_some() == until_gate.is_some() => {
                return refuse("a child needs either `hold_ms` or `until_gate`".into());
            }
            Step::Exec { argv } if argv.is_empty() => {
                return refuse("`argv` is empty".into());
            }
            Step::Gate { name }
            | Step::Child {
                until_gate: Some(name),
                ..
            } if name.is_empty() || name.contains('/') => {
                return refuse(format!("a gate's name is a file name, not `{name}`"));
            }
            Step::Text { .. }
            | Step::Raw { .. }
            | Step::Lines { .. }
            | Step::Sleep { .. }
            | Step::Gate { .. }
            | Step::Mark { .. }
            | Step::Reopen { .. }
            | Step::Child { .. }
            | Step::Exec { .. }
            | Step::Ignore { .. }
            | Step::Die { .. }
            | Step::Exit { .. } => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
