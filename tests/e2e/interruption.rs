//! Tests of a run that is cut short: the report stays readable, and nothing is left behind.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::{TempDir, tempdir};

use crate::program::{fifos_below, json, path, processes_of, wait_until, wait_until_nothing};

const LIMIT: Duration = Duration::from_secs(30);

/// A run that is in the middle of its cases.
fn running(folder: &TempDir) -> Child {
    let out = folder.path().join("out");
    let child = Command::new(path())
        .args([
            "run",
            "--stress",
            "1000",
            "--filter",
            "data/smoke,mon/drains,life/restarts-100",
        ])
        .arg("--out")
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(LIMIT, "the first case is being played", || {
        fifos_below(&out.join("running"))
            .iter()
            .any(|fifo| is_of_a_case(Path::new(fifo)))
    });
    child
}

/// Whether a FIFO is one of a case that was asked for, and not one of a probe.
fn is_of_a_case(fifo: &Path) -> bool {
    let case = fifo
        .ancestors()
        .nth(2)
        .map(|folder| folder.join("case.json"));
    let text = case.and_then(|case| fs::read_to_string(case).ok());
    text.is_some_and(|text| text.contains("\"data/smoke\"") || text.contains("restarts-100\""))
}

fn nothing_is_left(folder: &TempDir) {
    wait_until_nothing(LIMIT, || processes_of(folder.path()));
    assert_eq!(fifos_below(folder.path()), Vec::<String>::new());
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn sigterm_ends_a_run_with_130_and_a_report_marked_interrupted() {
    let folder = tempdir().unwrap();
    let mut child = running(&folder);
    send(&child, Signal::SIGTERM);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let report = json(&folder.path().join("out/report.json"));
    assert_eq!(report["ending"], "interrupted");
    assert_eq!(report["complete"], false);
    nothing_is_left(&folder);
}

#[test]
fn sigkill_leaves_a_readable_report_and_no_process_or_fifo() {
    let folder = tempdir().unwrap();
    let mut child = running(&folder);
    send(&child, Signal::SIGKILL);
    child.wait().unwrap();
    let report = json(&folder.path().join("out/report.json"));
    assert_eq!(report["complete"], false);
    assert!(report["cases"].is_array());
    nothing_is_left(&folder);
}

#[test]
fn an_interrupted_runs_folder_can_be_used_again() {
    let folder = tempdir().unwrap();
    let mut child = running(&folder);
    send(&child, Signal::SIGKILL);
    child.wait().unwrap();
    nothing_is_left(&folder);
    crate::program::harness(&folder)
        .args(["run", "--filter", "data/smoke"])
        .assert()
        .code(0);
    assert!(!folder.path().join("out/running").exists());
}
