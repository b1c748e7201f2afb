//! Core: what a host says to a plugin when it says Start, from the settings of a task.
//!
//! The protocol can't say everything that a logmon of our own can be told. What it can't say is refused with
//! the option that it stands in: a plugin that is silently told something else would be worse.

use std::path::Path;

use plugin::proto::logmon::StartRequest;

use super::request::{FIFO_MODE, UNIT_BYTES};
use crate::collect::OnFull;
use crate::config::{Source, TaskConfig};
use crate::limits::DEFAULT_LINE_GUARD;
use crate::name::StreamKind;

/// What can't be said: the option, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsayable {
    /// The size of a file is no whole number of MiB.
    #[error(
        "option --max-file-size: {bytes} bytes are no whole number of MiB, in which a plugin is told it; use \
         {next}MiB, or leave out --plugin"
    )]
    NoWholeUnits {
        /// What was asked for.
        bytes: u64,
        /// The next larger size, in MiB.
        next: u64,
    },
    /// The size of a file, or their number, is too large for its field.
    #[error("option --{option}: {value} is more than a plugin can be told")]
    TooLarge {
        /// The option.
        option: &'static str,
        /// What was asked for, bytes or files.
        value: u64,
    },
    /// A stream is missing.
    #[error("option --{option} is missing: a plugin always collects both streams")]
    NoStream {
        /// The option.
        option: &'static str,
    },
    /// A path can't be a text.
    #[error("option --{option}: {path:?} is no UTF-8, and a plugin is told paths as text")]
    NoText {
        /// The option.
        option: &'static str,
        /// The path.
        path: std::path::PathBuf,
    },
    /// There is no word for it.
    #[error("option --{option}: a plugin can't be told this; {way_out}")]
    NoWord {
        /// The option.
        option: &'static str,
        /// What to do.
        way_out: &'static str,
    },
}

/// Gives the Start for these settings. Paths should be absolute: a plugin may run in another folder.
pub(crate) fn request(task: &TaskConfig) -> Result<StartRequest, Unsayable> {
    let TaskConfig {
        log_dir,
        trusted_root,
        stdout,
        stderr,
        limits,
        on_full,
        fifo_mode,
        fifo_owner,
    } = task;
    let others = [
        ("trusted-root", trusted_root.is_none()),
        (
            "line-guard",
            limits.asked_line_guard() == DEFAULT_LINE_GUARD,
        ),
        ("on-full", *on_full == OnFull::Block),
        ("fifo-mode", *fifo_mode == FIFO_MODE),
        ("fifo-owner", fifo_owner.is_none()),
    ];
    let way_out = "leave it out, or leave out --plugin";
    if let Some((option, _)) = others.into_iter().find(|(_, is_usual)| !is_usual) {
        return Err(Unsayable::NoWord { option, way_out });
    }
    let (stdout_fifo, stdout_file_name) = source(StreamKind::Stdout, stdout.as_ref())?;
    let (stderr_fifo, stderr_file_name) = source(StreamKind::Stderr, stderr.as_ref())?;
    let bytes = limits.max_file_bytes();
    if !bytes.is_multiple_of(UNIT_BYTES) {
        let next = bytes.div_ceil(UNIT_BYTES);
        return Err(Unsayable::NoWholeUnits { bytes, next });
    }
    let number = |option, value: u64, field: u64| {
        u32::try_from(field).map_err(|_| Unsayable::TooLarge { option, value })
    };
    let max_files = limits.max_files() as u64;
    Ok(StartRequest {
        log_dir: text("log-dir", log_dir)?,
        stdout_file_name,
        stderr_file_name,
        max_files: number("max-files", max_files, max_files)?,
        max_file_size_mb: number("max-file-size", bytes, bytes / UNIT_BYTES)?,
        stdout_fifo,
        stderr_fifo,
    })
}

fn source(kind: StreamKind, source: Option<&Source>) -> Result<(String, String), Unsayable> {
    let option = kind.word();
    let Source { fifo, name } = source.ok_or(Unsayable::NoStream { option })?;
    Ok((text(option, fifo)?, name.to_string()))
}

fn text(option: &'static str, path: &Path) -> Result<String, Unsayable> {
    let path = path.to_owned().into_os_string().into_string();
    path.map_err(|path| Unsayable::NoText {
        option,
        path: path.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::super::request::asked;
    use super::*;
    use crate::limits::Limits;
    use crate::name::StreamName;

    fn stream(fifo: &str, name: &str) -> Option<Source> {
        Some(Source {
            fifo: Path::new(fifo).into(),
            name: StreamName::parse(OsStr::new(name)).unwrap(),
        })
    }

    fn task(max_files: u64, max_file_bytes: u64) -> TaskConfig {
        TaskConfig {
            log_dir: Path::new("/logs").into(),
            trusted_root: None,
            stdout: stream("/run/out", "web.stdout"),
            stderr: stream("/run/err", "web.stderr"),
            limits: Limits::checked(max_files, max_file_bytes, DEFAULT_LINE_GUARD).unwrap(),
            on_full: OnFull::Block,
            fifo_mode: FIFO_MODE,
            fifo_owner: None,
        }
    }

    proptest! {
        #[test]
        fn what_is_said_is_what_is_heard(
            max_files in 1_u64..=1_000_000,
            mib in 1_u64..=u64::from(u32::MAX),
            fifo in "/[a-z /=ä]{1,20}",
            name in "[a-z][a-z.]{0,9}x",
        ) {
            let mut task = task(max_files, mib << 20);
            task.stdout = stream(&fifo, &name);
            prop_assume!(task.clash().is_none());
            prop_assert_eq!(asked(request(&task).unwrap()), Ok(task));
        }

        #[test]
        fn a_size_is_said_exactly_or_refused_with_the_next_one_that_can_be(bytes in 1_u64..1 << 40) {
            match request(&task(3, bytes)) {
                Ok(said) => prop_assert_eq!(u64::from(said.max_file_size_mb) << 20, bytes),
                Err(Unsayable::NoWholeUnits { next, .. }) => {
                    prop_assert!(next << 20 > bytes && (next - 1) << 20 < bytes);
                    prop_assert!(request(&task(3, next << 20)).is_ok());
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }

    #[test]
    fn what_has_no_word_is_refused_with_its_option() {
        type Change = fn(&mut TaskConfig);
        let cases: [(Change, &str); 8] = [
            (
                |one| one.trusted_root = Some(Path::new("/").into()),
                "--trusted-root:",
            ),
            (
                |one| one.limits = Limits::checked(3, 1 << 20, 1024).unwrap(),
                "--line-guard:",
            ),
            (|one| one.on_full = OnFull::Drop, "--on-full:"),
            (|one| one.fifo_mode = 0o620, "--fifo-mode:"),
            (|one| one.stdout = None, "--stdout is missing"),
            (|one| one.stderr = None, "--stderr is missing"),
            (
                |one| one.log_dir = Path::new(&OsString::from_vec(vec![b'/', 0xff])).into(),
                "--log-dir: \"/\\xFF\" is no UTF-8",
            ),
            (
                |one| one.limits = Limits::checked(3, 100_000, DEFAULT_LINE_GUARD).unwrap(),
                "--max-file-size: 100000 bytes are no whole number of MiB, in which a plugin is told it; \
                 use 1MiB",
            ),
        ];
        for (change, words) in cases {
            let mut task = task(3, 1 << 20);
            change(&mut task);
            let text = request(&task).unwrap_err().to_string();
            assert!(text.starts_with(&format!("option {words}")), "{text}");
        }
    }
}
