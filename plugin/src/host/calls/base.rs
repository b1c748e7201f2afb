//! Calls of every plugin (edge).

use super::Caller;
use crate::host::connection::{Connection, MAX_ANSWER_BYTES, origin};
use crate::host::error::CallError;
use crate::proto::base::base_plugin_client::BasePluginClient;
use crate::proto::base::{
    ConfigSchemaRequest, PluginInfoRequest, PluginInfoResponse, SetConfigRequest,
};
use crate::proto::hclspec;

/// The calls of every plugin.
#[derive(Clone)]
pub struct Base(pub(in crate::host) Caller);

impl Base {
    /// Asks who it is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn plugin_info(&self) -> Result<PluginInfoResponse, CallError> {
        let within = self.0.deadlines.call;
        let message = PluginInfoRequest {};
        self.0
            .call("PluginInfo", within, message, |connection, request| async {
                client(connection).plugin_info(request).await
            })
            .await
    }

    /// Asks for the schema of its configuration; [`crate::spec::Spec::from_proto`] understands it. A plugin may
    /// have none: the original host takes no configuration for it then, and calls SetConfig without bytes.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn config_schema(&self) -> Result<Option<hclspec::Spec>, CallError> {
        let call = "ConfigSchema";
        let within = self.0.deadlines.call;
        let message = ConfigSchemaRequest {};
        let answer = self
            .0
            .call(call, within, message, |connection, request| async {
                client(connection).config_schema(request).await
            })
            .await?;
        Ok(answer.spec)
    }

    /// Tells it its configuration.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn set_config(&self, request: SetConfigRequest) -> Result<(), CallError> {
        let within = self.0.deadlines.call;
        self.0
            .call("SetConfig", within, request, |connection, request| async {
                client(connection).set_config(request).await
            })
            .await
            .map(drop)
    }
}

fn client(connection: Connection) -> BasePluginClient<Connection> {
    BasePluginClient::with_origin(connection, origin()).max_decoding_message_size(MAX_ANSWER_BYTES)
}
