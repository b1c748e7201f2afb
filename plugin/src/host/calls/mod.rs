//! Calls of a host (edge): each has a deadline, and an error says what the plugin did.

mod base;
mod driver;
mod log_mon;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connection::{Connection, origin};
use super::deadlines::Deadlines;
use super::error::CallError;
use super::output::Tail;
use super::process::Process;
use crate::failure::Missing;

pub use base::Base;
pub use driver::{Driver, Exec, InspectedTask, StartedTask, TaskStats};
pub use log_mon::LogMon;

/// How long the end of a process is waited for when its connection broke.
const END_WAIT: Duration = Duration::from_secs(3);

/// What every call needs.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) connection: Connection,
    pub(super) process: Arc<Process>,
    pub(super) tail: Tail,
    pub(super) deadlines: Deadlines,
}

impl Caller {
    /// Makes one call. `make` gets the request, which tells the plugin the deadline, too.
    async fn call<Q, A, F>(
        &self,
        call: &'static str,
        within: Duration,
        message: Q,
        make: impl FnOnce(Connection, Request<Q>) -> F,
    ) -> Result<A, CallError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(within);
        match timeout(within, make(self.connection.clone(), request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failed(call, within, status).await),
            Err(_) => Err(CallError::Deadline { call, within }),
        }
    }

    /// Opens a stream of answers. Nothing is waited for: a plugin may say its first word, and that it takes
    /// the call at all, only when it has something to say.
    fn open<A, F>(&self, call: &'static str, make: impl FnOnce(Connection) -> F) -> Answers<A>
    where
        A: Send + 'static,
        F: Future<Output = Result<Response<Streaming<A>>, Status>> + Send + 'static,
    {
        Answers {
            call,
            state: Opening::Asked(tokio::spawn(make(self.connection.clone()))),
            caller: self.clone(),
        }
    }

    async fn failed(&self, call: &'static str, within: Duration, status: Status) -> CallError {
        // What the plugin answered has no cause on this side.
        let Some(reason) = status.source().map(chain) else {
            // The plugin sees the same deadline, and may be faster.
            return if status.code() == tonic::Code::DeadlineExceeded {
                CallError::Deadline { call, within }
            } else {
                let status = Box::new(status);
                CallError::Refused { call, status }
            };
        };
        match self.process.end_within(END_WAIT).await {
            Some(end) => CallError::Ended {
                call,
                end,
                words: self.tail.last_words().await,
            },
            None => CallError::Disconnected { call, reason },
        }
    }

    pub(super) async fn ping(&self) -> Result<(), CallError> {
        let call = "Check";
        let message = HealthCheckRequest {
            service: "plugin".to_owned(),
        };
        let within = self.deadlines.call;
        let answer = self
            .call(call, within, message, |connection, request| async {
                HealthClient::with_origin(connection, origin())
                    .check(request)
                    .await
            })
            .await?;
        match answer.status() {
            ServingStatus::Serving => Ok(()),
            other @ (ServingStatus::Unknown
            | ServingStatus::NotServing
            | ServingStatus::ServiceUnknown) => {
                let status = Status::unknown(format!("its state is {}", other.as_str_name()));
                let status = Box::new(status);
                Err(CallError::Refused { call, status })
            }
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Answers that come one after the other. Dropping this tells the plugin that nobody listens.
pub struct Answers<A> {
    call: &'static str,
    state: Opening<A>,
    caller: Caller,
}

enum Opening<A> {
    Asked(JoinHandle<Result<Response<Streaming<A>>, Status>>),
    Open(Box<Streaming<A>>),
    Refused,
}

impl<A> Answers<A> {
    /// Gives the next answer, or nothing if the plugin has closed the stream.
    ///
    /// # Errors
    /// [`CallError`]. After [`CallError::Deadline`] the next answer can still be waited for; after any other
    /// nothing comes.
    ///
    /// # Cancel safety
    /// No answer is lost.
    pub async fn next(&mut self, within: Duration) -> Result<Option<A>, CallError> {
        let call = self.call;
        match timeout(within, self.state.next()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(self.caller.failed(call, within, status).await),
            Err(_) => Err(CallError::Deadline { call, within }),
        }
    }
}

impl<A> Opening<A> {
    async fn next(&mut self) -> Result<Option<A>, Status> {
        if let Self::Asked(asked) = self {
            let answer = asked
                .await
                .unwrap_or_else(|error| Err(Status::internal(error.to_string())));
            match answer {
                Ok(response) => *self = Self::Open(Box::new(response.into_inner())),
                Err(status) => {
                    *self = Self::Refused;
                    return Err(status);
                }
            }
        }
        match self {
            Self::Open(stream) => stream.message().await,
            Self::Asked(_) | Self::Refused => Ok(None),
        }
    }
}

impl<A> Drop for Opening<A> {
    fn drop(&mut self) {
        if let Self::Asked(asked) = self {
            asked.abort();
        }
    }
}

/// Says that an answer lacks something, with the name of the call.
fn needed<T>(value: Option<T>, call: &'static str, field: &'static str) -> Result<T, CallError> {
    value.ok_or(CallError::Missing(Missing { call, field }))
}
