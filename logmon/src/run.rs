//! Edge: `logmon run` and `logmon serve`: options, signals, the ready line and the exit code.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use nix::libc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::cli::{Cli, Command, KeeperArgs, KeepingArgs, RunArgs, ServeArgs, SuperviseArgs};
use crate::collector::{Collector, END_LIMIT, START_GRACE};
use crate::config::{RawConfig, StreamConfig};
use crate::diagnostics;
use crate::error::Error;
use crate::exit::Exit;
use crate::keeper::{self, Choice, Keeping};
#[cfg(feature = "plugin")]
use crate::nomad;
use crate::supervise::{Controller, supervise};
use crate::{control, relaunch, serve, storage};

/// Runs logmon with these arguments, the first of which is the name of the program.
pub fn main_with_args<I: IntoIterator<Item = OsString>>(args: I) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    relaunch::remember(args.len());
    let code = obey(args);
    diagnostics::end();
    code
}

fn obey(args: Vec<OsString>) -> ExitCode {
    let exit = match Cli::try_parse_from(args).map(|cli| cli.command) {
        Ok(Command::Run(args)) => run(args),
        Ok(Command::Serve(args)) => serve(args),
        Ok(Command::Keeper(KeeperArgs { socket, list: true })) => list_held(&socket),
        Ok(Command::Keeper(KeeperArgs {
            socket,
            list: false,
        })) => keep(&socket),
        Ok(Command::Supervise(args)) => return look_after(args),
        #[cfg(feature = "plugin")]
        Ok(Command::Plugin(args)) => return nomad::run(args),
        Ok(Command::Ctl(args)) => control::order(&args.control, args.order),
        Ok(Command::Status(args)) => control::status(&args.control, args.what),
        Err(error) => tell_usage(&error),
    };
    exit.into()
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
    diagnostics::start(args.diagnostics.log_level, args.diagnostics.log_format);
    let KeepingArgs { keeper, controller } = args.keeping;
    let checked = args.task.into_raw_config().and_then(RawConfig::checked);
    let result = checked.and_then(|task| {
        let choice = keeper.map(Choice::of_argument);
        let controller = controller.as_deref().map(Controller::open).transpose()?;
        to_its_end(collect(task.streams(), choice, controller))
    });
    ended(result)
}

fn serve(args: ServeArgs) -> Exit {
    diagnostics::start(args.diagnostics.log_level, args.diagnostics.log_format);
    // Before there are threads. A keeper that is started later has the same limit.
    serve::prepare_descriptors();
    let result = to_its_end(async {
        let mut signals = Signals::listen()?;
        let ready = || diagnostics::announce("ready");
        let keeper = args.keeper.map(Choice::of_argument);
        let asked = signals.asked_to_end();
        serve::serve(args.control, args.metrics, keeper, ready, asked).await
    });
    ended(result)
}

/// Runs what collects, on threads of which one may hang (see [`storage`]).
pub(crate) fn to_its_end<T>(life: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(storage::WORKER_THREADS)
        .max_blocking_threads(storage::MAX_THREADS_ASIDE)
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| Error::Runtime { source })?;
    storage::guard(runtime.handle().clone()).map_err(|source| Error::Runtime { source })?;
    let ended = runtime.block_on(life);
    // A thread that hangs is not waited for; the end of the process takes it along when the disk lets it.
    runtime.shutdown_background();
    ended
}

fn ended(result: Result<u64, Error>) -> Exit {
    match result {
        Ok(0) => Exit::Drained,
        Ok(_undelivered_bytes) => Exit::System,
        Err(error) => {
            diagnostics::tell(&error);
            error.exit()
        }
    }
}

fn look_after(args: SuperviseArgs) -> ExitCode {
    diagnostics::start(args.log_level, args.log_format);
    let command = match args.read_command() {
        Ok(command) => command,
        Err(error) => return tell_usage(&error).into(),
    };
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| Error::Runtime { source })
        .and_then(|runtime| runtime.block_on(supervise(args, command)));
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
) -> Result<u64, Error> {
    let mut signals = Signals::listen()?;
    let keeping = keeping(choice).await?;
    let path = streams.first().map(|config| config.log_dir.to_path_buf());
    let mut start = tokio::spawn(start_all(Collector::kept_by(keeping.clone()), streams));
    let (started, asked_at) = tokio::select! {
        started = &mut start => (started, None),
        // What it has begun to read is to be drained, so it has a moment to get there.
        () = signals.asked_to_end() => {
            let asked_at = Instant::now();
            match storage::unless_it_hangs(asked_at + START_GRACE, &mut start).await {
                Some(started) => (started, Some(asked_at)),
                None => return Err(Error::StartStuck { path: path.unwrap_or_default() }),
            }
        }
    };
    let mut collector = match started.map_err(|_| Error::StartDied).flatten() {
        Ok(collector) => collector,
        Err(error) => {
            if let Some(keeping) = keeping {
                keeping.give_up();
            }
            return Err(error);
        }
    };
    diagnostics::announce("ready");
    let died = tokio::select! {
        () = std::future::ready(()), if asked_at.is_some() => None,
        () = signals.asked_to_end() => None,
        error = collector.died() => Some(error),
        () = no_longer_needed(controller, keeping.as_ref()) => None,
    };
    let stopped = match asked_at {
        Some(asked_at) => collector.stop_by(asked_at + END_LIMIT).await,
        None => collector.stop().await,
    };
    let left_bytes = keeping.map_or(0, |keeping| keeping.end() as u64);
    let lost_bytes: u64 = stopped?.iter().map(|summary| summary.lost_bytes).sum();
    died.map_or(Ok(lost_bytes + left_bytes), Err)
}

async fn start_all(
    mut collector: Collector,
    streams: Vec<StreamConfig>,
) -> Result<Collector, Error> {
    let turn = storage::first_turn().await;
    turn.call(|| collector.start_together(streams))?;
    Ok(collector)
}

/// Reaches who keeps, if somebody shall.
pub(crate) async fn keeping(choice: Option<Choice>) -> Result<Option<Keeping>, Error> {
    Ok(match choice {
        Some(choice) => Some(Keeping::open(choice).await?),
        None => None,
    })
}

/// Waits until supervisor and task are gone; for ever if there never was a supervisor.
async fn no_longer_needed(controller: Option<Controller>, keeping: Option<&Keeping>) {
    match controller.zip(keeping) {
        Some((controller, keeping)) => controller.gone(|| keeping.is_deserted()).await,
        None => std::future::pending().await,
    }
}

/// The signals that ask for the end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    _file_size_exceeded: Signal,
}

impl Signals {
    /// From now on none of them kills this process.
    pub(crate) fn listen() -> Result<Signals, Error> {
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            // With its default disposition a write beyond RLIMIT_FSIZE kills the process; with any
            // handler the write gives EFBIG (setrlimit(2)).
            _file_size_exceeded: listen(SignalKind::from_raw(libc::SIGXFSZ))?,
        })
    }

    /// Waits for either of the two that ask.
    pub(crate) async fn asked_to_end(&mut self) {
        tokio::select! {
            _signal = self.terminate.recv() => {}
            _signal = self.interrupt.recv() => {}
        }
    }

    /// Waits for SIGTERM alone: a terminal sends SIGINT to the plugins of a host as well.
    pub(crate) async fn terminated(&mut self) {
        self.terminate.recv().await;
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|source| Error::Signals { source })
}
