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
use tracing::{debug, info, warn};

use super::request::asked;
use crate::collector::Started;
use crate::config::{StreamConfig, TaskConfig};
use crate::error::{Error, chain};
use crate::name::TaskId;
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
    async fn begin(&self, id: &TaskId, streams: &[StreamConfig]) -> Outcome {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            self.tasks.settled(id).await;
            let started = {
                let _no_stop = self.stopping.read().await;
                // It is begun here, and only its end is waited for below.
                self.tasks.start_together(id.clone(), streams.to_vec())
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
        let task = asked(request.into_inner()).map_err(|refusal| {
            warn!(error = chain(&refusal), "refused a start");
            Status::invalid_argument(chain(&refusal))
        })?;
        let (id, streams) = (task_id(&task), task.streams());
        match self.begin(&id, &streams).await {
            (started, None) => {
                // A host may say Start every few seconds, to be sure (contract MON-4).
                if started
                    .iter()
                    .all(|(_, what)| *what == Started::AlreadyRunning)
                {
                    debug!(task = %id, "runs already");
                } else {
                    info!(task = %id, ?started, "started");
                }
                Ok(Response::new(StartResponse {}))
            }
            (_, Some(error)) => {
                let text = told(&error, &streams);
                warn!(task = %id, error = text, "can't start");
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

/// Who a task is: its two FIFOs, however they are written.
fn task_id(task: &TaskConfig) -> TaskId {
    let [stdout, stderr] = [&task.stdout, &task.stderr]
        .map(|source| source.as_ref().map_or(Path::new(""), |source| &source.fifo));
    TaskId::of_fifos(stdout, stderr)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_its_two_fifos_however_they_are_written() {
        let id = |change: fn(&mut StartRequest)| {
            let mut request = StartRequest {
                log_dir: "/logs".into(),
                stdout_file_name: "web.stdout".into(),
                stderr_file_name: "web.stderr".into(),
                max_files: 10,
                max_file_size_mb: 2,
                stdout_fifo: "/logs/.web.stdout.fifo".into(),
                stderr_fifo: "/logs/.web.stderr.fifo".into(),
            };
            change(&mut request);
            task_id(&asked(request).unwrap())
        };
        let own = id(|_| {});
        assert_eq!(
            own,
            id(|one| one.stdout_fifo = "/logs//./.web.stdout.fifo".into())
        );
        assert_eq!(own, id(|one| one.max_files = 3));
        assert_eq!(own, id(|one| one.stdout_file_name = "other".into()));
        assert_ne!(own, id(|one| one.stderr_fifo = "/logs/other".into()));
        assert_ne!(
            own,
            id(|one| std::mem::swap(&mut one.stdout_fifo, &mut one.stderr_fifo))
        );
    }
}
