//! How a task ended, as it stands in a file for whoever asks later (core).
//!
//! ```text
//! {"exit":3,"signal":null,"oom_killed":null,"ended_at_ms":1767225600000,"is_clean":true,"left":null}
//! ```

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::status::{End, ExitStatus};

/// The end of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndNote {
    /// The code of the main process, `0..=255`, unless a signal ended it.
    exit: Option<i32>,
    /// The number of the signal that ended it, `1..=64`.
    signal: Option<i32>,
    /// Whether a process of the task was killed for want of memory; none if nobody counts.
    oom_killed: Option<bool>,
    /// When that was seen, in milliseconds since 1970.
    ended_at_ms: u64,
    /// True once everything else of the task is gone, too.
    is_clean: bool,
    /// What is left of it, if it can't be ended.
    left: Option<String>,
}

impl EndNote {
    /// The end of a main process whose task may have left something.
    pub(crate) fn of(status: &ExitStatus) -> EndNote {
        let since = status.seen_at.duration_since(UNIX_EPOCH);
        let (exit, signal) = match status.end {
            End::Code(code) => (Some(code), None),
            End::Signal(number) => (None, Some(number)),
        };
        EndNote {
            exit,
            signal,
            oom_killed: status.oom_killed,
            ended_at_ms: since
                .ok()
                .and_then(|since| u64::try_from(since.as_millis()).ok())
                .unwrap_or(0),
            is_clean: false,
            left: None,
        }
    }

    /// The same with what came of ending the rest: nothing is left, or this is.
    #[must_use]
    pub(crate) fn cleaned(self, left: Option<String>) -> EndNote {
        EndNote {
            is_clean: left.is_none(),
            left,
            ..self
        }
    }

    /// How the main process ended; none if the note says neither or both.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        let end = match (self.exit, self.signal) {
            (Some(code @ 0..=255), None) => End::Code(code),
            (None, Some(number @ 1..=64)) => End::Signal(number),
            (Some(_) | None, _) => return None,
        };
        Some(ExitStatus {
            end,
            oom_killed: self.oom_killed,
            seen_at: UNIX_EPOCH + Duration::from_millis(self.ended_at_ms),
        })
    }

    /// True if everything of the task is gone.
    pub(crate) fn is_clean(&self) -> bool {
        self.is_clean
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn note(end: End, seen_at: SystemTime) -> EndNote {
        EndNote::of(&ExitStatus {
            end,
            oom_killed: Some(true),
            seen_at,
        })
    }

    #[test]
    fn an_end_comes_back_from_its_file() {
        for end in [End::Code(0), End::Code(255), End::Signal(9)] {
            let status = ExitStatus {
                end,
                oom_killed: Some(true),
                seen_at: UNIX_EPOCH + Duration::from_millis(1500),
            };
            let text = serde_json::to_string(&EndNote::of(&status)).unwrap();
            assert!(text.contains("\"ended_at_ms\":1500"), "{text}");
            let back: EndNote = serde_json::from_str(&text).unwrap();
            assert_eq!((back.status(), back.is_clean()), (Some(status), false));
        }
    }

    #[test]
    fn an_end_is_clean_if_nothing_is_left() {
        let note = note(End::Code(0), UNIX_EPOCH);
        assert!(note.clone().cleaned(None).is_clean());
        assert!(!note.cleaned(Some("7".into())).is_clean());
    }

    #[test]
    fn a_note_that_says_neither_or_both_tells_no_end() {
        let plain = note(End::Code(1), UNIX_EPOCH);
        for (exit, signal) in [
            (None, None),
            (Some(1), Some(9)),
            (Some(256), None),
            (None, Some(0)),
        ] {
            let note = EndNote {
                exit,
                signal,
                ..plain.clone()
            };
            assert_eq!(note.status(), None, "{note:?}");
        }
    }
}
