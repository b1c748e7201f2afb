//! Edge: `logmon run`, the face for one task: options, signals, the ready line and the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use nix::libc;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Cli, Command, RunArgs};
use crate::collector::{Collector, Summary};
use crate::config::StreamConfig;
use crate::diagnostics;
use crate::error::Error;
use crate::exit::Exit;

/// Runs logmon with these arguments, the first of which is the name of the program.
pub fn main_with_args<I: IntoIterator<Item = OsString>>(args: I) -> ExitCode {
    let exit = match Cli::try_parse_from(args) {
        Ok(Cli {
            command: Command::Run(args),
        }) => run(args),
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
    let result = args.into_raw_config().checked().and_then(|streams| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|source| Error::Runtime { source })?;
        runtime.block_on(collect(streams))
    });
    match result {
        Ok(summaries) if summaries.iter().all(|summary| summary.lost_bytes == 0) => Exit::Drained,
        Ok(_) => Exit::System,
        Err(error) => {
            diagnostics::tell(&error);
            error.exit()
        }
    }
}

async fn collect(streams: Vec<StreamConfig>) -> Result<Vec<Summary>, Error> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    // With its default disposition a write beyond RLIMIT_FSIZE kills the process; with any handler the
    // write gives EFBIG (setrlimit(2)).
    let _file_size_exceeded: Signal = listen(SignalKind::from_raw(libc::SIGXFSZ))?;
    let mut collector = Collector::new();
    for config in streams {
        collector.start(config)?;
    }
    diagnostics::announce("ready");
    let died = tokio::select! {
        _signal = terminate.recv() => None,
        _signal = interrupt.recv() => None,
        error = collector.died() => Some(error),
    };
    let summaries = collector.stop().await?;
    died.map_or(Ok(summaries), Err)
}

fn listen(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|source| Error::Signals { source })
}
