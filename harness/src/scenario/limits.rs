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
    /// What is said instead of some of these numbers. Only a start that must be refused has any.
    #[serde(skip_serializing_if = "LimitTexts::is_empty")]
    pub texts: LimitTexts,
}

/// Limits that are no numbers of their types: negative ones, and ones that overflow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitTexts {
    /// Instead of the files kept per stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_files: Option<String>,
    /// Instead of the largest size of one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_file_bytes: Option<String>,
}

impl LimitTexts {
    /// Whether nothing is said instead of a number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.max_files.is_none() && self.max_file_bytes.is_none()
    }
}

impl Limits {
    /// The files kept per stream, as logmon is told.
    #[must_use]
    pub fn max_files_text(&self) -> String {
        let text = self.texts.max_files.clone();
        text.unwrap_or_else(|| self.max_files.to_string())
    }

    /// The largest size of one file in bytes, as logmon is told.
    #[must_use]
    pub fn max_file_bytes_text(&self) -> String {
        let text = self.texts.max_file_bytes.clone();
        text.unwrap_or_else(|| self.max_file_bytes.0.to_string())
    }
}

/// Bytes in a megabyte, as those understand it whose limits are in such units.
const MEGABYTE: u64 = 1 << 20;

impl Limits {
    /// The largest size of one file in units of 1,048,576 bytes, rounded down, as logmon is told.
    #[must_use]
    pub fn max_file_megabytes_text(&self) -> String {
        let text = self.texts.max_file_bytes.clone();
        text.unwrap_or_else(|| (self.max_file_bytes.0 / MEGABYTE).to_string())
    }

    /// Whether they can be told in megabytes.
    #[must_use]
    pub fn are_megabytes(&self) -> bool {
        self.texts.is_empty() && self.max_file_bytes.0.is_multiple_of(MEGABYTE)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_files: 10,
            max_file_bytes: Size(10 << 20),
            line_guard: Size(32 << 10),
            on_full: OnFull::Block,
            texts: LimitTexts::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_in_megabytes_are_whole_ones() {
        let of = |bytes: u64| Limits {
            max_file_bytes: Size(bytes),
            ..Limits::default()
        };
        assert!(Limits::default().are_megabytes() && of(3 << 20).are_megabytes());
        assert_eq!(of(3 << 20).max_file_megabytes_text(), "3");
        assert!(!of((3 << 20) + 1).are_megabytes() && !of(300_000).are_megabytes());
        // One that is refused is refused in any unit.
        assert!(of(0).are_megabytes());
        let mut text = of(1 << 20);
        text.texts.max_file_bytes = Some("many".to_owned());
        assert!(!text.are_megabytes());
    }
}
