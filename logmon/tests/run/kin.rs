//! Edge: the processes that work in a test's folder, whoever their parent is.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::wait_until;

/// The processes with this subcommand and this path on their command line.
pub(crate) fn processes(subcommand: &str, path: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // It may be gone by now.
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
        let path = path.as_os_str().as_encoded_bytes();
        let is_there = words
            .iter()
            .any(|word| word.windows(path.len()).any(|part| part == path));
        if words.get(1) == Some(&subcommand.as_bytes()) && is_there {
            found.push(pid);
        }
    }
    found
}

/// The one process like that.
#[track_caller]
pub(crate) fn process(subcommand: &str, path: &Path) -> i32 {
    let found = processes(subcommand, path);
    assert_eq!(
        found.len(),
        1,
        "{subcommand} of {}: {found:?}",
        path.display()
    );
    found[0]
}

pub(crate) fn kill_9(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// Waits until there is one process like that, and it is none of these.
#[track_caller]
pub(crate) fn another(subcommand: &str, path: &Path, known: &[i32]) -> i32 {
    let mut found = Vec::new();
    wait_until("there is another process", || {
        found = processes(subcommand, path);
        found.len() == 1 && !known.contains(&found[0])
    });
    found[0]
}

/// Kills what is left in a folder when the test is over, however it ends.
pub(crate) struct LeftOvers<'a>(pub(crate) &'a Path);

impl Drop for LeftOvers<'_> {
    fn drop(&mut self) {
        for subcommand in ["supervise", "run", "keeper"] {
            for pid in processes(subcommand, self.0) {
                // It may be gone by now.
                let _killed: nix::Result<()> = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}
