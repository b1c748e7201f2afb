//! Where a running plugin is reached, in the JSON that Nomad keeps (core).
//!
//! ```text
//! {"Protocol":"grpc","Network":"unix","Addr":"/tmp/plugin123","Pid":4711}
//! ```
//! The keys are capitalised. Keys that are not known are ignored.
//!
//! There is no place for a certificate, so a plugin that speaks TLS can't be found again. What we keep of
//! one has a key `TLS` with the value true beside, and is refused when it is read.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::handshake::Address;

/// What a host must keep to find its plugin again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reattach {
    /// Where it listens.
    pub address: Address,
    /// Its process, 1 or more.
    pub pid: i32,
}

/// Why a text says nothing about a running plugin.
#[derive(Debug, thiserror::Error)]
pub enum ReattachError {
    /// The text is no JSON.
    #[error("read the JSON of a running plugin")]
    Json(#[source] serde_json::Error),
    /// The JSON is no object.
    #[error("find an object in the JSON of a running plugin, there is {0}")]
    NotAnObject(&'static str),
    /// A key is missing.
    #[error("find the key {0} in the JSON of a running plugin")]
    Missing(&'static str),
    /// The plugin speaks TLS, and what was kept of it has no certificate.
    #[error("find a plugin again that speaks TLS: its certificate stood in the handshake alone")]
    Encrypted,
    /// A key has a value that cannot be used.
    #[error("use {found} as {key} of a running plugin: {wanted} is expected")]
    Wrong {
        /// The key.
        key: &'static str,
        /// What stands there.
        found: String,
        /// What should.
        wanted: &'static str,
    },
}

impl Reattach {
    /// Reads the JSON.
    ///
    /// # Errors
    /// [`ReattachError`], which names the key.
    pub fn parse(text: &str) -> Result<Self, ReattachError> {
        let value: Value = serde_json::from_str(text).map_err(ReattachError::Json)?;
        let Value::Object(keys) = value else {
            return Err(ReattachError::NotAnObject(crate::value::kind_of_json(
                &value,
            )));
        };
        if keys.get("TLS") == Some(&Value::Bool(true)) {
            return Err(ReattachError::Encrypted);
        }
        let protocol = text_of(&keys, "Protocol", "\"grpc\"")?;
        if protocol != "grpc" {
            return Err(wrong("Protocol", &keys["Protocol"], "\"grpc\""));
        }
        let network = text_of(&keys, "Network", "\"unix\" or \"tcp\"")?;
        let address = text_of(&keys, "Addr", "an address")?;
        if address.is_empty() {
            return Err(wrong("Addr", &keys["Addr"], "an address"));
        }
        let address = match network {
            "unix" => Address::Unix(PathBuf::from(address)),
            "tcp" => Address::Tcp(address.to_owned()),
            _ => return Err(wrong("Network", &keys["Network"], "\"unix\" or \"tcp\"")),
        };
        let found = keys.get("Pid").ok_or(ReattachError::Missing("Pid"))?;
        let pid = found
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok())
            .filter(|pid| *pid > 0)
            .ok_or_else(|| wrong("Pid", found, "the number of a process"))?;
        Ok(Self { address, pid })
    }

    /// Gives the JSON of a plugin that speaks TLS, which is refused when it is read.
    pub(crate) fn to_json_of_tls(&self) -> String {
        self.to_json().replacen('{', r#"{"TLS":true,"#, 1)
    }

    /// Gives the JSON, on one line without a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (network, address) = match &self.address {
            Address::Unix(path) => ("unix", path.to_string_lossy().into_owned()),
            Address::Tcp(address) => ("tcp", address.clone()),
        };
        // By hand, as the order of the keys is the original's.
        format!(
            r#"{{"Protocol":"grpc","Network":"{network}","Addr":{},"Pid":{}}}"#,
            json!(address),
            self.pid
        )
    }
}

fn text_of<'a>(
    keys: &'a Map<String, Value>,
    key: &'static str,
    wanted: &'static str,
) -> Result<&'a str, ReattachError> {
    let value = keys.get(key).ok_or(ReattachError::Missing(key))?;
    value.as_str().ok_or_else(|| wrong(key, value, wanted))
}

fn wrong(key: &'static str, found: &Value, wanted: &'static str) -> ReattachError {
    let found = found.to_string();
    let found = if found.chars().count() > 120 {
        found.chars().take(120).chain(['…']).collect()
    } else {
        found
    };
    ReattachError::Wrong { key, found, wanted }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JSON: &str =
        r#"{"Protocol":"grpc","Network":"unix","Addr":"/tmp/plugin123456","Pid":4711}"#;

    fn message(text: &str) -> String {
        Reattach::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_json_is_what_nomad_keeps() {
        let reattach = Reattach {
            address: Address::Unix("/tmp/plugin123456".into()),
            pid: 4711,
        };
        assert_eq!(reattach.to_json(), JSON);
        assert_eq!(Reattach::parse(JSON).unwrap(), reattach);
    }

    #[test]
    fn unknown_keys_are_ignored_and_keys_in_small_letters_are_unknown() {
        let more = JSON.replace('{', r#"{"ProtocolVersion":2,"Test":false,"#);
        assert_eq!(Reattach::parse(&more).unwrap().pid, 4711);
        assert_eq!(
            message(&JSON.replace("Addr", "addr")),
            "find the key Addr in the JSON of a running plugin"
        );
    }

    #[test]
    fn a_plugin_that_speaks_tls_is_not_to_be_found_again() {
        let json = Reattach::parse(JSON).unwrap().to_json_of_tls();
        assert!(
            json.starts_with(r#"{"TLS":true,"Protocol":"grpc","#),
            "{json}"
        );
        assert_eq!(
            message(&json),
            "find a plugin again that speaks TLS: its certificate stood in the handshake alone"
        );
        assert!(Reattach::parse(&json.replace("true", "false")).is_ok());
    }

    #[test]
    fn an_error_names_the_key_and_what_stands_there() {
        assert_eq!(message("{"), "read the JSON of a running plugin");
        assert_eq!(
            message("[]"),
            "find an object in the JSON of a running plugin, there is a list"
        );
        let cases = [
            ("\"grpc\"", "\"netrpc\"", "use \"netrpc\" as Protocol"),
            ("\"unix\"", "\"udp\"", "use \"udp\" as Network"),
            ("\"unix\"", "7", "use 7 as Network"),
            ("\"/tmp/plugin123456\"", "\"\"", "use \"\" as Addr"),
            ("4711", "0", "use 0 as Pid"),
            ("4711", "-1", "use -1 as Pid"),
            ("4711", "\"4711\"", "use \"4711\" as Pid"),
            ("4711", "5000000000", "use 5000000000 as Pid"),
        ];
        for (old, new, start) in cases {
            let text = message(&JSON.replace(old, new));
            assert!(text.starts_with(start), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(path in ".{1,80}", pid in 1..i32::MAX) {
            let one = Reattach { address: Address::Unix(path.into()), pid };
            prop_assert_eq!(Reattach::parse(&one.to_json()).unwrap(), one);
        }
    }
}
