//! Calls of a driver (edge). What the original host takes for granted in an answer is asked for here.

use std::time::Duration;

use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use super::{Answers, Caller, needed};
use crate::host::connection::{Connection, MAX_ANSWER_BYTES, origin};
use crate::host::error::CallError;
use crate::proto::driver::driver_client::DriverClient;
use crate::proto::driver::exec_task_streaming_request::Setup;
use crate::proto::driver::{
    CapabilitiesRequest, DestroyTaskRequest, DriverCapabilities, DriverTaskEvent, ExecTaskRequest,
    ExecTaskResponse, ExecTaskStreamingRequest, ExecTaskStreamingResponse, FingerprintRequest,
    FingerprintResponse, InspectTaskRequest, InspectTaskResponse, NetworkOverride,
    RecoverTaskRequest, SignalTaskRequest, StartTaskRequest, StopTaskRequest, TaskConfig,
    TaskConfigSchemaRequest, TaskEventsRequest, TaskHandle, TaskStatsRequest, TaskStatsResponse,
    TaskStatus, WaitTaskRequest, WaitTaskResponse,
};
use crate::proto::hclspec;

/// The calls of a driver. A clone makes its calls beside those of the others.
#[derive(Clone)]
pub struct Driver(pub(in crate::host) Caller);

/// A task that was started.
#[derive(Debug, Clone, PartialEq)]
pub struct StartedTask {
    /// What finds it again.
    pub handle: TaskHandle,
    /// Where it is reached, if the driver chose that.
    pub network: Option<NetworkOverride>,
}

/// A task as its driver tells it; what the original host needs is there.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectedTask {
    /// Its state; started, completed and result are set.
    pub task: TaskStatus,
    /// The whole answer.
    pub answer: InspectTaskResponse,
}

/// What a task uses, one answer after the other.
pub struct TaskStats(Answers<TaskStatsResponse>);

/// A command within a task, with its input and output.
pub struct Exec {
    /// Input and sizes of the terminal. Dropping it closes the stream, not the command's input.
    pub input: mpsc::Sender<ExecTaskStreamingRequest>,
    /// Output, and at the end the result.
    pub output: Answers<ExecTaskStreamingResponse>,
}

/// Messages of input that wait for the connection.
const INPUT_QUEUE: usize = 16;

/// Makes a call that answers once, by the name of its method.
macro_rules! call {
    ($self:ident, $name:literal, $method:ident, $within:expr, $message:expr) => {
        $self
            .0
            .call($name, $within, $message, |connection, request| async {
                client(connection).$method(request).await
            })
            .await
    };
}

/// Opens a stream of answers, by the name of its method.
macro_rules! open {
    ($self:ident, $name:literal, $method:ident, $message:expr) => {
        $self.0.open($name, |connection| async move {
            client(connection).$method($message).await
        })
    };
}

impl Driver {
    /// Asks for the schema of a task's configuration. The original host starts no task without one.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Missing`] if it has none.
    pub async fn task_config_schema(&self) -> Result<hclspec::Spec, CallError> {
        let within = self.0.deadlines.call;
        let message = TaskConfigSchemaRequest {};
        let answer = call!(
            self,
            "TaskConfigSchema",
            task_config_schema,
            within,
            message
        )?;
        needed(answer.spec, "TaskConfigSchema", "spec")
    }

    /// Asks what it can do. A driver that does not say can do nothing beside what each can, as for the original
    /// host.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn capabilities(&self) -> Result<DriverCapabilities, CallError> {
        let within = self.0.deadlines.call;
        let message = CapabilitiesRequest {};
        let answer = call!(self, "Capabilities", capabilities, within, message)?;
        Ok(answer.capabilities.unwrap_or_default())
    }

    /// Asks how it is. The first answer should come at once.
    #[must_use]
    pub fn fingerprint(&self) -> Answers<FingerprintResponse> {
        open!(self, "Fingerprint", fingerprint, FingerprintRequest {})
    }

    /// Asks for what happens to tasks.
    #[must_use]
    pub fn task_events(&self) -> Answers<DriverTaskEvent> {
        open!(self, "TaskEvents", task_events, TaskEventsRequest {})
    }

    /// Gives it a task that it had before.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn recover_task(&self, handle: TaskHandle) -> Result<(), CallError> {
        let within = self.0.deadlines.call;
        // The id stands in the handle; the original host leaves this one empty.
        let message = RecoverTaskRequest {
            task_id: String::new(),
            handle: Some(handle),
        };
        call!(self, "RecoverTask", recover_task, within, message).map(drop)
    }

    /// Starts a task.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Missing`] if nothing would find the task again.
    /// [`CallError::is_recoverable`] says whether trying again may help.
    pub async fn start_task(&self, task: TaskConfig) -> Result<StartedTask, CallError> {
        let within = self.0.deadlines.call;
        let message = StartTaskRequest { task: Some(task) };
        let answer = call!(self, "StartTask", start_task, within, message)?;
        Ok(StartedTask {
            handle: needed(answer.handle, "StartTask", "handle")?,
            network: answer.network_override,
        })
    }

    /// Waits for the end of a task, as long as is said here.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Missing`] if no result was sent, and [`CallError::NoResult`] if only an error was.
    pub async fn wait_task(
        &self,
        task_id: &str,
        within: Duration,
    ) -> Result<WaitTaskResponse, CallError> {
        let task_id = task_id.to_owned();
        let message = WaitTaskRequest { task_id };
        let answer = call!(self, "WaitTask", wait_task, within, message)?;
        if answer.result.is_none() && !answer.err.is_empty() {
            let (call, err) = ("WaitTask", answer.err);
            return Err(CallError::NoResult { call, err });
        }
        needed(answer.result, "WaitTask", "result")?;
        Ok(answer)
    }

    /// Ends a task: by the signal of this name, or by the driver's own if it is empty, and by a kill when
    /// the time has passed. The answer may take that long beside the deadline of a call.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn stop_task(
        &self,
        task_id: &str,
        kill_after: Duration,
        signal: &str,
    ) -> Result<(), CallError> {
        let within = self.0.deadlines.call.saturating_add(kill_after);
        let message = StopTaskRequest {
            task_id: task_id.to_owned(),
            timeout: Some(span(kill_after)),
            signal: signal.to_owned(),
        };
        call!(self, "StopTask", stop_task, within, message).map(drop)
    }

    /// Makes it forget a task that has ended.
    ///
    /// # Errors
    /// [`CallError`]; a task that runs is refused.
    pub async fn destroy_task(&self, task_id: &str) -> Result<(), CallError> {
        self.destroy(task_id, false).await
    }

    /// Makes it forget a task, and kill it if it runs.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn kill_and_destroy_task(&self, task_id: &str) -> Result<(), CallError> {
        self.destroy(task_id, true).await
    }

    async fn destroy(&self, task_id: &str, force: bool) -> Result<(), CallError> {
        let within = self.0.deadlines.call;
        let task_id = task_id.to_owned();
        let message = DestroyTaskRequest { task_id, force };
        call!(self, "DestroyTask", destroy_task, within, message).map(drop)
    }

    /// Asks how a task is.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Missing`] if the answer lacks what the original host needs.
    pub async fn inspect_task(&self, task_id: &str) -> Result<InspectedTask, CallError> {
        let call = "InspectTask";
        let within = self.0.deadlines.call;
        let task_id = task_id.to_owned();
        let message = InspectTaskRequest { task_id };
        let answer = call!(self, "InspectTask", inspect_task, within, message)?;
        let task = needed(answer.task.clone(), call, "task")?;
        needed(task.result.as_ref(), call, "task.result")?;
        needed(task.started_at.as_ref(), call, "task.started_at")?;
        needed(task.completed_at.as_ref(), call, "task.completed_at")?;
        Ok(InspectedTask { task, answer })
    }

    /// Asks what a task uses, again and again.
    #[must_use]
    pub fn task_stats(&self, task_id: &str, interval: Duration) -> TaskStats {
        let message = TaskStatsRequest {
            task_id: task_id.to_owned(),
            collection_interval: Some(span(interval)),
        };
        TaskStats(open!(self, "TaskStats", task_stats, message))
    }

    /// Sends a signal to a task, by its name.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn signal_task(&self, task_id: &str, signal: &str) -> Result<(), CallError> {
        let within = self.0.deadlines.call;
        let message = SignalTaskRequest {
            task_id: task_id.to_owned(),
            signal: signal.to_owned(),
        };
        call!(self, "SignalTask", signal_task, within, message).map(drop)
    }

    /// Runs a command within a task. The answer may take as long as the command may, beside the deadline
    /// of a call.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Missing`] if the result was not sent.
    pub async fn exec_task(
        &self,
        task_id: &str,
        command: Vec<String>,
        kill_after: Duration,
    ) -> Result<ExecTaskResponse, CallError> {
        let within = self.0.deadlines.call.saturating_add(kill_after);
        let message = ExecTaskRequest {
            task_id: task_id.to_owned(),
            command,
            timeout: Some(span(kill_after)),
        };
        let answer = call!(self, "ExecTask", exec_task, within, message)?;
        needed(answer.result.as_ref(), "ExecTask", "result")?;
        Ok(answer)
    }

    /// Runs a command within a task, and speaks with it.
    ///
    /// # Panics
    /// Never: the queue of input has room for its first message.
    #[must_use]
    pub fn exec_task_streaming(&self, setup: Setup) -> Exec {
        let setup = ExecTaskStreamingRequest {
            setup: Some(setup),
            ..ExecTaskStreamingRequest::default()
        };
        let (input, messages) = mpsc::channel(INPUT_QUEUE);
        input.try_send(setup).expect("the queue is new");
        let messages = ReceiverStream::new(messages);
        let output = open!(self, "ExecTaskStreaming", exec_task_streaming, messages);
        Exec { input, output }
    }
}

impl TaskStats {
    /// Gives the next answer, or nothing if the driver has closed the stream.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Missing`] if the answer lacks what the original host needs.
    pub async fn next(&mut self, within: Duration) -> Result<Option<TaskStatsResponse>, CallError> {
        let call = "TaskStats";
        let Some(answer) = self.0.next(within).await? else {
            return Ok(None);
        };
        let stats = needed(answer.stats.as_ref(), call, "stats")?;
        needed(
            stats.agg_resource_usage.as_ref(),
            call,
            "stats.agg_resource_usage",
        )?;
        needed(stats.timestamp.as_ref(), call, "stats.timestamp")?;
        Ok(Some(answer))
    }
}

/// A span as a message has it. One that is too long for it is the longest.
fn span(duration: Duration) -> crate::proto::Duration {
    duration.try_into().unwrap_or(crate::proto::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

fn client(connection: Connection) -> DriverClient<Connection> {
    DriverClient::with_origin(connection, origin()).max_decoding_message_size(MAX_ANSWER_BYTES)
}
