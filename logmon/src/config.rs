//! Core: the configuration of a run, checked, from what stands on the command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::collect::OnFull;
use crate::error::Error;
use crate::limits::{Limits, parse_bytes, parse_count};
use crate::name::{StreamKind, StreamName};
use crate::owner::FifoOwner;

/// Settings of a task: where its logs go, the FIFOs of its streams, and their limits. Whatever it is told
/// in, options, a request or a message, it becomes this, and is passed on as this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskConfig {
    /// The folder of the log files.
    pub(crate) log_dir: Arc<Path>,
    /// The folder below which no symbolic link is followed.
    pub(crate) trusted_root: Option<Arc<Path>>,
    /// The task's stdout, if it is collected.
    pub(crate) stdout: Option<Source>,
    /// The task's stderr, if it is collected.
    pub(crate) stderr: Option<Source>,
    /// Limits of the files, of each stream.
    pub(crate) limits: Limits,
    /// What to do when the folder takes no bytes.
    pub(crate) on_full: OnFull,
    /// Permission bits of a FIFO that has to be made.
    pub(crate) fifo_mode: u32,
    /// Whom a FIFO that has to be made is given to.
    pub(crate) fifo_owner: Option<Arc<FifoOwner>>,
}

/// Where a stream comes from, and what its files are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The FIFO to read.
    pub(crate) fifo: Arc<Path>,
    /// The part of the file names before the index.
    pub(crate) name: StreamName,
}

/// What both streams of a task have, and must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Clash {
    /// The same name.
    Name(String),
    /// The same FIFO.
    Fifo(PathBuf),
}

impl TaskConfig {
    /// Finds what both streams have and must not.
    pub(crate) fn clash(&self) -> Option<Clash> {
        let (stdout, stderr) = (self.stdout.as_ref()?, self.stderr.as_ref()?);
        if stdout.name == stderr.name {
            Some(Clash::Name(stdout.name.to_string()))
        } else if stdout.fifo == stderr.fifo {
            Some(Clash::Fifo(stdout.fifo.to_path_buf()))
        } else {
            None
        }
    }

    /// Gives the settings of each stream, stdout first. They share what is the same.
    pub(crate) fn streams(&self) -> Vec<StreamConfig> {
        let given = [
            (StreamKind::Stdout, &self.stdout),
            (StreamKind::Stderr, &self.stderr),
        ];
        let stream = |(kind, source): (StreamKind, &Option<Source>)| {
            let Source { fifo, name } = source.clone()?;
            Some(StreamConfig {
                kind,
                fifo,
                fifo_mode: self.fifo_mode,
                fifo_owner: self.fifo_owner.clone(),
                name,
                log_dir: Arc::clone(&self.log_dir),
                trusted_root: self.trusted_root.clone(),
                limits: self.limits,
                on_full: self.on_full,
            })
        };
        given.into_iter().filter_map(stream).collect()
    }
}

/// Settings of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// Which of the task's streams it is.
    pub kind: StreamKind,
    /// The FIFO to read; made if it is missing.
    pub fifo: Arc<Path>,
    /// Permission bits of a FIFO that has to be made.
    pub fifo_mode: u32,
    /// Whom a FIFO that has to be made is given to; if nobody, it stays as the system makes it.
    pub fifo_owner: Option<Arc<FifoOwner>>,
    /// The stream's name, the part of the file names before the index.
    pub name: StreamName,
    /// The folder of the log files.
    pub log_dir: Arc<Path>,
    /// The folder below which no symbolic link is followed on the way to the FIFO and to the log folder
    /// (contract SEC-1); without one, only their last parts must be no links.
    pub trusted_root: Option<Arc<Path>>,
    /// Limits of the files.
    pub limits: Limits,
    /// What to do when the folder takes no bytes.
    pub on_full: OnFull,
}

impl StreamConfig {
    /// Settings for a test: this name, and everything in this folder.
    #[cfg(test)]
    pub(crate) fn in_folder(folder: &Path, name: &str) -> StreamConfig {
        StreamConfig {
            kind: StreamKind::Stdout,
            fifo: folder.join("fifo").into(),
            fifo_mode: 0o600,
            fifo_owner: None,
            name: StreamName::parse(OsStr::new(name)).unwrap(),
            log_dir: folder.into(),
            trusted_root: None,
            limits: Limits::checked(3, 100, 10).unwrap(),
            on_full: OnFull::Block,
        }
    }

    /// Names the first setting in which the two differ, limits aside: those can be changed while the
    /// stream runs.
    pub(crate) fn difference(&self, other: &StreamConfig) -> Option<&'static str> {
        let StreamConfig {
            kind,
            fifo,
            fifo_mode,
            fifo_owner,
            name,
            log_dir,
            trusted_root,
            limits: _,
            on_full,
        } = self;
        [
            (*kind == other.kind, "kind"),
            (*fifo == other.fifo, "FIFO"),
            (*name == other.name, "name"),
            (*log_dir == other.log_dir, "log folder"),
            (*trusted_root == other.trusted_root, "trusted root"),
            (*on_full == other.on_full, "policy for a full disk"),
            (*fifo_mode == other.fifo_mode, "FIFO mode"),
            (*fifo_owner == other.fifo_owner, "FIFO owner"),
        ]
        .into_iter()
        .find_map(|(is_same, what)| (!is_same).then_some(what))
    }
}

/// The settings as they were given, not checked.
#[derive(Debug, Clone)]
pub(crate) struct RawConfig {
    pub(crate) log_dir: PathBuf,
    pub(crate) trusted_root: Option<PathBuf>,
    pub(crate) stdout: Option<RawStream>,
    pub(crate) stderr: Option<RawStream>,
    pub(crate) max_files: String,
    pub(crate) max_file_size: String,
    pub(crate) line_guard: String,
    pub(crate) on_full: OnFull,
    pub(crate) fifo_mode: String,
    pub(crate) fifo_owner: Option<String>,
}

/// A stream as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawStream {
    pub(crate) fifo: PathBuf,
    pub(crate) name: OsString,
}

impl RawStream {
    /// Splits FIFO=NAME at the last equals sign, so that a path may have one and a name may not.
    pub(crate) fn split(kind: StreamKind, text: &OsStr) -> Result<RawStream, Error> {
        let bytes = text.as_bytes();
        let at = bytes
            .iter()
            .rposition(|byte| *byte == b'=')
            .filter(|at| *at > 0);
        let Some(at) = at else {
            return Err(Error::Stream {
                option: kind.word(),
                text: text.to_string_lossy().into_owned(),
            });
        };
        Ok(RawStream {
            fifo: PathBuf::from(OsString::from_vec(bytes[..at].to_vec())),
            name: OsStr::from_bytes(&bytes[at + 1..]).to_owned(),
        })
    }
}

impl RawConfig {
    /// Checks everything that can be checked without looking at the system.
    pub(crate) fn checked(self) -> Result<TaskConfig, Error> {
        let source = |kind: StreamKind, raw: Option<RawStream>| -> Result<Option<Source>, Error> {
            let option = kind.word();
            raw.map(|RawStream { fifo, name }| {
                let name =
                    StreamName::parse(&name).map_err(|source| Error::Name { option, source })?;
                let fifo = fifo.into();
                Ok(Source { fifo, name })
            })
            .transpose()
        };
        let limits = checked_limits(&self.max_files, &self.max_file_size, &self.line_guard)?;
        let fifo_mode = parse_mode(&self.fifo_mode)?;
        let fifo_owner = self.fifo_owner.as_deref().map(FifoOwner::parse);
        let task = TaskConfig {
            limits,
            fifo_mode,
            fifo_owner: fifo_owner.transpose()?.map(Arc::new),
            log_dir: self.log_dir.into(),
            trusted_root: self.trusted_root.map(Arc::from),
            stdout: source(StreamKind::Stdout, self.stdout)?,
            stderr: source(StreamKind::Stderr, self.stderr)?,
            on_full: self.on_full,
        };
        match task.clash() {
            Some(Clash::Name(name)) => Err(Error::SameName { name }),
            Some(Clash::Fifo(path)) => Err(Error::SameFifo { path }),
            None => Ok(task),
        }
    }
}

/// Reads and checks the three limits; an error names the option.
pub(crate) fn checked_limits(
    max_files: &str,
    max_file_size: &str,
    line_guard: &str,
) -> Result<Limits, Error> {
    let limit = |option| move |source| Error::Limit { option, source };
    let max_files = parse_count(max_files).map_err(limit("max-files"))?;
    let max_file_bytes = parse_bytes(max_file_size).map_err(limit("max-file-size"))?;
    let line_guard = parse_bytes(line_guard).map_err(limit("line-guard"))?;
    Limits::checked(max_files, 1, 1).map_err(limit("max-files"))?;
    Limits::checked(1, max_file_bytes, 1).map_err(limit("max-file-size"))?;
    Limits::checked(max_files, max_file_bytes, line_guard).map_err(limit("line-guard"))
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

/// Both streams of a task in a test, with FIFOs `out` and `err` and the log files in this folder.
#[cfg(test)]
pub(crate) fn both_streams(folder: &std::path::Path) -> Vec<StreamConfig> {
    let stream = |fifo: &str, name: &str| {
        Some(RawStream {
            fifo: folder.join(fifo),
            name: name.into(),
        })
    };
    let raw = RawConfig {
        log_dir: folder.to_owned(),
        stdout: stream("out", "web.stdout"),
        stderr: stream("err", "web.stderr"),
        ..tests::raw()
    };
    raw.checked().unwrap().streams()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn raw() -> RawConfig {
        RawConfig {
            log_dir: "/logs".into(),
            trusted_root: None,
            stdout: Some(RawStream {
                fifo: "/run/out".into(),
                name: "demo.stdout".into(),
            }),
            stderr: None,
            max_files: "3".into(),
            max_file_size: "64KiB".into(),
            line_guard: "32KiB".into(),
            on_full: OnFull::Block,
            fifo_mode: "0600".into(),
            fifo_owner: None,
        }
    }

    fn stream(fifo: &str, name: &str) -> Option<RawStream> {
        Some(RawStream {
            fifo: fifo.into(),
            name: name.into(),
        })
    }

    #[test]
    fn a_path_may_have_an_equals_sign() {
        let split = |text: &str| RawStream::split(StreamKind::Stdout, OsStr::new(text));
        let found = split("/run/a=b/out=demo.stdout").unwrap();
        assert_eq!(Some(found), stream("/run/a=b/out", "demo.stdout"));
        for text in ["/run/out", "=name", ""] {
            assert!(split(text).unwrap_err().to_string().contains("--stdout"));
        }
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
        assert!(told(|raw| raw.fifo_owner = Some(":".into())).contains("--fifo-owner"));
        assert!(told(|raw| raw.stdout = stream("/run/out", "..")).contains("--stdout"));
        assert!(told(|raw| raw.stderr = stream("/run/err", "demo.stdout")).contains("demo.stdout"));
        assert!(told(|raw| raw.stderr = stream("/run/out", "demo.stderr")).contains("/run/out"));
    }
}
