//! Tests of subjects behind a wrapper, and in folders with a space.

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{Builder, tempdir};

use crate::program::{SHELL_DRIVER, harness};

/// A logmon that a shell waits for.
const WAITED_FOR: &str = "sh -c '{self} logmon run --log-dir {log_dir} \
    --stdout {stdout_fifo}={stdout_name} --stderr {stderr_fifo}={stderr_name} \
    --max-files {max_files} --max-file-size {max_file_bytes} --line-guard {line_guard} & \
    trap \"kill $!\" TERM; wait $!; wait $!'";

#[test]
fn a_path_with_a_space_is_one_word_of_a_shells_script() {
    let folder = Builder::new().prefix("my logs ").tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", "data/smoke,mon/loses-its-output"])
        .args(["--driver", SHELL_DRIVER, "--logmon", WAITED_FOR])
        .assert()
        .code(0)
        .stdout(contains("2 pass"));
}

#[test]
fn a_logmon_behind_a_wrapper_can_be_judged_but_for_what_is_done_to_its_process() {
    let folder = tempdir().unwrap();
    let cases =
        "mon/loses-its-binary,mon/kill-empty-pipe-bare,mon/stop-drains,mon/eof-is-not-the-end";
    harness(&folder)
        .args(["run", "--filter", cases, "--logmon", WAITED_FOR])
        .assert()
        .code(1)
        .stdout(contains("1 pass, 3 inconclusive"))
        .stdout(contains("name that\n").or(contains("name that program itself")))
        .stdout(contains("with `exec`"))
        .stdout(contains("died").not());
}

/// What reads the FIFOs long before its start has returned: the shell has both open until logmon says so.
fn reads_early(end: &str) -> String {
    let rest = WAITED_FOR
        .trim_start_matches("sh -c '")
        .split(" & ")
        .next()
        .unwrap();
    format!(
        "sh -c 'exec 3<>{{stdout_fifo}} 4<>{{stderr_fifo}}; sleep 0.1; exec {rest} 3>&- 4>&- {end}'"
    )
}

#[test]
fn a_logmon_that_reads_before_it_has_deleted_old_files_is_not_looked_at_too_early() {
    // With the line, and without one: then it has as long as a start may take.
    for end in ["", ">/dev/null"] {
        let folder = tempdir().unwrap();
        harness(&folder)
            .args(["run", "--filter", "rot/retention-at-start"])
            .args(["--logmon", &reads_early(end)])
            .assert()
            .code(0)
            .stdout(contains("1 pass"));
    }
}

#[test]
fn a_driver_behind_a_wrapper_is_not_blamed_for_what_it_does_when_only_that_is_killed() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", "life/recover-crashed,life/recover-ended"])
        .args([
            "--driver-stdio",
            "sh -c '{self} mock-driver stdio; exit $?'",
        ])
        .assert()
        .code(1)
        .stdout(contains("1 pass, 1 inconclusive"))
        .stdout(contains("writer-killed").not());
}
