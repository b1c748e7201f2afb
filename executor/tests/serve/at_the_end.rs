//! What is under way when the requests end (edge).

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::place::{LONG, Place, has_ended_within, until};
use crate::speaker::Driver;

/// Starts this many tasks that run on, without a log.
fn start(driver: &mut Driver, place: &Place, count: usize) {
    for number in 0..count {
        let id = format!("t{number}");
        let started = driver.say("start", place.silent(&id, "exec sleep 1000"));
        assert!(started["handle"].is_object(), "{started}");
    }
}

#[test]
fn a_task_that_is_being_destroyed_is_gone_when_the_driver_is() {
    for _ in 0..10 {
        let place = Place::new();
        let mut driver = Driver::start(place.path());
        start(&mut driver, &place, 1);
        driver.ask("destroy", json!({ "id": "t0" }));
        assert_eq!(driver.close().code(), Some(0));
        assert_eq!(place.processes(), Vec::<i32>::new());
        assert_eq!(place.files(), Vec::<String>::new());
    }
}

#[test]
fn a_task_that_is_gone_meanwhile_is_no_failure_of_the_driver() {
    for _ in 0..5 {
        let place = Place::new();
        let mut driver = Driver::start(place.path());
        start(&mut driver, &place, 20);
        // Some of them go between the look at all and the end of each.
        for number in 0..20 {
            driver.ask("destroy", json!({ "id": format!("t{number}") }));
        }
        assert_eq!(driver.close().code(), Some(0));
        assert_eq!(place.processes(), Vec::<i32>::new());
    }
}

#[test]
fn of_two_that_destroy_a_task_both_are_told_when_it_is_gone() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    for _ in 0..10 {
        start(&mut driver, &place, 1);
        let asked = [0, 1].map(|_| driver.ask("destroy", json!({ "id": "t0" })));
        let first = driver.answer(asked[0]);
        let second = driver.answer(asked[1]);
        assert_eq!(place.processes().len(), 1, "the driver alone");
        assert_eq!(first, json!({}));
        // It may have come when there was no such task any more.
        let is_unknown = second["error"] == "there is no task \"t0\"";
        assert!(second == json!({}) || is_unknown, "{second}");
    }
}

#[test]
fn tasks_that_are_being_taken_over_are_gone_when_the_driver_is() {
    for _ in 0..10 {
        let place = Place::new();
        let mut before = Driver::start(place.path());
        start(&mut before, &place, 6);
        let handles = before.detach();
        let mut driver = Driver::start(place.path());
        driver.ask("recover", json!({ "handles": handles }));
        assert_eq!(driver.close().code(), Some(0));
        assert_eq!(place.processes(), Vec::<i32>::new());
    }
}

#[test]
fn tasks_that_are_being_taken_over_are_detached_as_all_others() {
    let place = Place::new();
    let mut before = Driver::start(place.path());
    start(&mut before, &place, 6);
    let handles = before.detach();
    let mut driver = Driver::start(place.path());
    let recover = driver.ask("recover", json!({ "handles": handles }));
    let detach = driver.ask("detach", json!({}));
    let taken = driver.answer(recover);
    assert_eq!(taken["ok"].as_array().map(Vec::len), Some(6), "{taken}");
    let again = driver.answer(detach)["handles"].clone();
    assert_eq!(again.as_array().map(Vec::len), Some(6), "{again}");
    assert!(driver.close().success());
    let mut driver = Driver::start(place.path());
    assert_eq!(driver.recover(&again), json!([]));
    assert!(driver.close().success());
}

#[test]
fn a_task_of_another_pid_namespace_is_left_alone_and_an_id_is_answered_once() {
    let place = Place::new();
    let mut before = Driver::start(place.path());
    start(&mut before, &place, 1);
    let handles = before.detach();
    let mut elsewhere = handles.clone();
    elsewhere[0]["handle"]["pid_namespace"] = 1.into();
    let lives = place.processes();
    let mut driver = Driver::start(place.path());
    let lost = driver.recover(&elsewhere);
    let why = lost[0]["reason"].as_str().unwrap();
    assert!(why.contains("another pid namespace"), "{lost}");
    assert!(lives.iter().all(|pid| place.processes().contains(pid)));
    let twice: Vec<&Value> = handles.as_array().unwrap().iter().cycle().take(2).collect();
    let answer = driver.say("recover", json!({ "handles": twice }));
    assert_eq!(answer, json!({ "ok": ["t0"], "lost": [] }));
    driver.destroy("t0");
    assert!(driver.close().success());
    assert_eq!(place.processes(), Vec::<i32>::new());
}

#[test]
fn the_end_of_requests_is_seen_though_nobody_hears_the_answers() {
    let place = Place::new();
    let mut driver = Command::new(env!("CARGO_BIN_EXE_executor"))
        .arg("serve")
        .current_dir(place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = place.silent("t", "exec sleep 1000");
    (start["seq"], start["op"]) = (1.into(), "start".into());
    let mut stdin = driver.stdin.take().unwrap();
    writeln!(stdin, "{start}").unwrap();
    until("its task runs", || {
        let found = fs::read_dir(place.task_dir()).unwrap().count();
        if place.processes().len() >= 3 {
            Ok(())
        } else {
            Err(format!("{found} files"))
        }
    });
    for seq in 2..3_000 {
        writeln!(stdin, "{{\"seq\":{seq},\"op\":\"nothing\"}}").unwrap();
    }
    drop(stdin);
    let has_ended = has_ended_within(driver.id().try_into().unwrap(), LONG);
    let stays = driver.kill();
    driver.wait().unwrap();
    assert!(has_ended, "it does not end: {stays:?}");
    assert_eq!(place.processes(), Vec::<i32>::new());
}
