//! Core: the configuration of a run, checked, from what stands on the command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::collect::OnFull;
use crate::error::Error;
use crate::limits::{Limits, parse_bytes, parse_count};
use crate::name::StreamName;

/// Settings of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// The FIFO to read; made if it is missing.
    pub fifo: PathBuf,
    /// Permission bits of a FIFO that has to be made.
    pub fifo_mode: u32,
    /// The stream's name, the part of the file names before the index.
    pub name: StreamName,
    /// The folder of the log files.
    pub log_dir: PathBuf,
    /// Limits of the files.
    pub limits: Limits,
    /// What to do when the folder takes no bytes.
    pub on_full: OnFull,
}

impl StreamConfig {
    /// True when the two say the same but for the limits.
    #[must_use]
    pub fn differs_in_limits_only(&self, other: &StreamConfig) -> bool {
        *self
            == StreamConfig {
                limits: self.limits,
                ..other.clone()
            }
    }
}

/// The settings as they were given, not checked.
#[derive(Debug, Clone)]
pub(crate) struct RawConfig {
    pub(crate) log_dir: PathBuf,
    pub(crate) stdout: Option<OsString>,
    pub(crate) stderr: Option<OsString>,
    pub(crate) max_files: String,
    pub(crate) max_file_size: String,
    pub(crate) line_guard: String,
    pub(crate) on_full: OnFull,
    pub(crate) fifo_mode: String,
}

impl RawConfig {
    /// Checks everything that can be checked without looking at the system; gives one or two streams.
    pub(crate) fn checked(self) -> Result<Vec<StreamConfig>, Error> {
        let limit = |option| move |source| Error::Limit { option, source };
        let max_files = parse_count(&self.max_files).map_err(limit("max-files"))?;
        let max_file_bytes = parse_bytes(&self.max_file_size).map_err(limit("max-file-size"))?;
        let line_guard = parse_bytes(&self.line_guard).map_err(limit("line-guard"))?;
        Limits::checked(max_files, 1, 1).map_err(limit("max-files"))?;
        Limits::checked(1, max_file_bytes, 1).map_err(limit("max-file-size"))?;
        let limits =
            Limits::checked(max_files, max_file_bytes, line_guard).map_err(limit("line-guard"))?;
        let fifo_mode = parse_mode(&self.fifo_mode)?;
        let mut streams: Vec<StreamConfig> = Vec::new();
        for (option, text) in [("stdout", self.stdout), ("stderr", self.stderr)] {
            let Some(text) = text else { continue };
            let (fifo, name) = split_stream(option, &text)?;
            let log_dir = self.log_dir.clone();
            streams.push(StreamConfig {
                fifo,
                fifo_mode,
                name,
                log_dir,
                limits,
                on_full: self.on_full,
            });
        }
        if let [first, second] = &streams[..] {
            if first.name == second.name {
                return Err(Error::SameName {
                    name: first.name.to_string(),
                });
            }
            if first.fifo == second.fifo {
                return Err(Error::SameFifo {
                    path: first.fifo.clone(),
                });
            }
        }
        Ok(streams)
    }
}

/// Splits FIFO=NAME at the last equals sign, so that a path may have one and a name may not.
fn split_stream(option: &'static str, text: &OsStr) -> Result<(PathBuf, StreamName), Error> {
    let bytes = text.as_bytes();
    let at = bytes
        .iter()
        .rposition(|byte| *byte == b'=')
        .filter(|at| *at > 0);
    let Some(at) = at else {
        return Err(Error::Stream {
            option,
            text: text.to_string_lossy().into_owned(),
        });
    };
    let name = StreamName::parse(OsStr::from_bytes(&bytes[at + 1..]))
        .map_err(|source| Error::Name { option, source })?;
    Ok((
        PathBuf::from(OsString::from_vec(bytes[..at].to_vec())),
        name,
    ))
}

/// Reads an octal mode; one that lets others read is refused (SEC-3).
fn parse_mode(text: &str) -> Result<u32, Error> {
    let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| is_octal && *mode <= 0o777 && mode & 0o004 == 0)
        .ok_or_else(|| Error::FifoMode {
            text: text.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> RawConfig {
        RawConfig {
            log_dir: "/logs".into(),
            stdout: Some("/run/a=b/out=demo.stdout".into()),
            stderr: None,
            max_files: "3".into(),
            max_file_size: "64KiB".into(),
            line_guard: "32KiB".into(),
            on_full: OnFull::Block,
            fifo_mode: "0600".into(),
        }
    }

    #[test]
    fn a_path_may_have_an_equals_sign() {
        let streams = raw().checked().unwrap();
        assert_eq!(streams[0].fifo, PathBuf::from("/run/a=b/out"));
        assert_eq!(streams[0].name.as_str(), "demo.stdout");
    }

    #[test]
    fn a_refused_value_is_told_with_its_option() {
        let told = |change: fn(&mut RawConfig)| {
            let mut config = raw();
            change(&mut config);
            config.checked().unwrap_err().to_string()
        };
        assert!(told(|raw| raw.max_files = "0".into()).contains("--max-files"));
        assert!(told(|raw| raw.max_files = "-1".into()).contains("--max-files"));
        assert!(told(|raw| raw.max_file_size = "0".into()).contains("--max-file-size"));
        assert!(
            told(|raw| raw.max_file_size = "18446744073709551616".into())
                .contains("--max-file-size")
        );
        assert!(told(|raw| raw.line_guard = "0".into()).contains("--line-guard"));
        assert!(told(|raw| raw.fifo_mode = "0644".into()).contains("--fifo-mode"));
        assert!(told(|raw| raw.fifo_mode = "rw".into()).contains("--fifo-mode"));
        assert!(told(|raw| raw.stdout = Some("/run/out".into())).contains("--stdout"));
        assert!(told(|raw| raw.stdout = Some("=name".into())).contains("--stdout"));
        assert!(told(|raw| raw.stdout = Some("/run/out=..".into())).contains("--stdout"));
        assert!(
            told(|raw| raw.stderr = Some("/run/err=demo.stdout".into())).contains("demo.stdout")
        );
        assert!(
            told(|raw| raw.stderr = Some("/run/a=b/out=demo.stderr".into()))
                .contains("/run/a=b/out")
        );
    }
}
