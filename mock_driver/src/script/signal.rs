//! A signal by number, read from its name or number: a core.

use serde::{Deserialize, Serialize};

/// A signal, written as `SIGTERM`, `TERM` or 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "NameOrNumber", into = "i32")]
pub struct Signal(nix::sys::signal::Signal);

impl Signal {
    /// The signal's number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0 as i32
    }

    /// The signal as the system's library knows it.
    #[must_use]
    pub fn as_nix(self) -> nix::sys::signal::Signal {
        self.0
    }
}

impl From<nix::sys::signal::Signal> for Signal {
    fn from(signal: nix::sys::signal::Signal) -> Self {
        Self(signal)
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.number()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrNumber {
    Number(i32),
    Name(String),
}

impl TryFrom<NameOrNumber> for Signal {
    type Error = String;

    fn try_from(text: NameOrNumber) -> Result<Self, String> {
        match text {
            NameOrNumber::Number(number) => nix::sys::signal::Signal::try_from(number)
                .map(Self)
                .map_err(|_| format!("{number} is no signal")),
            NameOrNumber::Name(name) => {
                let upper = name.to_ascii_uppercase();
                let full = if upper.starts_with("SIG") {
                    upper
                } else {
                    format!("SIG{upper}")
                };
                full.parse()
                    .map(Self)
                    .map_err(|_| format!("`{name}` is no signal"))
            }
        }
    }
}
