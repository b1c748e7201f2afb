//! Tests of what a CI system is told.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{TempDir, tempdir};

use crate::program::{LOSES_TAIL, harness};

fn failing(folder: &TempDir) -> assert_cmd::Command {
    let mut command = harness(folder);
    command
        .args(["run", "--driver", LOSES_TAIL, "--capability", "forwards"])
        .args(["--filter", "data/no-final-newline,data/smoke"]);
    command
}

#[test]
fn on_github_a_failure_is_an_annotation_and_the_summary_gets_the_report() {
    let folder = tempdir().unwrap();
    let summary = folder.path().join("summary.md");
    fs::write(&summary, "# of an earlier step\n").unwrap();
    let has_one = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("::"));
        let lines: Vec<&str> = lines.collect();
        lines.len() == 1
            && lines[0].starts_with("::error title=fail data/no-final-newline [DATA-1]::")
    };
    failing(&folder)
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .assert()
        .code(1)
        .stdout(predicate::function(has_one))
        .stdout(predicate::str::ends_with("not conformant (exit 1)\n"));
    let text = fs::read_to_string(&summary).unwrap();
    assert!(
        text.starts_with("# of an earlier step\n## harness: not conformant"),
        "{text}"
    );
    assert!(text.contains("| data/no-final-newline | fail |"), "{text}");
}

#[test]
fn annotations_can_be_asked_for_and_turned_off() {
    let folder = tempdir().unwrap();
    let summary = folder.path().join("summary.md");
    failing(&folder)
        .args(["--annotations", "none"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .assert()
        .code(1)
        .stdout(contains("\n::").not());
    assert!(!summary.exists());
    failing(&folder)
        .assert()
        .code(1)
        .stdout(contains("\n::").not());
    failing(&folder)
        .args(["--annotations", "github"])
        .assert()
        .code(1)
        .stdout(contains("\n::error title="));
}

#[test]
fn a_summary_that_can_not_be_written_is_complained_of_and_costs_nothing_else() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", "data/smoke", "--report", "md=run.md"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", "no/such/file")
        .assert()
        .code(0)
        .stderr(contains("no/such/file").and(contains("GITHUB_STEP_SUMMARY")));
    assert!(folder.path().join("run.md").exists());
}
