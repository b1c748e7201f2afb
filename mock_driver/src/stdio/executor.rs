//! The process that stands between one task and the driver, and outlives the driver: an edge.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::driver::{RunArgs, run_with};
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
    #[command(flatten)]
    run: RunArgs,
}

/// Runs the task as `run` does, and leaves its status in a file.
pub(crate) fn execute(args: ExecutorArgs, reexec: &Reexec) -> Result<u8> {
    let absence = match (args.away, &args.presence) {
        (Some(away), Some(path)) => Some(Absence::of(away, path)?),
        (None, _) | (_, None) => None,
    };
    let status = run_with(args.run, absence, reexec)?;
    // Whoever reads it has seen this process end, so it is never read half.
    fs::write(&args.status, status.to_string()).context("cannot write the status")?;
    Ok(status)
}
