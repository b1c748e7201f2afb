//! The messages of the stdio adapter, and what each answer must look like. (core)
//!
//! ```text
//! suite   {"seq":2,"op":"wait","id":"task-0"}
//! driver  {"seq":2,"exit":42,"signal":null}
//! ```
//!
//! One line each way, in UTF-8, ended by a newline. An answer repeats the request's `seq`; answers
//! may come in any order. Beside its own fields an answer is `{"seq":N,"unsupported":true}` for what
//! the driver does not know, or `{"seq":N,"error":"…"}` for what it knows and can't do.
//!
//! The suite states here what it expects; the drivers have an implementation of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fields::Fields;
use crate::trace::Exit;

/// The version of the protocol.
pub const PROTOCOL: u32 = 1;

/// What the suite judges by, told in `hello`.
pub const SPEC: &str = "SPEC.md";

/// What brings a task back: the id, and whatever the driver wants to be told again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handle {
    /// The task's id.
    pub id: String,
    /// Any JSON value but null, chosen by the driver.
    pub handle: Value,
}

/// What the suite asks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// The first one.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Name and version of the suite.
        suite: String,
        /// [`SPEC`].
        spec: String,
    },
    /// Starts a task.
    Start {
        /// Its id, not used before in this process.
        id: String,
        /// Program and arguments.
        argv: Vec<String>,
        /// Added to the driver's own environment.
        env: BTreeMap<String, String>,
        /// The user that the task runs as; none for the driver's own.
        user: Option<String>,
        /// The FIFO, or `/dev/null`.
        stdout: String,
        /// The FIFO, or `/dev/null`.
        stderr: String,
        /// A folder for the driver's and the task's files.
        task_dir: String,
        /// Where logmon writes.
        log_dir: String,
    },
    /// Is answered when the task has ended.
    Wait {
        /// Which task.
        id: String,
    },
    /// Ends a task; answered when it has ended.
    Stop {
        /// Which task.
        id: String,
        /// Sent first, as `SIGTERM`.
        signal: String,
        /// Milliseconds until SIGKILL follows.
        timeout_ms: u64,
    },
    /// Sends a signal to a task.
    Signal {
        /// Which task.
        id: String,
        /// As `SIGUSR1`.
        signal: String,
    },
    /// Leaves the tasks alone and ends the process.
    Detach {},
    /// Takes tasks over.
    Recover {
        /// From `start` or `detach`.
        handles: Vec<Handle>,
    },
    /// Forgets a task, and kills it if it still runs.
    Destroy {
        /// Which task.
        id: String,
    },
    /// An operation that nobody knows.
    #[serde(untagged)]
    Other {
        /// Its name.
        op: String,
    },
}

#[derive(Serialize)]
struct Framed<'a> {
    seq: u64,
    #[serde(flatten)]
    request: &'a Request,
}

impl Request {
    /// Its name on the wire.
    #[must_use]
    pub fn op(&self) -> &str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Start { .. } => "start",
            Self::Wait { .. } => "wait",
            Self::Stop { .. } => "stop",
            Self::Signal { .. } => "signal",
            Self::Detach {} => "detach",
            Self::Recover { .. } => "recover",
            Self::Destroy { .. } => "destroy",
            Self::Other { op } => op,
        }
    }

    /// The greeting of this suite.
    #[must_use]
    pub fn hello() -> Self {
        Self::Hello {
            protocol: PROTOCOL,
            suite: concat!("harness ", env!("CARGO_PKG_VERSION")).to_owned(),
            spec: SPEC.to_owned(),
        }
    }

    /// The line, without its newline.
    ///
    /// # Panics
    /// Never: every field can be written as JSON.
    #[must_use]
    pub fn line(&self, seq: u64) -> String {
        let framed = Framed { seq, request: self };
        serde_json::to_string(&framed).expect("texts, numbers and JSON values can be written")
    }
}

/// A line that is an answer to something.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The request's number.
    pub seq: u64,
    /// Everything else.
    pub fields: Map<String, Value>,
}

/// Reads a line as an answer.
///
/// # Errors
/// Why it is none, as a sentence.
pub fn read_line(line: &str) -> Result<Line, String> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| format!("an answer is one JSON object on one line: {error}"))?;
    let Value::Object(mut fields) = value else {
        return Err("an answer is one JSON object on one line, and this is another value".into());
    };
    let seq = fields.remove("seq");
    match seq.as_ref().and_then(Value::as_u64) {
        Some(seq) => Ok(Line { seq, fields }),
        None => Err(match seq {
            None => "`seq` is missing; an answer repeats its request's".into(),
            Some(seq) => format!("`seq` must be the request's whole number, and is {seq}"),
        }),
    }
}

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<T> {
    /// Done, with what belongs to it.
    Done(T),
    /// The driver does not know the operation.
    Unsupported,
    /// The driver could not do it, with its reason.
    Failed(String),
}

impl<T> Reply<T> {
    fn read(
        fields: &Map<String, Value>,
        done: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> Result<Self, Vec<String>> {
        let mut reader = Fields::new(fields);
        let reply = if fields.contains_key("unsupported") {
            if reader.any("unsupported") != Value::Bool(true) {
                reader.complain("`unsupported` must be true where it stands".into());
            }
            Self::Unsupported
        } else if fields.contains_key("error") {
            Self::Failed(reader.text("error"))
        } else {
            Self::Done(done(&mut reader))
        };
        match reader.end() {
            problems if problems.is_empty() => Ok(reply),
            problems => Err(problems),
        }
    }
}

/// The answer to `hello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The driver's name.
    pub driver: String,
    /// Its version.
    pub version: String,
    /// What it declares, as it wrote it.
    pub capabilities: Vec<String>,
}

/// The answer to `start`.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// For `recover`.
    pub handle: Value,
    /// The task's process, if the driver says.
    pub pid: Option<i32>,
}

/// The answer to `detach`.
#[derive(Clone, Debug, PartialEq)]
pub struct Detached {
    /// One for each task that is not destroyed.
    pub handles: Vec<Handle>,
}

/// A task that could not be recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Which.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// The answer to `recover`. Each id that was asked for stands in one of the lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Taken over.
    pub ok: Vec<String>,
    /// Not taken over.
    pub lost: Vec<Lost>,
}

type Wrong = Vec<String>;

impl Reply<Greeting> {
    /// The answer to `hello`.
    ///
    /// # Errors
    /// What is wrong, by field.
    pub fn to_hello(fields: &Map<String, Value>) -> Result<Self, Wrong> {
        Self::read(fields, |fields| Greeting {
            driver: fields.text("driver"),
            version: fields.text("version"),
            capabilities: fields.texts("capabilities"),
        })
    }
}

impl Reply<Started> {
    /// The answer to `start`.
    ///
    /// # Errors
    /// What is wrong, by field.
    pub fn to_start(fields: &Map<String, Value>) -> Result<Self, Wrong> {
        Self::read(fields, |fields| Started {
            handle: fields.any("handle"),
            pid: fields.number("pid", 2, i32::MAX),
        })
    }
}

impl Reply<Exit> {
    /// The answer to `wait`.
    ///
    /// # Errors
    /// What is wrong, by field.
    pub fn to_wait(fields: &Map<String, Value>) -> Result<Self, Wrong> {
        Self::read(fields, |reader| {
            let (exit, signal) = (
                reader.number("exit", 0, 255),
                reader.number("signal", 1, 64),
            );
            let given = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
            match (exit, signal, given("exit") == given("signal")) {
                (Some(code), None, false) => Exit::Code(code),
                (None, Some(signal), false) => Exit::Signal(signal),
                (_, _, false) => Exit::Code(0),
                (_, _, true) => {
                    reader.complain(
                        "exactly one of `exit` and `signal` must be a number, the other null"
                            .into(),
                    );
                    Exit::Code(0)
                }
            }
        })
    }
}

impl Reply<()> {
    /// The answer to `stop`, `signal`, `destroy`, and to what nobody knows.
    ///
    /// # Errors
    /// What is wrong, by field.
    pub fn to_order(fields: &Map<String, Value>) -> Result<Self, Wrong> {
        Self::read(fields, |_| ())
    }
}

impl Reply<Detached> {
    /// The answer to `detach`.
    ///
    /// # Errors
    /// What is wrong, by field.
    pub fn to_detach(fields: &Map<String, Value>) -> Result<Self, Wrong> {
        Self::read(fields, |fields| Detached {
            handles: fields.objects("handles", |one| Handle {
                id: one.text("id"),
                handle: one.any("handle"),
            }),
        })
    }
}

impl Reply<Recovered> {
    /// The answer to `recover` of these ids.
    ///
    /// # Errors
    /// What is wrong, by field.
    pub fn to_recover(fields: &Map<String, Value>, asked: &[&str]) -> Result<Self, Wrong> {
        Self::read(fields, |fields| {
            let ok = fields.texts("ok");
            let lost = fields.objects("lost", |one| Lost {
                id: one.text("id"),
                reason: one.text("reason"),
            });
            for id in asked {
                let named = ok.iter().map(String::as_str);
                let named = named.chain(lost.iter().map(|one| one.id.as_str()));
                match named.filter(|one| one == id).count() {
                    1 => {}
                    0 => fields.complain(format!(
                        "{id:?} must stand in `ok` or in `lost`, and stands in neither"
                    )),
                    _ => {
                        fields.complain(format!("{id:?} stands in `ok` and `lost` more than once"))
                    }
                }
            }
            Recovered { ok, lost }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_request_begins_with_its_number_and_its_name() {
        let wait = Request::Wait { id: "a".into() };
        assert_eq!(wait.line(7), r#"{"seq":7,"op":"wait","id":"a"}"#);
        assert_eq!(Request::Detach {}.line(8), r#"{"seq":8,"op":"detach"}"#);
        let other = Request::Other { op: "x-1".into() };
        assert_eq!(other.line(9), r#"{"seq":9,"op":"x-1"}"#);
        let hello = Request::hello().line(1);
        assert!(
            hello.starts_with(r#"{"seq":1,"op":"hello","protocol":1,"suite":"harness "#),
            "{hello}"
        );
    }

    #[test]
    fn a_line_that_is_no_answer_says_why() {
        for (line, why) in [
            ("hello", "one JSON object"),
            ("[1]", "another value"),
            ("{}", "`seq` is missing"),
            ("{\"seq\":\"1\"}", "and is \"1\""),
            ("{\"seq\":-1}", "and is -1"),
        ] {
            let error = read_line(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
        assert_eq!(read_line("{\"seq\":3}").unwrap().seq, 3);
    }

    #[test]
    fn an_end_is_a_code_or_a_signal_and_never_both() {
        let read = |text: &str| Reply::to_wait(&fields(text));
        assert_eq!(
            read(r#"{"exit":42,"signal":null}"#),
            Ok(Reply::Done(Exit::Code(42)))
        );
        assert_eq!(read(r#"{"signal":9}"#), Ok(Reply::Done(Exit::Signal(9))));
        for (text, why) in [
            ("{}", "exactly one"),
            (r#"{"exit":0,"signal":9}"#, "exactly one"),
            (
                r#"{"exit":256}"#,
                "`exit` must be a whole number of 0 to 255",
            ),
            (r#"{"exit":"42"}"#, "and is \"42\""),
            (r#"{"exit":1,"code":1}"#, "`code` does not belong there"),
        ] {
            let problems = read(text).unwrap_err();
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].contains(why), "{text}: {problems:?}");
        }
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let problems =
            Reply::to_hello(&fields(r#"{"driver":"","capabilities":"forwards"}"#)).unwrap_err();
        assert_eq!(
            problems,
            [
                "`driver` must be a text that is not empty, and is \"\"",
                "`version` is missing; it must be a text that is not empty",
                "`capabilities` must be a list of texts, and is \"forwards\"",
            ]
        );
    }

    #[test]
    fn what_is_unsupported_or_failed_has_nothing_else() {
        assert_eq!(
            Reply::to_order(&fields(r#"{"unsupported":true}"#)),
            Ok(Reply::Unsupported)
        );
        assert_eq!(
            Reply::to_start(&fields(r#"{"error":"no"}"#)),
            Ok(Reply::Failed("no".into()))
        );
        assert!(Reply::to_order(&fields(r#"{"unsupported":false}"#)).is_err());
        assert!(Reply::to_start(&fields(r#"{"error":"no","handle":1}"#)).is_err());
        assert!(Reply::to_order(&fields(r#"{"ok":true}"#)).is_err());
    }

    #[test]
    fn a_recovery_names_each_task_once() {
        let read = |text: &str| Reply::to_recover(&fields(text), &["a", "b"]);
        let good = read(r#"{"ok":["a"],"lost":[{"id":"b","reason":"gone"}]}"#).unwrap();
        assert!(matches!(good, Reply::Done(one) if one.ok == ["a"] && one.lost[0].id == "b"));
        for (text, why) in [
            (r#"{"ok":["a"],"lost":[]}"#, "neither"),
            (
                r#"{"ok":["a","b"],"lost":[{"id":"b","reason":"gone"}]}"#,
                "more than once",
            ),
            (
                r#"{"ok":["a"],"lost":[{"id":"b"}]}"#,
                "`lost[0].reason` is missing",
            ),
            (
                r#"{"ok":["a","b"],"lost":["c"]}"#,
                "`lost[0]` must be an object",
            ),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems[0].contains(why), "{text}: {problems:?}");
        }
    }
}
