//! The contract's rules, read from SPEC.md. (core)
//!
//! The specification is one Markdown file for people and for this program. Its form is strict (see
//! "The form of a rule" in it): whatever does not fit is an error with its line, so that a rule
//! can't be dropped by a slip of the pen.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

mod text;

pub use text::{Part, SpecError};

/// Implements `as_str`, `ALL`, `Display` and `FromStr` for an enum of plain names.
macro_rules! named {
    ($kind:ident, $what:literal, $($variant:ident = $name:literal),+ $(,)?) => {
        impl $kind {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name used in SPEC.md, in command lines and in reports.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $kind {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|one| one.as_str() == name).ok_or_else(|| UnknownName {
                    what: $what,
                    name: name.to_owned(),
                    known: concat!($("`", $name, "` "),+),
                })
            }
        }
    };
}

/// Who must keep a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The program that starts the task and sends its output into the FIFOs.
    Driver,
    /// The program that reads the FIFOs and writes the log files.
    Logmon,
    /// Whoever starts and supervises both; in a test, the suite.
    Host,
}

named!(
    Role,
    "role",
    Driver = "driver",
    Logmon = "logmon",
    Host = "host"
);

/// How binding a rule is. The stricter one is the smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A subject that breaks it does not conform.
    Must,
    /// Breaking it is reported and counted on its own.
    Should,
}

named!(Level, "level", Must = "must", Should = "should");

impl Level {
    /// The word as it stands in SPEC.md and in reports: `MUST` or `SHOULD`.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

/// Whom a rule is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Every pair of driver and logmon.
    Base,
    /// A pair that also survives a dead logmon and broken storage.
    Resilient,
}

named!(Profile, "profile", Base = "base", Resilient = "resilient");

/// The families of the contract, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Family {
    /// What a driver does with the two paths.
    Fifo,
    /// Start, stop, kill, restart, recover.
    Life,
    /// Fidelity of the streams.
    Data,
    /// Logmon's life.
    Mon,
    /// Rotation and retention.
    Rot,
    /// Faults of the host.
    Heal,
    /// Safety.
    Sec,
    /// Resources and operation.
    Cost,
}

named!(
    Family,
    "family",
    Fifo = "FIFO",
    Life = "LIFE",
    Data = "DATA",
    Mon = "MON",
    Rot = "ROT",
    Heal = "HEAL",
    Sec = "SEC",
    Cost = "COST",
);

/// A name that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{name}`; known are {}", known.trim_end())]
pub struct UnknownName {
    what: &'static str,
    name: String,
    known: &'static str,
}

/// The stable id of a rule, such as `FIFO-10`. Ordered by family, then by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleId {
    family: Family,
    number: u16,
    // Last, so that the derived order never gets this far: it follows from the other two.
    text: String,
}

impl RuleId {
    /// The family that the rule belongs to.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The number within the family, from 1.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A text that is not the id of a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rule id; an id is a family and a number, such as FIFO-10")]
pub struct NotARuleId(pub String);

impl FromStr for RuleId {
    type Err = NotARuleId;

    /// Upper case only, no leading zero, so that an id has one spelling.
    fn from_str(text: &str) -> Result<Self, NotARuleId> {
        let wrong = || NotARuleId(text.to_owned());
        let (family, number) = text.split_once('-').ok_or_else(wrong)?;
        let family = family.parse::<Family>().map_err(|_| wrong())?;
        if number.starts_with('0') || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number = number.parse::<u16>().map_err(|_| wrong())?;
        Ok(Self {
            family,
            number,
            text: text.to_owned(),
        })
    }
}

impl TryFrom<String> for RuleId {
    type Error = NotARuleId;

    fn try_from(text: String) -> Result<Self, NotARuleId> {
        text.parse()
    }
}

impl From<RuleId> for String {
    fn from(id: RuleId) -> Self {
        id.text
    }
}

/// One rule of the contract.
///
/// The texts are Markdown. A line break inside a paragraph is read as a space; paragraphs are
/// separated by one empty line. None of them is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id, never reused.
    pub id: RuleId,
    /// The promise in a few words, with no full stop.
    pub title: String,
    /// Who must keep it: at least one, none twice, in the order of the text.
    pub who: Vec<Role>,
    /// How binding it is.
    pub level: Level,
    /// Whom it is meant for.
    pub profile: Profile,
    /// The capability that a subject must declare for the rule to bind it.
    pub capability: Option<String>,
    /// The rule itself.
    pub text: String,
    /// The reason for it.
    pub why: String,
    /// The failures that it comes from.
    pub seen: String,
    /// Why it can't be tested from outside, if it can't.
    pub untestable: Option<String>,
}

/// The whole contract.
#[derive(Clone, Debug)]
pub struct Spec {
    rules: BTreeMap<RuleId, Rule>,
}

impl Spec {
    /// The contract that this program was built with.
    ///
    /// # Panics
    /// Never: a test parses the same text.
    #[must_use]
    pub fn shipped() -> &'static Self {
        static SHIPPED: OnceLock<Spec> = OnceLock::new();
        SHIPPED.get_or_init(|| {
            Self::parse(include_str!("../../SPEC.md")).expect("a test parses the shipped SPEC.md")
        })
    }

    /// Reads a specification.
    ///
    /// # Errors
    /// The first place where the text does not fit the form, with its line.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        Ok(Self {
            rules: text::parse(text)?,
        })
    }

    /// The rule of this id.
    #[must_use]
    pub fn rule(&self, id: &RuleId) -> Option<&Rule> {
        self.rules.get(id)
    }

    /// All rules, by family and number.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.values()
    }
}

#[cfg(test)]
mod tests;
