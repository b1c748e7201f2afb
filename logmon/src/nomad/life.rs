//! Edge: the life of `logmon plugin`: invited by a host, served, drained at the end.
//!
//! It ends when the host asks for that (`Shutdown`), by SIGTERM, and when host and tasks are gone (contract
//! MON-13); each time it drains first. It does not end because its host died, by SIGINT, or by a closed
//! stderr: the tasks write on, and another host may come.

use std::process::ExitCode;
use std::time::Duration;

use plugin::proto::logmon::log_mon_server::LogMonServer;
use plugin::server::{ServeError, Server, Services};
use tracing::{error, info};

use super::service::Service;
use super::{alone, log};
use crate::cli::PluginArgs;
use crate::diagnostics;
use crate::error::{Error, chain};
use crate::exit::Exit;
use crate::keeper::Choice;
use crate::run::{Signals, keeping, to_its_end};
use crate::serve::{Tasks, raise_descriptor_limit};

/// Why it ends.
enum End {
    /// The host has asked, or somebody else has by SIGTERM, or nobody is left.
    Asked,
    /// Nothing was served.
    Failed(ServeError),
}

/// Serves the host that started this process. Gives the exit code; without a host it says what it is, and
/// gives 1.
pub(crate) fn run(args: PluginArgs) -> ExitCode {
    let server = match Server::invited() {
        Ok(server) => server,
        Err(not_invited) => return plugin::server::refuse(&not_invited),
    };
    diagnostics::start_as(args.log_level, log::Hclog);
    raise_descriptor_limit();
    match to_its_end(serve(server, args)) {
        Ok((End::Asked, 0)) => Exit::Drained.into(),
        Ok((End::Asked, _undelivered_bytes)) => Exit::System.into(),
        Ok((End::Failed(error), _)) => plugin::server::fail(&error),
        Err(error) => {
            error!(error = chain(&error), "failed");
            error.exit().into()
        }
    }
}

/// Gives, too, the bytes that were lost by the end, or wait at the keeper.
async fn serve(server: Server, args: PluginArgs) -> Result<(End, u64), Error> {
    let mut signals = Signals::listen()?;
    let keeping = keeping(args.keeper.map(Choice::of_argument)).await?;
    let tasks = Tasks::new(keeping.clone());
    let services = Services::new().with(LogMonServer::new(Service::new(tasks.clone())));
    let limit = Some(Duration::from_secs(args.orphan_after)).filter(|limit| !limit.is_zero());
    let stopped = server.stopped();
    let mut serving = Box::pin(server.serve(services));
    let (end, stopped) = tokio::select! {
        biased;
        () = stopped => {
            info!("the host asks for the end; draining");
            // The host waits 2 s for all of it, so the tasks drain while it gets its answer.
            let (stopped, served) = tokio::join!(tasks.stop_all(), serving);
            (served.err().map_or(End::Asked, End::Failed), stopped)
        }
        served = &mut serving => {
            drop(serving);
            (served.err().map_or(End::Asked, End::Failed), tasks.stop_all().await)
        }
        () = end_without_a_host(&mut signals, limit, &tasks) => {
            // Nobody is served any more, and the socket is gone.
            drop(serving);
            (End::Asked, tasks.stop_all().await)
        }
    };
    let left_bytes = keeping.map_or(0, |keeping| keeping.end() as u64);
    Ok((end, stopped? + left_bytes))
}

async fn end_without_a_host(signals: &mut Signals, limit: Option<Duration>, tasks: &Tasks) {
    tokio::select! {
        () = signals.terminated() => info!("SIGTERM; draining"),
        () = alone::for_long(limit, tasks) => {}
    }
}
