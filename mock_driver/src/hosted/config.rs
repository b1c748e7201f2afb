//! What a host may configure, as schemas, and what a task's configuration asks for: a core.
//!
//! A host has checked a configuration by the schema before it sends it. Here it is checked again, so that a
//! host that does not is told every fault by its path; keys that are not known are ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plugin::msgpack;
use plugin::proto::driver::NetworkOverride;
use plugin::spec::{Literal, Spec, Type};
use plugin::value::Value;
use serde_json::{Map, Value as Json};

use super::fault::AnyFault;
use crate::script::nomad::parse_duration;
use crate::script::{Script, ScriptError};

/// Keys that a script has by itself, too: those that users of Nomad's mock driver know.
const PLAYED: [&str; 10] = [
    "exit_code",
    "exit_signal",
    "kill_after",
    "run_for",
    "stderr_repeat",
    "stderr_repeat_duration",
    "stderr_string",
    "stdout_repeat",
    "stdout_repeat_duration",
    "stdout_string",
];
/// Of these the ones that a command within a task can't have: nobody stops it.
const NOT_OF_A_COMMAND: &str = "kill_after";

/// The configuration of the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    /// Whether the host may use the driver.
    pub(super) is_enabled: bool,
    /// The fault of tasks that have none of their own.
    pub(super) fault: Option<AnyFault>,
}

impl Settings {
    pub(super) fn schema() -> Spec {
        Spec::object([
            (
                "enabled",
                Spec::optional("enabled", Type::Bool).or(true.into()),
            ),
            ("fault", Spec::optional("fault", Type::String)),
        ])
    }

    /// Reads what a host sends; nothing at all is every default.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let keys = checked(&Self::schema(), bytes)?;
        Ok(Self {
            is_enabled: keys.get("enabled") != Some(&Value::Bool(false)),
            fault: fault(&keys)?,
        })
    }
}

/// What a task is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Payload {
    /// A program and its arguments.
    Command(Vec<String>),
    /// A script, played by this program.
    Script(Text),
    /// A script that stands in a file; a relative path begins in the folder of the task.
    ScriptFile(PathBuf),
}

/// The text of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    /// What its file is called: the ending tells JSON from TOML.
    pub(super) name: &'static str,
}

/// What a task's configuration asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) payload: Payload,
    /// Whether the driver copies the output of a command itself.
    forwards: bool,
    /// Where the task starts; none: in its folder. An absolute path.
    pub(super) work_dir: Option<PathBuf>,
    pub(super) fault: Option<AnyFault>,
    /// How long its start takes.
    pub(super) start_block_for: Duration,
    /// Why its start fails, and whether a later one may succeed.
    pub(super) start_error: Option<(String, bool)>,
    /// What its waiters are told beside the exit.
    pub(super) exit_err_msg: Option<String>,
    /// The answer to a signal, which is not sent then.
    pub(super) signal_error: Option<String>,
    /// How long after the start the plugin dies.
    pub(super) plugin_exit_after: Option<Duration>,
    /// What is played in the place of every command within the task.
    pub(super) exec_command: Option<Text>,
    pub(super) network: Option<NetworkOverride>,
}

impl Plan {
    pub(super) fn schema() -> Spec {
        let text = |name: &str| Spec::optional(name, Type::String);
        let mut nodes = played();
        for name in [
            "command",
            "script",
            "work_dir",
            "fault",
            "kill_after",
            "start_block_for",
            "start_error",
            "exit_err_msg",
            "signal_error",
            "plugin_exit_after",
            "driver_ip",
            "driver_port_map",
        ] {
            nodes.insert(name.to_owned(), text(name));
        }
        for name in ["start_error_recoverable", "driver_advertise", "forwards"] {
            let node = Spec::optional(name, Type::Bool).or(false.into());
            nodes.insert(name.to_owned(), node);
        }
        let none = Literal::parse("[]").expect("an empty list is a constant");
        let args = Spec::optional("args", Type::List(Box::new(Type::String))).or(none);
        nodes.insert("args".to_owned(), args);
        let exec_command = Spec::Block {
            name: "exec_command".to_owned(),
            required: false,
            nested: Box::new(Spec::Object(played())),
        };
        nodes.insert("exec_command".to_owned(), exec_command);
        Spec::Object(nodes)
    }

    /// Reads what a host sends. The error names the key.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let keys = checked(&Self::schema(), bytes)?;
        let is_recoverable = keys.get("start_error_recoverable") == Some(&Value::Bool(true));
        let start_error = text(&keys, "start_error").map(|why| (why, is_recoverable));
        if is_recoverable && start_error.is_none() {
            return Err("start_error_recoverable: there is no start_error".to_owned());
        }
        let exec_command = match keys.get("exec_command") {
            Some(Value::Map(inner)) => {
                let text = document(inner);
                parse(&text).map_err(|why| format!("exec_command.{why}"))?;
                Some(text)
            }
            Some(_) | None => None,
        };
        let payload = payload(&keys)?;
        let forwards = keys.get("forwards") == Some(&Value::Bool(true));
        let work_dir = text(&keys, "work_dir").map(PathBuf::from);
        let is_command = matches!(payload, Payload::Command(_));
        for (key, is_set) in [("forwards", forwards), ("work_dir", work_dir.is_some())] {
            if is_set && !is_command {
                return Err(format!("{key}: there is no command"));
            }
        }
        if let Some(folder) = work_dir.as_ref().filter(|folder| !folder.is_absolute()) {
            return Err(format!(
                "work_dir: {} is not absolute; write the whole path",
                folder.display()
            ));
        }
        Ok(Self {
            payload,
            forwards,
            work_dir,
            fault: fault(&keys)?,
            start_block_for: duration(&keys, "start_block_for")?.unwrap_or_default(),
            start_error,
            exit_err_msg: text(&keys, "exit_err_msg"),
            signal_error: text(&keys, "signal_error"),
            plugin_exit_after: duration(&keys, "plugin_exit_after")?,
            exec_command,
            network: network(&keys)?,
        })
    }
}

impl Plan {
    /// The program and the arguments of a command that the executor runs; none for whatever this driver plays or
    /// forwards itself. What is wrong with a fault is in the forwarding, so a task with one is forwarded.
    pub(super) fn executed(&self, fault: Option<AnyFault>) -> Option<&[String]> {
        match &self.payload {
            Payload::Command(argv) if !self.forwards && fault.is_none() => Some(argv),
            Payload::Command(_) | Payload::Script(_) | Payload::ScriptFile(_) => None,
        }
    }
}

/// The fields that a script and a command within a task have.
fn played() -> BTreeMap<String, Spec> {
    let mut nodes = BTreeMap::new();
    for name in PLAYED.into_iter().filter(|name| *name != NOT_OF_A_COMMAND) {
        let node = match name {
            "exit_code" => Spec::optional(name, Type::Number).or(0.into()),
            "exit_signal" | "stdout_repeat" | "stderr_repeat" => Spec::optional(name, Type::Number),
            _ => Spec::optional(name, Type::String),
        };
        nodes.insert(name.to_owned(), node);
    }
    nodes
}

type Keys = BTreeMap<String, Value>;

/// Reads a configuration and checks the keys that the schema knows.
fn checked(schema: &Spec, bytes: &[u8]) -> Result<Keys, String> {
    let value = msgpack::decode(bytes).map_err(|error| error.to_string())?;
    let value = known(schema, value);
    match schema.check(&value).map_err(|faults| faults.to_string())? {
        Value::Map(keys) => Ok(keys),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::List(_)) => Err(format!("use {} as a configuration", other.described())),
    }
}

/// The value without keys that the schema does not have.
fn known(schema: &Spec, value: Value) -> Value {
    match (schema, value) {
        (Spec::Object(nodes), Value::Map(keys)) => Value::Map(
            keys.into_iter()
                .filter_map(|(key, value)| {
                    let value = known(nodes.get(&key)?, value);
                    Some((key, value))
                })
                .collect(),
        ),
        (Spec::Block { nested, .. }, value) => known(nested, value),
        (_, value) => value,
    }
}

/// A text; an empty one is none, as a host may write what is not set.
fn text(keys: &Keys, key: &str) -> Option<String> {
    match keys.get(key) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
        Some(_) | None => None,
    }
}

fn duration(keys: &Keys, key: &str) -> Result<Option<Duration>, String> {
    let Some(text) = text(keys, key) else {
        return Ok(None);
    };
    let wrong = || format!("{key}: `{text}` is not a duration such as 200ms, 2s or 1m30s");
    parse_duration(&text).map(Some).ok_or_else(wrong)
}

fn fault(keys: &Keys) -> Result<Option<AnyFault>, String> {
    let name = text(keys, "fault");
    name.map(|name| AnyFault::named(&name).map_err(|why| format!("fault: {why}")))
        .transpose()
}

fn payload(keys: &Keys) -> Result<Payload, String> {
    let own = document(keys);
    let field = PLAYED.into_iter().find(|key| is_set(keys, key));
    let (command, script) = (text(keys, "command"), text(keys, "script"));
    let named = [
        command.as_ref().map(|_| "command"),
        script.as_ref().map(|_| "script"),
        field,
    ];
    let mut named = named.into_iter().flatten();
    if let (Some(first), Some(second)) = (named.next(), named.next()) {
        return Err(format!(
            "{first}, {second}: both are set, and a task has either a command, a script, or the fields of \
             Nomad's mock driver; leave one of them out"
        ));
    }
    let args = match keys.get("args") {
        Some(Value::List(args)) => args.as_slice(),
        Some(_) | None => &[],
    };
    if let Some(command) = command {
        let mut argv = vec![command];
        // The schema has made texts of all of them.
        argv.extend(args.iter().filter_map(|arg| {
            if let Value::Text(arg) = arg {
                Some(arg.clone())
            } else {
                None
            }
        }));
        return Ok(Payload::Command(argv));
    }
    if !args.is_empty() {
        return Err("args: there is no command".to_owned());
    }
    let Some(script) = script else {
        parse(&own)?;
        return Ok(Payload::Script(own));
    };
    if !script.contains(['\n', '=', '{']) {
        return Ok(Payload::ScriptFile(script.into()));
    }
    let is_json = script.trim_start().starts_with('{');
    let name = if is_json {
        "script.json"
    } else {
        "script.toml"
    };
    let script = Text { text: script, name };
    parse(&script).map_err(|why| format!("script: {why}"))?;
    Ok(Payload::Script(script))
}

/// What is not null and not the zero that stands for nothing.
fn is_set(keys: &Keys, key: &str) -> bool {
    match keys.get(key) {
        None | Some(Value::Null) => false,
        Some(Value::Text(text)) => !text.is_empty(),
        Some(value) => *value != Value::Number(0.into()),
    }
}

/// The fields that are played, as a script of their own.
fn document(keys: &Keys) -> Text {
    let fields: Map<String, Json> = PLAYED
        .iter()
        .filter(|key| is_set(keys, key))
        .map(|key| ((*key).to_owned(), keys[*key].to_json()))
        .collect();
    Text {
        text: Json::Object(fields).to_string(),
        name: "script.json",
    }
}

/// Reads a script. The error names the key, and no file: there is none.
pub(super) fn parse(script: &Text) -> Result<Script, String> {
    Script::parse(&script.text, Path::new(script.name)).map_err(|error| match error {
        ScriptError::Field { field, problem, .. } => format!("{field}: {problem}"),
        ScriptError::Step {
            number, problem, ..
        } => format!("step {number}: {problem}"),
        ScriptError::Toml { source, .. } => source.to_string(),
        ScriptError::Json { source, .. } => {
            // serde_json knows the place and not the key.
            let code: Option<Json> = serde_json::from_str(&script.text).ok();
            let code = code.and_then(|json| json.get("exit_code").cloned());
            match code.filter(|code| code.as_u64().is_none_or(|code| code > 255)) {
                Some(code) => format!("exit_code: {code} is not a status of 0 to 255"),
                None => source.to_string(),
            }
        }
    })
}

fn network(keys: &Keys) -> Result<Option<NetworkOverride>, String> {
    let mut port_map = BTreeMap::new();
    if let Some(pair) = text(keys, "driver_port_map") {
        let parsed = pair
            .split_once(':')
            .and_then(|(label, port)| Some((label.to_owned(), port.parse::<u16>().ok()?)));
        let (label, port) = parsed
            .filter(|(label, _)| !label.is_empty())
            .ok_or_else(|| {
                format!("driver_port_map: `{pair}` is not a label and a port such as http:8080")
            })?;
        port_map.insert(label, port.into());
    }
    let addr = text(keys, "driver_ip").unwrap_or_default();
    let auto_advertise = keys.get("driver_advertise") == Some(&Value::Bool(true));
    if addr.is_empty() && port_map.is_empty() && !auto_advertise {
        return Ok(None);
    }
    Ok(Some(NetworkOverride {
        port_map,
        addr,
        auto_advertise,
    }))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
