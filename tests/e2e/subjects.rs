//! Tests of subjects: good ones pass, dishonest and broken ones are refused with a reason.

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::tempdir;

use crate::program::{SHELL_DRIVER, harness};

#[test]
fn a_shell_is_a_good_driver() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args([
            "run",
            "--driver",
            SHELL_DRIVER,
            "--filter",
            "data/smoke,life/exit-code",
        ])
        .assert()
        .code(0)
        .stdout(contains("ran 2 of").and(contains("canary seen")))
        .stdout(contains("conformant").not());
}

#[test]
fn a_file_system_of_a_cases_own_is_gone_with_it_and_its_files_are_kept() {
    let folder = tempdir().unwrap();
    let run = harness(&folder)
        .args(["run", "--filter", "heal/read-only", "--keep", "all"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    if told.contains("this machine does not allow storage-faults") {
        return;
    }
    assert_eq!(run.status.code(), Some(0), "{told}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let place = folder.path().to_str().unwrap();
    assert!(!mounts.contains(place), "{mounts}");
    let bundle = folder.path().join("out/heal-read-only.bundle");
    assert!(!bundle.join("storage").exists());
    let bytes: u64 = std::fs::read_dir(bundle.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(bytes, 2_115_000);
}

/// A logmon that looks for room in its folder, and makes links there, before it starts.
const LOOKS_FOR_ROOM: &str = "sh -c 'test $(stat -f -c %a {log_dir}) -gt 1000 || exit 9; \
    ln -s nowhere {log_dir}/current || exit 10; ln -P {log_dir}/current {log_dir}/other || exit 11; \
    test $(readlink {log_dir}/other) = nowhere || exit 12; \
    exec {self} faulty-logmon none run --log-dir {log_dir} --stdout {stdout_fifo}={stdout_name} \
    --stderr {stderr_fifo}={stderr_name} --max-files {max_files} \
    --max-file-size {max_file_bytes} --line-guard {line_guard}'";

#[test]
fn a_logmon_may_look_for_room_where_storage_will_stall() {
    let folder = tempdir().unwrap();
    let run = harness(&folder)
        .args(["run", "--filter", "heal/stalled-storage", "--logmon"])
        .arg(LOOKS_FOR_ROOM)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    if !told.contains("this machine does not allow stalling-storage") {
        assert_eq!(run.status.code(), Some(0), "{told}");
    }
}

/// A logmon whose first start brings a server up, and whose second one speaks to it.
const HANDS_OVER: &str = "sh -c 'socket={keep_dir}/control; \
    start() ( {self} logmon ctl --control $socket start --task demo --log-dir {log_dir} \
    --stdout {stdout_fifo}={stdout_name} --stderr {stderr_fifo}={stderr_name} \
    --max-files {max_files} --max-file-size {max_file_bytes} --line-guard {line_guard} ); \
    if test -S $socket; then start; exit; fi; \
    {self} logmon serve --control $socket & server=$!; trap \"kill $server\" TERM; \
    until start 2>/dev/null; do kill -0 $server || exit; done; echo ready; \
    wait $server; wait $server'";

#[test]
fn a_second_start_that_hands_its_limits_over_is_no_second_logmon() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", "mon/other-limits,mon/second-logmon"])
        .args(["--logmon", HANDS_OVER])
        .assert()
        .code(0);
}

#[test]
fn a_driver_that_does_not_exist_exits_69_and_names_it() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver", "/nonexistent/driver {task}"])
        .assert()
        .code(69)
        .stderr(contains("/nonexistent/driver").and(contains("--driver")));
}

#[test]
fn a_driver_that_ignores_its_arguments_exits_69_and_says_what_it_did() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver", "true {task}"])
        .assert()
        .code(69)
        .stderr(contains("exited 0 without starting the task").and(contains("{task}")));
}

#[test]
fn a_driver_that_prints_garbage_exits_69_and_shows_its_first_line() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver", "sh -c 'yes garbage-line # {task}'"])
        .assert()
        .code(69)
        .stderr(contains("never started the task").and(contains("`garbage-line`")));
}

#[test]
fn a_driver_that_never_ends_exits_69_and_says_so() {
    let folder = tempdir().unwrap();
    let driver = "sh -c '{task} >{stdout} 2>{stderr}; exec sleep 3600'";
    harness(&folder)
        .args(["run", "--driver", driver])
        .assert()
        .code(69)
        .stderr(contains("did not end with it"));
}

#[test]
fn a_driver_that_reports_another_exit_exits_69() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args([
            "run",
            "--driver",
            "sh -c '{task} >{stdout} 2>{stderr}; exit 3'",
        ])
        .assert()
        .code(69)
        .stderr(contains("the task exited 42, and the driver exited 3"));
}

#[test]
fn a_false_claim_to_forward_exits_69_and_names_the_flag() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver", SHELL_DRIVER, "--capability", "forwards"])
        .assert()
        .code(69)
        .stderr(contains("leave out --capability forwards"));
}

#[test]
fn a_forwarding_driver_that_does_not_say_so_exits_69_and_names_the_flag() {
    let folder = tempdir().unwrap();
    let driver = "{self} mock-driver run --stdout {stdout} --stderr {stderr} -- {task}";
    harness(&folder)
        .args(["run", "--driver", driver])
        .assert()
        .code(69)
        .stderr(contains("add --capability forwards"));
}

#[test]
fn a_logmon_that_does_not_exist_exits_69_and_names_it() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--logmon", "/nonexistent/logmon {log_dir}"])
        .assert()
        .code(69)
        .stderr(contains("/nonexistent/logmon"));
}

#[test]
fn what_can_not_be_started_is_blamed_on_its_own_flag_whatever_it_is_called() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--logmon", "/nonexistent/thing {log_dir}"])
        .assert()
        .code(69)
        .stderr(contains("first word of --logmon").and(contains("--driver").not()));
    harness(&folder)
        .args(["run", "--driver", "/nonexistent/logmon-driver {task}"])
        .assert()
        .code(69)
        .stderr(contains("first word of --driver").and(contains("--logmon").not()));
}

#[test]
fn a_logmon_that_never_reads_exits_69() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--logmon", "sleep 3600"])
        .assert()
        .code(69)
        .stderr(contains("logmon").and(contains("ready")));
}

/// Containers give a task a number of its own, which is another process's on the host.
#[test]
fn a_driver_that_gives_its_tasks_a_pid_namespace_is_judged_like_any_other() {
    const APART: &str = "unshare --user --map-root-user --pid --fork --mount-proc";
    let folder = tempdir().unwrap();
    let words = shell_words::split(APART).unwrap();
    let tried = std::process::Command::new(&words[0])
        .args(&words[1..])
        .arg("true")
        .output();
    if !tried.is_ok_and(|output| output.status.success()) {
        eprintln!("left out: this machine has no PID namespaces for this user");
        return;
    }
    let driver = format!("{APART} sh -c '{{task}} >{{stdout}} 2>{{stderr}} & wait $!'");
    harness(&folder)
        .args(["run", "--driver", &driver])
        .args(["--filter", "data/smoke", "--filter", "life/kill-task"])
        .assert()
        .code(0)
        .stdout(contains("2 pass"));
}
