//! Calls of a log collector (edge).

use super::Caller;
use crate::host::connection::{Connection, MAX_ANSWER_BYTES, origin};
use crate::host::error::CallError;
use crate::proto::logmon::log_mon_client::LogMonClient;
use crate::proto::logmon::{StartRequest, StopRequest};

/// The calls of a log collector.
#[derive(Clone)]
pub struct LogMon(pub(in crate::host) Caller);

impl LogMon {
    /// Begins to collect.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn start(&self, request: StartRequest) -> Result<(), CallError> {
        let within = self.0.deadlines.call;
        self.0
            .call("Start", within, request, |connection, request| async {
                client(connection).start(request).await
            })
            .await
            .map(drop)
    }

    /// Drains and ends the collection.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn stop(&self) -> Result<(), CallError> {
        let within = self.0.deadlines.call;
        self.0
            .call(
                "Stop",
                within,
                StopRequest {},
                |connection, request| async { client(connection).stop(request).await },
            )
            .await
            .map(drop)
    }
}

fn client(connection: Connection) -> LogMonClient<Connection> {
    LogMonClient::with_origin(connection, origin()).max_decoding_message_size(MAX_ANSWER_BYTES)
}
