//! Edge: the two calls of a host, on the tasks of this process.
//!
//! A task is its two FIFOs. Nomad's own log collector serves one task in each process; this one takes a
//! Start for each pair of FIFOs, and keeps them apart. `Stop` names no task, so it is about all of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plugin::proto::logmon::log_mon_server::LogMon;
use plugin::proto::logmon::{StartRequest, StartResponse, StopRequest, StopResponse};
use plugin::{Request, Response, Status, async_trait};
use tokio::sync::RwLock;
use tokio::time::Instant;
use tracing::{info, warn};

use super::request::Wanted;
use crate::config::StreamConfig;
use crate::error::{Error, chain};
use crate::serve::{Outcome, Tasks};

/// How long a Start waits for one of the same task that is under way.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// What answers a host.
#[derive(Debug)]
pub(super) struct Service {
    tasks: Tasks,
    /// Held for writing by a Stop: a Start that comes meanwhile begins when all tasks have stopped.
    stopping: Arc<RwLock<()>>,
}

impl Service {
    pub(super) fn new(tasks: Tasks) -> Service {
        Service {
            tasks,
            stopping: Arc::default(),
        }
    }

    /// Starts what does not run. One Start of a task at a time is under way: the next one waits, and
    /// finds what that one has done.
    async fn begin(&self, wanted: &Wanted) -> Outcome {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            self.tasks.settled(&wanted.id).await;
            let started = {
                let _no_stop = self.stopping.read().await;
                // It is begun here, and only its end is waited for below.
                self.tasks
                    .start_together(wanted.id.clone(), wanted.streams.clone())
            };
            match started.await {
                (_, Some(Error::TaskStarts { .. })) if Instant::now() < deadline => {}
                outcome => return outcome,
            }
        }
    }
}

#[async_trait]
impl LogMon for Service {
    /// Starts a task, or what of it does not run, and applies limits that have changed. It does not wait
    /// for writers. After an error none of what it would have started is open.
    async fn start(
        &self,
        request: Request<StartRequest>,
    ) -> Result<Response<StartResponse>, Status> {
        let wanted = Wanted::of(request.into_inner()).map_err(|refusal| {
            warn!(error = chain(&refusal), "refused a start");
            Status::invalid_argument(chain(&refusal))
        })?;
        match self.begin(&wanted).await {
            (started, None) => {
                info!(task = %wanted.id, ?started, "started");
                Ok(Response::new(StartResponse {}))
            }
            (_, Some(error)) => {
                let text = told(&error, &wanted.streams);
                warn!(task = %wanted.id, error = text, "can't start");
                // A host that hears of an unavailable plugin starts another one, and this one is about to end.
                Err(if matches!(error, Error::TaskStops { .. }) {
                    Status::unavailable(text)
                } else {
                    plugin::failure::plain(text)
                })
            }
        }
    }

    /// Stops all tasks of this process, as the request names none: each drains what lies in its pipes. It
    /// ends within 2 s however the streams are. Tasks can be started again afterwards.
    async fn stop(&self, _: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        let _turn = self.stopping.write().await;
        match self.tasks.stop_every().await {
            Ok(0) => Ok(Response::new(StopResponse {})),
            Ok(lost_bytes) => Err(plugin::failure::plain(format!(
                "{lost_bytes} bytes that were read could not be written in time"
            ))),
            Err(error) => Err(plugin::failure::plain(chain(&error))),
        }
    }
}

/// The error with its causes, behind the field of the request that it is about.
fn told(error: &Error, streams: &[StreamConfig]) -> String {
    let text = chain(error);
    let fifo = fifo_of(error);
    let field = streams
        .iter()
        .find(|stream| fifo.is_some_and(|fifo| *stream.fifo == *fifo))
        .map(|stream| format!("{}_fifo is {:?}", stream.kind, stream.fifo));
    let is_about_folder = matches!(
        error,
        Error::OpenLogDir { .. } | Error::ListLogDir { .. } | Error::PrepareLogFile { .. }
    );
    let folder = streams.first().filter(|_| is_about_folder);
    let field = field.or(folder.map(|stream| format!("log_dir is {:?}", stream.log_dir)));
    field.map_or(text.clone(), |field| format!("{field}: {text}"))
}

/// The FIFO that an error is about.
fn fifo_of(error: &Error) -> Option<&Path> {
    if let Error::Fifo(source) = error {
        Some(source.path())
    } else if let Error::FifoHeld { path } | Error::Staging { path, .. } = error {
        Some(path)
    } else {
        None
    }
}
