//! The driver that a host starts as a plugin, as Nomad does: an edge.
//!
//! Each task has a process of its own, so tasks live on when the plugin ends, however it does, and the next one takes
//! them over. That of a command is one of the `executor` crate, and the command writes into the FIFOs itself. That of
//! a script, or of a task with a fault, is this crate's executor, which forwards its output.

mod base;
mod config;
mod conversation;
mod driver;
mod exec;
mod executed;
pub(crate) mod fault;
mod launch;
mod mistake;
mod observer;
mod spoken;
mod state;
mod stats;
mod stop;
mod task;
mod tasks;
mod usage;

use std::process::ExitCode;
use std::sync::Arc;

use ::executor::kept::Keeper;
use anyhow::{Context, Result};
use plugin::proto::base::base_plugin_server::BasePluginServer;
use plugin::proto::driver::driver_server::DriverServer;
use plugin::server::{Server, Services, fail, refuse};
use tokio::sync::watch;

use self::base::Base;
use self::driver::Driver;
use self::fault::AnyFault;
use self::mistake::Mistake;
use self::tasks::Tasks;
use crate::reexec::Reexec;

/// The name that a job gives as its driver.
const NAME: &str = "mock_driver";

/// The arguments of `plugin`.
#[derive(Debug, clap::Args)]
pub(crate) struct PluginArgs {
    /// Be faulty in this way; `mock_driver faults` lists them.
    #[arg(long, value_name = "NAME", value_parser = AnyFault::named)]
    fault: Option<AnyFault>,
    /// Make this mistake in this call: `dies`, `hangs`, `leaves-out` (answers an empty message) or `floods`
    /// (16 MiB on stderr first), a colon, and a call such as StartTask. Shutdown can only hang.
    #[arg(long, value_name = "MISTAKE:CALL", value_parser = Mistake::named)]
    mistake: Option<Mistake>,
}

/// Answers calls until the host asks for the end. Tasks live on.
pub(crate) fn serve(args: &PluginArgs, reexec: &Reexec) -> Result<ExitCode> {
    let server = match Server::invited() {
        Ok(server) => server,
        Err(refusal) => return Ok(refuse(&refusal)),
    };
    let log = match server.log(NAME) {
        Ok(log) => log,
        Err(error) => return Ok(fail(&error)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    let (stopping, stop) = watch::channel(false);
    let stopped = server.stopped();
    runtime.spawn(async move {
        stopped.await;
        stopping.send_replace(true);
        // Kept until the end: who waits for a sender that is gone would see a stop as well.
        stopping.closed().await;
    });
    let keeper = Keeper::new(reexec.words().to_vec()).context("cannot tell runs of the machine")?;
    let tasks = Arc::new(Tasks::new((reexec.clone(), keeper), args.fault, log, stop));
    let base = BasePluginServer::new(Base(Arc::clone(&tasks)));
    let driver = DriverServer::new(Driver(tasks));
    let services = match args.mistake {
        None => Services::new().with(base).with(driver),
        Some(mistake) => mistake.made_by(base, driver),
    };
    let served = runtime.block_on(server.serve(services));
    // A thread may wait for a task that lives on.
    runtime.shutdown_background();
    Ok(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    })
}
