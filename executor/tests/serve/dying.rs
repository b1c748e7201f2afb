//! Wardens that die or do not answer (edge).

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::place::{LONG, Place, has_ended, has_ended_within, kill, pid};
use crate::speaker::Driver;

const FAMILY: &str = "(setsid sleep 1000 &) ; sleep 1000 & echo one; while :; do sleep 1000; done";

/// A driver with a task that has said its first line; the pids of its warden and its main process.
fn started(place: &Place, script: &str) -> (Driver, Value, i32, i32) {
    let mut driver = Driver::start(place.path());
    let started = driver.say("start", place.script("t", script));
    assert_eq!(place.line(), "one");
    let warden = pid(&started["handle"]["warden"]["pid"]);
    let handles = json!([{"id": "t", "handle": started["handle"]}]);
    (driver, handles, warden, pid(&started["pid"]))
}

/// True if a cgroup holds the task: then nothing of it can hide.
fn is_held(handles: &Value) -> bool {
    let held = &handles[0]["handle"]["held"];
    held["cgroup2"].is_object() || held["freezer"].is_object()
}

#[test]
fn a_task_whose_warden_is_killed_is_killed_and_told_so() {
    let place = Place::new();
    let (mut driver, handles, warden, main) = started(&place, FAMILY);
    let wait = driver.ask("wait", json!({"id": "t"}));
    kill(warden, Signal::SIGKILL);
    assert_eq!(driver.answer(wait), json!({"exit": null, "signal": 9}));
    assert!(has_ended(main));
    if is_held(&handles) {
        assert_eq!(place.processes(), [driver.pid()]);
        assert_eq!(place.rest(0), "");
    }
    driver.destroy("t");
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_warden_that_was_killed_while_no_driver_was_there_is_told_as_lost() {
    let place = Place::new();
    let (driver, handles, warden, main) = started(&place, FAMILY);
    driver.kill();
    kill(warden, Signal::SIGKILL);
    assert!(has_ended_within(warden, LONG));
    assert!(!has_ended(main), "the task lives on until somebody looks");
    let mut driver = Driver::start(place.path());
    let lost = driver.recover(&handles);
    assert_eq!(
        lost,
        json!([{"id": "t", "reason": "the process that kept the task was killed, and the task with it"}])
    );
    assert!(has_ended(main));
    if is_held(&handles) {
        assert_eq!(place.processes(), [driver.pid()]);
    }
    assert_eq!(place.files(), Vec::<String>::new());
    assert_eq!(
        driver.refusal("wait", json!({"id": "t"})),
        "there is no task \"t\""
    );
}

#[test]
fn an_end_that_nobody_saw_is_not_made_up() {
    let place = Place::new();
    let (mut driver, handles, warden, main) = started(&place, FAMILY);
    // Frozen, it can't write down the end that it sees.
    kill(warden, Signal::SIGSTOP);
    kill(main, Signal::SIGKILL);
    assert!(has_ended_within(main, LONG));
    kill(warden, Signal::SIGKILL);
    let why = driver.refusal("wait", json!({"id": "t"}));
    let expected =
        format!("how the task ended is lost: its process {warden} was killed and left no word");
    assert!(why.starts_with(&expected), "{why}");
    assert_eq!(why.contains("may live on"), !is_held(&handles), "{why}");
    driver.destroy("t");
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_task_whose_warden_is_frozen_is_stopped_and_destroyed_all_the_same() {
    for op in ["stop", "destroy", "close"] {
        let place = Place::new();
        let script = format!("trap 'echo term' TERM; {FAMILY}");
        let (mut driver, handles, warden, main) = started(&place, &script);
        kill(warden, Signal::SIGSTOP);
        match op {
            "stop" => driver.stop("t", 50),
            "destroy" => driver.destroy("t"),
            _ => assert!(driver.close().success()),
        }
        assert!(has_ended(main) && has_ended(warden), "{op}");
        // While the warden lives nothing can hide from its descent, cgroup or not.
        let left = place.processes();
        assert!(left.len() <= 1, "{op}: {left:?} of {handles}");
    }
}

#[test]
fn an_end_that_was_written_counts_though_its_warden_was_killed_while_cleaning_up() {
    let place = Place::new();
    let (driver, handles, warden, main) = started(&place, FAMILY);
    driver.kill();
    kill(warden, Signal::SIGKILL);
    assert!(has_ended_within(warden, LONG));
    let folder = handles[0]["handle"]["folder"]["path"].as_str().unwrap();
    let note = json!({
        "exit": 4, "signal": null, "oom_killed": null, "ended_at_ms": 1, "is_clean": false, "left": null,
    });
    fs::write(format!("{folder}/end"), note.to_string()).unwrap();
    let mut driver = Driver::start(place.path());
    assert_eq!(driver.recover(&handles), json!([]));
    assert!(
        has_ended_within(main, Duration::ZERO),
        "what was left is killed"
    );
    assert_eq!(
        driver.say("wait", json!({"id": "t"})),
        json!({"exit": 4, "signal": null})
    );
}
