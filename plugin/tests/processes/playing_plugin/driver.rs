//! A driver without tasks, which answers everything, or leaves out what its host needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use plugin::failure::{plain, required, task_not_found};
use plugin::proto::driver::driver_server;
use plugin::proto::driver::{
    CapabilitiesRequest, CapabilitiesResponse, CpuUsage, DestroyTaskRequest, DestroyTaskResponse,
    DriverCapabilities, DriverTaskEvent, ExecTaskRequest, ExecTaskResponse, ExecTaskStreamingIo,
    ExecTaskStreamingRequest, ExecTaskStreamingResponse, ExitResult, FingerprintRequest,
    FingerprintResponse, InspectTaskRequest, InspectTaskResponse, MemoryUsage, RecoverTaskRequest,
    RecoverTaskResponse, SignalTaskRequest, SignalTaskResponse, StartTaskRequest,
    StartTaskResponse, StopTaskRequest, StopTaskResponse, TaskConfigSchemaRequest,
    TaskConfigSchemaResponse, TaskEventsRequest, TaskHandle, TaskResourceUsage, TaskStatsRequest,
    TaskStatsResponse, TaskStatus, WaitTaskRequest, WaitTaskResponse,
};
use plugin::proto::driver::{TaskState, TaskStats};
use plugin::proto::{NO_TIME, Timestamp};
use plugin::spec::Spec;
use plugin::tokio_stream::{Iter, StreamExt, iter};
use plugin::{Request, Response, Status, Streaming, async_trait};
use tokio::sync::Notify;

pub(super) struct Driver {
    pub(super) leaves_out: bool,
    pub(super) stopped: Arc<Notify>,
}

impl Driver {
    fn unless_left_out<T>(&self, value: T) -> Option<T> {
        (!self.leaves_out).then_some(value)
    }
}

type Answers<T> = Iter<std::vec::IntoIter<Result<T, Status>>>;

fn answers<T>(all: Vec<T>) -> Result<Response<Answers<T>>, Status> {
    let all: Vec<_> = all.into_iter().map(Ok).collect();
    Ok(Response::new(iter(all)))
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
        let spec = self.unless_left_out(Spec::object([]).to_proto());
        Ok(Response::new(TaskConfigSchemaResponse { spec }))
    }

    async fn capabilities(
        &self,
        _: Request<CapabilitiesRequest>,
    ) -> Result<Response<CapabilitiesResponse>, Status> {
        let capabilities = self.unless_left_out(DriverCapabilities {
            send_signals: true,
            ..DriverCapabilities::default()
        });
        Ok(Response::new(CapabilitiesResponse { capabilities }))
    }

    async fn fingerprint(
        &self,
        _: Request<FingerprintRequest>,
    ) -> Result<Response<Self::FingerprintStream>, Status> {
        let healthy = FingerprintResponse {
            health_description: "healthy".to_owned(),
            ..FingerprintResponse::default()
        };
        answers(vec![healthy])
    }

    async fn recover_task(
        &self,
        request: Request<RecoverTaskRequest>,
    ) -> Result<Response<RecoverTaskResponse>, Status> {
        let handle = required(request.into_inner().handle, "RecoverTask", "handle")?;
        required(handle.config, "RecoverTask", "handle.config")?;
        Ok(Response::new(RecoverTaskResponse {}))
    }

    async fn start_task(
        &self,
        request: Request<StartTaskRequest>,
    ) -> Result<Response<StartTaskResponse>, Status> {
        let task = required(request.into_inner().task, "StartTask", "task")?;
        let handle = self.unless_left_out(TaskHandle {
            version: 1,
            config: Some(task),
            ..TaskHandle::default()
        });
        Ok(Response::new(StartTaskResponse {
            handle,
            ..StartTaskResponse::default()
        }))
    }

    async fn wait_task(
        &self,
        request: Request<WaitTaskRequest>,
    ) -> Result<Response<WaitTaskResponse>, Status> {
        let err = match request.into_inner().task_id.as_str() {
            "unknown" => return Err(task_not_found()),
            "lost" => "it was lost".to_owned(),
            _ => String::new(),
        };
        let result = self.unless_left_out(ExitResult {
            exit_code: -1,
            ..ExitResult::default()
        });
        Ok(Response::new(WaitTaskResponse { result, err }))
    }

    async fn stop_task(
        &self,
        request: Request<StopTaskRequest>,
    ) -> Result<Response<StopTaskResponse>, Status> {
        let request = request.into_inner();
        let timeout = required(request.timeout, "StopTask", "timeout")?;
        if (timeout.seconds, timeout.nanos) != (1, 500_000_000) || request.signal != "SIGTERM" {
            return Err(plain(format!("{timeout:?} {}", request.signal)));
        }
        Ok(Response::new(StopTaskResponse {}))
    }

    async fn destroy_task(
        &self,
        request: Request<DestroyTaskRequest>,
    ) -> Result<Response<DestroyTaskResponse>, Status> {
        if !request.into_inner().force {
            return Err(plain("it runs"));
        }
        Ok(Response::new(DestroyTaskResponse {}))
    }

    async fn inspect_task(
        &self,
        request: Request<InspectTaskRequest>,
    ) -> Result<Response<InspectTaskResponse>, Status> {
        // The id of the task says which part is left out.
        let id = request.into_inner().task_id;
        let unless = |field: &str| id != field;
        let task = unless("task").then(|| TaskStatus {
            id: id.clone(),
            name: "web".to_owned(),
            state: TaskState::Running.into(),
            started_at: unless("task.started_at").then_some(Timestamp {
                seconds: 1,
                nanos: 2,
            }),
            completed_at: unless("task.completed_at").then_some(NO_TIME),
            result: unless("task.result").then(ExitResult::default),
        });
        Ok(Response::new(InspectTaskResponse {
            task,
            ..InspectTaskResponse::default()
        }))
    }

    async fn task_stats(
        &self,
        request: Request<TaskStatsRequest>,
    ) -> Result<Response<Self::TaskStatsStream>, Status> {
        let id = request.into_inner().task_id;
        let unless = |field: &str| id != field;
        let stats = unless("stats").then(|| TaskStats {
            id: id.clone(),
            timestamp: unless("stats.timestamp").then_some(NO_TIME),
            agg_resource_usage: unless("stats.agg_resource_usage").then_some(TaskResourceUsage {
                cpu: Some(CpuUsage::default()),
                memory: Some(MemoryUsage::default()),
            }),
            resource_usage_by_pid: BTreeMap::new(),
        });
        answers(vec![TaskStatsResponse { stats }])
    }

    async fn task_events(
        &self,
        _: Request<TaskEventsRequest>,
    ) -> Result<Response<Self::TaskEventsStream>, Status> {
        if !self.leaves_out {
            return answers(Vec::new());
        }
        // As a Go plugin, it takes the call with its first answer.
        self.stopped.notified().await;
        answers(vec![DriverTaskEvent {
            message: "stopped".to_owned(),
            ..DriverTaskEvent::default()
        }])
    }

    async fn signal_task(
        &self,
        request: Request<SignalTaskRequest>,
    ) -> Result<Response<SignalTaskResponse>, Status> {
        match request.into_inner().signal.as_str() {
            "SIGHUP" => Ok(Response::new(SignalTaskResponse {})),
            other => Err(plain(format!("there is no {other}"))),
        }
    }

    async fn exec_task(
        &self,
        request: Request<ExecTaskRequest>,
    ) -> Result<Response<ExecTaskResponse>, Status> {
        let command = request.into_inner().command;
        let stdout = match command.as_slice() {
            [only] if only == "much" => vec![b'm'; 16 << 20],
            _ => command.join(" ").into_bytes(),
        };
        Ok(Response::new(ExecTaskResponse {
            stdout,
            stderr: Vec::new(),
            result: self.unless_left_out(ExitResult::default()),
        }))
    }

    async fn exec_task_streaming(
        &self,
        request: Request<Streaming<ExecTaskStreamingRequest>>,
    ) -> Result<Response<Self::ExecTaskStreamingStream>, Status> {
        let mut input = request.into_inner();
        let first = input.next().await.transpose()?;
        let setup = first.and_then(|first| first.setup);
        let setup = required(setup, "ExecTaskStreaming", "setup")?;
        let second = input.next().await.transpose()?;
        let stdin = second.and_then(|second| second.stdin);
        let data = required(stdin, "ExecTaskStreaming", "stdin")?.data;
        answers(vec![
            ExecTaskStreamingResponse {
                stdout: Some(ExecTaskStreamingIo { data, close: true }),
                ..ExecTaskStreamingResponse::default()
            },
            ExecTaskStreamingResponse {
                exited: true,
                result: Some(ExitResult {
                    exit_code: i32::try_from(setup.command.len()).unwrap(),
                    ..ExitResult::default()
                }),
                ..ExecTaskStreamingResponse::default()
            },
        ])
    }
}
