//! What logmon is told: how much it keeps, and what it does when its disk is full. (core)

use serde::{Deserialize, Serialize};

use super::size::Size;

/// What logmon is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Files kept per stream.
    pub max_files: u32,
    /// The largest size of one file.
    pub max_file_bytes: Size,
    /// Lines up to this length are never split.
    pub line_guard: Size,
    /// What to do when the disk takes no more. `drop` needs `drop-policy`.
    pub on_full: OnFull,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_files: 10,
            max_file_bytes: Size(10 << 20),
            line_guard: Size(32 << 10),
            on_full: OnFull::Block,
        }
    }
}

/// What logmon does while its disk takes no more: HEAL-2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFull {
    /// Nothing is lost; the task may have to wait.
    #[default]
    Block,
    /// The task does not wait for longer than 1 s; whole lines are lost, and that is recorded.
    Drop,
}

impl OnFull {
    /// `block` or `drop`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Drop => "drop",
        }
    }
}
