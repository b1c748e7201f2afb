//! Loads a plugin, asks what it says of itself, and ends it. (edge)
//!
//! It asks in Nomad's order: who it is, its schema, its configuration, how it is, then what a driver is asked for a
//! task. Whether it is serving, which Nomad asks a log collector only, comes before that. No task is started.

use std::path::PathBuf;
use std::time::Duration;

use plugin::Code;
use plugin::handshake::Address;
use plugin::host::{CallError, Deadlines, Ended, Launch, Manner, Plugin};
use plugin::msgpack;
use plugin::proto::base::PluginInfoResponse;
use plugin::proto::hclspec;
use plugin::spec::Spec;
use plugin::value::Value;
use tokio::time::Instant;

use super::health::Streams;
use super::sockets::SocketFolder;
use super::words;

/// How long a driver may take to be healthy, if a step may take so long.
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

/// What is said of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is as Nomad wants it.
    Right,
    /// Nomad would not get along with it.
    Wrong,
    /// It is not as it should be, and Nomad would not notice.
    Note,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Whether it is as Nomad wants it.
    pub mark: Mark,
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
        match outcome {
            Ok(text) => self.marked(Mark::Right, what, text),
            Err(text) => self.marked(Mark::Wrong, what, text),
        }
    }

    fn marked(&mut self, mark: Mark, what: &'static str, text: String) {
        self.wrong += usize::from(mark == Mark::Wrong);
        (self.tell)(&Line { mark, what, text });
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
    let healthy = plugin.ping().await;
    let info = plugin.base().plugin_info().await;
    let is_driver = !info.as_ref().is_err_and(is_unimplemented);
    let has_answered = healthy.is_ok() || info.is_ok();
    let (mark, text) = health(healthy, is_driver);
    told.marked(mark, "health", text);
    if plugin.is_encrypted() && has_answered {
        let text = "it speaks mTLS: both sides took only the certificate that the other had told";
        told.line("encryption", Ok(text.to_owned()));
    }
    if is_driver {
        ask(&plugin, info, asked, told).await;
    } else {
        let text =
            "there is none, so this is no driver; a log collector is tested with --nomad-logmon";
        told.line("PluginInfo", Ok(text.to_owned()));
    }
    let end = plugin.end().await.map_err(|error| chain(&error));
    told.line("end", end.and_then(ended));
}

/// What is made of the answer whether it is serving: an agent asks only log collectors, when it finds them again.
fn health(answer: Result<(), CallError>, is_driver: bool) -> (Mark, String) {
    match answer {
        Ok(()) => (Mark::Right, "it is serving".to_owned()),
        Err(error) if is_driver => {
            let text = format!("{}; an agent never asks a driver that", chain(&error));
            (Mark::Note, text)
        }
        Err(error) => (Mark::Wrong, chain(&error)),
    }
}

fn is_unimplemented(error: &CallError) -> bool {
    error.code() == Some(Code::Unimplemented)
}

async fn ask(
    plugin: &Plugin,
    info: Result<PluginInfoResponse, CallError>,
    asked: &Asked,
    told: &mut Told<'_>,
) {
    let known = info.as_ref().ok().cloned().unwrap_or_default();
    told.line("PluginInfo", answered(info, words::info));
    let schema = plugin.base().config_schema().await;
    let schema = schema
        .map_err(|error| chain(&error))
        .and_then(|schema| schema.as_ref().map(understood).transpose());
    let keys = |schema: &Option<Spec>| match schema {
        Some(schema) => words::schema(schema),
        None => "there is none, so nothing is to be configured".to_owned(),
    };
    told.line(
        "ConfigSchema",
        schema.as_ref().map(keys).map_err(Clone::clone),
    );
    if let Ok(schema) = &schema {
        let outcome = configure(plugin, &known, schema.as_ref(), asked).await;
        told.line("SetConfig", outcome);
    }
    let driver = plugin.driver();
    let mut streams = Streams::open(&driver);
    let until = Instant::now() + FINGERPRINT.min(asked.deadlines.call);
    let healthy = streams.until_healthy(until).await;
    told.line("Fingerprint", healthy.map_err(|unwell| unwell.told()));
    let _held = streams.hold();
    let schema = driver.task_config_schema().await;
    let schema = schema
        .map_err(|error| chain(&error))
        .and_then(|schema| understood(&schema));
    told.line(
        "TaskConfigSchema",
        schema.as_ref().map(words::schema).map_err(Clone::clone),
    );
    let capabilities = driver.capabilities().await;
    told.line(
        "Capabilities",
        answered(capabilities, |one| Ok(words::capabilities(one))),
    );
}

async fn configure(
    plugin: &Plugin,
    info: &PluginInfoResponse,
    schema: Option<&Spec>,
    asked: &Asked,
) -> Result<String, String> {
    let keys = asked
        .configuration
        .as_object()
        .map_or(0, serde_json::Map::len);
    let config = match schema {
        Some(schema) => {
            let value = schema.check(&Value::from_json(&asked.configuration));
            msgpack::encode(&value.map_err(|faults| faults.to_string())?)
        }
        None if keys == 0 => Vec::new(),
        None => return Err("it has no schema, so it takes no configuration".to_owned()),
    };
    let request = words::set_config(info, config);
    let taken = match keys {
        0 if schema.is_none() => "it takes none".to_owned(),
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

fn understood(message: &hclspec::Spec) -> Result<Spec, String> {
    Spec::from_proto(message).map_err(|error| chain(&error))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn unserved() -> Result<(), CallError> {
        Err(CallError::Disconnected {
            call: "Check",
            reason: "it is gone".to_owned(),
        })
    }

    #[test]
    fn a_driver_need_not_say_that_it_is_serving_and_a_log_collector_must() {
        assert_eq!(health(Ok(()), true).0, Mark::Right);
        assert_eq!(
            health(unserved(), true),
            (
                Mark::Note,
                "call Check: the connection broke: it is gone; an agent never asks a driver that"
                    .to_owned()
            )
        );
        assert_eq!(health(unserved(), false).0, Mark::Wrong);
    }

    #[test]
    fn only_what_is_wrong_counts() {
        let mut lines = Vec::new();
        let mut tell = |line: &Line| lines.push(line.mark);
        let mut told = Told {
            tell: &mut tell,
            wrong: 0,
        };
        told.marked(Mark::Note, "health", String::new());
        told.line("end", Ok(String::new()));
        assert_eq!(told.wrong, 0);
        told.line("end", Err(String::new()));
        assert_eq!(told.wrong, 1);
        assert_eq!(lines, [Mark::Note, Mark::Right, Mark::Wrong]);
    }
}
