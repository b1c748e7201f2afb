//! What a faulty driver leaves behind: processes and a file: an edge.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::SigSet;

use crate::fault::{LeftBehind, Policy};
use crate::reexec::Reexec;

/// The arguments of `linger`.
#[derive(Debug, clap::Args)]
pub(crate) struct LingerArgs {
    /// The folder whose end is the process's end.
    #[arg(long)]
    folder: PathBuf,
    /// How long it stays, in seconds.
    #[arg(long)]
    seconds: u64,
}

/// Holds what it was started with until its time is over or the folder is gone.
#[expect(
    clippy::disallowed_methods,
    reason = "a poller: it must not outlive a folder that vanishes, and holds nothing to watch it by"
)]
pub(crate) fn linger(args: &LingerArgs) -> Result<u8> {
    // Inherited from the driver's thread; whoever cleans up must be able to end it.
    SigSet::all()
        .thread_unblock()
        .context("cannot unblock the signals")?;
    let end = Instant::now() + Duration::from_secs(args.seconds);
    while Instant::now() < end && args.folder.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(0)
}

/// The variable that tells where logmon writes.
const LOG_FOLDER: &str = "HARNESS_LOG_DIR";

/// Leaves a process with a descriptor of the FIFO's folder, or a file in the log folder.
pub(crate) fn at_start(policy: &Policy, path: &Path, reexec: &Reexec) -> Result<()> {
    match policy.left_behind {
        LeftBehind::Nothing | LeftBehind::FifoHolder => Ok(()),
        LeftBehind::FolderHolder => {
            let folder = folder(path);
            let file = File::open(folder).context("cannot open the folder of the FIFO")?;
            leave(reexec, folder, "60", Stdio::from(file), Stdio::null())
        }
        LeftBehind::OwnLog => {
            let Some(folder) = std::env::var_os(LOG_FOLDER) else {
                return Ok(());
            };
            let path = Path::new(&folder).join("driver.log");
            std::fs::write(path, "the task was started\n").context("cannot write a log")
        }
    }
}

/// Leaves a process with a descriptor of the FIFO that was just opened.
pub(crate) fn at_open(
    policy: &Policy,
    path: &Path,
    fifo: impl AsFd,
    reexec: &Reexec,
) -> Result<()> {
    if policy.left_behind != LeftBehind::FifoHolder {
        return Ok(());
    }
    let copy = fifo.as_fd().try_clone_to_owned();
    let copy = copy.context("cannot copy the FIFO's descriptor")?;
    leave(reexec, folder(path), "30", Stdio::null(), Stdio::from(copy))
}

fn leave(reexec: &Reexec, folder: &Path, seconds: &str, stdin: Stdio, stdout: Stdio) -> Result<()> {
    let mut command = reexec.command(["linger", "--seconds", seconds]);
    command.arg("--folder").arg(folder);
    command.stdin(stdin).stdout(stdout).stderr(Stdio::null());
    command.spawn().context("cannot leave a process behind")?;
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}
