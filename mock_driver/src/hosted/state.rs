//! What a driver leaves with its host to find a task again: a core.
//!
//! It travels as MessagePack, and only this driver reads it. A process is known by its number, by when it
//! began, and by the run of the machine that both belong to.

use plugin::msgpack;
use plugin::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The version of what is left of a task that this driver forwards.
const VERSION: u32 = 1;
/// The same of a command that the executor runs.
const EXECUTED: u32 = 2;

/// What brings a task back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    /// Which run of the machine it is.
    pub(super) boot: String,
    pub(super) executor: Process,
    /// The main process of the task.
    pub(super) task: Process,
    /// Milliseconds since 1970.
    pub(super) started_ms: u64,
    /// What the executor finds a command by. What is null in it does not travel, and the executor does without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<Json>,
}

/// A process that has its number only for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// In ticks since the machine began; 0 for one that was gone before anybody looked.
    pub(super) began: u64,
}

impl State {
    pub(super) fn new(boot: String, executor: Process, task: Process, started_ms: u64) -> Self {
        Self {
            version: VERSION,
            boot,
            executor,
            task,
            started_ms,
            kept: None,
        }
    }

    /// The same of a command that the executor runs, with what that finds it by.
    pub(super) fn executed(self, kept: Json) -> Self {
        Self {
            version: EXECUTED,
            kept: Some(kept),
            ..self
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_value(self).expect("numbers and texts are JSON");
        msgpack::encode(&Value::from_json(&json))
    }

    /// Reads it. The error is meant for a host that was given something else.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let refused = |why: String| format!("cannot use the handle's driver_state: {why}");
        let value = msgpack::decode(bytes).map_err(|error| refused(error.to_string()))?;
        let json = value.to_json();
        let known = [VERSION, EXECUTED].map(u64::from);
        match json.get("version").and_then(Json::as_u64) {
            Some(version) if known.contains(&version) => {}
            Some(other) => {
                return Err(refused(format!(
                    "it has version {other}, not {VERSION} or {EXECUTED}"
                )));
            }
            None => return Err(refused("it has no version".to_owned())),
        }
        let state: Self =
            serde_json::from_value(json).map_err(|error| refused(error.to_string()))?;
        if state.kept.is_some() != (state.version == EXECUTED) {
            return Err(refused(format!(
                "`kept` is there in version {EXECUTED}, and in no other"
            )));
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_is_read_and_anything_else_is_refused_by_name() {
        let [executor, task] = [(7, 700), (8, 801)].map(|(pid, began)| Process { pid, began });
        let state = State::new("boot".to_owned(), executor, task, 1_700_000_000_123);
        assert_eq!(State::decode(&state.encode()), Ok(state.clone()));
        let kept = json!({"warden": {"pid": 7, "birth": 700}, "folder": "/a"});
        let executed = state.clone().executed(kept);
        assert_eq!(State::decode(&executed.encode()), Ok(executed.clone()));
        for (version, of, why) in [
            (3, &state, "it has version 3, not 1 or 2"),
            (2, &state, "`kept` is there in version 2, and in no other"),
            (
                1,
                &executed,
                "`kept` is there in version 2, and in no other",
            ),
        ] {
            let other = State {
                version,
                ..of.clone()
            };
            let refusal = State::decode(&other.encode()).unwrap_err();
            assert!(refusal.ends_with(why), "{refusal}");
        }
        for (bytes, why) in [
            (&b""[..], "it has no version"),
            (b"\xc1", "there is no tag 0xc1"),
            (b"\x81\xa7version\x01", "missing field `boot`"),
        ] {
            let refusal = State::decode(bytes).unwrap_err();
            assert!(refusal.contains("driver_state"), "{refusal}");
            assert!(refusal.contains(why), "{refusal}");
        }
    }
}
