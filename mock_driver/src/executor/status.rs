//! How a task ended, as its executor leaves it in a file: a core.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    /// The status that is reported: 128 + n for signal n.
    pub(crate) code: u8,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// When that was known: after the last of its output was delivered.
    pub(crate) ended: SystemTime,
}

impl Status {
    /// The text of the file.
    pub(crate) fn format(&self) -> String {
        let since = self.ended.duration_since(SystemTime::UNIX_EPOCH);
        let ms = u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        json!({ "code": self.code, "signal": self.signal, "ended_ms": ms }).to_string()
    }

    /// Reads such a text; none if it is another one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        let signal = json.get("signal")?;
        let signal = if signal.is_null() {
            None
        } else {
            Some(i32::try_from(signal.as_i64()?).ok()?)
        };
        let since = Duration::from_millis(json.get("ended_ms")?.as_u64()?);
        Some(Self {
            code: u8::try_from(json.get("code")?.as_u64()?).ok()?,
            signal,
            ended: SystemTime::UNIX_EPOCH.checked_add(since)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_anything_else_is_none() {
        let ended = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        for (code, signal) in [(0, None), (143, Some(15)), (143, None)] {
            let status = Status {
                code,
                signal,
                ended,
            };
            assert_eq!(Status::parse(&status.format()), Some(status));
        }
        for text in ["", "7", "{}", r#"{"code":256,"signal":null,"ended_ms":1}"#] {
            assert_eq!(Status::parse(text), None, "{text}");
        }
    }
}
