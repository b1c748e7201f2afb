//! Tests of `repro --stop-at`: a plan that stands still so that somebody can look.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{TempDir, tempdir};

use crate::program::{fifos_below, harness, path, processes_of, wait_until, wait_until_nothing};

const LIMIT: Duration = Duration::from_secs(30);

/// A case that is played again until its plan stands still, and this program's end of its stdin.
fn standing(folder: &TempDir, arguments: &[&str]) -> (Child, ChildStdin) {
    let mut child = Command::new(path())
        .current_dir(folder.path())
        .arg("repro")
        .args(arguments)
        .stdout(File::create(folder.path().join("stdout")).unwrap())
        .stderr(File::create(folder.path().join("stderr")).unwrap())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    wait_until(LIMIT, "the plan stands still", || {
        printed(folder).contains("The plan stands still")
    });
    (child, stdin)
}

fn printed(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("stdout")).unwrap()
}

/// The process that was printed with this name in the first column.
fn pid_of(text: &str, name: &str) -> i32 {
    let line = text.lines().find_map(|line| {
        let rest = line.strip_prefix("  ")?.strip_prefix(name)?;
        rest.split_whitespace().next()?.parse().ok()
    });
    line.unwrap_or_else(|| panic!("no process {name} in\n{text}"))
}

fn lives(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}/fd")).exists()
}

fn ends_as_stopped(folder: &TempDir, mut child: Child) {
    let status = child.wait().unwrap();
    let text = printed(folder);
    assert_eq!(status.code(), Some(7), "{text}");
    assert!(text.contains("so there is no verdict"), "{text}");
    wait_until_nothing(LIMIT, || processes_of(folder.path()));
    assert_eq!(fifos_below(folder.path()), Vec::<String>::new());
}

/// A pipe that is full behind a logmon that is stopped: everybody lives, and the task waits.
const FULL: [&str; 3] = ["mon/kill-full-pipe-bare", "--stop-at", "pipe-full"];

#[test]
fn everything_lives_while_somebody_looks_and_is_gone_after_enter() {
    let folder = tempdir().unwrap();
    let (child, mut stdin) = standing(&folder, &FULL);
    let text = printed(&folder);
    assert!(
        text.contains("stopped behind step 7, wait until stdout's pipe is full"),
        "{text}"
    );
    let pids = ["Case process", "logmon", "driver", "task"].map(|name| pid_of(&text, name));
    assert!(pids.iter().all(|pid| lives(*pid)), "{pids:?}\n{text}");
    let joined = text.replace("\n                 ", " ");
    assert!(
        joined.contains(&format!("task {} (harness): write(1)", pids[3])),
        "{text}"
    );
    for name in ["FIFOs", "Log", "Trace"] {
        let start = format!("  {name:<15}");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        assert!(Path::new(line.unwrap()).exists(), "{name} in\n{text}");
    }
    for pid in &pids[1..] {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(!environment.contains("HARNESS_CASE_"), "{environment}");
    }
    // Half a line is no Enter.
    stdin.write_all(b"wait").unwrap();
    assert!(pids.iter().all(|pid| lives(*pid)));
    stdin.write_all(b" no more\n").unwrap();
    ends_as_stopped(&folder, child);
    assert!(!pids.iter().any(|pid| lives(*pid)), "{pids:?}");
    let bundle = "out-repro/mon-kill-full-pipe-bare.bundle";
    harness(&folder).args(["show", bundle]).assert().stdout(
        contains("STOPPED  mon/kill-full-pipe-bare")
            .and(contains("#1 PAUSED"))
            .and(contains("the plan was stopped behind step 7")),
    );
    // What was killed in the middle of everything accuses nobody.
    let shown = harness(&folder).args(["show", bundle]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let accuses = |word: &str| shown.contains(word);
    assert!(
        !accuses("[died") && !accuses("SIGKILL, which nobody sent"),
        "{shown}"
    );
    harness(&folder)
        .args(["recheck", bundle])
        .assert()
        .code(7)
        .stdout(contains("Judged again   stopped; the same as when it was"));
}

#[test]
fn the_end_of_standard_input_and_a_signal_are_as_good_as_enter() {
    let folder = tempdir().unwrap();
    let (child, stdin) = standing(&folder, &FULL);
    drop(stdin);
    ends_as_stopped(&folder, child);
    let (child, stdin) = standing(&folder, &["data/smoke", "--stop-at", "2"]);
    assert!(printed(&folder).contains("stopped before step 2, start the task `main`"));
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    ends_as_stopped(&folder, child);
    drop(stdin);
}

#[test]
fn without_anybody_at_standard_input_nobody_is_waited_for() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["repro", "data/smoke", "--stop-at", "end"])
        .assert()
        .code(7)
        .stdout(contains("stopped at the end of the plan"));
    wait_until_nothing(LIMIT, || processes_of(folder.path()));
}

#[test]
fn the_harness_that_is_killed_leaves_nobody_standing() {
    let folder = tempdir().unwrap();
    let (mut child, stdin) = standing(&folder, &FULL);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_nothing(LIMIT, || processes_of(folder.path()));
    assert_eq!(fifos_below(folder.path()), Vec::<String>::new());
    drop(stdin);
}

#[test]
fn a_point_that_the_plan_does_not_have_is_refused_with_those_that_it_has() {
    let folder = tempdir().unwrap();
    let refused = |arguments: &[&str]| {
        let mut command = harness(&folder);
        command.args(["repro", "mon/kill-full-pipe-bare"]);
        command.args(arguments).assert().code(64).stdout("")
    };
    refused(&["--stop-at", "12"])
        .stderr(contains(
            "no point `12`; there are\n  1       start-logmon: ",
        ))
        .stderr(contains("\n  8       signal-logmon, KILL: send SIGKILL"))
        .stderr(predicate::function(|text: &str| {
            text.lines().all(|line| line.chars().count() <= 80)
        }));
    refused(&["--stop-at", "3", "--times", "2"]).stderr(contains("--times"));
    assert!(!folder.path().join("out-repro").exists());
}

/// A case whose task waits for a gate that the plan never opens.
const WAITS: &str = r#"
id = "data/waits"
title = "A task waits for somebody outside."
rules = ["DATA-1"]
[tasks.main]
step = [
    { do = "gate", name = "outside" },
    { do = "records", stream = "stdout", count = 10 },
]
[[plan]]
do = "start-logmon"
[[plan]]
do = "start-task"
[[plan]]
do = "await"
until = "at-gate"
gate = "outside"
[[plan]]
do = "await-exit"
"#;

#[test]
fn the_programs_go_on_while_the_plan_stands_still() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("waits.toml"), WAITS).unwrap();
    let (child, stdin) = standing(
        &folder,
        &[
            "data/waits",
            "--scenario",
            "waits.toml",
            "--stop-at",
            "outside",
        ],
    );
    let text = printed(&folder);
    let trace = text
        .lines()
        .find_map(|line| line.strip_prefix("  Trace          "));
    let trace = Path::new(trace.unwrap()).to_owned();
    File::create(trace.with_file_name("task/gates/outside")).unwrap();
    // The whole life of the task comes to its end, and the case process takes that in.
    wait_until(LIMIT, "the driver ends by itself", || {
        fs::read_to_string(&trace).is_ok_and(|text| {
            text.lines()
                .any(|line| line.contains("\"driver_exited\"") && line.contains("\"code\":0"))
        })
    });
    assert!(lives(pid_of(&text, "logmon")) && lives(pid_of(&text, "Case process")));
    drop(stdin);
    ends_as_stopped(&folder, child);
}

/// A case whose plan is cut short by a condition that nobody meets.
const CUT_SHORT: &str = r#"
id = "data/mine"
title = "It arrives."
rules = ["DATA-1"]
[tasks.main]
step = [{ do = "records", stream = "stdout", count = 10 }]
[[plan]]
do = "start-logmon"
[[plan]]
do = "start-task"
[[plan]]
do = "await"
until = "logged"
stream = "stdout"
bytes = 1000000
within_ms = 300
[[plan]]
do = "look"
"#;

#[test]
fn a_plan_that_ends_before_the_point_is_judged_and_that_is_told() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("mine.toml"), CUT_SHORT).unwrap();
    let repro = |what: &str| {
        let mut command = harness(&folder);
        command.args(["repro", "data/mine", "--scenario", "mine.toml", "--stop-at"]);
        command.arg(what).assert()
    };
    repro("4")
        .code(1)
        .stdout(contains("INCONCLUSIVE  data/mine"))
        .stderr(contains("the plan ended before it came to `4`"));
    repro("end")
        .code(7)
        .stdout(contains("stopped at the end of the plan"));
}

#[test]
fn a_file_system_that_hangs_for_somebody_else_keeps_nobody_waiting() {
    let folder = tempdir().unwrap();
    let doctor = harness(&folder).arg("doctor").output().unwrap();
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    if !doctor.contains("ok     stalling storage") {
        println!(
            "left out, as this machine lets nobody mount a file system that stalls:\n{doctor}"
        );
        return;
    }
    // Its logmon hangs in a write, and who asks for that file's facts hangs with it.
    let arguments = ["heal/stalled-storage", "--stop-at", "elapse"];
    let (child, stdin) = standing(&folder, &arguments);
    let other = tempdir().unwrap();
    harness(&other)
        .args(["run", "--filter", "data/smoke"])
        .assert()
        .success()
        .stdout(contains("ran 1 of"));
    drop(stdin);
    ends_as_stopped(&folder, child);
}
