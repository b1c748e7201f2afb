//! Starts a subject's process and reads what it printed. (edge)

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{SigSet, SigmaskHow};

use super::command::Invocation;

/// Bytes of a program's standard error that are quoted in a trace.
const QUOTED_BYTES: usize = 4_096;

/// A subject could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpawnError {
    #[error("create the file {path} for what `{program}` prints")]
    Output {
        path: PathBuf,
        program: String,
        source: io::Error,
    },
    #[error("start `{program}`")]
    Start { program: String, source: io::Error },
}

/// Starts a program in its own process group: nothing to read, its output into two files.
///
/// The child begins with an empty signal mask: the standard library hands on the mask of the thread
/// that starts it, so this thread's is empty meanwhile. A signal that ends this process just then
/// leaves the cleaning up to the process that started it, as a kill does. The library restores the
/// default action of SIGPIPE, and every other descriptor is closed on exec.
pub(super) fn spawn(
    invocation: &Invocation,
    stdout: &Path,
    stderr: &Path,
) -> Result<i32, SpawnError> {
    let program = || invocation.words.first().cloned().unwrap_or_default();
    let create = |path: &Path| {
        File::create(path).map_err(|source| SpawnError::Output {
            path: path.to_owned(),
            program: program(),
            source,
        })
    };
    let (stdout, stderr) = (create(stdout)?, create(stderr)?);
    let start_error = |source| SpawnError::Start {
        program: program(),
        source,
    };
    let mask = SigSet::empty()
        .thread_swap_mask(SigmaskHow::SIG_SETMASK)
        .map_err(|errno| start_error(errno.into()))?;
    let started = Command::new(program())
        .args(invocation.words.iter().skip(1))
        .envs(&invocation.env)
        .env_remove(super::play::LIMIT_VARIABLE)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn();
    mask.thread_set_mask()
        .map_err(|errno| start_error(errno.into()))?;
    let child = started.map_err(start_error)?;
    // Dropped without a wait: all children are reaped together. A pid fits into an i32 on Linux.
    Ok(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

/// The end of a file as text; empty if there is none.
pub(super) fn end_of(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let from = bytes.len().saturating_sub(QUOTED_BYTES);
    String::from_utf8_lossy(&bytes[from..])
        .trim_end()
        .to_owned()
}

/// An error with its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
