//! Edge: this program started again, whatever its file is called or was replaced by.
//!
//! `/proc/self/exe` stands for the running program also when its file was replaced or deleted (contract
//! MON-14). In a program that has logmon inside, the words in front of logmon's own come first.

use std::ffi::OsString;
use std::process::Command;
use std::sync::OnceLock;

/// The name of the program, and the words that lead to logmon in it.
static PREFIX: OnceLock<Vec<OsString>> = OnceLock::new();

/// Takes note of how many words of this process's command line are logmon's own, the first of which is
/// its name.
pub(crate) fn remember(own_words: usize) {
    let all: Vec<OsString> = std::env::args_os().collect();
    let before_own = all.len().saturating_sub(own_words.saturating_sub(1));
    let prefix = all.into_iter().take(before_own.max(1)).collect();
    // Only the first call in a process counts.
    drop(PREFIX.set(prefix));
}

/// Gives logmon with these words, not started.
pub(crate) fn command<I: IntoIterator<Item: Into<OsString>>>(words: I) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("/proc/self/exe");
    let prefix = PREFIX.get().map_or(&[][..], Vec::as_slice);
    if let Some((name, before_own)) = prefix.split_first() {
        command.arg0(name).args(before_own);
    }
    command.args(words.into_iter().map(Into::into));
    command
}
