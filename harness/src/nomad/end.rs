//! How a task ended, from what a driver answers to how the suite is told. (core)

use plugin::proto::driver::WaitTaskResponse;
use serde_json::{Value, json};

/// What an adapter answers to `wait`: an exit code or a signal.
///
/// # Errors
/// Why the answer tells no end of a process.
pub(super) fn ended(answer: &WaitTaskResponse) -> Result<Value, String> {
    if !answer.err.is_empty() {
        return Err(answer.err.clone());
    }
    let result = answer.result.unwrap_or_default();
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
        ended(&WaitTaskResponse {
            result: Some(ExitResult {
                exit_code,
                signal,
                oom_killed: false,
            }),
            err: String::new(),
        })
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
    fn a_result_of_nothing_but_zeros_is_a_success_and_an_error_is_none() {
        // The whole result may be left out of a message when all of it is zero.
        let nothing = WaitTaskResponse::default();
        assert_eq!(ended(&nothing), Ok(json!({ "exit": 0, "signal": null })));
        let lost = WaitTaskResponse {
            err: "lost it".into(),
            ..WaitTaskResponse::default()
        };
        assert_eq!(ended(&lost), Err("lost it".to_owned()));
    }
}
