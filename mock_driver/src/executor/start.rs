//! What a driver starts an executor with, and what it hears from it: a core.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::faults::absence::Away;

/// What an executor is started with.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The task.
    pub(crate) argv: Vec<OsString>,
    /// Where its two streams go.
    pub(crate) outputs: [PathBuf; 2],
    /// Where the status is left.
    pub(crate) status: PathBuf,
    /// What the forwarding does wrong.
    pub(crate) fault: Option<Fault>,
    /// What becomes of output while no driver has this file locked.
    pub(crate) away: Option<(Away, PathBuf)>,
    /// Where the journal is kept.
    pub(crate) journal: Option<PathBuf>,
    /// Whether it tells how the start went and leaves signals to its driver.
    pub(crate) hosted: bool,
}

impl Start {
    /// The words behind the program's own.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["executor".into()];
        let mut option = |name: &str, value: &Path| words.extend([name.into(), value.into()]);
        let [stdout, stderr] = &self.outputs;
        option("--status", &self.status);
        option("--stdout", stdout);
        option("--stderr", stderr);
        if let Some(journal) = &self.journal {
            option("--journal", journal);
        }
        if let Some((away, presence)) = &self.away {
            option("--away", Path::new(&away.name()));
            option("--presence", presence);
        }
        if let Some(name) = self.fault.and_then(|fault| fault.to_possible_value()) {
            option("--fault", Path::new(name.get_name()));
        }
        if self.hosted {
            words.push("--hosted".into());
        }
        words.push("--".into());
        words.extend(self.argv.iter().cloned());
        words
    }
}

/// How the start of a task went, as a hosted executor tells it in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// The task runs as this process.
    Runs {
        /// Its number.
        pid: i32,
    },
    /// It never will, for this reason.
    Refused(String),
}

impl Begun {
    /// The line, with its newline.
    pub(crate) fn format(&self) -> String {
        match self {
            Self::Runs { pid } => format!("{}\n", json!({ "pid": pid })),
            Self::Refused(why) => format!("{}\n", json!({ "refused": why })),
        }
    }

    /// Reads the line; none if it is no such line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(line).ok()?;
        if let Some(why) = json.get("refused") {
            return why.as_str().map(|why| Self::Refused(why.to_owned()));
        }
        let pid = i32::try_from(json.get("pid")?.as_i64()?).ok()?;
        Some(Self::Runs { pid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_about_the_start_is_read_as_it_was_written() {
        for begun in [
            Begun::Runs { pid: 7 },
            Begun::Refused("cannot run \"x\"\n".to_owned()),
        ] {
            let line = begun.format();
            assert_eq!(line.matches('\n').count(), 1);
            assert_eq!(Begun::parse(&line), Some(begun));
        }
        assert_eq!(Begun::parse("hello"), None);
    }
}
