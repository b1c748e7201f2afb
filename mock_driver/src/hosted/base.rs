//! Who the plugin is, and how it is configured: an edge.

use std::sync::Arc;

use plugin::failure::plain;
use plugin::proto::base::base_plugin_server::BasePlugin;
use plugin::proto::base::{
    ConfigSchemaRequest, ConfigSchemaResponse, PluginInfoRequest, PluginInfoResponse, PluginType,
    SetConfigRequest, SetConfigResponse,
};
use plugin::{Request, Response, Status, async_trait};

use super::NAME;
use super::config::Settings;
use super::tasks::Tasks;

/// The version of the plugin's interface that is spoken.
const API_VERSION: &str = "v0.1.0";

pub(super) struct Base(pub(super) Arc<Tasks>);

#[async_trait]
impl BasePlugin for Base {
    async fn plugin_info(
        &self,
        _: Request<PluginInfoRequest>,
    ) -> Result<Response<PluginInfoResponse>, Status> {
        Ok(Response::new(PluginInfoResponse {
            r#type: PluginType::Driver.into(),
            plugin_api_versions: vec![API_VERSION.to_owned()],
            plugin_version: env!("CARGO_PKG_VERSION").to_owned(),
            name: NAME.to_owned(),
        }))
    }

    async fn config_schema(
        &self,
        _: Request<ConfigSchemaRequest>,
    ) -> Result<Response<ConfigSchemaResponse>, Status> {
        let spec = Some(Settings::schema().to_proto());
        Ok(Response::new(ConfigSchemaResponse { spec }))
    }

    async fn set_config(
        &self,
        request: Request<SetConfigRequest>,
    ) -> Result<Response<SetConfigResponse>, Status> {
        let request = request.into_inner();
        let version = request.plugin_api_version;
        if !version.is_empty() && version != API_VERSION {
            return Err(plain(format!(
                "cannot speak version {version:?} of the interface, only {API_VERSION}"
            )));
        }
        let settings = Settings::read(&request.msgpack_config).map_err(plain)?;
        self.0.configure(settings);
        Ok(Response::new(SetConfigResponse {}))
    }
}
