//! Tiny runs work from end to end. Nothing here depends on a time.

use assert_cmd::Command;
use predicates::prelude::*;

fn measure() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_measure"));
    command.timeout(std::time::Duration::from_secs(120));
    command
}

#[test]
fn a_megabyte_goes_through_logmon_and_the_rulers_and_is_checked() {
    let place = tempfile::tempdir().expect("a folder");
    measure()
        .args(["throughput", "--works", "L100,B1K", "--pairs", "3"])
        .args(["--scale", "0.001", "--place"])
        .arg(place.path())
        .assert()
        .success()
        .stdout(
            predicate::str::contains("| L100 | B1K |")
                .and(predicate::str::contains("| logmon |"))
                .and(predicate::str::contains("| staged splice (limit) |"))
                .and(predicate::str::contains(
                    "| logmon in terms of staged splice (limit) |",
                )),
        );
    let left: Vec<_> = std::fs::read_dir(place.path())
        .expect("the folder")
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_log_of_several_files_is_checked_to_the_last_byte() {
    let place = tempfile::tempdir().expect("a folder");
    measure()
        .args(["throughput", "--works", "B16K", "--pairs", "1"])
        .args([
            "--scale",
            "0.006",
            "--collectors",
            "logmon,staged-splice",
            "--place",
        ])
        .arg(place.path())
        .assert()
        .success()
        // 24 MB are three files of at most 10 MiB; one pair makes no ratio.
        .stdout(
            predicate::str::contains("| 0 | 10485760 |").and(predicate::str::contains("| ? |")),
        );
}

#[test]
fn a_collector_that_drops_a_byte_fails_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let thief = folder.path().join("thief");
    let draft = folder.path().join("draft");
    std::fs::write(
        &draft,
        "#!/bin/sh\n\
         while [ $# -gt 0 ]; do\n\
         case $1 in --log-dir) dir=$2 ;; --stdout) fifo=${2%=log} ;; esac\n\
         shift\n\
         done\n\
         trap : TERM\n\
         exec 3<\"$fifo\"\n\
         echo ready\n\
         { dd bs=1 count=4000; dd bs=1 count=1 of=/dev/null; cat; } <&3 2>/dev/null >\"$dir/log.0\"\n",
    )
    .expect("a script");
    // Another process writes it: a child of another test might hold it open for writing, execve(2).
    Command::new("cp").args([&draft, &thief]).assert().success();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&thief, mode).expect("an executable script");
    measure()
        .args(["throughput", "--works", "L100", "--pairs", "1"])
        .args(["--scale", "0.001", "--collectors", "logmon", "--logmon"])
        .arg(&thief)
        .arg("--place")
        .arg(folder.path())
        .assert()
        .failure()
        .stderr(predicate::str::contains("logmon").and(predicate::str::contains("expected `")));
}

#[test]
fn an_unknown_work_is_refused_by_name() {
    measure()
        .args(["throughput", "--works", "X7"])
        .assert()
        .failure()
        .stderr(predicate::str::contains("X7 is no work"));
}

#[test]
fn a_launch_is_measured_beside_posix_spawn() {
    measure()
        .args([
            "launch",
            "--pairs",
            "3",
            "--launches",
            "2",
            "--rest-ms",
            "1",
        ])
        .assert()
        .success()
        .stdout(
            predicate::str::contains("| process group | until it runs |").and(
                predicate::str::contains("| process group | until nothing is left of it |"),
            ),
        );
}
