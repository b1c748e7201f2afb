//! Tests of cases in which a driver leaves its tasks and comes back.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::tempdir;

use crate::adapter::{has, wrong};
use crate::program::{harness, processes_of};

/// The bundled driver with this fault.
fn faulty(fault: &str) -> String {
    format!("{{self}} mock-driver stdio --fault {fault}")
}

/// Plays cases with a driver, and gives the exit code and what was told, in one line.
fn play(driver: &str, filter: &str) -> (Option<i32>, String) {
    let folder = tempdir().unwrap();
    let run = harness(&folder)
        .args(["run", "--driver-stdio", driver, "--filter", filter])
        .output()
        .unwrap();
    assert_eq!(processes_of(folder.path()), Vec::<String>::new());
    let told = String::from_utf8_lossy(&run.stdout);
    let words: Vec<&str> = told.split_whitespace().collect();
    (run.status.code(), words.join(" "))
}

#[test]
fn a_driver_that_loses_what_came_without_it_is_told_from_others_and_shown() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver-stdio", &faulty("loses-gap")])
        .args(["--filter", "life/recover-detached"])
        .assert()
        .code(1)
        .stdout(contains("[lost-middle, LIFE-6]"))
        // What the pipe holds may stand beside it, and then it is cut.
        .stdout(contains("driver DETACHED <- inject"))
        .stdout(contains("driver has recovered"))
        .stdout(contains("shape of faulty subject `loses-gap`: 1.00"))
        .stdout(contains("`drops-on-eagain`: 1.00").not());
    let bundle = "out/life-recover-detached.bundle";
    harness(&folder)
        .args(["recheck", bundle])
        .assert()
        .code(1)
        .stdout(contains("the same as when it was played"));
    harness(&folder)
        .args(["show", bundle, "--html", "--output", "page.html"])
        .assert()
        .code(0);
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    for mark in ["the driver DETACHED", "the driver is to recover"] {
        assert!(page.contains(mark), "no `{mark}`");
    }
}

#[test]
fn a_recovery_that_does_not_end_is_told_with_its_request_and_nothing_else() {
    let (code, told) = play(&faulty("hangs-in-recover"), "life/recover-fifos-unread");
    assert_eq!(code, Some(1), "{told}");
    for said in [
        "[blocked, LIFE-9]",
        "`recover` was not answered within",
        "\"op\":\"recover\"",
        "shape of faulty subject `hangs-in-recover`: 1.00",
    ] {
        assert!(told.contains(said), "no `{said}` in\n{told}");
    }
    // The suite has killed the task itself.
    assert!(!told.contains("writer-killed"), "{told}");
}

/// What a driver does wrong in a recovery, and what must be said of it.
const MISTAKES: &[(&str, &[&str])] = &[
    (
        "loses-everything",
        &["[died, LIFE-6]", "which lives", "its reason: no"],
    ),
    (
        "refuses-to-recover",
        &["[died, LIFE-6]", "its reason: the FIFOs can't be opened"],
    ),
    (
        "no-handles",
        &["[died, LIFE-9]", "must have an entry for \"task-0\""],
    ),
    ("forgets-one", &["[died, LIFE-9]", "stands in neither"]),
    (
        "outlives-detach",
        &["[blocked, LIFE-9]", "did not end within 2000 ms"],
    ),
    (
        "fails-at-detach",
        &[
            "[died, LIFE-9]",
            "exited 3 after `detach`; wanted is exit code 0",
        ],
    ),
    ("takes-its-tasks-along", &["[writer-killed, LIFE-7]"]),
];

#[test]
fn each_mistake_of_a_driver_that_leaves_and_comes_back_is_named() {
    if !has("python3") {
        return;
    }
    // Each is played again, alone, until it is sure.
    std::thread::scope(|scope| {
        for one in MISTAKES.chunks(2) {
            scope.spawn(move || one.iter().for_each(|(mistake, said)| named(mistake, said)));
        }
    });
}

fn named(mistake: &str, said: &[&str]) {
    let (code, told) = play(&wrong(mistake), "life/recover-detached");
    assert_eq!(code, Some(1), "{mistake}: {told}");
    for text in said {
        assert!(told.contains(text), "{mistake}: no `{text}` in\n{told}");
    }
}

#[test]
fn where_the_fifos_are_broken_a_task_that_is_not_taken_over_is_a_clear_result() {
    if !has("python3") {
        return;
    }
    for mistake in ["loses-everything", "refuses-to-recover"] {
        let (code, told) = play(&wrong(mistake), "life/recover-fifos-*");
        assert_eq!(code, Some(0), "{mistake}: {told}");
        assert!(told.contains("3 pass"), "{told}");
    }
}

#[test]
fn what_both_processes_of_a_driver_print_is_kept() {
    let folder = tempdir().unwrap();
    let driver = "sh -c 'echo a driver begins >&2; exec {self} mock-driver stdio'";
    harness(&folder)
        .args(["run", "--driver-stdio", driver, "--keep", "all"])
        .args(["--filter", "life/recover-crashed"])
        .assert()
        .code(0);
    let bundle = folder.path().join("out/life-recover-crashed.bundle");
    let printed = fs::read_to_string(bundle.join("driver.0.stderr")).unwrap();
    assert_eq!(printed.matches("a driver begins").count(), 2, "{printed}");
}

#[test]
fn a_command_can_not_be_said_to_recover() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--capability", "recover"])
        .args(["--driver", "sh -c 'exec {task} >{stdout} 2>{stderr}'"])
        .assert()
        .code(64)
        .stderr(contains("--capability recover").and(contains("--driver-stdio")));
}
