//! Tests of one logmon with many tasks: the options that give it, what is judged, and what is told.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::tempdir;

use crate::program::{fifos_below, harness, json, path, processes_of, wait_until};

/// What a logmon for one task and one for many are told alike.
const TASK: &str = "--log-dir {log_dir} --stdout {stdout_fifo}={stdout_name} \
                    --stderr {stderr_fifo}={stderr_name} --max-files {max_files} \
                    --max-file-size {max_file_bytes} --line-guard {line_guard}";

/// A case like `cost/thousand-tasks`, for a test.
const TWENTY: &str = r#"
id = "cost/twenty-tasks"
title = "One process serves 20 tasks."
rules = ["COST-2", "COST-3", "COST-1", "DATA-1", "DATA-2"]
needs = ["many-tasks"]
many = { tasks = 20 }
[limits]
max_files = 2
max_file_bytes = 1000
[tasks.main]
step = [
    { do = "records", stream = "stdout", count = 15, bytes = 200 },
    { do = "records", stream = "stderr", count = 4, bytes = 200 },
]
[[plan]]
do = "start-logmon"
[[plan]]
do = "many-tasks"
step = "start"
[[plan]]
do = "many-tasks"
step = "write"
[[plan]]
do = "many-tasks"
step = "stop"
"#;

/// The options of the small logmon with this fault.
fn options(fault: &str) -> Vec<String> {
    let program = format!("'{}' faulty-logmon {fault}", path());
    vec![
        "--logmon".into(),
        format!("{program} run {TASK}"),
        "--logmon-serve".into(),
        format!("{program} serve --control {{control}}"),
        "--logmon-start".into(),
        format!("{program} start --control {{control}} --task {{task_id}} {TASK}"),
        "--logmon-stop".into(),
        format!("{program} stop --control {{control}} --task {{task_id}}"),
    ]
}

#[test]
fn the_memory_of_a_task_is_told_and_stands_in_the_report() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("twenty.toml");
    fs::write(&file, TWENTY).unwrap();
    harness(&folder)
        .args(["run", "--scenario", "twenty.toml"])
        .assert()
        .code(0)
        .stdout(contains("20 tasks in one logmon, ").and(contains(" B of memory for each")));
    let report = json(&folder.path().join("out/report.json"));
    let memory = &report["cases"][0]["memory"];
    assert_eq!(memory["tasks"], 20, "{memory}");
    assert!(memory["own_bytes"].as_u64().unwrap() > 0, "{memory}");
    assert_eq!(fifos_below(folder.path()), Vec::<String>::new());
    assert_eq!(processes_of(folder.path()), Vec::<String>::new());
}

#[test]
fn a_logmon_of_ones_own_is_judged_with_many_tasks() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("twenty.toml"), TWENTY).unwrap();
    harness(&folder)
        .args(["run", "--scenario", "twenty.toml"])
        .args(options("none"))
        .assert()
        .code(0)
        .stdout(contains("1 pass"));
    let report = json(&folder.path().join("out/report.json"));
    let serving = &report["subject"]["serving"];
    assert_eq!(
        serving["stop"].as_array().unwrap().last().unwrap(),
        "{task_id}",
        "{serving}"
    );
    let declared = report["subject"]["capabilities"].as_array().unwrap();
    assert!(
        declared.iter().any(|one| one == "many-tasks"),
        "{declared:?}"
    );
}

#[test]
fn a_faulty_one_is_told_with_a_command_that_plays_it_again() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("twenty.toml"), TWENTY).unwrap();
    harness(&folder)
        .args(["run", "--scenario", "twenty.toml"])
        .args(options("process-per-task"))
        .assert()
        .code(1)
        .stdout(contains("[growth-process,").and(contains("`process-per-task`: 1.00")))
        .stdout(contains("harness repro out/cost-twenty-tasks.bundle\n"));
    harness(&folder)
        .args(["repro", "out/cost-twenty-tasks.bundle"])
        .assert()
        .code(1)
        .stdout(contains("[growth-process,").and(contains("reproduced")));
}

#[test]
fn with_too_few_descriptors_some_tasks_run_and_the_others_are_refused() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args([
            "run",
            "--filter",
            "heal/too-few-descriptors",
            "--keep",
            "all",
        ])
        .assert()
        .code(0)
        .stdout(contains("1 pass"));
    let bundle = folder.path().join("out/heal-too-few-descriptors.bundle");
    let trace = fs::read_to_string(bundle.join("trace.jsonl")).unwrap();
    let starts: Vec<&str> = trace
        .lines()
        .filter(|line| line.contains("\"order\":\"start\""))
        .collect();
    let done = starts.iter().filter(|line| line.contains("{\"code\":0}"));
    let (done, all) = (done.count(), starts.len());
    assert_eq!(all, 120);
    assert!((2..=60).contains(&done), "{done} of {all} were started");
}

/// Inherited descriptors move the last start that fits: with some counts of them it is only the connection
/// of whoever asks that leaves no room for one more.
#[test]
fn the_faulty_one_that_gives_up_has_no_descriptor_left_however_many_it_inherits() {
    for inherited in 0..6 {
        let folder = tempdir().unwrap();
        refuse_a_start_and_take_all(folder.path(), inherited);
    }
}

/// The host's own descriptors, whatever it was started with, leave the limit to logmon.
#[test]
fn what_the_suite_inherited_does_not_count_against_logmon() {
    let folder = tempdir().unwrap();
    let open: String = (3..160)
        .map(|fd| format!("exec {fd}</dev/null\n"))
        .collect();
    let arguments = ["run", "--filter", "heal/too-few-descriptors"];
    let output = Command::new("bash")
        .args(["-c", &format!("{open} exec \"$@\""), "bash", path()])
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 pass"), "{told}");
}

/// What a logmon may have in the test above: room for a few tasks.
const FEW: usize = 40;

/// A logmon that ends with the test, also when that fails.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts tasks until one is refused, and waits until the logmon has taken all descriptors that are left.
fn refuse_a_start_and_take_all(folder: &Path, inherited: usize) {
    let open: String = (0..inherited)
        .map(|one| format!("exec {}</dev/null; ", 3 + one))
        .collect();
    let faulty = ["faulty-logmon", "gives-up-on-emfile"];
    let mut logmon = Serving(
        Command::new("sh")
            .args(["-c", &format!("{open} exec \"$@\""), "sh", path()])
            .args(["__limited", &FEW.to_string(), "--", path()])
            .args(faulty)
            .args(["serve", "--control", "control"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut said = String::new();
    let mut stdout = BufReader::new(logmon.0.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    let refusal = (0..FEW).find_map(|task| {
        let fifos = ["stdout", "stderr"].map(|stream| format!("{stream}-{task}"));
        for fifo in &fifos {
            fifo::create(&folder.join(fifo), 0o600).unwrap();
        }
        let [stdout, stderr] = fifos.map(|fifo| format!("{fifo}={fifo}"));
        let start = Command::new(path())
            .args(faulty)
            .args(["start", "--control", "control", "--log-dir", "."])
            .args(["--task", &task.to_string()])
            .args(["--stdout", &stdout, "--stderr", &stderr])
            .args(["--max-files", "2", "--max-file-size", "1000"])
            .current_dir(folder)
            .output()
            .unwrap();
        (!start.status.success()).then(|| String::from_utf8_lossy(&start.stderr).into_owned())
    });
    let refusal = refusal.unwrap();
    assert!(refusal.contains("no descriptors"), "{refusal}");
    // A descriptor from before the limit may have a higher number.
    let all = format!("/proc/{}/fd", logmon.0.id());
    let what = format!("all {FEW} descriptors are taken, {inherited} of them inherited");
    wait_until(Duration::from_secs(10), &what, || {
        let names = fs::read_dir(&all)
            .unwrap()
            .map(|one| one.unwrap().file_name());
        let numbers = names.filter_map(|name| name.to_str()?.parse::<usize>().ok());
        numbers.filter(|number| *number < FEW).count() == FEW
    });
}

#[test]
fn the_three_commands_belong_together_and_to_a_logmon() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--logmon-serve", "mine {control}"])
        .assert()
        .code(64)
        .stderr(contains("give --logmon-start and --logmon-stop as well"));
    harness(&folder)
        .arg("run")
        .args(&options("none")[2..])
        .assert()
        .code(64)
        .stderr(contains("give --logmon as well"));
    let mut without_control = options("none");
    without_control[3] = "mine serve /run/mine".into();
    harness(&folder)
        .arg("run")
        .args(without_control)
        .assert()
        .code(64)
        .stderr(contains("--logmon-serve").and(contains("{control}")));
    let mut missing = options("none");
    missing[5] = "/no/such start {control} {task_id} {log_dir} {stdout_fifo} {stderr_fifo}".into();
    harness(&folder)
        .arg("run")
        .args(missing)
        .assert()
        .code(69)
        .stderr(contains("--logmon-start: /no/such is no program"));
    harness(&folder)
        .args(["run", "--capability", "many-tasks"])
        .assert()
        .code(64)
        .stderr(contains("give --logmon-serve"));
}

#[test]
fn a_machine_with_few_descriptors_leaves_the_thousand_out_by_name() {
    let folder = tempdir().unwrap();
    let list = |descriptors: &str| {
        harness(&folder)
            .args(["__limited", descriptors, "--", path()])
            .args(["list", "--why-skipped", "cost/thousand-tasks"])
            .assert()
            .code(0)
    };
    list("4096").stdout(contains("this machine does not allow many-descriptors"));
    let doctor = harness(&folder)
        .args(["__limited", "4096", "--", path(), "doctor"])
        .assert()
        .code(0);
    doctor.stdout(contains("(ulimit -Hn) is 4096"));
}
