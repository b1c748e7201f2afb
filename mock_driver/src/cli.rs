//! The command line: an edge.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::reexec::Reexec;
use crate::task::{HoldArgs, PartArgs, TaskArgs, hold, task, write_part};

/// A command line that makes no sense.
const USAGE: u8 = 64;
/// The system refused something that the program needs.
const SYSTEM: u8 = 71;

#[derive(Debug, clap::Parser)]
#[command(about = env!("CARGO_PKG_DESCRIPTION"), version)]
struct Cli {
    #[command(subcommand)]
    command: Part,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Play a script on stdout and stderr: the payload of a driver.
    Task(TaskArgs),
    #[command(name = "write-part", hide = true)]
    Writer(PartArgs),
    #[command(hide = true)]
    Hold(HoldArgs),
}

/// Runs the program and gives its status.
///
/// `args` are the command line with the program's name first. `reexec` are the words that start
/// this program again in front of one of its subcommands, for instance the path of an executable
/// and `mock-driver`; empty stands for the running executable alone.
///
/// The status is the task's own where there is a task (128 + n for signal n), 64 for a command line
/// that makes no sense, and 71 when the system refused something.
pub fn main_with_args<I>(args: I, reexec: Vec<OsString>) -> ExitCode
where
    I: IntoIterator<Item = OsString>,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell if the message cannot be printed.
            error.print().ok();
            let code = if error.use_stderr() { USAGE } else { 0 };
            return ExitCode::from(code);
        }
    };
    match dispatch(cli.command, reexec) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(SYSTEM)
        }
    }
}

/// Says what went wrong on stderr.
pub(crate) fn complain(message: &str) {
    // A task's stderr may be a pipe that nobody reads any more; the status still tells.
    writeln!(std::io::stderr(), "mock_driver: {message}").ok();
}

fn dispatch(part: Part, reexec: Vec<OsString>) -> Result<u8> {
    let reexec = Reexec::new(reexec).context("cannot find the running executable")?;
    match part {
        Part::Task(args) => task(args, &reexec),
        Part::Writer(args) => write_part(&args),
        Part::Hold(args) => hold(&args),
    }
}
