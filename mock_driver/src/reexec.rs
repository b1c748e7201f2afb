//! Starts this program again in another part: an edge.

use std::ffi::OsString;
use std::process::Command;

/// The words that start this program in front of a subcommand of ours.
#[derive(Debug, Clone)]
pub(crate) struct Reexec {
    words: Vec<OsString>,
}

impl Reexec {
    /// The given words; without any, the running executable alone.
    pub(crate) fn new(words: Vec<OsString>) -> std::io::Result<Self> {
        if words.is_empty() {
            let executable = std::env::current_exe()?.into_os_string();
            return Ok(Self {
                words: vec![executable],
            });
        }
        Ok(Self { words })
    }

    /// The words alone.
    pub(crate) fn words(&self) -> &[OsString] {
        &self.words
    }

    /// The command line of the subcommand with its arguments.
    pub(crate) fn argv(
        &self,
        rest: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Vec<OsString> {
        let rest = rest.into_iter().map(Into::into);
        self.words.iter().cloned().chain(rest).collect()
    }

    /// A command for the subcommand with its arguments.
    pub(crate) fn command(&self, rest: impl IntoIterator<Item = impl Into<OsString>>) -> Command {
        let argv = self.argv(rest);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]);
        command
    }
}
