//! The command line: an edge.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use crate::driver::{PlayArgs, RunArgs, play, run};
use crate::executor::{ExecutorArgs, RecoveryFault, execute};
use crate::fault::Fault;
use crate::faults::left_behind::{LingerArgs, linger};
use crate::hosted::{PluginArgs, serve};
use crate::reexec::Reexec;
use crate::script::ScriptError;
use crate::stdio::{StdioArgs, stdio};
use crate::task::{HoldArgs, PartArgs, TaskArgs, hold, task, write_part};

/// A command line that makes no sense.
const USAGE: u8 = 64;
/// A script that makes no sense.
const CONFIGURATION: u8 = 65;
/// The system refused something that the program needs.
const SYSTEM: u8 = 71;

/// What the help of `plugin` says beside its options.
const PLUGIN_HELP: &str = "\
A host starts it, and speaks with it over a Unix socket. A task's configuration
has one of
  command, args   a real command, run by the executor; with forwards = true or
                  a fault its output goes through pipes of this driver
  script          a path, or the text of a script
  run_for, exit_code, exit_signal, stdout_string, stdout_repeat, kill_after, …
                  the fields of Nomad's mock driver
and beside it: work_dir, fault, start_block_for, start_error, start_error_recoverable,
signal_error, exit_err_msg, exec_command, plugin_exit_after, driver_ip,
driver_port_map, driver_advertise. A stop without a signal sends SIGTERM.";

#[derive(Debug, clap::Parser)]
#[command(about = env!("CARGO_PKG_DESCRIPTION"), version)]
struct Cli {
    #[command(subcommand)]
    command: Part,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Run a command and forward its output into two FIFOs.
    Run(RunArgs),
    /// Play a script into two FIFOs.
    Play(PlayArgs),
    /// Play a script on stdout and stderr: the payload of a driver.
    Task(TaskArgs),
    /// Run tasks as told over stdin, one JSON object a line, and take them over from a driver before.
    Stdio(StdioArgs),
    /// Be a task driver that a host starts as a plugin, over Nomad's protocol.
    #[command(after_help = PLUGIN_HELP)]
    Plugin(PluginArgs),
    #[command(hide = true)]
    Executor(ExecutorArgs),
    /// Keeps one command of `plugin`, which is at the other end of stdin.
    #[command(hide = true)]
    Warden {
        /// Its own folder.
        folder: PathBuf,
    },
    #[command(name = "write-part", hide = true)]
    Writer(PartArgs),
    #[command(hide = true)]
    Hold(HoldArgs),
    #[command(hide = true)]
    Linger(LingerArgs),
    /// List the faults, a line each.
    Faults,
}

/// Runs the program and gives its status.
///
/// `args` are the command line with the program's name first. `reexec` are the words that start
/// this program again in front of one of its subcommands, for instance the path of an executable
/// and `mock-driver`; empty stands for the running executable alone.
///
/// The status is the task's own where there is a task (128 + n for signal n). Else it is
///
/// | status | meaning |
/// |---|---|
/// | 64 | the command line makes no sense |
/// | 65 | the script makes no sense |
/// | 66 | a path is neither a FIFO nor a character device |
/// | 71 | the system refused something that the program needs |
/// | 75 | the task succeeded, but output was lost because nobody read it |
/// | 124, 125 | the start fails, recoverably or not, because the script has a `start_error` |
/// | 126, 127 | the task cannot be run; it does not exist |
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
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            let is_script = error.chain().any(|cause| cause.is::<ScriptError>());
            ExitCode::from(if is_script { CONFIGURATION } else { SYSTEM })
        }
    }
}

/// Says what went wrong on stderr.
pub(crate) fn complain(message: &str) {
    // A task's stderr may be a pipe that nobody reads any more; the status still tells.
    writeln!(std::io::stderr(), "mock_driver: {message}").ok();
}

fn dispatch(part: Part, reexec: Vec<OsString>) -> Result<ExitCode> {
    let reexec = Reexec::new(reexec).context("cannot find the running executable")?;
    let status = match part {
        Part::Task(args) => task(args, &reexec),
        Part::Writer(args) => write_part(&args),
        Part::Hold(args) => hold(&args),
        Part::Run(args) => run(args, &reexec),
        Part::Play(args) => play(args, &reexec),
        Part::Stdio(args) => stdio(&args, &reexec),
        Part::Plugin(args) => return serve(&args, &reexec),
        Part::Executor(args) => execute(args, &reexec),
        Part::Warden { folder } => return Ok(::executor::kept::keep(&folder)),
        Part::Linger(args) => linger(&args),
        Part::Faults => list_faults(),
    };
    status.map(ExitCode::from)
}

fn list_faults() -> Result<u8> {
    let mut out = std::io::stdout().lock();
    let of_run = Fault::value_variants().iter();
    let of_run = of_run.map(|one| (one.to_possible_value(), one.description()));
    let of_stdio = RecoveryFault::value_variants().iter();
    let of_stdio = of_stdio.map(|one| (one.to_possible_value(), one.description()));
    for (name, description) in of_run.chain(of_stdio) {
        let name = name.as_ref().map_or("", |value| value.get_name());
        writeln!(out, "{name:<34}{description}").context("cannot print the faults")?;
    }
    Ok(0)
}
