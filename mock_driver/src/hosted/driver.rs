//! The calls of a driver: an edge. What a call does stands with the tasks; here are messages and streams.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use plugin::failure::{plain, required};
use plugin::proto::driver::driver_capabilities::{FsIsolation, MountConfigs};
use plugin::proto::driver::fingerprint_response::HealthState;
use plugin::proto::driver::network_isolation_spec::Mode;
use plugin::proto::driver::{
    CapabilitiesRequest, CapabilitiesResponse, DestroyTaskRequest, DestroyTaskResponse,
    DriverCapabilities, DriverTaskEvent, ExecTaskRequest, ExecTaskResponse,
    ExecTaskStreamingRequest, ExecTaskStreamingResponse, FingerprintRequest, FingerprintResponse,
    InspectTaskRequest, InspectTaskResponse, RecoverTaskRequest, RecoverTaskResponse,
    SignalTaskRequest, SignalTaskResponse, StartTaskRequest, StartTaskResponse, StopTaskRequest,
    StopTaskResponse, TaskConfigSchemaRequest, TaskConfigSchemaResponse, TaskEventsRequest,
    TaskStatsRequest, TaskStatsResponse, WaitTaskRequest, WaitTaskResponse, driver_server,
};
use plugin::proto::{self, structs::Attribute, structs::attribute::Value};
use plugin::{Request, Response, Status, Streaming, async_trait};
use tokio::sync::{broadcast, mpsc};
use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use super::NAME;
use super::config::{Plan, Settings};
use super::conversation::{ended, first_message};
use super::exec;
use super::executed;
use super::spoken;
use super::stats::{DEFAULT_INTERVAL, Gauge, MIN_INTERVAL};
use super::stop::signal_of;
use super::tasks::Tasks;

/// How often the host is told of the driver's health when nothing changes.
const FINGERPRINT_EVERY: Duration = Duration::from_secs(30);
/// Messages that wait for a slow host.
const QUEUE: usize = 16;

pub(super) struct Driver(pub(super) Arc<Tasks>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answering<T> = mpsc::Sender<Result<T, Status>>;

/// Answers that somebody sends until the host does not listen any more or the plugin ends.
fn answers<T, F>(tasks: &Tasks, work: impl FnOnce(Answering<T>) -> F) -> Response<Answers<T>>
where
    T: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (answering, answers) = mpsc::channel(QUEUE);
    let stopped = tasks.stopped();
    let work = work(answering.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = work => {}
            () = answering.closed() => {}
            () = stopped => {}
        }
    });
    Response::new(Box::pin(ReceiverStream::new(answers)))
}

/// A span of a request; none if there is none or it is not positive.
fn span(span: Option<proto::Duration>) -> Option<Duration> {
    let span = Duration::try_from(span?).ok()?;
    (!span.is_zero()).then_some(span)
}

fn fingerprint(settings: Settings) -> FingerprintResponse {
    let attribute = |value| Attribute {
        value: Some(value),
        ..Attribute::default()
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    if !settings.is_enabled {
        return FingerprintResponse {
            health: HealthState::Undetected.into(),
            health_description: "disabled by its configuration".to_owned(),
            ..FingerprintResponse::default()
        };
    }
    FingerprintResponse {
        attributes: BTreeMap::from([
            (format!("driver.{NAME}"), attribute(Value::BoolVal(true))),
            (
                format!("driver.{NAME}.version"),
                attribute(Value::StringVal(version)),
            ),
        ]),
        health: HealthState::Healthy.into(),
        health_description: "healthy".to_owned(),
        err: String::new(),
    }
}

#[async_trait]
impl driver_server::Driver for Driver {
    type FingerprintStream = Answers<FingerprintResponse>;
    type TaskStatsStream = Answers<TaskStatsResponse>;
    type TaskEventsStream = Answers<DriverTaskEvent>;
    type ExecTaskStreamingStream = Answers<ExecTaskStreamingResponse>;

    async fn task_config_schema(
        &self,
        _: Request<TaskConfigSchemaRequest>,
    ) -> Result<Response<TaskConfigSchemaResponse>, Status> {
        let spec = Some(Plan::schema().to_proto());
        Ok(Response::new(TaskConfigSchemaResponse { spec }))
    }

    async fn capabilities(
        &self,
        _: Request<CapabilitiesRequest>,
    ) -> Result<Response<CapabilitiesResponse>, Status> {
        let capabilities = Some(DriverCapabilities {
            send_signals: true,
            exec: true,
            fs_isolation: FsIsolation::None.into(),
            network_isolation_modes: vec![Mode::Host.into()],
            mount_configs: MountConfigs::NoMounts.into(),
            ..DriverCapabilities::default()
        });
        Ok(Response::new(CapabilitiesResponse { capabilities }))
    }

    async fn fingerprint(
        &self,
        _: Request<FingerprintRequest>,
    ) -> Result<Response<Self::FingerprintStream>, Status> {
        let mut settings = self.0.settings();
        Ok(answers(&self.0, |answering| async move {
            loop {
                let now = *settings.borrow_and_update();
                if answering.send(Ok(fingerprint(now))).await.is_err() {
                    return;
                }
                let changed = tokio::time::timeout(FINGERPRINT_EVERY, settings.changed());
                if let Ok(Err(_)) = changed.await {
                    return;
                }
            }
        }))
    }

    async fn recover_task(
        &self,
        request: Request<RecoverTaskRequest>,
    ) -> Result<Response<RecoverTaskResponse>, Status> {
        self.0.recover(request.into_inner().handle).await?;
        Ok(Response::new(RecoverTaskResponse {}))
    }

    async fn start_task(
        &self,
        request: Request<StartTaskRequest>,
    ) -> Result<Response<StartTaskResponse>, Status> {
        let config = required(request.into_inner().task, "StartTask", "task")?;
        let task = self.0.unless_stopped(self.0.start(config)).await?;
        Ok(Response::new(StartTaskResponse {
            handle: Some(task.handle()),
            network_override: task.plan.network.clone(),
            ..StartTaskResponse::default()
        }))
    }

    async fn wait_task(
        &self,
        request: Request<WaitTaskRequest>,
    ) -> Result<Response<WaitTaskResponse>, Status> {
        let task = self.0.get(&request.into_inner().task_id)?;
        self.0.unless_stopped(async { Ok(task.wait().await) }).await
    }

    async fn stop_task(
        &self,
        request: Request<StopTaskRequest>,
    ) -> Result<Response<StopTaskResponse>, Status> {
        let request = request.into_inner();
        let task = self.0.get(&request.task_id)?;
        let signal = signal_of(&request.signal)?;
        let limit = span(request.timeout).unwrap_or_default();
        if task.runs() {
            let by = if limit.is_zero() {
                "SIGKILL"
            } else {
                signal.as_str()
            };
            self.0.tell(&task, &format!("stopped by {by}"));
        }
        self.0.unless_stopped(task.stop(limit, signal)).await?;
        Ok(Response::new(StopTaskResponse {}))
    }

    async fn destroy_task(
        &self,
        request: Request<DestroyTaskRequest>,
    ) -> Result<Response<DestroyTaskResponse>, Status> {
        let request = request.into_inner();
        self.0.destroy(&request.task_id, request.force).await?;
        Ok(Response::new(DestroyTaskResponse {}))
    }

    async fn inspect_task(
        &self,
        request: Request<InspectTaskRequest>,
    ) -> Result<Response<InspectTaskResponse>, Status> {
        let task = self.0.get(&request.into_inner().task_id)?;
        Ok(Response::new(task.inspect()))
    }

    async fn task_stats(
        &self,
        request: Request<TaskStatsRequest>,
    ) -> Result<Response<Self::TaskStatsStream>, Status> {
        let request = request.into_inner();
        let task = self.0.get(&request.task_id)?;
        let interval = span(request.collection_interval).unwrap_or(DEFAULT_INTERVAL);
        Ok(answers(&self.0, move |answering| async move {
            let interval = interval.max(MIN_INTERVAL);
            let mut gauge = Gauge::of(&task, interval);
            // A task that has ended is told once, too.
            loop {
                let read = gauge.read(&task).await;
                let is_last = read.is_err();
                if answering.send(read).await.is_err() || is_last {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    _ = task.progress.end() => return,
                }
            }
        }))
    }

    async fn task_events(
        &self,
        _: Request<TaskEventsRequest>,
    ) -> Result<Response<Self::TaskEventsStream>, Status> {
        let mut events = self.0.events();
        Ok(answers(&self.0, |answering| async move {
            loop {
                let event = match events.recv().await {
                    Ok(event) => event,
                    // Who is too slow misses some.
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                if answering.send(Ok(event)).await.is_err() {
                    return;
                }
            }
        }))
    }

    async fn signal_task(
        &self,
        request: Request<SignalTaskRequest>,
    ) -> Result<Response<SignalTaskResponse>, Status> {
        let request = request.into_inner();
        let task = self.0.get(&request.task_id)?;
        task.signal(&request.signal).await?;
        Ok(Response::new(SignalTaskResponse {}))
    }

    async fn exec_task(
        &self,
        request: Request<ExecTaskRequest>,
    ) -> Result<Response<ExecTaskResponse>, Status> {
        let request = request.into_inner();
        let task = self.0.get(&request.task_id)?;
        let limit = span(request.timeout);
        let (command, reexec) = (&request.command, &self.0.reexec);
        let run = async {
            match &task.kept {
                Some(kept) => executed::run(&task, kept, command, limit, reexec).await,
                None => exec::run(&task, command, limit, reexec).await,
            }
        };
        self.0.unless_stopped(run).await.map(Response::new)
    }

    async fn exec_task_streaming(
        &self,
        request: Request<Streaming<ExecTaskStreamingRequest>>,
    ) -> Result<Response<Self::ExecTaskStreamingStream>, Status> {
        let mut input = request.into_inner();
        let setup = first_message(&mut input).await?;
        let task = self.0.get(&setup.task_id)?;
        if setup.command.is_empty() {
            return Err(plain("command: it is empty"));
        }
        if setup.tty && task.kept.is_none() {
            return Err(plain(
                "tty: this driver gives no terminal to a task that it plays or forwards; ask without one",
            ));
        }
        let reexec = self.0.reexec.clone();
        Ok(answers(&self.0, move |answering| async move {
            // When nobody listens any more all of this is dropped, and the command goes with the call.
            let said = match task.kept.clone() {
                Some(kept) => {
                    spoken::converse((&task, &kept), &setup, input, &answering, &reexec).await
                }
                None => exec::converse(&task, &setup, input, &answering, &reexec).await,
            };
            answering.send(ended(said)).await.ok();
        }))
    }
}
