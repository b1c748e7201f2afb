//! The process that stands between one task and its driver, and outlives the driver: an edge.
//!
//! It forwards the task's output and waits for the task, so a driver may go away: its next life finds the
//! executor by process number and time of beginning, and the task's status in a file. Drivers that are spoken
//! to over lines and drivers that are plugins start the same one.

pub(crate) mod fault;
pub(crate) mod process;
pub(crate) mod start;
pub(crate) mod status;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

pub use self::fault::RecoveryFault;
use self::process::{descendants_of, kill_all};
use self::start::Begun;
use self::status::Status;
use crate::driver::{Hosting, Outcome, RunArgs, run_as};
use crate::fault::{LeftBehind, Policy};
use crate::faults::absence::{Absence, Away};
use crate::reexec::Reexec;

/// How long what a task left behind may take to be gone once it is killed.
const KILLED: Duration = Duration::from_secs(2);

/// The arguments of `executor`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExecutorArgs {
    /// Where to write the status.
    #[arg(long, value_name = "FILE")]
    status: PathBuf,
    /// What becomes of the output while no driver has the presence file locked.
    #[arg(long, value_name = "NAME", requires = "presence")]
    away: Option<Away>,
    /// The file that a driver has locked while it is there.
    #[arg(long, value_name = "FILE")]
    presence: Option<PathBuf>,
    /// Tell on stdout how the start went, leave the task's signals to the driver, and kill what the task
    /// leaves behind.
    #[arg(long)]
    hosted: bool,
    #[command(flatten)]
    run: RunArgs,
}

/// Runs the task as `run` does, and leaves its status in a file.
pub(crate) fn execute(args: ExecutorArgs, reexec: &Reexec) -> Result<u8> {
    let absence = match (args.away, &args.presence) {
        (Some(away), Some(path)) => Some(Absence::of(away, path)?),
        (None, _) | (_, None) => None,
    };
    let policy = Policy::of(args.run.fault());
    let hosting = args.hosted.then(become_host).transpose()?;
    let outcome = run_as(args.run, absence, hosting.as_ref(), reexec);
    if args.hosted {
        match &outcome {
            Ok(Outcome::Refused { why, .. }) => tell(&Begun::Refused(why.clone())),
            Ok(Outcome::Ended(_)) => {}
            Err(error) => tell(&Begun::Refused(format!("{error:#}"))),
        }
        // What such a driver leaves behind is its fault, and stays.
        if policy.left_behind == LeftBehind::Nothing {
            end_leftovers();
        }
    }
    let exit = outcome?.told();
    let status = Status {
        code: exit.code,
        signal: exit.signal,
        ended: SystemTime::now(),
    };
    // Whoever reads it has seen this process end, so it is never read half.
    fs::write(&args.status, status.format()).context("cannot write the status")?;
    Ok(exit.code)
}

/// Has whatever the task leaves behind become a child of this process, so that it is found.
fn become_host() -> Result<Hosting> {
    nix::sys::prctl::set_child_subreaper(true)
        .context("cannot adopt what the task leaves behind")?;
    Ok(Hosting {
        started: |pid| tell(&Begun::Runs { pid }),
    })
}

/// Tells the driver. It may be gone by now, and nothing depends on it.
fn tell(begun: &Begun) {
    let mut out = std::io::stdout().lock();
    out.write_all(begun.format().as_bytes())
        .and_then(|()| out.flush())
        .ok();
}

#[expect(
    clippy::disallowed_methods,
    reason = "a poller with a deadline: processes that are not children tell nobody of their end"
)]
fn end_leftovers() {
    let until = Instant::now() + KILLED;
    let own = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    loop {
        let left = descendants_of(own);
        if left.is_empty() || Instant::now() > until {
            return;
        }
        kill_all(&left);
        std::thread::sleep(Duration::from_millis(2));
    }
}
