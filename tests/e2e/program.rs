//! The program under test: how it is started, and what is left when it has ended. For tests.

use std::fs::{self, FileType};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A shell as a direct driver.
pub(crate) const SHELL_DRIVER: &str = "sh -c 'exec {task} >{stdout} 2>{stderr}'";

/// A driver that never delivers the end of the output.
pub(crate) const LOSES_TAIL: &str = "{self} mock-driver run --fault loses-unterminated-tail \
                                     --stdout {stdout} --stderr {stderr} --journal {driver_journal} \
                                     -- {task}";

/// Every kind of report, as `--report` names them; `every_kind_of_report_is_known` holds them complete.
pub(crate) const KINDS: [&str; 6] = ["junit", "json", "text", "tap", "md", "html"];

/// `harness` in an empty folder of its own.
pub(crate) fn harness(folder: &TempDir) -> Command {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("harness");
    command
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        // The tests themselves may be run there.
        .env_remove("GITHUB_ACTIONS")
        .env_remove("GITHUB_STEP_SUMMARY")
        .timeout(Duration::from_secs(120));
    command
}

/// The path of the program.
pub(crate) fn path() -> &'static str {
    env!("CARGO_BIN_EXE_harness")
}

/// Copies a program. Another process does it: what is open for writing can't be executed, execve(2), and a
/// child of another test may hold a copy of a descriptor of this process for a moment.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg(from).arg(to).status();
    assert!(copied.unwrap().success(), "{}", to.display());
}

/// The JSON file, which must be readable.
pub(crate) fn json(path: &Path) -> Value {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{}: {error}\n{text}", path.display()))
}

/// Every FIFO below a folder.
pub(crate) fn fifos_below(folder: &Path) -> Vec<String> {
    files_below(folder, FileTypeExt::is_fifo)
}

/// Every socket below a folder.
pub(crate) fn sockets_below(folder: &Path) -> Vec<String> {
    files_below(folder, FileTypeExt::is_socket)
}

fn files_below(folder: &Path, is_it: fn(&FileType) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_below(&entry.path(), is_it)),
            Ok(kind) if is_it(&kind) => found.push(entry.path().display().to_string()),
            Ok(_) | Err(_) => {}
        }
    }
    found
}

/// Every process whose command line or environment names the folder: what a run in it started.
pub(crate) fn processes_of(folder: &Path) -> Vec<String> {
    let needle = folder.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_self = name == std::process::id().to_string();
        if is_self || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let names = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&needle);
        if names(&line) || names(&environment) {
            found.push(format!(
                "{name}: {}",
                String::from_utf8_lossy(&line).replace('\0', " ")
            ));
        }
    }
    found
}

/// Waits until the condition gives nothing to complain about.
#[expect(
    clippy::disallowed_methods,
    reason = "polls a condition with a deadline"
)]
pub(crate) fn wait_until_nothing<T: std::fmt::Debug>(
    limit: Duration,
    mut left: impl FnMut() -> Vec<T>,
) {
    let begun = Instant::now();
    loop {
        let now = left();
        if now.is_empty() {
            return;
        }
        assert!(
            begun.elapsed() < limit,
            "after {limit:?} still there: {now:#?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the condition holds.
pub(crate) fn wait_until(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    wait_until_nothing(limit, || {
        if holds() {
            Vec::new()
        } else {
            vec![what.to_owned()]
        }
    });
}
