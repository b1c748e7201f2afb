//! A driver plugin that is loaded as Nomad loads it: started, configured, asked how it is. (edge)

use std::sync::LazyLock;
use std::time::Duration;

use plugin::host::{CallError, Plugin, Said};
use plugin::msgpack;
use plugin::proto::base::SetConfigRequest;
use plugin::proto::hclspec;
use plugin::spec::Spec;
use plugin::value::Value as Configured;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::sockets::SocketFolder;
use super::task::{Filling, fill, require_task};
use super::tied::Tied;
use super::words::{self, API_VERSION};
use crate::capability::Capability;
use crate::suite::error_chain;

/// How long a plugin may take for a call that is nothing for it to wait for. A start may wait for a reader, 10 s by
/// FIFO-3.
pub(super) const CALL: Duration = Duration::from_secs(11);
/// How long it may take to begin.
const BEGIN: Duration = Duration::from_secs(4);
/// How long it may take for a call before it is greeted: all of them are answered within the 5 s of `hello`.
const GREETING: Duration = Duration::from_secs(3);
/// How long it may take to go. The process that speaks for it has 2 s.
const GO: Duration = Duration::from_millis(700);

/// What is spoken for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The plugin.
    pub(crate) plugin: Tied,
    /// Its configuration, an object.
    pub(crate) plugin_config: Value,
    /// The template of a task's configuration, an object.
    pub(crate) task_config: Value,
    /// What the driver declares by its author's word; the rest it says itself.
    pub(crate) declared: Vec<Capability>,
}

/// Why an operation failed, for the answer.
pub(super) struct Failed(pub(super) String);

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self(error_chain(&error))
    }
}

/// A plugin that was greeted.
pub(super) struct Loaded {
    pub(super) plugin: Plugin,
    schema: Spec,
    /// Behind the plugin, as its socket lies there.
    _sockets: SocketFolder,
}

impl Loaded {
    /// Starts the plugin, and asks it what Nomad asks. Gives what is answered to a `hello`, too.
    pub(super) async fn load(wanted: &Wanted) -> Result<(Self, Value), Failed> {
        require_task(&wanted.task_config).map_err(|error| Failed(error.to_string()))?;
        let sockets = SocketFolder::of_the_case();
        let plugin = launch(wanted, &sockets).await?;
        let base = plugin.base();
        let info = soon("PluginInfo", base.plugin_info()).await?;
        words::info(&info).map_err(|wrong| Failed(format!("call PluginInfo: {wrong}")))?;
        let schema = understood(
            "ConfigSchema",
            &soon("ConfigSchema", base.config_schema()).await?,
        )?;
        let config = schema
            .check(&Configured::from_json(&wanted.plugin_config))
            .map_err(|faults| Failed(format!("the configuration of the plugin: {faults}")))?;
        let request = SetConfigRequest {
            msgpack_config: msgpack::encode(&config),
            nomad_config: None,
            plugin_api_version: API_VERSION.to_owned(),
        };
        soon("SetConfig", base.set_config(request)).await?;
        let driver = plugin.driver();
        let mut fingerprints = driver.fingerprint();
        let first = fingerprints.next(GREETING).await?;
        let first = first.ok_or_else(|| Failed("call Fingerprint: it said nothing".into()))?;
        words::fingerprint(&first).map_err(|wrong| Failed(format!("call Fingerprint: {wrong}")))?;
        let schema = understood(
            "TaskConfigSchema",
            &soon("TaskConfigSchema", driver.task_config_schema()).await?,
        )?;
        let can = soon("Capabilities", driver.capabilities()).await?;
        if can.disable_log_collection {
            return Err(Failed(
                "the driver disables log collection (Capabilities.disable_log_collection): Nomad starts no \
                 logmon for it, and gives it /dev/null, so there is nothing to test"
                    .into(),
            ));
        }
        // It answers at once what is wrong with the template, and not only when a case is played.
        let loaded = Self {
            plugin,
            schema,
            _sockets: sockets,
        };
        loaded.configured(wanted, &example())?;
        let mut declared: Vec<&str> = wanted.declared.iter().map(|one| one.as_str()).collect();
        declared.extend([
            Capability::Recover.as_str(),
            Capability::MultiWriter.as_str(),
            Capability::PayloadExec.as_str(),
        ]);
        if can.send_signals {
            declared.push(Capability::Signals.as_str());
        }
        let greeting = json!({
            "driver": info.name,
            "version": info.plugin_version,
            "capabilities": declared,
        });
        Ok((loaded, greeting))
    }

    /// The configuration of a task, as it goes over the wire.
    pub(super) fn configured(
        &self,
        wanted: &Wanted,
        filling: &Filling<'_>,
    ) -> Result<Vec<u8>, Failed> {
        let filled = fill(&wanted.task_config, filling)
            .map_err(|error| Failed(format!("the task's configuration: {error}")))?;
        let value = self
            .schema
            .check(&Configured::from_json(&filled))
            .map_err(|faults| Failed(format!("the task's configuration: {faults}")))?;
        Ok(msgpack::encode(&value))
    }
}

/// The answer to a call for which there is less time than for others.
async fn soon<T>(
    call: &str,
    answer: impl Future<Output = Result<T, CallError>>,
) -> Result<T, Failed> {
    match timeout(GREETING, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failed(format!(
            "call {call}: no answer within {GREETING:?}"
        ))),
    }
}

async fn launch(wanted: &Wanted, sockets: &SocketFolder) -> Result<Plugin, Failed> {
    sockets
        .applied(wanted.plugin.launch(BEGIN, CALL, GO))
        .start()
        .await
        .map_err(|error| Failed(error_chain(&error)))
}

/// A plugin's log goes where this process's own goes, bounded by the suite.
pub(super) fn hear(said: Said) {
    match said {
        Said::Log(record) => eprintln!("plugin: {}", record.message),
        Said::Stray(bytes) | Said::Stdout(bytes) | Said::Stderr(bytes) => {
            eprint!("{}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// A task that only shows whether a template can be used.
fn example() -> Filling<'static> {
    static ARGV: LazyLock<Vec<String>> =
        LazyLock::new(|| ["/bin/true", "argument"].map(str::to_owned).into());
    let names = ["id", "task_dir", "log_dir", "alloc_dir", "stdout", "stderr"];
    Filling {
        argv: &ARGV,
        values: names.map(|name| (name, format!("/{name}"))).into(),
    }
}

fn understood(call: &str, message: &hclspec::Spec) -> Result<Spec, Failed> {
    Spec::from_proto(message)
        .map_err(|error| Failed(format!("call {call}: the schema: {}", error_chain(&error))))
}
