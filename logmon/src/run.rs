//! Edge: `logmon run`, the face for one task: options, signals, the ready line and the exit code.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use nix::libc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Cli, Command, KeeperArgs, KeepingArgs, RunArgs, SuperviseArgs};
use crate::collector::Collector;
use crate::config::StreamConfig;
use crate::diagnostics;
use crate::error::Error;
use crate::exit::Exit;
use crate::keeper::{self, Choice, Keeping};
use crate::relaunch;
use crate::supervise::{Controller, supervise};

/// Runs logmon with these arguments, the first of which is the name of the program.
pub fn main_with_args<I: IntoIterator<Item = OsString>>(args: I) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    relaunch::remember(args.len());
    let exit = match Cli::try_parse_from(args) {
        Ok(Cli {
            command: Command::Run(args),
        }) => run(args),
        Ok(Cli {
            command: Command::Keeper(KeeperArgs { socket, list }),
        }) => {
            if list {
                list_held(&socket)
            } else {
                keep(&socket)
            }
        }
        Ok(Cli {
            command: Command::Supervise(args),
        }) => return look_after(args),
        Err(error) => tell_usage(&error),
    };
    ExitCode::from(exit.code())
}

fn tell_usage(error: &clap::Error) -> Exit {
    // Nobody may be there to read it; the exit code says the same.
    drop(error.print());
    // What is printed on stdout was asked for: help or the version.
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Drained
    }
}

fn run(args: RunArgs) -> Exit {
    diagnostics::start(args.log_level, args.log_format);
    let KeepingArgs { keeper, controller } = args.keeping.clone();
    let result = args.into_raw_config().checked().and_then(|streams| {
        let choice = keeper.map(Choice::of_argument);
        let controller = controller.as_deref().map(Controller::open).transpose()?;
        runtime()?.block_on(collect(streams, choice, controller))
    });
    match result {
        Ok(exit) => exit,
        Err(error) => {
            diagnostics::tell(&error);
            error.exit()
        }
    }
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| Error::Runtime { source })
}

fn look_after(args: SuperviseArgs) -> ExitCode {
    diagnostics::start(args.log_level, args.log_format);
    let ended =
        runtime().and_then(|runtime| runtime.block_on(supervise(&args.state, args.command)));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            diagnostics::tell(&error);
            ExitCode::from(error.exit().code())
        }
    }
}

fn list_held(socket: &Path) -> Exit {
    match keeper::held_at(socket) {
        Ok(held) => {
            for (key, descriptors) in held.unwrap_or_default() {
                diagnostics::announce(&format!("{key} {descriptors}"));
            }
            Exit::Drained
        }
        Err(error) => {
            diagnostics::tell(&error);
            error.exit()
        }
    }
}

fn keep(socket: &Path) -> Exit {
    match keeper::run(socket, keeper_is_ready) {
        Ok(()) => Exit::Drained,
        Err(error) => {
            diagnostics::tell(&error);
            error.exit()
        }
    }
}

/// Says so, and lets go of the stdio of whoever started it.
fn keeper_is_ready() {
    diagnostics::announce("ready");
    diagnostics::leave();
}

async fn collect(
    streams: Vec<StreamConfig>,
    choice: Option<Choice>,
    controller: Option<Controller>,
) -> Result<Exit, Error> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    // With its default disposition a write beyond RLIMIT_FSIZE kills the process; with any handler the
    // write gives EFBIG (setrlimit(2)).
    let _file_size_exceeded: Signal = listen(SignalKind::from_raw(libc::SIGXFSZ))?;
    let keeping = match choice {
        Some(choice) => Some(Keeping::open(choice).await?),
        None => None,
    };
    let mut collector = Collector::kept_by(keeping.clone());
    for config in streams {
        collector.start(config)?;
    }
    diagnostics::announce("ready");
    let died = tokio::select! {
        _signal = terminate.recv() => None,
        _signal = interrupt.recv() => None,
        error = collector.died() => Some(error),
        () = no_longer_needed(controller, keeping.as_ref()) => None,
    };
    let stopped = collector.stop().await;
    let left_bytes = keeping.map_or(0, |keeping| keeping.end());
    let summaries = stopped?;
    let is_all_written = left_bytes == 0 && summaries.iter().all(|summary| summary.lost_bytes == 0);
    let exit = if is_all_written {
        Exit::Drained
    } else {
        Exit::System
    };
    died.map_or(Ok(exit), Err)
}

/// Waits until supervisor and task are gone; for ever if there never was a supervisor.
async fn no_longer_needed(controller: Option<Controller>, keeping: Option<&Keeping>) {
    match controller.zip(keeping) {
        Some((controller, keeping)) => controller.gone(|| keeping.is_deserted()).await,
        None => std::future::pending().await,
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|source| Error::Signals { source })
}
