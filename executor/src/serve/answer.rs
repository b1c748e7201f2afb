//! The answers of a driver, one JSON object a line (core).

use serde_json::{Value, json};

use super::kept::Ended;
use crate::status::{End, ExitStatus};

/// What this driver can do as whatever user it runs as.
const CAPABILITIES: [&str; 6] = [
    "signals",
    "multi-writer",
    "no-log-collection",
    "recover",
    "checks-paths",
    "payload.exec",
];

/// The number of SIGKILL.
const KILL: i32 = 9;

/// What only root can do.
const OF_ROOT: &str = "user-change";

/// The fields of an answer.
pub(crate) type Answer = Result<Value, String>;

/// Gives the line: the fields, or the reason why there are none.
pub(crate) fn line(seq: u64, answer: Answer) -> String {
    let mut fields = answer.unwrap_or_else(|why| json!({ "error": why }));
    fields["seq"] = seq.into();
    format!("{fields}\n")
}

/// What the driver is, and can do.
pub(crate) fn greeting(is_root: bool) -> Value {
    let own = CAPABILITIES.into_iter();
    let all: Vec<&str> = own.chain(is_root.then_some(OF_ROOT)).collect();
    json!({
        "driver": "executor",
        "version": env!("CARGO_PKG_VERSION"),
        "capabilities": all,
    })
}

/// Nothing more than that it was done.
pub(crate) fn done() -> Value {
    json!({})
}

/// What an operation is answered that this driver does not know.
pub(crate) fn unsupported() -> Value {
    json!({ "unsupported": true })
}

/// How a task ended.
pub(crate) fn ended(ended: &Ended) -> Answer {
    match ended {
        Ended::Known(ExitStatus {
            end: End::Code(code),
            ..
        }) => Ok(json!({ "exit": code, "signal": null })),
        Ended::Known(ExitStatus {
            end: End::Signal(number),
            ..
        }) => Ok(json!({ "exit": null, "signal": number })),
        Ended::Killed => Ok(json!({ "exit": null, "signal": KILL })),
        Ended::Lost(why) => Err(format!("how the task ended is lost: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_repeats_the_number_and_tells_an_error_alone() {
        assert_eq!(line(7, Ok(done())), "{\"seq\":7}\n");
        assert_eq!(
            line(8, Err("why".into())),
            "{\"error\":\"why\",\"seq\":8}\n"
        );
    }

    #[test]
    fn an_end_is_a_code_or_a_signal_or_an_error() {
        let known = |end| {
            Ended::Known(ExitStatus {
                end,
                oom_killed: None,
                seen_at: std::time::UNIX_EPOCH,
            })
        };
        let code = ended(&known(End::Code(42))).unwrap();
        assert_eq!(code, json!({"exit": 42, "signal": null}));
        let signal = ended(&known(End::Signal(9))).unwrap();
        assert_eq!(signal, json!({"exit": null, "signal": 9}));
        assert_eq!(ended(&Ended::Killed).unwrap(), signal);
        let lost = ended(&Ended::Lost("it was killed".into())).unwrap_err();
        assert_eq!(lost, "how the task ended is lost: it was killed");
    }

    #[test]
    fn only_root_can_change_the_user() {
        let declares = |is_root| {
            let all = greeting(is_root)["capabilities"].clone();
            all.as_array().unwrap().contains(&"user-change".into())
        };
        assert!(declares(true) && !declares(false));
    }
}
