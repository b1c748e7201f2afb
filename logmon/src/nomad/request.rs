//! Core: what a host asks for when it says Start, checked.
//!
//! The streams have what `run` and `serve` have if nobody says otherwise: a line guard of 32 KiB, a FIFO
//! that is made has mode 0600, and a folder that takes no bytes lets the task wait.

use std::path::PathBuf;

use plugin::proto::logmon::StartRequest;

use crate::collect::OnFull;
use crate::config::{Clash, Source, TaskConfig};
use crate::limits::{DEFAULT_LINE_GUARD, LimitError, Limits};
use crate::name::{NameError, StreamName};

/// The mode of a FIFO that has to be made.
pub(super) const FIFO_MODE: u32 = 0o600;
/// Bytes in a unit of `max_file_size_mb`.
pub(super) const UNIT_BYTES: u64 = 1 << 20;

/// Why a Start is refused: which field of the request, and what stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A path is missing.
    #[error("{field} is \"\": it must be the path of {wanted}")]
    NoPath {
        field: &'static str,
        wanted: &'static str,
    },
    /// A path depends on the folder that this process runs in.
    #[error("{field} is {path:?}: it must be absolute")]
    Relative { field: &'static str, path: PathBuf },
    /// A file name can't be one.
    #[error("{field} is {value:?}: {source}")]
    Name {
        field: &'static str,
        value: String,
        source: NameError,
    },
    /// A limit makes no sense.
    #[error("{field} is {value}: {source}")]
    Limit {
        field: &'static str,
        value: u32,
        source: LimitError,
    },
    /// Both streams have the same name.
    #[error("stdout_file_name and stderr_file_name are both {name:?}: give each its own")]
    SameName { name: String },
    /// Both streams have the same FIFO.
    #[error("stdout_fifo and stderr_fifo are both {path:?}: give each its own")]
    SameFifo { path: PathBuf },
}

/// Gives what a Start asks for, after checking everything that can be checked without looking at the system.
pub(super) fn asked(request: StartRequest) -> Result<TaskConfig, Refusal> {
    let limits = limits(&request)?;
    let log_dir = path("log_dir", request.log_dir, "the folder of the log files")?.into();
    let source = |[fifo_field, name_field]: [&'static str; 2], fifo, name: String| {
        let fifo = path(fifo_field, fifo, "a FIFO")?.into();
        let name = StreamName::of_host(&name).map_err(|source| Refusal::Name {
            field: name_field,
            value: name,
            source,
        })?;
        Ok(Some(Source { fifo, name }))
    };
    let task = TaskConfig {
        log_dir,
        trusted_root: None,
        stdout: source(
            ["stdout_fifo", "stdout_file_name"],
            request.stdout_fifo,
            request.stdout_file_name,
        )?,
        stderr: source(
            ["stderr_fifo", "stderr_file_name"],
            request.stderr_fifo,
            request.stderr_file_name,
        )?,
        limits,
        on_full: OnFull::Block,
        fifo_mode: FIFO_MODE,
        fifo_owner: None,
    };
    match task.clash() {
        Some(Clash::Name(name)) => Err(Refusal::SameName { name }),
        Some(Clash::Fifo(path)) => Err(Refusal::SameFifo { path }),
        None => Ok(task),
    }
}

fn path(field: &'static str, text: String, wanted: &'static str) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(text);
    if path.as_os_str().is_empty() {
        Err(Refusal::NoPath { field, wanted })
    } else if path.is_relative() {
        Err(Refusal::Relative { field, path })
    } else {
        Ok(path)
    }
}

fn limits(request: &StartRequest) -> Result<Limits, Refusal> {
    let limit = |field, value| {
        move |source| Refusal::Limit {
            field,
            value,
            source,
        }
    };
    let max_files = u64::from(request.max_files);
    let max_file_bytes = u64::from(request.max_file_size_mb) * UNIT_BYTES;
    Limits::checked(max_files, 1, 1).map_err(limit("max_files", request.max_files))?;
    Limits::checked(max_files, max_file_bytes, DEFAULT_LINE_GUARD)
        .map_err(limit("max_file_size_mb", request.max_file_size_mb))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::StreamKind;

    fn request() -> StartRequest {
        StartRequest {
            log_dir: "/logs".into(),
            stdout_file_name: "web.stdout".into(),
            stderr_file_name: "web.stderr".into(),
            max_files: 10,
            max_file_size_mb: 2,
            stdout_fifo: "/logs/.web.stdout.fifo".into(),
            stderr_fifo: "/logs/.web.stderr.fifo".into(),
        }
    }

    #[test]
    fn a_request_becomes_two_streams() {
        let streams = asked(request()).unwrap().streams();
        let told: Vec<_> = streams
            .iter()
            .map(|one| (one.kind, one.fifo.to_str().unwrap(), one.name.to_string()))
            .collect();
        let expected = [
            (
                StreamKind::Stdout,
                "/logs/.web.stdout.fifo",
                "web.stdout".to_owned(),
            ),
            (
                StreamKind::Stderr,
                "/logs/.web.stderr.fifo",
                "web.stderr".to_owned(),
            ),
        ];
        assert_eq!(told, expected);
        for stream in &streams {
            assert_eq!(stream.limits.max_files(), 10);
            assert_eq!(stream.limits.max_file_bytes(), 2 * 1024 * 1024);
            assert_eq!(stream.limits.line_guard(), 32 * 1024);
            assert_eq!(stream.fifo_mode, 0o600);
        }
    }

    #[test]
    fn the_largest_size_is_no_overflow() {
        let mut largest = request();
        largest.max_file_size_mb = u32::MAX;
        let bytes = u64::from(u32::MAX) << 20;
        assert_eq!(asked(largest).unwrap().limits.max_file_bytes(), bytes);
    }

    #[test]
    fn a_refusal_names_the_field_and_what_stands_there() {
        type Change = fn(&mut StartRequest);
        let cases: [(Change, &str); 11] = [
            (
                |one| one.log_dir = String::new(),
                "log_dir is \"\": it must be the path of the folder of the log files",
            ),
            (
                |one| one.log_dir = "logs".into(),
                "log_dir is \"logs\": it must be absolute",
            ),
            (
                |one| one.stdout_fifo = String::new(),
                "stdout_fifo is \"\": it must be the path of a FIFO",
            ),
            (
                |one| one.stderr_fifo = "x".into(),
                "stderr_fifo is \"x\": it must be absolute",
            ),
            (
                |one| one.stderr_fifo.clone_from(&one.stdout_fifo),
                "stdout_fifo and stderr_fifo are both \"/logs/.web.stdout.fifo\": give each its own",
            ),
            (
                |one| one.stdout_file_name = String::new(),
                "stdout_file_name is \"\": the name is empty",
            ),
            (
                |one| one.stderr_file_name = "../x".into(),
                "stderr_file_name is \"../x\": the name \"../x\" has a slash or a zero byte, so no file can have it",
            ),
            (
                |one| one.stderr_file_name.clone_from(&one.stdout_file_name),
                "stdout_file_name and stderr_file_name are both \"web.stdout\": give each its own",
            ),
            (
                |one| one.max_files = 0,
                "max_files is 0: at least 1 file is needed",
            ),
            (
                |one| one.max_files = u32::MAX,
                "max_files is 4294967295: \"4294967295\" is too large",
            ),
            (
                |one| one.max_file_size_mb = 0,
                "max_file_size_mb is 0: a file must be able to hold at least 1 byte",
            ),
        ];
        for (change, text) in cases {
            let mut request = request();
            change(&mut request);
            assert_eq!(asked(request).unwrap_err().to_string(), text);
        }
    }
}
