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
use std::time::SystemTime;

use anyhow::{Context, Result};

pub use self::fault::RecoveryFault;
use self::start::Begun;
use self::status::Status;
use crate::driver::{Hosting, Outcome, RunArgs, family, run_as};
use crate::fault::Policy;
use crate::faults::absence::{Absence, Away};
use crate::reexec::Reexec;

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
    let hosting = args.hosted.then_some(Hosting {
        started: |pid| tell(&Begun::Runs { pid }),
    });
    let outcome = run_as(args.run, absence, hosting.as_ref(), reexec);
    if args.hosted {
        match &outcome {
            Ok(Outcome::Refused { why, .. }) => tell(&Begun::Refused(why.clone())),
            Ok(Outcome::Ended(_)) => {}
            Err(error) => tell(&Begun::Refused(format!("{error:#}"))),
        }
        family::end(&policy);
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

/// Tells the driver. It may be gone by now, and nothing depends on it.
fn tell(begun: &Begun) {
    let mut out = std::io::stdout().lock();
    out.write_all(begun.format().as_bytes())
        .and_then(|()| out.flush())
        .ok();
}
