//! A running plugin (edge): what it is told, and how it is ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::calls::{Base, Caller, Driver, LogMon};
use super::connection::{Connection, origin};
use super::deadlines::Deadlines;
use super::error::{CallError, EndError};
use super::identity::Birth;
use super::launch::Tasks;
use super::leftover::Leftover;
use super::output::{Listener, Said, Tail, Words};
use super::process::End;
use crate::proto::go_plugin::grpc_broker_client::GrpcBrokerClient;
use crate::proto::go_plugin::grpc_controller_client::GrpcControllerClient;
use crate::proto::go_plugin::grpc_stdio_client::GrpcStdioClient;
use crate::proto::go_plugin::stdio_data::Channel;
use crate::proto::go_plugin::{ConnInfo, Empty};
use crate::reattach::Reattach;

/// How long the rest of the plugin's output may take to come, once it has answered Shutdown: not longer than half
/// of what the process has to go, as some go only when the connection does.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// What a host keeps to find its plugin again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// What Nomad keeps, as JSON: see [`Reattach`].
    pub reattach: String,
    /// When the process started.
    pub birth: Birth,
}

/// How a plugin was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It went when it was asked to.
    Asked,
    /// It was killed: it did not answer Shutdown in time, or did not go after it.
    Killed,
}

/// The end of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Whether it had to be killed.
    pub manner: Manner,
    /// How the process ended.
    pub end: End,
    /// From the first word about it to the end of the process.
    pub took: Duration,
}

pub(super) struct Parts {
    pub(super) reattach: Reattach,
    pub(super) leftover: Leftover,
    pub(super) birth: Birth,
    pub(super) is_encrypted: bool,
    pub(super) connection: Connection,
    pub(super) tail: Tail,
    pub(super) listener: Option<Listener>,
    pub(super) deadlines: Deadlines,
    pub(super) tasks: Tasks,
}

/// A running plugin. When this is dropped, its process is killed and its socket removed, unless it was
/// detached.
pub struct Plugin {
    reattach: Reattach,
    birth: Birth,
    is_encrypted: bool,
    deadlines: Deadlines,
    caller: Caller,
    output: JoinHandle<()>,
    /// Removes the socket of a killed plugin.
    _leftover: Leftover,
    _tasks: Tasks,
}

impl Plugin {
    /// Opens the two streams that a host opens.
    pub(super) fn new(mut parts: Parts) -> Self {
        let connection = parts.connection;
        let output = tokio::spawn(fetch_output(connection.clone(), parts.listener));
        parts
            .tasks
            .push(tokio::spawn(hold_broker(connection.clone())));
        let process = Arc::clone(&parts.leftover.process);
        Self {
            _leftover: parts.leftover,
            reattach: parts.reattach,
            birth: parts.birth,
            is_encrypted: parts.is_encrypted,
            deadlines: parts.deadlines,
            caller: Caller {
                connection,
                process,
                tail: parts.tail,
                deadlines: parts.deadlines,
            },
            output,
            _tasks: parts.tasks,
        }
    }

    /// Gives where it is reached, as Nomad keeps it.
    #[must_use]
    pub fn reattach(&self) -> &Reattach {
        &self.reattach
    }

    /// Gives what finds it again. A plugin that speaks TLS can't be: what is kept of it says so, and is refused.
    #[must_use]
    pub fn saved(&self) -> Saved {
        Saved {
            reattach: if self.is_encrypted {
                self.reattach.to_json_of_tls()
            } else {
                self.reattach.to_json()
            },
            birth: self.birth,
        }
    }

    /// Says whether it is spoken to within TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Gives the end of its standard error.
    #[must_use]
    pub fn words(&self) -> Words {
        self.caller.tail.words()
    }

    /// Gives its end, or nothing if it lives on after this time.
    pub async fn end_within(&self, within: Duration) -> Option<End> {
        self.caller.process.end_within(within).await
    }

    /// Asks whether it is well: whether it says of the service "plugin" that it is serving.
    ///
    /// # Errors
    /// [`CallError`]; not serving is code UNKNOWN.
    pub async fn ping(&self) -> Result<(), CallError> {
        self.caller.ping().await
    }

    /// Gives the calls of a log collector.
    #[must_use]
    pub fn log_mon(&self) -> LogMon {
        LogMon(self.caller.clone())
    }

    /// Gives the calls of every plugin.
    #[must_use]
    pub fn base(&self) -> Base {
        Base(self.caller.clone())
    }

    /// Gives the calls of a driver.
    #[must_use]
    pub fn driver(&self) -> Driver {
        Driver(self.caller.clone())
    }

    /// Leaves it running, and gives what finds it again. Its standard output and error are broken from
    /// now on. If this process outlives it without finding it again, it stays a zombie until then.
    #[must_use]
    pub fn detach(self) -> Saved {
        self.caller.process.release();
        self.saved()
    }

    /// Ends it: asks it to go, and kills it if it does not answer or does not go in time. All that takes
    /// at most as long as the deadlines for Shutdown, exit and kill together, for a stopped process as well.
    ///
    /// # Errors
    /// [`EndError`], if it lives on after the kill.
    pub async fn end(mut self) -> Result<Ended, EndError> {
        let begin = Instant::now();
        let ended = |manner, end| Ended {
            manner,
            end,
            took: begin.elapsed(),
        };
        if let Some(end) = self.ask_to_end().await {
            return Ok(ended(Manner::Asked, end));
        }
        let process = &self.caller.process;
        process.kill()?;
        let within = self.deadlines.kill;
        match process.end_within(within).await {
            Some(end) => Ok(ended(Manner::Killed, end)),
            None => Err(EndError::LivesOn {
                pid: process.pid(),
                within,
            }),
        }
    }

    /// Gives its end, if it goes in time.
    async fn ask_to_end(&mut self) -> Option<End> {
        let connection = self.caller.connection.clone();
        let mut controller = GrpcControllerClient::with_origin(connection.clone(), origin());
        // Usually there is no answer: the original's server closes the connection at once.
        let asked = timeout(self.deadlines.shutdown, async {
            drop(controller.shutdown(Empty {}).await);
        });
        let process = Arc::clone(&self.caller.process);
        tokio::select! {
            end = process.end() => return Some(end),
            asked = asked => asked.ok()?,
        }
        let until = Instant::now() + self.deadlines.exit;
        let output = LAST_OUTPUT.min(self.deadlines.exit / 2);
        drop(timeout(output, &mut self.output).await);
        // A plugin waits for calls that are open as long as it likes.
        connection.close();
        let left = until.saturating_duration_since(Instant::now());
        process.end_within(left).await
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.output.abort();
        self.caller.connection.close();
    }
}

/// Passes the plugin's output on. A plugin that has none of it is as good.
async fn fetch_output(connection: Connection, listener: Option<Listener>) {
    let mut client = GrpcStdioClient::with_origin(connection, origin());
    let Ok(response) = client.stream_stdio(()).await else {
        return;
    };
    let mut chunks = response.into_inner();
    while let Ok(Some(chunk)) = chunks.message().await {
        let channel = chunk.channel();
        if let Some(listener) = &listener {
            match channel {
                Channel::Stdout => listener(Said::Stdout(chunk.data)),
                Channel::Stderr => listener(Said::Stderr(chunk.data)),
                Channel::Invalid => {}
            }
        }
    }
}

/// Holds the stream open on which a plugin could tell of further services.
async fn hold_broker(connection: Connection) {
    let mut client = GrpcBrokerClient::with_origin(connection, origin());
    let silence = tonic::codegen::tokio_stream::pending::<ConnInfo>();
    let Ok(response) = client.start_stream(silence).await else {
        return;
    };
    let mut from_plugin = response.into_inner();
    while let Ok(Some(_)) = from_plugin.message().await {}
}
