//! The requests that a driver is told, one JSON object a line (core).

use std::time::Duration;

use serde_json::{Map, Value};

use super::fields::{Fields, wrong};
use crate::warden::KeptSpec;

/// The version of the protocol.
const PROTOCOL: u64 = 1;

/// How long a start waits for the readers of both FIFOs, in milliseconds. A collector may come five seconds late; and
/// the answer has to come in ten seconds.
const OPEN_MS: u64 = 8000;

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    /// Its number, which the answer repeats.
    pub(crate) seq: u64,
    pub(crate) order: Order,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    Hello,
    Start(Start),
    Wait {
        id: String,
    },
    Stop {
        id: String,
        signal: String,
        timeout: Duration,
    },
    Signal {
        id: String,
        signal: String,
    },
    Destroy {
        id: String,
    },
    Stats {
        id: String,
    },
    Detach,
    Recover(Vec<Claim>),
    /// Something that this protocol does not know.
    Unknown,
}

/// What a task is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) id: String,
    pub(crate) task: KeptSpec,
}

/// A task that a driver before this one had.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claim {
    pub(crate) id: String,
    pub(crate) handle: Value,
}

/// A line that is no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadRequest {
    /// Its number; none if it has none, and can't be answered.
    pub(crate) seq: Option<u64>,
    /// What is wrong about it, by field.
    pub(crate) why: String,
}

/// Reads a line. One that is no UTF-8 is refused, and answered if its number can be read all the same: a program with
/// other arguments than those that were meant is worse than none.
pub(crate) fn read(line: &[u8]) -> Result<Request, BadRequest> {
    let error = match std::str::from_utf8(line) {
        Ok(line) => return parse(line),
        Err(error) => error,
    };
    let seq = match parse(&String::from_utf8_lossy(line)) {
        Ok(request) => Some(request.seq),
        Err(bad) => bad.seq,
    };
    let why = format!("it is no UTF-8 from byte {} on", error.valid_up_to());
    Err(BadRequest { seq, why })
}

/// Reads a line.
fn parse(line: &str) -> Result<Request, BadRequest> {
    let unanswerable = |why: String| BadRequest { seq: None, why };
    let mut map: Map<String, Value> = serde_json::from_str(line)
        .map_err(|error| unanswerable(format!("it is no JSON object: {error}")))?;
    let seq = map.remove("seq").unwrap_or_default();
    let seq = match seq.as_u64() {
        Some(seq @ 1..) => seq,
        Some(0) | None => {
            let why = wrong("seq", "a whole number, 1 or more", &seq);
            return Err(unanswerable(why));
        }
    };
    match order(Fields::new(map)) {
        Ok(order) => Ok(Request { seq, order }),
        Err(why) => Err(BadRequest {
            seq: Some(seq),
            why,
        }),
    }
}

fn order(mut fields: Fields) -> Result<Order, String> {
    let op = fields.text("op")?;
    let order = match op.as_str() {
        "hello" => hello(&mut fields)?,
        "start" => Order::Start(start(&mut fields)?),
        "wait" => Order::Wait {
            id: fields.text("id")?,
        },
        "stop" => Order::Stop {
            id: fields.text("id")?,
            signal: fields.text("signal")?,
            timeout: Duration::from_millis(fields.number("timeout_ms")?),
        },
        "signal" => Order::Signal {
            id: fields.text("id")?,
            signal: fields.text("signal")?,
        },
        "destroy" => Order::Destroy {
            id: fields.text("id")?,
        },
        "stats" => Order::Stats {
            id: fields.text("id")?,
        },
        "detach" => Order::Detach,
        "recover" => {
            let handles = fields.list("handles")?;
            let claims: Result<Vec<Claim>, String> = handles.into_iter().map(claim).collect();
            Order::Recover(claims?)
        }
        // Its fields are not known either.
        _ => return Ok(Order::Unknown),
    };
    fields.end()?;
    Ok(order)
}

fn hello(fields: &mut Fields) -> Result<Order, String> {
    let protocol = fields.value("protocol")?;
    if protocol.as_u64() != Some(PROTOCOL) {
        return Err(wrong("protocol", "1", &protocol));
    }
    fields.text("suite")?;
    fields.text("spec")?;
    Ok(Order::Hello)
}

fn start(fields: &mut Fields) -> Result<Start, String> {
    // Where the log files are is not this driver's affair.
    fields.text("log_dir")?;
    Ok(Start {
        id: fields.text("id")?,
        task: KeptSpec {
            argv: fields.words("argv")?,
            env: fields.texts("env")?,
            inherits_env: true,
            user: fields.text_or_null("user")?,
            stdout: absolute(fields, "stdout")?,
            stderr: absolute(fields, "stderr")?,
            task_dir: absolute(fields, "task_dir")?,
            cwd: None,
            open_ms: OPEN_MS,
            // That is for whoever starts the driver to say.
            trusted_root: None,
        },
    })
}

/// Takes a path that means the same for the next driver, wherever that is started.
fn absolute(fields: &mut Fields, name: &str) -> Result<String, String> {
    let path = fields.text(name)?;
    if path.starts_with('/') {
        Ok(path)
    } else {
        Err(wrong(name, "an absolute path", &Value::String(path)))
    }
}

fn claim(value: Value) -> Result<Claim, String> {
    let Value::Object(map) = value else {
        return Err(wrong("handles", "a list of objects", &value));
    };
    let mut fields = Fields::new(map);
    let within = |why: String| format!("in `handles`: {why}");
    let claim = Claim {
        id: fields.text("id").map_err(within)?,
        handle: fields.value("handle").map_err(within)?,
    };
    fields.end().map_err(within)?;
    Ok(claim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn why(request: &Value) -> String {
        let bad = parse(&request.to_string()).unwrap_err();
        assert_eq!(bad.seq, Some(7), "{request}");
        bad.why
    }

    fn start_request() -> Value {
        json!({"seq": 7, "op": "start", "id": "t", "argv": ["a", ""], "env": {"A": "1"}, "user": null,
            "stdout": "/o", "stderr": "/e", "task_dir": "/t", "log_dir": "/l"})
    }

    #[test]
    fn a_start_is_read_and_its_user_may_be_left_out() {
        let mut request = start_request();
        let read = parse(&request.to_string()).unwrap();
        request.as_object_mut().unwrap().remove("user");
        assert_eq!(parse(&request.to_string()).unwrap(), read);
        let Order::Start(start) = read.order else {
            panic!("{read:?}")
        };
        assert_eq!((start.task.argv.len(), start.task.user), (2, None));
        assert_eq!(start.task.env.get("A").map(String::as_str), Some("1"));
    }

    #[test]
    fn a_field_that_is_missing_wrong_or_too_much_is_named() {
        for field in [
            "id", "argv", "env", "stdout", "stderr", "task_dir", "log_dir",
        ] {
            let mut request = start_request();
            request[field] = json!(3);
            assert!(
                why(&request).starts_with(&format!("`{field}` must be ")),
                "{field}"
            );
            request.as_object_mut().unwrap().remove(field);
            assert_eq!(why(&request), format!("`{field}` is missing"));
        }
        for (field, value) in [
            ("argv", json!([])),
            ("argv", json!(["a", 1])),
            ("env", json!({"A": 1})),
            ("user", json!(7)),
            ("id", json!("")),
            ("stdout", json!("o")),
            ("stderr", json!("../e")),
            ("task_dir", json!("t")),
        ] {
            let mut request = start_request();
            request[field] = value;
            assert!(
                why(&request).starts_with(&format!("`{field}` must be ")),
                "{field}"
            );
        }
        let mut request = start_request();
        request["cwd"] = json!("/");
        assert_eq!(why(&request), "`cwd` is no field of it");
        for (request, told) in [
            (json!({"seq": 7}), "`op` is missing"),
            (json!({"seq": 7, "op": "wait"}), "`id` is missing"),
            (
                json!({"seq": 7, "op": "stop", "id": "t", "signal": "SIGTERM", "timeout_ms": -1}),
                "`timeout_ms` must be a whole number, 0 or more, and is -1",
            ),
            (
                json!({"seq": 7, "op": "hello", "protocol": 2, "suite": "s", "spec": "s"}),
                "`protocol` must be 1, and is 2",
            ),
            (
                json!({"seq": 7, "op": "recover", "handles": [{"id": "t"}]}),
                "in `handles`: `handle` is missing",
            ),
            (
                json!({"seq": 7, "op": "recover", "handles": [3]}),
                "`handles` must be a list of objects, and is 3",
            ),
            (
                json!({"seq": 7, "op": "detach", "id": "t"}),
                "`id` is no field of it",
            ),
        ] {
            assert_eq!(why(&request), told);
        }
    }

    #[test]
    fn what_has_no_number_can_t_be_answered() {
        for line in [
            "",
            "no",
            "[]",
            "{}",
            "{\"seq\":0,\"op\":\"detach\"}",
            "{\"seq\":\"1\"}",
        ] {
            assert_eq!(parse(line).unwrap_err().seq, None, "{line}");
        }
    }

    #[test]
    fn what_is_no_utf_8_is_refused_by_its_number() {
        let mut line = start_request().to_string().into_bytes();
        assert!(read(&line).is_ok());
        let seq = start_request()["seq"].as_u64();
        let at = line.windows(4).position(|four| four == b"argv").unwrap();
        line[at] = 0xff;
        let bad = read(&line).unwrap_err();
        assert_eq!(bad.seq, seq);
        assert_eq!(bad.why, format!("it is no UTF-8 from byte {at} on"));
        assert_eq!(read(b"{\"seq\":\xff}").unwrap_err().seq, None);
    }

    #[test]
    fn no_text_holds_a_nul() {
        for (field, value) in [
            ("id", json!("a\0")),
            ("argv", json!(["a", "b\0"])),
            ("env", json!({"A": "\0"})),
            ("env", json!({"A\0": "a"})),
            ("user", json!("\0")),
            ("task_dir", json!("/a\0b")),
        ] {
            let mut request = start_request();
            request[field] = value;
            assert_eq!(why(&request), format!("`{field}` must hold no NUL"));
        }
    }

    #[test]
    fn an_operation_that_is_not_known_may_have_any_fields() {
        let request = parse(r#"{"seq":9,"op":"x-1","what":[1]}"#).unwrap();
        assert_eq!((request.seq, request.order), (9, Order::Unknown));
    }

    proptest! {
        #[test]
        fn no_line_is_too_much(line in ".{0,200}") {
            let _either = parse(&line);
        }
    }
}
