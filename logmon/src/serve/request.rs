//! Core: the requests of the control protocol, version 1.
//!
//! A request is one line: a JSON object in UTF-8 of at most [`MAX_REQUEST_BYTES`], newline included. An
//! answer ([`super::answer`]) is one line, too; the answers of a connection come in the order of its
//! requests, which need not wait for each other. A request is done at once, also while an earlier one about
//! another task takes time. What comes behind a start, and is about the same task or about all, is done
//! when everything before it is answered.
//!
//! ```text
//! {"v":1,"op":"start","task":"web","log_dir":"/var/log/web","max_files":10,"max_file_size":"10MiB",
//!  "stdout":{"fifo":"/run/web/out","name":"web.stdout"},"stderr":{"fifo":"/run/web/err","name":"web.stderr"},
//!  "line_guard":"32KiB","on_full":"block","fifo_mode":"0600","fifo_owner":":web",
//!  "trusted_root":"/var"}
//! {"v":1,"op":"reconfigure","task":"web","max_files":3}
//! {"v":1,"op":"status","task":"web"}
//! {"v":1,"op":"stop","task":"web"}
//! {"v":1,"op":"ping"}
//! ```
//!
//! The fields of `start` mean what the options of `logmon run` of the same names mean; those from
//! `line_guard` on may be left out, and so may one of the streams. `reconfigure` has at least one of `max_files`,
//! `max_file_size` and `line_guard`. `status` without a task is about all. A size is a number of bytes
//! or a text with a unit. Paths are absolute. Any request may have an `id`, a number that its answer
//! has, too. A field that is unknown, missing, of a wrong kind or there twice is refused by its name
//! (contract MON-15).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::collect::OnFull;
use crate::config::{RawConfig, RawStream, StreamConfig, checked_limits};
use crate::error::Error;
use crate::limits::Limits;
use crate::name::TaskId;

/// The version of the protocol that is spoken here.
pub(crate) const VERSION: u64 = 1;
/// Bytes that a request may have, its newline included: two paths of 4,096 bytes, each byte of which
/// takes six as `\u00ff`, and the rest.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// The line guard of a start that names none; the default of the option, too.
pub(crate) const DEFAULT_LINE_GUARD: &str = "32KiB";
/// The FIFO mode of a start that names none; the default of the option, too.
pub(crate) const DEFAULT_FIFO_MODE: &str = "0600";

/// A request that is understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: Option<u64>,
    pub(crate) op: Op,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Say that you live, and which version you are.
    Ping,
    /// Collect these streams, of which there is at least one.
    Start(TaskId, Vec<StreamConfig>),
    /// Keep other limits.
    Reconfigure(TaskId, LimitChange),
    /// Drain the task's streams and forget it.
    Stop(TaskId),
    /// Tell how one task is, or all.
    Status(Option<TaskId>),
}

impl Op {
    /// Gives the task that it is about, if it is about one.
    pub(crate) fn task(&self) -> Option<&TaskId> {
        match self {
            Op::Start(task, _) | Op::Reconfigure(task, _) | Op::Stop(task) => Some(task),
            Op::Status(task) => task.as_ref(),
            Op::Ping => None,
        }
    }
}

/// Limits of which some may stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LimitChange {
    max_files: Option<String>,
    max_file_size: Option<String>,
    line_guard: Option<String>,
}

impl LimitChange {
    /// Gives the new limits of a stream that has these.
    pub(crate) fn apply(&self, old: &Limits) -> Result<Limits, Error> {
        let or = |new: &Option<String>, old: u64| new.clone().unwrap_or_else(|| old.to_string());
        checked_limits(
            &or(&self.max_files, old.max_files() as u64),
            &or(&self.max_file_size, old.max_file_bytes()),
            &or(&self.line_guard, old.asked_line_guard()),
        )
    }
}

/// Why a request is refused before anything was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is no JSON object in UTF-8.
    #[error("a request is one JSON object on one line: {0}")]
    Syntax(serde_json::Error),
    /// A field that every request has is missing, twice there, or of a wrong kind.
    #[error("any op: {0}")]
    Head(serde_json::Error),
    /// A field is unknown, missing, twice there, or of a wrong kind.
    #[error("op {op}: {source}")]
    Field {
        op: String,
        source: serde_json::Error,
    },
    /// The version is not spoken.
    #[error("protocol version {0} is not spoken here, only {VERSION}")]
    Version(u64),
    /// There is no such operation.
    #[error("unknown op {0:?}, expected one of ping, start, stop, reconfigure, status")]
    UnknownOp(String),
    /// A reconfiguration that changes nothing.
    #[error("op reconfigure: missing field, one of max_files, max_file_size, line_guard")]
    NoLimits,
    /// A start without streams.
    #[error("op start: missing field, one of stdout, stderr")]
    NoStream,
    /// A path depends on the folder that the server runs in.
    #[error("field {field}: the path {path:?} is not absolute")]
    Relative { field: &'static str, path: PathBuf },
    /// A task's id is refused.
    #[error("field task: {0}")]
    TaskId(crate::name::NameError),
    /// The settings are refused.
    #[error(transparent)]
    Config(Error),
    /// The line is longer than [`MAX_REQUEST_BYTES`].
    #[error("a request has at most {MAX_REQUEST_BYTES} bytes")]
    TooLong,
}

/// Reads a request, without its newline. A refusal comes with the id, if that much was understood.
pub(crate) fn parse(line: &[u8]) -> Result<Request, (Option<u64>, Refusal)> {
    let head: Head = serde_json::from_slice(line).map_err(|source| {
        let is_field = source.is_data() && line.trim_ascii_start().first() == Some(&b'{');
        let refusal = if is_field {
            Refusal::Head(source)
        } else {
            Refusal::Syntax(source)
        };
        (None, refusal)
    })?;
    let id = head.id;
    parse_op(&head, line)
        .map(|op| Request { id, op })
        .map_err(|refusal| (id, refusal))
}

fn parse_op(head: &Head, line: &[u8]) -> Result<Op, Refusal> {
    if head.v != VERSION {
        return Err(Refusal::Version(head.v));
    }
    match head.op.as_str() {
        "ping" => read::<Ping>(head, line).map(|_| Op::Ping),
        "start" => read::<Start>(head, line)?.checked(),
        "reconfigure" => read::<Reconfigure>(head, line)?.checked(),
        "stop" => Ok(Op::Stop(task_id(&read::<Stop>(head, line)?.task)?)),
        "status" => {
            let status: Status = read(head, line)?;
            let task = status.task.as_deref().map(task_id).transpose()?;
            Ok(Op::Status(task))
        }
        other => Err(Refusal::UnknownOp(other.to_owned())),
    }
}

fn read<'a, T: Deserialize<'a>>(head: &Head, line: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(line).map_err(|source| Refusal::Field {
        op: head.op.clone(),
        source,
    })
}

fn task_id(text: &str) -> Result<TaskId, Refusal> {
    TaskId::parse(text).map_err(Refusal::TaskId)
}

/// What every request has; what else there is gets checked when the operation is known.
#[derive(Deserialize)]
struct Head {
    v: u64,
    #[serde(default)]
    id: Option<u64>,
    op: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ping {
    #[serde(rename = "v")]
    _v: IgnoredAny,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "op")]
    _op: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    #[serde(rename = "v")]
    _v: IgnoredAny,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "op")]
    _op: IgnoredAny,
    task: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    #[serde(rename = "v")]
    _v: IgnoredAny,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "op")]
    _op: IgnoredAny,
    task: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reconfigure {
    #[serde(rename = "v")]
    _v: IgnoredAny,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "op")]
    _op: IgnoredAny,
    task: String,
    max_files: Option<Amount>,
    max_file_size: Option<Amount>,
    line_guard: Option<Amount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    #[serde(rename = "v")]
    _v: IgnoredAny,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "op")]
    _op: IgnoredAny,
    task: String,
    log_dir: PathBuf,
    trusted_root: Option<PathBuf>,
    stdout: Option<StreamField>,
    stderr: Option<StreamField>,
    max_files: Amount,
    max_file_size: Amount,
    line_guard: Option<Amount>,
    on_full: Option<OnFullField>,
    fifo_mode: Option<String>,
    fifo_owner: Option<String>,
}

/// A stream in a request.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamField {
    fifo: PathBuf,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnFullField {
    Block,
    Drop,
}

/// A whole number, or a text such as `64KiB`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a whole number or a text such as \"64KiB\"")]
enum Amount {
    Number(u64),
    Text(String),
}

impl From<Amount> for String {
    fn from(amount: Amount) -> String {
        match amount {
            Amount::Number(number) => number.to_string(),
            Amount::Text(text) => text,
        }
    }
}

impl Reconfigure {
    fn checked(self) -> Result<Op, Refusal> {
        let change = LimitChange {
            max_files: self.max_files.map(String::from),
            max_file_size: self.max_file_size.map(String::from),
            line_guard: self.line_guard.map(String::from),
        };
        if change.max_files.is_none()
            && change.max_file_size.is_none()
            && change.line_guard.is_none()
        {
            return Err(Refusal::NoLimits);
        }
        Ok(Op::Reconfigure(task_id(&self.task)?, change))
    }
}

impl Start {
    fn checked(self) -> Result<Op, Refusal> {
        let task = task_id(&self.task)?;
        absolute("log_dir", &self.log_dir)?;
        if let Some(root) = &self.trusted_root {
            absolute("trusted_root", root)?;
        }
        let stream = |field, given: Option<StreamField>| {
            given
                .map(|given| {
                    absolute(field, &given.fifo)?;
                    Ok(RawStream {
                        fifo: given.fifo,
                        name: OsString::from(given.name),
                    })
                })
                .transpose()
        };
        let raw = RawConfig {
            log_dir: self.log_dir,
            trusted_root: self.trusted_root,
            stdout: stream("stdout", self.stdout)?,
            stderr: stream("stderr", self.stderr)?,
            max_files: self.max_files.into(),
            max_file_size: self.max_file_size.into(),
            line_guard: self
                .line_guard
                .map_or_else(|| DEFAULT_LINE_GUARD.to_owned(), String::from),
            on_full: match self.on_full {
                Some(OnFullField::Drop) => OnFull::Drop,
                Some(OnFullField::Block) | None => OnFull::Block,
            },
            fifo_mode: self
                .fifo_mode
                .unwrap_or_else(|| DEFAULT_FIFO_MODE.to_owned()),
            fifo_owner: self.fifo_owner,
        };
        let streams = raw.checked().map_err(Refusal::Config)?.streams();
        if streams.is_empty() {
            return Err(Refusal::NoStream);
        }
        Ok(Op::Start(task, streams))
    }
}

fn absolute(field: &'static str, path: &Path) -> Result<(), Refusal> {
    if path.is_absolute() {
        Ok(())
    } else {
        Err(Refusal::Relative {
            field,
            path: path.to_owned(),
        })
    }
}

/// Collects the bytes of a client into lines, within a bound.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// From the start up to here there is no newline.
    searched: usize,
}

impl Lines {
    /// Takes what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Gives the next line without its newline, or none while it is not complete.
    ///
    /// # Errors
    /// [`Refusal::TooLong`]: it is longer than [`MAX_REQUEST_BYTES`]; there is no next line.
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, Refusal> {
        let newline = self.bytes[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| self.searched + at);
        self.searched = newline.map_or(self.bytes.len(), |newline| newline + 1);
        if self.searched - self.start > MAX_REQUEST_BYTES {
            return Err(Refusal::TooLong);
        }
        let Some(newline) = newline else {
            return Ok(None);
        };
        let line = &self.bytes[self.start..newline];
        self.start = self.searched;
        Ok(Some(line))
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
