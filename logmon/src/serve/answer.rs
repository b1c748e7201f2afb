//! Core: the answers of the control protocol, version 1, written by the server and read by `logmon ctl`.
//!
//! ```text
//! {"v":1,"ok":true,"version":"0.1.0","pid":17,"task_count":3}                         ping
//! {"v":1,"ok":true,"started":{"stdout":"now","stderr":"already-running"}}             start, reconfigure
//! {"v":1,"ok":true,"stopped":{"stdout":{"read_bytes":7,"written_bytes":7,…}}}         stop
//! {"v":1,"ok":true,"tasks":[{"task":"web","streams":{"stdout":{…}}}]}                 status
//! {"v":1,"ok":false,"error":{"code":"config","exit":65,"message":"option --max-files: …"}}
//! ```
//!
//! `started` stands beside an `error`, too, when one stream of a task was started and the other could
//! not be. A stream's fields in a status are those of [`StreamReport`]. Times are milliseconds since
//! 1970, lengths are bytes. A later version 1 may add fields.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::request::{Refusal, VERSION};
use crate::collect::{Condition, OnFull};
use crate::collector::{Started, Summary};
use crate::config::StreamConfig;
use crate::error::{Error, chain};
use crate::exit::Exit;
use crate::name::{StreamKind, TaskId};
use crate::status::Reply;

/// One answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) v: u64,
    /// The id of the request, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    /// True when all of what was asked for was done.
    pub(crate) ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Failure>,
    #[serde(flatten)]
    pub(crate) body: Body,
}

/// What an answer tells beside success or failure.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Body {
    /// The version of logmon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// The process that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    /// How many tasks it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) task_count: Option<usize>,
    /// What became of each stream, by `stdout` and `stderr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<BTreeMap<String, StartedWord>>,
    /// What each stream has done in its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<BTreeMap<String, StoppedReport>>,
    /// How the tasks are, in the order of their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tasks: Option<Vec<TaskReport>>,
}

/// Why a request failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// A word that does not change: see [`Failure::of_refusal`] and [`Failure::of_error`].
    pub(crate) code: String,
    /// The exit code that `logmon run` has for it.
    pub(crate) exit: u8,
    /// What a person should know.
    pub(crate) message: String,
}

/// What a start did to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StartedWord {
    /// It runs from now on.
    Now,
    /// It ran and was not touched.
    AlreadyRunning,
    /// It ran and keeps other limits from now on.
    OtherLimits,
}

/// What a stopped stream has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoppedReport {
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) dropped_bytes: u64,
    /// Rotated files deleted for space by the policy `drop`.
    pub(crate) deleted_for_space_files: u64,
    /// Bytes that these had.
    pub(crate) deleted_for_space_bytes: u64,
    /// What was read and could not be written in time.
    pub(crate) lost_bytes: u64,
    pub(crate) rotations: u64,
    pub(crate) failures: u64,
}

/// How a task is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskReport {
    pub(crate) task: String,
    /// By `stdout` and `stderr`; none while the task stops.
    pub(crate) streams: BTreeMap<String, StreamReport>,
}

/// How a stream is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamReport {
    /// `collecting`, `no-writer`, `blocked` or `dropping` (the folder takes no bytes), `stopping`,
    /// `stalled` (a call to the file system does not return), or `died`, which is a bug; a start mends
    /// that.
    pub(crate) state: String,
    pub(crate) fifo: PathBuf,
    pub(crate) log_dir: PathBuf,
    /// The part of the file names before the index.
    pub(crate) name: String,
    pub(crate) max_files: u64,
    pub(crate) max_file_bytes: u64,
    /// The guard in force.
    pub(crate) line_guard_bytes: u64,
    /// `block` or `drop`.
    pub(crate) on_full: String,
    /// What only a stream that lives can tell.
    #[serde(flatten)]
    pub(crate) live: Option<LiveReport>,
}

/// The counters of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveReport {
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) dropped_bytes: u64,
    /// Rotated files deleted for space by the policy `drop`.
    pub(crate) deleted_for_space_files: u64,
    /// Bytes that these had.
    pub(crate) deleted_for_space_bytes: u64,
    /// Files begun.
    pub(crate) rotations: u64,
    /// Steps that failed.
    pub(crate) failures: u64,
    /// Bytes on the way, at the moment of asking.
    pub(crate) lag_bytes: u64,
    /// When bytes were last written to a file; null before the first time.
    pub(crate) last_write_ms: Option<u64>,
    /// How bytes are moved.
    pub(crate) pump: String,
    /// The current file; null before the first one.
    pub(crate) current_file: Option<PathBuf>,
}

impl Answer {
    /// Makes the answer to what was done.
    pub(crate) fn done(id: Option<u64>, body: Body) -> Answer {
        Answer {
            v: VERSION,
            id,
            ok: true,
            error: None,
            body,
        }
    }

    /// Makes the answer to what was not done, or in part.
    pub(crate) fn failed(id: Option<u64>, error: Failure, body: Body) -> Answer {
        Answer {
            v: VERSION,
            id,
            ok: false,
            error: Some(error),
            body,
        }
    }

    /// Gives the line, with its newline.
    pub(crate) fn line(&self) -> String {
        let mut line = serde_json::to_string(self)
            .expect("an answer has text keys and paths that came as text");
        line.push('\n');
        line
    }
}

impl Failure {
    fn new(code: &str, exit: Exit, message: String) -> Failure {
        Failure {
            code: code.to_owned(),
            exit: exit.code(),
            message,
        }
    }

    /// `syntax`, `field`, `version`, `op` or `config`.
    pub(crate) fn of_refusal(refusal: &Refusal) -> Failure {
        let code = match refusal {
            Refusal::Syntax(_) | Refusal::TooLong => "syntax",
            Refusal::Head(_) | Refusal::Field { .. } | Refusal::NoLimits | Refusal::NoStream => {
                "field"
            }
            Refusal::Version(_) => "version",
            Refusal::UnknownOp(_) => "op",
            Refusal::Relative { .. } | Refusal::TaskId(_) => "config",
            Refusal::Config(error) => return Failure::of_error(error),
        };
        let exit = if code == "config" {
            Exit::Config
        } else {
            Exit::Usage
        };
        Failure::new(code, exit, refusal.to_string())
    }

    /// `config`, `path`, `busy`, `no-task`, `starting`, `stopping`, `descriptors`, `system` or `bug`.
    pub(crate) fn of_error(error: &Error) -> Failure {
        let exit = error.exit();
        let code = match (error, exit) {
            (Error::NoTask { .. }, _) => "no-task",
            (Error::TaskStops { .. }, _) => "stopping",
            (Error::TaskStarts { .. } | Error::StartStuck { .. }, _) => "starting",
            (Error::Descriptors { .. }, _) => "descriptors",
            (_, Exit::Config | Exit::Usage) => "config",
            (_, Exit::Path) => "path",
            (_, Exit::Busy) => "busy",
            (_, Exit::Bug) => "bug",
            (_, Exit::System | Exit::Unavailable | Exit::Drained) => "system",
        };
        Failure::new(code, exit, chain(error))
    }

    /// `not-allowed`: the client is another user.
    pub(crate) fn not_allowed(uid: u32) -> Failure {
        let message = format!("user {uid} may not control this logmon; its own user and root may");
        Failure::new("not-allowed", Exit::Path, message)
    }

    /// `bug`: the end of a start or a stop was not told.
    pub(crate) fn ended() -> Failure {
        let message = String::from("it ended by a bug of logmon; please report it");
        Failure::new("bug", Exit::Bug, message)
    }

    /// `busy`: there are too many clients, or no descriptor for one more.
    pub(crate) fn too_many_clients() -> Failure {
        let message = String::from("too many clients at once; try again");
        Failure::new("busy", Exit::Busy, message)
    }
}

impl StartedWord {
    /// Gives what a person reads.
    pub(crate) fn word(self) -> &'static str {
        match self {
            StartedWord::Now => "started",
            StartedWord::AlreadyRunning => "runs already",
            StartedWord::OtherLimits => "has the new limits",
        }
    }
}

impl From<Started> for StartedWord {
    fn from(started: Started) -> StartedWord {
        match started {
            Started::Now => StartedWord::Now,
            Started::AlreadyRunning => StartedWord::AlreadyRunning,
            Started::OtherLimits => StartedWord::OtherLimits,
        }
    }
}

impl Body {
    /// Tells what became of streams.
    pub(crate) fn of_started(started: &[(StreamKind, Started)]) -> Body {
        let words = started
            .iter()
            .map(|(kind, started)| (kind.to_string(), StartedWord::from(*started)));
        Body {
            started: Some(words.collect()),
            ..Body::default()
        }
    }

    /// Tells what stopped streams have done.
    pub(crate) fn of_stopped(summaries: &[Summary]) -> Body {
        let report = |summary: &Summary| StoppedReport {
            read_bytes: summary.counters.read_bytes,
            written_bytes: summary.counters.written_bytes,
            dropped_bytes: summary.counters.dropped_bytes,
            deleted_for_space_files: summary.counters.deleted_for_space_files,
            deleted_for_space_bytes: summary.counters.deleted_for_space_bytes,
            lost_bytes: summary.lost_bytes,
            rotations: summary.counters.rotations,
            failures: summary.counters.failures,
        };
        let reports = summaries
            .iter()
            .map(|summary| (summary.kind.to_string(), report(summary)));
        Body {
            stopped: Some(reports.collect()),
            ..Body::default()
        }
    }
}

impl TaskReport {
    /// Tells how a task is from what its streams said; none said anything while it stops.
    pub(crate) fn new(task: &TaskId, streams: Vec<(Arc<StreamConfig>, Reply)>) -> TaskReport {
        let streams = streams
            .into_iter()
            .map(|(config, reply)| (config.kind.to_string(), StreamReport::new(&config, reply)));
        TaskReport {
            task: task.to_string(),
            streams: streams.collect(),
        }
    }
}

impl StreamReport {
    fn new(config: &StreamConfig, reply: Reply) -> StreamReport {
        let (state, status) = match reply {
            Reply::Status(status) => (word(status.condition), Some(status)),
            Reply::Stalled => ("stalled", None),
            Reply::Died => ("died", None),
        };
        let live = status.map(|status| LiveReport {
            read_bytes: status.counters.read_bytes,
            written_bytes: status.counters.written_bytes,
            dropped_bytes: status.counters.dropped_bytes,
            deleted_for_space_files: status.counters.deleted_for_space_files,
            deleted_for_space_bytes: status.counters.deleted_for_space_bytes,
            rotations: status.counters.rotations,
            failures: status.counters.failures,
            lag_bytes: status.lag_bytes,
            last_write_ms: status.last_write.map(millis),
            pump: status.pump.word().to_owned(),
            current_file: status
                .current_index
                .map(|index| config.log_dir.join(config.name.file_name(index))),
        });
        StreamReport {
            state: state.to_owned(),
            name: config.name.to_string(),
            max_files: config.limits.max_files() as u64,
            max_file_bytes: config.limits.max_file_bytes(),
            line_guard_bytes: config.limits.line_guard(),
            on_full: match config.on_full {
                OnFull::Block => "block",
                OnFull::Drop => "drop",
            }
            .to_owned(),
            fifo: config.fifo.to_path_buf(),
            log_dir: config.log_dir.to_path_buf(),
            live,
        }
    }
}

fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::Collecting => "collecting",
        Condition::NoWriter => "no-writer",
        Condition::Blocked => "blocked",
        Condition::Dropping => "dropping",
        Condition::Stopping => "stopping",
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
