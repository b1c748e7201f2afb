//! How a driver is reached. (core)

use serde::{Deserialize, Serialize};

/// How the suite reaches a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterKind {
    /// A command that is run once for each generation of the task, with everything in its arguments.
    #[default]
    Command,
    /// A program that is started once, and is told over its stdin what to do.
    Stdio,
}

impl AdapterKind {
    /// Whether it is a command.
    #[must_use]
    pub fn is_command(&self) -> bool {
        *self == Self::Command
    }

    /// The option that gives such a driver: `--driver` or `--driver-stdio`.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Command => "--driver",
            Self::Stdio => "--driver-stdio",
        }
    }
}
