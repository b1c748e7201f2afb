//! `executor run` as a child subreaper: where no cgroup is had, what a task leaves comes back to it (edge).

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::command::{Running, with};
use crate::escaping::FAMILY;
use crate::stage::{Stage, has_ended_within, line, until};

#[test]
fn a_child_subreaper_stops_a_family_and_says_by_what() {
    let stage = Stage::new();
    let running = Running::start(with(&stage, &["--no-cgroup", "--verbose"], FAMILY));
    let family: Vec<i32> = (0..3)
        .map(|_| line(&stage.stdout).parse().unwrap())
        .collect();
    running.signal(Signal::SIGTERM);
    let (code, text) = running.end();
    assert_eq!(code, Some(143), "{text}");
    for pid in family {
        assert!(
            has_ended_within(pid, Duration::ZERO),
            "{pid} lives on: {text}"
        );
    }
    for said in [
        "is contained by a child subreaper",
        "executor: signal the main process: done\n",
        "executor: kill the main process: not needed\n",
        "executor: kill its process group: done\n",
        "executor: kill what has left the group: done\n",
        "executor: wait until none is left: done\n",
    ] {
        assert!(text.contains(said), "no {said:?} in {text}");
    }
}

#[test]
fn children_from_before_are_not_taken_for_some_of_the_task() {
    let executor = env!("CARGO_BIN_EXE_executor");
    let script = format!(
        "sleep 1000 >/dev/null 2>&1 & echo $!; exec {executor} run --no-cgroup --verbose --log-disabled -- true"
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let stranger: i32 = String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let survives = !has_ended_within(stranger, Duration::ZERO);
    let _is_gone = nix::sys::signal::kill(Pid::from_raw(stranger), Signal::SIGKILL);
    assert!(survives, "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    for said in [
        "is contained by a process group",
        "not by better means: can't become a child subreaper: this process has other children",
        "executor: processes of the task that left its process group survive",
    ] {
        assert!(text.contains(said), "no {said:?} in {text}");
    }
}

#[test]
fn a_child_subreaper_knows_ends_by_signals_without_a_name() {
    let stage = Stage::new();
    let options = ["--no-cgroup", "--verbose"];
    let running = Running::start(with(&stage, &options, "kill -34 $$"));
    let (code, text) = running.end();
    assert_eq!(code, Some(162), "{text}");
    assert!(
        text.contains("wait until none is left: not needed\n"),
        "{text}"
    );
    assert!(!text.contains("can't"), "{text}");
}

#[test]
fn a_child_subreaper_leaves_no_zombies_while_its_task_runs() {
    let stage = Stage::new();
    // Each fifth ends by a real-time signal.
    let script = "i=0; while [ $i -lt 20 ]; do (setsid sh -c \"sleep 0.01; [ $((i%5)) != 0 ] || kill -34 \\$\\$\" & exit 0)
i=$((i+1)); done
echo done; exec sleep 1000";
    let running = Running::start(with(&stage, &["--no-cgroup"], script));
    assert_eq!(line(&stage.stdout), "done");
    let own = running.pid();
    until("only the task is left", || {
        let path = format!("/proc/{own}/task/{own}/children");
        let children = fs::read_to_string(path).unwrap();
        if children.split_whitespace().count() == 1 {
            Ok(())
        } else {
            Err(children)
        }
    });
    running.signal(Signal::SIGTERM);
    assert_eq!(running.end(), (Some(143), String::new()));
}
