//! A driver plugin that is loaded as Nomad loads it: started, configured, asked how it is. (edge)

use std::sync::LazyLock;
use std::time::Duration;

use plugin::host::{CallError, Plugin, Said};
use plugin::msgpack;
use plugin::proto::hclspec;
use plugin::spec::Spec;
use plugin::value::Value as Configured;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::health::{Held, Streams, Unwell};
use super::sockets::SocketFolder;
use super::task::{Filling, fill, require_task};
use super::tied::Tied;
use super::words;
use crate::capability::Capability;
use crate::suite::error_chain;

/// How long a plugin may take for a call that is nothing for it to wait for. A start may wait for a reader, 10 s by
/// FIFO-3.
pub(super) const CALL: Duration = Duration::from_secs(11);
/// How long it may take from its start until it has answered all that it is asked before it gets a task, and is
/// healthy. An agent has a minute for the start and no limit for the rest, but `hello` has 5 s.
const GREETING: Duration = Duration::from_millis(3_500);
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

impl From<Unwell> for Failed {
    fn from(unwell: Unwell) -> Self {
        Self(match unwell {
            Unwell::Call(error) => error_chain(&error),
            Unwell::Says(what) => format!("call Fingerprint: {what}"),
        })
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self(error_chain(&error))
    }
}

/// A plugin that was greeted.
pub(super) struct Loaded {
    pub(super) plugin: Plugin,
    schema: Spec,
    _streams: Held,
    /// Behind the plugin, as its socket lies there.
    _sockets: SocketFolder,
}

impl Loaded {
    /// Starts the plugin, and asks it what Nomad asks. Gives what is answered to a `hello`, too.
    pub(super) async fn load(wanted: &Wanted) -> Result<(Self, Value), Failed> {
        require_task(&wanted.task_config).map_err(|error| Failed(error.to_string()))?;
        let sockets = SocketFolder::of_the_case();
        let soon = Soon(Instant::now() + GREETING);
        let plugin = launch(wanted, &sockets).await?;
        let base = plugin.base();
        let info = soon.answered("PluginInfo", base.plugin_info()).await?;
        words::info(&info).map_err(|wrong| Failed(format!("call PluginInfo: {wrong}")))?;
        let schema = soon.answered("ConfigSchema", base.config_schema()).await?;
        let config = plugin_config(schema.as_ref(), &wanted.plugin_config)?;
        let config = base.set_config(words::set_config(&info, config));
        soon.answered("SetConfig", config).await?;
        let driver = plugin.driver();
        let mut streams = Streams::open(&driver);
        streams.until_healthy(soon.0).await?;
        let streams = streams.hold();
        let schema = driver.task_config_schema();
        let schema = soon.answered("TaskConfigSchema", schema).await?;
        let schema = understood("TaskConfigSchema", &schema)?;
        let can = soon.answered("Capabilities", driver.capabilities()).await?;
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
            _streams: streams,
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

/// The configuration of a plugin, as it goes over the wire. Without a schema there is none to be had.
fn plugin_config(schema: Option<&hclspec::Spec>, config: &Value) -> Result<Vec<u8>, Failed> {
    let wrong = |why: String| Failed(format!("the configuration of the plugin: {why}"));
    let Some(schema) = schema else {
        return match config.as_object().is_none_or(serde_json::Map::is_empty) {
            true => Ok(Vec::new()),
            false => Err(wrong(
                "the plugin takes none: it has no schema for it".into(),
            )),
        };
    };
    let config = understood("ConfigSchema", schema)?.check(&Configured::from_json(config));
    let config = config.map_err(|faults| wrong(faults.to_string()))?;
    Ok(msgpack::encode(&config))
}

/// Until when a plugin has answered what it is asked before it is greeted.
struct Soon(Instant);

impl Soon {
    async fn answered<T>(
        &self,
        call: &str,
        answer: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, Failed> {
        match timeout_at(self.0, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failed(format!(
                "call {call}: no answer within {GREETING:?} of its start"
            ))),
        }
    }
}

async fn launch(wanted: &Wanted, sockets: &SocketFolder) -> Result<Plugin, Failed> {
    sockets
        .applied(wanted.plugin.launch(GREETING, CALL, GO))
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
