//! The command line: reads arguments, calls the suite, prints, and picks the exit code. (edge)

mod adapter;
mod annotate;
mod args;
mod bounds;
mod bundle_args;
mod configuration;
mod console;
mod doctor;
mod duration;
mod expectations;
mod explain;
mod init;
mod list;
mod live;
mod manual;
mod merge;

mod nomad;
mod nothing;
mod previous;
mod recheck;
mod refusal;
mod repro;
mod run;
mod self_test;
mod show;
mod stop_at;
mod target;
mod xfail;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::outcome::Ending;
use crate::runner;
use args::{Args, Command, ReportCommand};
use refusal::Refusal;
pub(crate) use run::{default_jobs, draw_seed};

/// Runs the program with these arguments, the program's name first.
///
/// Exit codes are those of [`Ending`]; a wrong command line is 64, help and version are 0.
#[must_use]
pub fn main_impl(args: Vec<OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Nothing can be done if the terminal is gone.
            drop(error.print());
            let kind = error.kind();
            let is_asked_for = matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let ending = if is_asked_for {
                Ending::Conformant
            } else {
                Ending::Usage
            };
            return exit_code(ending);
        }
    };
    if let Some(Command::Case { dir }) = &args.command {
        return runner::case_main(dir);
    }
    if let Some(Command::Machine { capability }) = &args.command {
        return runner::machine_probe_main(*capability);
    }
    if let Some(Command::Limited {
        descriptors,
        command,
    }) = &args.command
    {
        return runner::limited_main(*descriptors, command);
    }
    exit_code(command(args).unwrap_or_else(|refusal: Refusal| {
        console::complain(&refusal.text);
        refusal.ending
    }))
}

fn command(args: Args) -> Result<Ending, Refusal> {
    match args.command {
        None => run::run(&configuration::run_args(&args.run)?),
        Some(Command::Run(run)) => run::run(&configuration::run_args(&run)?),
        Some(Command::List(list)) => list::list(&list),
        Some(Command::Explain { id }) => explain::explain(&id),
        Some(Command::Doctor { out }) => doctor::doctor(&out),
        Some(Command::Show(show)) => show::show(&show),
        Some(Command::Recheck(recheck)) => recheck::recheck(&recheck),
        Some(Command::Repro(repro)) => repro::repro(&repro),
        Some(Command::Init(options)) => init::init(&options),
        Some(Command::Xfail { command }) => xfail::xfail(&command),
        Some(Command::SelfTest(options)) => self_test::self_test(&options),
        Some(Command::Report {
            command: ReportCommand::Merge(args),
        }) => merge::merge(&args),
        Some(Command::Completions { shell }) => Ok(manual::completions(shell)),
        Some(Command::Man { out }) => manual::man(out.as_deref()),
        Some(Command::Adapter { command }) => adapter::adapter(&command),
        Some(Command::Nomad { command }) => nomad::nomad(&command),
        // Handled before.
        Some(Command::Case { .. } | Command::Machine { .. } | Command::Limited { .. }) => {
            Ok(Ending::SuiteBug)
        }
    }
}

fn exit_code(ending: Ending) -> ExitCode {
    ExitCode::from(ending.code())
}
