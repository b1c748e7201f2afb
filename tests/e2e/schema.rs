//! Tests that real reports are as docs/report.schema.json says.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::tempdir;

use crate::program::{LOSES_TAIL, harness, json, path, wait_until};

fn check(report: &Value) {
    let text = include_str!("../../docs/report.schema.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap();
    let told: Vec<String> = schema
        .iter_errors(report)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(told, Vec::<String>::new());
    let mut changed = report.clone();
    changed["unheard_of"] = true.into();
    assert!(!schema.is_valid(&changed), "the schema takes any field");
}

#[test]
fn a_report_with_passes_failures_and_skips_is_as_the_schema_says() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver", LOSES_TAIL, "--capability", "forwards"])
        .args(["--filter", "data/no-final-newline,data/smoke"])
        .assert()
        .code(1);
    let report = json(&folder.path().join("out/report.json"));
    for status in ["pass", "fail", "skipped:filter", "skipped:capability"] {
        assert!(
            report["counts"]["by_status"][status].as_u64() >= Some(1),
            "{status}"
        );
    }
    check(&report);
}

#[test]
fn a_report_of_kills_and_a_keeper_is_as_the_schema_says() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", "mon/kill-random-in-turn-blocks"])
        .assert()
        .code(0);
    check(&json(&folder.path().join("out/report.json")));
}

#[test]
fn the_report_of_an_interrupted_run_is_as_the_schema_says_during_the_run_and_after() {
    let folder = tempdir().unwrap();
    let report = folder.path().join("out/report.json");
    let mut child = Command::new(path())
        .args([
            "run",
            "--stress",
            "1000",
            "--filter",
            "data/smoke,life/restarts-100",
        ])
        .arg("--out")
        .arg(folder.path().join("out"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(Duration::from_secs(30), "there is a report", || {
        report.exists()
    });
    check(&json(&report));
    wait_until(Duration::from_secs(30), "a case is being played", || {
        running(&folder.path().join("out/running"))
    });
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report = json(&report);
    assert_eq!(report["ending"], "interrupted");
    check(&report);
}

fn running(folder: &Path) -> bool {
    let attempts = fs::read_dir(folder).into_iter().flatten().flatten();
    attempts
        .filter_map(|attempt| fs::read_to_string(attempt.path().join("case.json")).ok())
        .any(|case| case.contains("life/restarts-100"))
}
