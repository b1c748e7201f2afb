//! Tests of a run that is asked what goes on, by SIGUSR1.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::{TempDir, tempdir};

use crate::program::{fifos_below, json, path, processes_of, wait_until, wait_until_nothing};

const LIMIT: Duration = Duration::from_secs(30);

/// A case whose task waits for a gate that only this test opens.
const WAITS: &str = r#"
id = "data/waits"
title = "A task waits for somebody outside."
rules = ["DATA-1"]

[tasks.main]
step = [
    { do = "text", stream = "stdout", text = "first\n" },
    { do = "gate", name = "outside" },
    { do = "text", stream = "stdout", text = "last\n" },
]

[[plan]]
do = "start-logmon"
[[plan]]
do = "start-task"
[[plan]]
do = "await"
until = "task-gone"
within_ms = 60000
[[plan]]
do = "await-exit"
"#;

/// A run whose only case waits, and the case's folder.
fn waiting(folder: &TempDir) -> (Child, PathBuf) {
    fs::write(folder.path().join("waits.toml"), WAITS).unwrap();
    let child = Command::new(path())
        .current_dir(folder.path())
        .args(["run", "--scenario", "waits.toml", "--out"])
        .arg(folder.path().join("out"))
        .stdout(File::create(folder.path().join("stdout")).unwrap())
        .stderr(File::create(folder.path().join("stderr")).unwrap())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut found = None;
    wait_until(LIMIT, "the task waits at its gate", || {
        found = attempts(folder).into_iter().find(|attempt| waits(attempt));
        found.is_some()
    });
    (child, found.unwrap())
}

fn attempts(folder: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path().join("out/running"));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn waits(attempt: &Path) -> bool {
    let holds = |file: &str, text: &str| {
        fs::read_to_string(attempt.join(file)).is_ok_and(|all| all.contains(text))
    };
    holds("case.json", "data/waits")
        && holds("trace.jsonl", "wait until the task is gone")
        && holds("task/task.0.jsonl", "outside")
}

fn ends_well(folder: &TempDir, mut child: Child, attempt: &Path) {
    File::create(attempt.join("task/gates/outside")).unwrap();
    let code = child.wait().unwrap().code();
    let stdout = fs::read_to_string(folder.path().join("stdout")).unwrap();
    assert_eq!(code, Some(0), "{stdout}");
    let report = json(&folder.path().join("out/report.json"));
    assert_eq!(report["cases"][0]["status"], "pass");
    assert_eq!(report["cases"][0]["attempts"], 1);
    wait_until_nothing(LIMIT, || processes_of(folder.path()));
    assert_eq!(fifos_below(folder.path()), Vec::<String>::new());
}

#[test]
fn sigusr1_tells_what_each_case_waits_for_and_the_run_goes_on() {
    let folder = tempdir().unwrap();
    let (child, attempt) = waiting(&folder);
    let told = || fs::read_to_string(folder.path().join("stderr")).unwrap();
    for times in 1..=2 {
        kill(
            Pid::from_raw(i32::try_from(child.id()).unwrap()),
            Signal::SIGUSR1,
        )
        .unwrap();
        // The answer's last line.
        wait_until(LIMIT, "the run answers", || {
            told().matches("stderr.fifo: ").count() == times
        });
    }
    let text = told();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["harness: asked what goes on", ""], "{text}");
    assert!(lines[2].starts_with("data/waits, for "), "{text}");
    let joined = text.replace("\n              ", " ");
    assert!(
        joined.contains("of at most 60,000 ms: wait until the task is gone"),
        "{text}"
    );
    assert!(joined.contains("  last seen   stdout's pipe "), "{text}");
    for who in ["logmon", "driver", "task"] {
        let is_told =
            |line: &&str| line.contains(&format!(" {who} ")) && line.contains("(harness): ");
        assert!(lines.iter().any(is_told), "no {who} in\n{text}");
    }
    assert!(joined.contains("; readers: logmon "), "{text}");
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    ends_well(&folder, child, &attempt);
}

#[test]
fn sigusr1_does_not_end_a_case_process() {
    let folder = tempdir().unwrap();
    let (child, attempt) = waiting(&folder);
    let word = format!("__case\0{}\0", attempt.display());
    let case = fs::read_dir("/proc").unwrap().flatten().find(|entry| {
        fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&word))
    });
    let pid = case.unwrap().file_name().to_str().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGUSR1).unwrap();
    ends_well(&folder, child, &attempt);
}
