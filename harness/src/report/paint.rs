//! Colours, on or off. (core)

use anstyle::{AnsiColor, Style};

use crate::outcome::Status;

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Plain text.
    Plain,
    /// ANSI colours.
    Coloured,
}

impl Paint {
    /// The text in a status's colour.
    #[must_use]
    pub fn status(self, status: Status, text: &str) -> String {
        let colour = match status {
            Status::Pass | Status::Xfail => AnsiColor::Green,
            Status::Fail | Status::ErrorSuite | Status::ErrorEnvironment => AnsiColor::Red,
            Status::Xpass | Status::Flaky | Status::Inconclusive => AnsiColor::Yellow,
            Status::SkippedCapability | Status::SkippedFilter => AnsiColor::BrightBlack,
        };
        self.style(Style::new().bold().fg_color(Some(colour.into())), text)
    }

    /// The text in bold.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.style(Style::new().bold(), text)
    }

    fn style(self, style: Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("{style}{text}{style:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_no_escape_sequences_and_coloured_text_ends_its_own() {
        assert_eq!(Paint::Plain.status(Status::Fail, "FAIL"), "FAIL");
        let red = Paint::Coloured.status(Status::Fail, "FAIL");
        assert!(
            red.starts_with('\u{1b}') && red.ends_with("\u{1b}[0m"),
            "{red:?}"
        );
    }
}
