//! Starts a subject's process and reads what it printed. (edge)

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use executor::Leads;
use executor::process::{self, ProcessSpec};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::command::Invocation;
use super::faults::Printed;
use super::outputs::output_file;

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
/// The child blocks and ignores no signal; both are seen to in the child only, because a signal that
/// ended this process while its own mask is open would leave FIFOs and processes behind. It has no
/// descriptor but the three.
pub(super) fn spawn(
    invocation: &Invocation,
    stdout: &Path,
    stderr: &Path,
) -> Result<i32, SpawnError> {
    let program = || invocation.words.first().cloned().unwrap_or_default();
    // Appended to, so that what was cut off in between does not come back as a hole.
    let mut options = File::options();
    options.append(true).create(true);
    let create = |path: &Path| {
        options.open(path).map_err(|source| SpawnError::Output {
            path: path.to_owned(),
            program: program(),
            source,
        })
    };
    let (stdout, stderr) = (create(stdout)?, create(stderr)?);
    started(invocation, stdout, stderr).map_err(|source| SpawnError::Start {
        program: program(),
        source,
    })
}

/// Starts a program as [`spawn`] does, its output into two pipes, which are copied to the files.
pub(super) fn spawn_into_pipes(
    invocation: &Invocation,
    outputs: &[PathBuf; 2],
) -> Result<(i32, Vec<Printed>), SpawnError> {
    let program = || invocation.words.first().cloned().unwrap_or_default();
    let pipe = |path: &PathBuf| -> Result<(File, Printed), SpawnError> {
        let failed = |source| SpawnError::Output {
            path: path.clone(),
            program: program(),
            source,
        };
        let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let file = output_file(path).map_err(failed)?;
        Ok((write.into(), Printed::new(read, file).map_err(failed)?))
    };
    let ((stdout, out), (stderr, err)) = (pipe(&outputs[0])?, pipe(&outputs[1])?);
    let pid = started(invocation, stdout, stderr).map_err(|source| SpawnError::Start {
        program: program(),
        source,
    })?;
    Ok((pid, vec![out, err]))
}

/// Starts a program as [`spawn`] does, its stdin and stdout two pipes whose other ends are given.
pub(super) fn spawn_to_talk(
    invocation: &Invocation,
    stderr: &Path,
) -> Result<(i32, OwnedFd, OwnedFd), SpawnError> {
    let program = || invocation.words.first().cloned().unwrap_or_default();
    // Appended to: a process that takes over goes on in the file of the one before.
    let mut options = File::options();
    options.append(true).create(true);
    let stderr = options.open(stderr).map_err(|source| SpawnError::Output {
        path: stderr.to_owned(),
        program: program(),
        source,
    })?;
    let failed = |source: io::Error| SpawnError::Start {
        program: program(),
        source,
    };
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()));
    let ((stdin, requests), (answers, stdout)) = (pipe()?, pipe()?);
    let pid = started_with(invocation, [stdin, stdout, stderr.into()]).map_err(failed)?;
    Ok((pid, requests, answers))
}

fn started(invocation: &Invocation, stdout: File, stderr: File) -> io::Result<i32> {
    let nothing = File::open("/dev/null")?;
    started_with(invocation, [nothing.into(), stdout.into(), stderr.into()])
}

fn started_with(invocation: &Invocation, standard: [OwnedFd; 3]) -> io::Result<i32> {
    let Some((program, args)) = invocation.words.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let mut variables = outer_variables();
    for (name, value) in &invocation.env {
        variables.insert(name.into(), value.into());
    }
    let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
    let spec = ProcessSpec {
        program: OsStr::new(program),
        args: &args,
        env: &variables,
        leads: Leads::ProcessGroup,
        blocked: &[],
        // It begins in that of the case process.
        enclosure: None,
    };
    // Not waited for here: all children are reaped together.
    let process = process::start(&spec, standard).map_err(io::Error::other)?;
    Ok(process.pid())
}

/// The variables of this process without those by which a parent speaks to its case process.
pub(super) fn outer_variables() -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<OsString, OsString> = env::vars_os().collect();
    for own in [
        super::play::LIMIT_VARIABLE,
        super::play::PARENT_VARIABLE,
        super::hold::STOP_AT_VARIABLE,
    ] {
        variables.remove(OsStr::new(own));
    }
    variables
}

/// The end of a file as text; empty if there is none.
pub(super) fn end_of(path: &Path) -> String {
    end_from(path, 0)
}

/// The end of what stands in a file from a place on, as text; empty if there is nothing.
pub(super) fn end_from(path: &Path, place: u64) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    let from = bytes
        .len()
        .saturating_sub(QUOTED_BYTES)
        .max(place.min(bytes.len()));
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
