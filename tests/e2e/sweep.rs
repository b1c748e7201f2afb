//! Tests of `run --sweep`: a kill of logmon behind one record after the other.

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::tempdir;

use crate::program::{harness, json};

/// A logmon with a fault of which `data/smoke` alone sees nothing.
fn logmon(fault: &str) -> String {
    format!(
        "{{self}} faulty-logmon {fault} run --log-dir {{log_dir}} --stdout {{stdout_fifo}}={{stdout_name}} \
         --stderr {{stderr_fifo}}={{stderr_name}} --max-files {{max_files}} --max-file-size \
         {{max_file_bytes}} --line-guard {{line_guard}}"
    )
}

#[test]
fn the_bundled_pair_passes_at_every_point_and_the_points_are_told() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--sweep", "kill-logmon", "--sweep-every", "80"])
        .args([
            "--filter",
            "data/smoke,data/no-final-newline,heal/disk-full",
        ])
        .assert()
        .code(0)
        .stdout(contains(
            "data/no-final-newline: logmon killed behind 2 of 3 records (one in\n",
        ))
        .stdout(contains(
            "data/smoke: logmon killed behind 4 of 200 records (one in 80,",
        ))
        .stdout(contains("all passed").count(2))
        .stdout(contains("a filtered run says nothing about conformance"));
    let report = json(&folder.path().join("out/report.json"));
    assert_eq!(
        report["sweep"][1]["points"],
        serde_json::json!([1, 80, 160, 200])
    );
    let cases = report["cases"].as_array().unwrap();
    let left_out = cases.iter().find(|case| case["id"] == "heal/disk-full");
    let why = left_out.unwrap()["skipped"]["why"].as_str().unwrap();
    assert!(why.contains("--sweep can't kill logmon in it"), "{why}");
}

#[test]
fn a_logmon_that_loses_what_it_holds_is_found_and_its_first_point_is_played_again() {
    let folder = tempdir().unwrap();
    let faulty = logmon("truncates-on-restart");
    let run = |more: &[&str]| {
        let mut command = harness(&folder);
        command.args(["run", "--filter", "data/smoke", "--logmon", &faulty]);
        command.args(more).assert()
    };
    // Without a kill nobody sees it.
    run(&[]).code(0);
    run(&["--sweep", "kill-logmon", "--sweep-every", "120"])
        .code(1)
        .stdout(contains("FAIL  data/smoke-kill-logmon-after-1 "))
        .stdout(contains(
            "harness repro out/data-smoke-kill-logmon-after-1.bundle\n",
        ));
    let report = json(&folder.path().join("out/report.json"));
    assert_eq!(report["sweep"][0]["first_failure"], 1);
    let command = report["sweep"][0]["repro"].as_str().unwrap();
    let words = shell_words::split(command).unwrap();
    harness(&folder)
        .args(&words[1..])
        .assert()
        .code(1)
        .stdout(contains("Compared       reproduced; in"));
    // By its id as well, with a subject of the command line.
    let repro = |id: &str, more: &[&str]| {
        let mut command = harness(&folder);
        command.args(["repro", id]).args(more).assert()
    };
    let id = "data/smoke-kill-logmon-after-120";
    repro(id, &["--logmon", &faulty]).code(1);
    repro(id, &[])
        .code(0)
        .stdout(contains("PASS  data/smoke-kill-logmon-after-120"));
    repro("data/smoke-kill-logmon-after-201", &[]).code(64);
}

#[test]
fn a_sweep_of_nothing_and_a_step_without_a_sweep_are_refused() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args([
            "run",
            "--sweep",
            "kill-logmon",
            "--filter",
            "heal/disk-full",
        ])
        .assert()
        .code(4)
        .stderr(contains("1 that --sweep can't kill logmon in").and(contains("data/smoke")));
    for wrong in [
        &["--sweep-every", "3"][..],
        &["--sweep", "kill-logmon", "--sweep-every", "0"],
        &["--sweep", "kill-driver"],
        &["--sweep", "kill-logmon", "--stress", "2"],
    ] {
        harness(&folder)
            .arg("run")
            .args(wrong)
            .assert()
            .code(64)
            .stderr(contains("--sweep").or(contains("--stress")));
    }
}
