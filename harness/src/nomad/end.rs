//! How a task ended, from what a driver answers to how the suite is told. (core)

use plugin::proto::driver::WaitTaskResponse;
use serde_json::{Value, json};

/// What drivers on Nomad's own executor say when their StopTask has ended the executor while a WaitTask asked it.
const EXECUTOR_GONE: &str = "executor: error waiting on process";

/// What an adapter answers to `wait`: an exit code or a signal. What a driver says of its executor is told by its own
/// name if the task was asked to stop: that is a known race of Nomad's raw_exec and of drivers after its example.
///
/// # Errors
/// Why the answer tells no end of a process.
pub(super) fn ended(answer: &WaitTaskResponse, was_stopped: bool) -> Result<Value, String> {
    let Some(result) = answer.result else {
        return Err(match answer.err.as_str() {
            "" => "the answer has no result".to_owned(),
            err => format!("the answer has no result beside its error: {err}"),
        });
    };
    let err = answer.err.as_str();
    if was_stopped && err.contains(EXECUTOR_GONE) {
        return Err(format!(
            "the known race of drivers on Nomad's executor, which StopTask ends while WaitTask asks it for the end of \
             the task; the task may have ended as it should: {err}"
        ));
    }
    if !err.is_empty() {
        return Err(err.to_owned());
    }
    match (u8::try_from(result.exit_code), result.signal) {
        (Ok(code), 0) => Ok(json!({ "exit": code, "signal": null })),
        // Some drivers tell 128 + n beside signal n, some only the signal.
        (_, signal @ 1..=64) => Ok(json!({ "exit": null, "signal": signal })),
        (_, signal) => Err(format!(
            "exit_code {} and signal {signal} are no end of a process",
            result.exit_code
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin::proto::driver::ExitResult;

    fn of(exit_code: i32, signal: i32) -> Result<Value, String> {
        ended(
            &WaitTaskResponse {
                result: Some(ExitResult {
                    exit_code,
                    signal,
                    oom_killed: false,
                }),
                err: String::new(),
            },
            false,
        )
    }

    #[test]
    fn an_exit_code_is_one_and_a_signal_is_one_whatever_code_stands_beside_it() {
        for code in [0, 7, 255] {
            assert_eq!(of(code, 0), Ok(json!({ "exit": code, "signal": null })));
        }
        for code in [-1, 0, 137] {
            assert_eq!(of(code, 9), Ok(json!({ "exit": null, "signal": 9 })));
        }
    }

    #[test]
    fn what_no_process_can_end_with_is_told() {
        for (code, signal) in [(-1, 0), (256, 0), (0, -1), (0, 65)] {
            let why = of(code, signal).unwrap_err();
            assert!(
                why.contains(&format!("exit_code {code} and signal {signal}")),
                "{why}"
            );
        }
    }

    #[test]
    fn an_error_beside_a_result_is_the_end_that_is_told() {
        let lost = WaitTaskResponse {
            result: Some(ExitResult::default()),
            err: "lost it".into(),
        };
        for was_stopped in [false, true] {
            assert_eq!(ended(&lost, was_stopped), Err("lost it".to_owned()));
        }
    }

    #[test]
    fn an_executor_that_a_stop_has_ended_is_told_by_its_own_name() {
        let err = "executor: error waiting on process: rpc error: code = Unavailable";
        let gone = WaitTaskResponse {
            result: Some(ExitResult {
                exit_code: -1,
                ..ExitResult::default()
            }),
            err: err.into(),
        };
        let race = ended(&gone, true).unwrap_err();
        assert!(
            race.starts_with("the known race of drivers on Nomad's executor")
                && race.ends_with(err),
            "{race}"
        );
        // Nobody has ended it on purpose.
        assert_eq!(ended(&gone, false), Err(err.to_owned()));
    }

    #[test]
    fn an_answer_without_a_result_is_no_end_whatever_stands_beside_it() {
        // An agent reads the result first, and dies of one that is not there.
        let why = |err: &str| {
            let (result, err) = (None, err.to_owned());
            ended(&WaitTaskResponse { result, err }, true).unwrap_err()
        };
        assert_eq!(why(""), "the answer has no result");
        assert_eq!(
            why("lost it"),
            "the answer has no result beside its error: lost it"
        );
    }
}
