//! How a call fails (core): errors that tell the host whether trying again may help, and parts of an
//! answer that a caller needs and does not get.

use prost::Message;
use tonic::{Code, Status};

use crate::proto::rpc;
use crate::proto::structs::RecoverableError;

const TYPE_URL: &str =
    "type.googleapis.com/hashicorp.nomad.plugins.shared.structs.RecoverableError";

/// Gives the error of a call with the word whether trying again may help.
#[must_use]
pub fn recoverable(message: &str, recoverable: bool) -> Status {
    let status = rpc::Status {
        code: Code::FailedPrecondition.into(),
        message: message.to_owned(),
        details: vec![prost_types::Any {
            type_url: TYPE_URL.to_owned(),
            value: RecoverableError { recoverable }.encode_to_vec(),
        }],
    };
    Status::with_details(
        Code::FailedPrecondition,
        message,
        status.encode_to_vec().into(),
    )
}

/// Gives the error of a call as the original's plugins give any error: a text without a kind.
#[must_use]
pub fn plain(message: impl Into<String>) -> Status {
    Status::unknown(message)
}

/// Gives the error for a task that is not known, in the words that hosts look for.
#[must_use]
pub fn task_not_found() -> Status {
    plain("task not found for given id")
}

/// Says whether trying again may help, if the error tells.
#[must_use]
pub fn is_recoverable(status: &Status) -> Option<bool> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let detail = details.iter().find(|any| any.type_url == TYPE_URL)?;
    let error = RecoverableError::decode(detail.value.as_slice()).ok()?;
    Some(error.recoverable)
}

/// A part of a message that is needed and was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("find {field} in what {call} has: it was not sent")]
pub struct Missing {
    /// The call, as in `InspectTask`.
    pub call: &'static str,
    /// The field, as in `task.result`.
    pub field: &'static str,
}

/// Gives the field of a message, which must be there.
///
/// # Errors
/// [`Missing`], which names call and field.
pub fn required<T>(
    value: Option<T>,
    call: &'static str,
    field: &'static str,
) -> Result<T, Missing> {
    value.ok_or(Missing { call, field })
}

impl From<Missing> for Status {
    /// What a server answers to a request that lacks something.
    fn from(missing: Missing) -> Self {
        Self::invalid_argument(missing.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_whether_trying_again_may_help() {
        for may_help in [true, false] {
            let status = recoverable("no image", may_help);
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert_eq!(status.message(), "no image");
            assert_eq!(is_recoverable(&status), Some(may_help));
        }
        assert_eq!(is_recoverable(&plain("no image")), None);
        let other = Status::with_details(Code::Unknown, "x", vec![0xff].into());
        assert_eq!(is_recoverable(&other), None);
    }

    #[test]
    fn the_details_have_the_bytes_of_their_field_numbers() {
        let any = |value: &[u8]| {
            let mut any = vec![0x0a, u8::try_from(TYPE_URL.len()).unwrap()];
            any.extend(TYPE_URL.as_bytes());
            any.extend(value);
            let mut status = b"\x08\x09\x12\x01m\x1a".to_vec();
            status.push(u8::try_from(any.len()).unwrap());
            status.extend(any);
            status
        };
        assert_eq!(recoverable("m", true).details(), any(b"\x12\x02\x08\x01"));
        // What is false has no value.
        assert_eq!(recoverable("m", false).details(), any(b""));
    }

    #[test]
    fn what_is_missing_is_named_with_its_call() {
        assert_eq!(required(Some(1), "InspectTask", "task"), Ok(1));
        let missing = required(None::<u8>, "InspectTask", "task.result").unwrap_err();
        let text = "find task.result in what InspectTask has: it was not sent";
        assert_eq!(missing.to_string(), text);
        assert_eq!(Status::from(missing).message(), text);
    }
}
