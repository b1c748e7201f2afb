//! Loads a plugin, asks what it says of itself, and ends it. (edge)
//!
//! It asks in Nomad's order: who it is, its schema, its configuration, then what a driver is asked before it
//! gets a task. No task is started.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use plugin::Code;
use plugin::handshake::Address;
use plugin::host::{CallError, Deadlines, Ended, Launch, Manner, Plugin};
use plugin::msgpack;
use plugin::proto::base::SetConfigRequest;
use plugin::spec::Spec;
use plugin::value::Value;

use super::sockets::SocketFolder;
use super::words::{self, API_VERSION};

/// How long the first fingerprint may take: Nomad waits for it before it gives the driver a task.
const FINGERPRINT: Duration = Duration::from_secs(10);

/// What is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The plugin's program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its configuration, an object; empty means that nothing is configured.
    pub configuration: serde_json::Value,
    /// How long each step may take.
    pub deadlines: Deadlines,
    /// Whether it is asked to encrypt, as Nomad never does.
    pub is_encrypted: bool,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Whether it is as Nomad wants it.
    pub is_right: bool,
    /// The step or the call.
    pub what: &'static str,
    /// What came of it.
    pub text: String,
}

/// There is no runtime to wait in.
#[derive(Debug, thiserror::Error)]
#[error("wait for a plugin")]
pub(crate) struct NoRuntime(#[from] std::io::Error);

/// Tells of each step what came of it, and gives how many were wrong. The plugin is dead in the end.
///
/// # Errors
/// [`NoRuntime`]; the plugin was not started then.
pub(crate) fn examine(asked: &Asked, tell: &mut dyn FnMut(&Line)) -> Result<usize, NoRuntime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut told = Told { tell, wrong: 0 };
    runtime.block_on(look(asked, &mut told));
    Ok(told.wrong)
}

struct Told<'a> {
    tell: &'a mut dyn FnMut(&Line),
    wrong: usize,
}

impl Told<'_> {
    fn line(&mut self, what: &'static str, outcome: Result<String, String>) {
        let is_right = outcome.is_ok();
        self.wrong += usize::from(!is_right);
        let text = outcome.unwrap_or_else(|wrong| wrong);
        (self.tell)(&Line {
            is_right,
            what,
            text,
        });
    }
}

async fn look(asked: &Asked, told: &mut Told<'_>) {
    let began = Instant::now();
    let sockets = SocketFolder::own();
    let mut launch = sockets
        .applied(Launch::new(&asked.program))
        .arguments(&asked.arguments)
        .deadlines(asked.deadlines);
    if asked.is_encrypted {
        launch = launch.encrypted();
    }
    let plugin = match launch.start().await {
        Ok(plugin) => plugin,
        Err(error) => return told.line("handshake", Err(chain(&error))),
    };
    let reattach = plugin.reattach();
    let place = match &reattach.address {
        Address::Unix(path) => path.display().to_string(),
        Address::Tcp(address) => address.clone(),
    };
    let (pid, took_ms) = (reattach.pid, began.elapsed().as_millis());
    let text = format!("process {pid} on {place}, after {took_ms} ms");
    told.line("handshake", Ok(text));
    let healthy = plugin.ping().await.map(|()| "it is serving".to_owned());
    let is_well = healthy.is_ok();
    told.line("health", healthy.map_err(|error| chain(&error)));
    if plugin.is_encrypted() && is_well {
        let text = "it speaks mTLS: both sides took only the certificate that the other had told";
        told.line("encryption", Ok(text.to_owned()));
    }
    ask(&plugin, asked, told).await;
    let end = plugin.end().await.map_err(|error| chain(&error));
    told.line("end", end.and_then(ended));
}

async fn ask(plugin: &Plugin, asked: &Asked, told: &mut Told<'_>) {
    let info = plugin.base().plugin_info().await;
    if let Err(error) = &info
        && error.code() == Some(Code::Unimplemented)
    {
        let text =
            "there is none, so this is no driver; a log collector is tested with --nomad-logmon";
        return told.line("PluginInfo", Ok(text.to_owned()));
    }
    told.line("PluginInfo", answered(info, words::info));
    let schema = plugin.base().config_schema().await;
    let schema = understood(schema);
    told.line(
        "ConfigSchema",
        schema.as_ref().map(words::schema).map_err(Clone::clone),
    );
    if let Ok(schema) = &schema {
        told.line("SetConfig", configure(plugin, schema, asked).await);
    }
    let driver = plugin.driver();
    let schema = understood(driver.task_config_schema().await);
    told.line(
        "TaskConfigSchema",
        schema.as_ref().map(words::schema).map_err(Clone::clone),
    );
    let capabilities = driver.capabilities().await;
    told.line(
        "Capabilities",
        answered(capabilities, |one| Ok(words::capabilities(one))),
    );
    let mut fingerprints = driver.fingerprint();
    let first = fingerprints.next(FINGERPRINT).await;
    told.line(
        "Fingerprint",
        answered(first, |one| match one {
            Some(one) => words::fingerprint(one),
            None => Err("it has closed the stream and said nothing".to_owned()),
        }),
    );
}

async fn configure(plugin: &Plugin, schema: &Spec, asked: &Asked) -> Result<String, String> {
    let value = schema
        .check(&Value::from_json(&asked.configuration))
        .map_err(|faults| faults.to_string())?;
    let request = SetConfigRequest {
        msgpack_config: msgpack::encode(&value),
        nomad_config: None,
        plugin_api_version: API_VERSION.to_owned(),
    };
    let keys = asked
        .configuration
        .as_object()
        .map_or(0, serde_json::Map::len);
    let taken = match keys {
        0 => "it takes an empty configuration".to_owned(),
        1 => "it takes the configuration with 1 key".to_owned(),
        many => format!("it takes the configuration with {many} keys"),
    };
    let answer = plugin.base().set_config(request).await;
    answer.map(|()| taken).map_err(|error| chain(&error))
}

fn answered<A>(
    answer: Result<A, CallError>,
    words: impl FnOnce(&A) -> Result<String, String>,
) -> Result<String, String> {
    words(&answer.map_err(|error| chain(&error))?)
}

fn understood(answer: Result<plugin::proto::hclspec::Spec, CallError>) -> Result<Spec, String> {
    let message = answer.map_err(|error| chain(&error))?;
    Spec::from_proto(&message).map_err(|error| chain(&error))
}

/// How it went in the end; a plugin that has to be killed is none that Nomad can update.
fn ended(ended: Ended) -> Result<String, String> {
    let took_ms = ended.took.as_millis();
    match ended.manner {
        Manner::Asked => Ok(format!("it {} {took_ms} ms after Shutdown", ended.end)),
        Manner::Killed => Err(format!(
            "it did not go within {took_ms} ms of Shutdown, and was killed"
        )),
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    crate::suite::error_chain(error)
}
