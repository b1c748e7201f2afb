//! Starts this program again in another part (edge).

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// The words that start this program in front of a subcommand of ours.
#[derive(Debug, Clone)]
pub(crate) struct Reexec {
    words: Vec<OsString>,
}

impl Reexec {
    /// The given words; without any, the running executable alone, even if its file was replaced since.
    pub(crate) fn new(words: Vec<OsString>) -> Reexec {
        Reexec { words }
    }

    /// The program, and its arguments but the subcommand.
    pub(crate) fn line(&self) -> (PathBuf, Vec<OsString>) {
        match self.words.split_first() {
            Some((program, rest)) => (program.into(), rest.to_vec()),
            None => ("/proc/self/exe".into(), Vec::new()),
        }
    }

    /// A command for the subcommand.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = match self.words.split_first() {
            Some((program, rest)) => {
                let mut command = Command::new(program);
                command.args(rest);
                command
            }
            None => {
                let mut command = Command::new("/proc/self/exe");
                command.arg0("executor");
                command
            }
        };
        command.arg(subcommand);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Vec<OsString> {
        let words = words.iter().map(Into::into).collect();
        let command = Reexec::new(words).command("warden");
        let own = std::iter::once(command.get_program()).chain(command.get_args());
        own.map(ToOwned::to_owned).collect()
    }

    #[test]
    fn a_subcommand_stands_behind_the_words_or_this_executable() {
        assert_eq!(
            line(&["/bin/suite", "executor"]),
            ["/bin/suite", "executor", "warden"]
        );
        assert_eq!(line(&[]), ["/proc/self/exe", "warden"]);
        let words = vec!["/bin/suite".into(), "executor".into()];
        assert_eq!(
            Reexec::new(words).line(),
            ("/bin/suite".into(), vec!["executor".into()])
        );
        assert_eq!(
            Reexec::new(Vec::new()).line().0,
            PathBuf::from("/proc/self/exe")
        );
    }
}
