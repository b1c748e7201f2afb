//! The command line of the faulty logmon: that of `logmon run`, behind the fault's name. (edge)

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use super::collect::{CollectError, collect};
use super::config::{Config, OnFull, StreamConfig};
use super::fault::Fault;
use super::holder;
use super::serve::{Request, ask, serve};

/// A command line that makes no sense.
const USAGE: u8 = 64;
/// A limit was refused.
const REFUSED_LIMIT: u8 = 65;
/// A path was refused.
const REFUSED_PATH: u8 = 66;
/// The system failed.
const SYSTEM: u8 = 71;
/// Another logmon holds the FIFO.
const LOCKED: u8 = 75;
/// What the one task is called of a logmon that has one.
const OWN: &str = "own";

#[derive(Debug, Parser)]
#[command(
    name = "faulty-logmon",
    about = "A small logmon that is wrong in one way"
)]
struct Args {
    /// What it does wrong; `none` for nothing.
    fault: Fault,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Collect the output of one task.
    Run(RunArgs),
    /// Hold FIFOs open while their logmon is dead.
    Hold(HoldArgs),
    /// Collect the output of many tasks.
    Serve(ControlArgs),
    /// Give a task to the process that serves many.
    Start(StartArgs),
    /// Take a task away.
    Stop(StopArgs),
}

#[derive(Debug, clap::Args)]
struct ControlArgs {
    /// The socket.
    #[arg(long)]
    control: PathBuf,
}

#[derive(Debug, clap::Args)]
struct StartArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// The task's name.
    #[arg(long)]
    task: String,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, clap::Args)]
struct StopArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// The task's name.
    #[arg(long)]
    task: String,
}

#[derive(Debug, clap::Args)]
struct HoldArgs {
    /// The file that the holder is known by.
    #[arg(long)]
    mark: PathBuf,
    /// The FIFOs.
    fifos: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// The folder of the log files.
    #[arg(long)]
    log_dir: PathBuf,
    /// FIFO=NAME of standard output.
    #[arg(long)]
    stdout: Option<String>,
    /// FIFO=NAME of standard error.
    #[arg(long)]
    stderr: Option<String>,
    /// Files kept per stream.
    #[arg(long)]
    max_files: u32,
    /// Bytes of a file.
    #[arg(long)]
    max_file_size: u64,
    /// Bytes of a line that is never split.
    #[arg(long, default_value_t = 32 << 10)]
    line_guard: u64,
    /// What to do when the disk takes no more.
    #[arg(long, value_enum, default_value_t = OnFull::Block)]
    on_full: OnFull,
    /// The mode of a FIFO that is made, in octal.
    #[arg(long, default_value = "0600", value_parser = octal)]
    fifo_mode: u32,
    /// Has the FIFOs held while it is dead, by a process that is known by this file.
    #[arg(long)]
    holder: Option<PathBuf>,
    /// Where the running one can be asked to start once more.
    #[arg(long)]
    again: Option<PathBuf>,
    /// Whether it is asked.
    #[arg(long, value_enum, default_value_t = Start::First)]
    start: Start,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Start {
    First,
    Again,
}

fn octal(text: &str) -> Result<u32, std::num::ParseIntError> {
    u32::from_str_radix(text, 8)
}

/// Runs a faulty logmon. `args` are the program's name, the fault's name, `run` and the flags of
/// `logmon run`, with sizes as plain numbers of bytes. With `hold` instead it is the process that a
/// logmon starts by `--holder`.
///
/// The status is 0 after a stop, 64 for a command line that makes no sense, 65 for a refused limit,
/// 66 for a refused path, 71 if the system failed and 75 if another logmon holds a FIFO.
pub fn main_with_args(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (args, collects) = match parse(args.into_iter().collect()) {
        Ok(parsed) => parsed,
        Err(Unparsed::Untold) => {
            eprintln!("faulty-logmon: can't start");
            return ExitCode::from(USAGE);
        }
        Err(Unparsed::Told(error)) => {
            // Nobody is left to tell if the message can't be printed.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let fault = args.fault;
    let (run, asked) = match args.command {
        Command::Run(run) => {
            let running = run.again.clone().filter(|_| run.start == Start::Again);
            (run, running.map(|socket| (socket, OWN.to_owned())))
        }
        Command::Serve(ControlArgs { control }) => return ended(fault, serve(fault, &control)),
        Command::Stop(StopArgs { control, task }) => {
            return answered(fault, &control.control, &Request::Stop { task });
        }
        Command::Start(StartArgs { control, task, run }) => (run, Some((control.control, task))),
        Command::Hold(HoldArgs { mark, fifos }) => {
            return ended(fault, holder::hold(&fifos, &mark));
        }
    };
    let streams: Option<Vec<StreamConfig>> = run
        .stdout
        .iter()
        .chain(&run.stderr)
        .map(|text| stream(text))
        .collect();
    let Some(streams) = streams.filter(|streams| !streams.is_empty()) else {
        eprintln!("faulty-logmon: a stream is FIFO=NAME, and one is needed");
        return ExitCode::from(USAGE);
    };
    let config = Config {
        fault,
        folder: run.log_dir,
        streams,
        max_files: run.max_files,
        max_file_bytes: run.max_file_size,
        line_guard: run.line_guard,
        on_full: run.on_full,
        fifo_mode: run.fifo_mode,
        collects,
        holder: run.holder,
        again: run.again,
    };
    match asked {
        None => ended(fault, collect(&config)),
        Some((control, task)) => answered(fault, &control, &Request::Start { task, config }),
    }
}

/// Asks the process that serves many tasks, and gives the status.
fn answered(fault: Fault, control: &Path, request: &Request) -> ExitCode {
    let refusal = match ask(control, request) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(refusal)) => refusal,
        Err(error) => format!("failed to ask {}: {error}", control.display()),
    };
    if fault != Fault::RefusesSilently {
        eprintln!("faulty-logmon: {refusal}");
    }
    ExitCode::from(SYSTEM)
}

/// A command line that makes no sense.
enum Unparsed {
    Told(clap::Error),
    Untold,
}

/// What a limit beyond its type becomes, as with strtoul(3).
const SATURATED: u32 = u32::MAX;

/// Gives limits that are no numbers of their types the largest value.
fn saturate(words: &mut [OsString]) {
    for place in 1..words.len() {
        let is_limit = ["--max-files", "--max-file-size"]
            .iter()
            .any(|flag| words[place - 1] == *flag);
        let text = words[place].to_string_lossy();
        if is_limit && text.parse::<u64>().is_err() {
            words[place] = SATURATED.to_string().into();
        }
    }
}

/// The arguments, and whether output is to be collected. Two faults have a way of their own with an
/// option that nobody knows, and one with limits.
fn parse(mut words: Vec<OsString>) -> Result<(Args, bool), Unparsed> {
    let named = words.get(1).cloned();
    let is = |fault: Fault| named.as_ref().is_some_and(|word| word == fault.as_str());
    if is(Fault::SaturatesLimits) {
        saturate(&mut words);
    }
    let error = match Args::try_parse_from(&words) {
        Ok(args) => return Ok((args, true)),
        Err(error) => error,
    };
    if error.kind() != ErrorKind::UnknownArgument {
        Err(Unparsed::Told(error))
    } else if is(Fault::UnknownOptionTurnsOff) {
        words.pop();
        let args = Args::try_parse_from(words).map_err(Unparsed::Told)?;
        Ok((args, false))
    } else if is(Fault::RefusesWithoutAName) {
        Err(Unparsed::Untold)
    } else {
        Err(Unparsed::Told(error))
    }
}

/// Tells what went wrong, and gives the status.
fn ended(fault: Fault, result: Result<(), CollectError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CollectError::Locked { .. }) if fault == Fault::IgnoresOtherLimits => {
            println!("ready");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut message = format!("failed to {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                message.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("faulty-logmon: {message}");
            ExitCode::from(match error {
                CollectError::ZeroLimit => REFUSED_LIMIT,
                CollectError::Fifo(_) => REFUSED_PATH,
                CollectError::Locked { .. } => LOCKED,
                CollectError::Files(_) | CollectError::System { .. } => SYSTEM,
            })
        }
    }
}

fn stream(text: &str) -> Option<StreamConfig> {
    let (fifo, name) = text.rsplit_once('=')?;
    Some(StreamConfig {
        fifo: fifo.into(),
        name: name.to_owned(),
    })
}
