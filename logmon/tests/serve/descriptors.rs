//! Edge: too few descriptors for all tasks: those that fit work, and none that runs suffers (HEAL-6).

use std::process::Command;

use nix::sys::resource::{Resource, getrlimit};
use serde_json::json;

use crate::place::Server;
use crate::support::{Place, lines, wait_until, write_all};

/// A server that may have so many descriptors.
fn limited(place: &Place, limit: usize) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {limit}; exec \"$@\"");
    command.args([
        "-c",
        &script,
        "sh",
        env!("CARGO_BIN_EXE_logmon"),
        "serve",
        "--control",
    ]);
    command.arg(place.socket());
    command
}

#[test]
fn tasks_that_fit_work_and_the_others_are_told_the_limit_and_the_need() {
    let place = Place::new();
    let server = place.serve_command(limited(&place, 160));
    let mut client = place.client();
    let mut running = 0;
    let refusal = loop {
        let answer = client.ask(&place.start_request(&format!("t{running}"), 3, 200));
        if answer["ok"] == false {
            break answer;
        }
        running += 1;
        assert!(running < 100, "no end of descriptors");
    };
    assert!(running >= 3, "only {running} tasks with 160 descriptors");
    assert_eq!(refusal["error"]["code"], "descriptors");
    assert_eq!(refusal["error"]["exit"], 71);
    let told = refusal["error"]["message"].as_str().unwrap();
    for part in ["EMFILE", "160", "needs up to 16", "RLIMIT_NOFILE"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(
        !place.fifo(&format!("t{running}.out")).exists(),
        "nothing was begun"
    );
    // Each of those that run is written to and rotated, at the same time, and can be asked.
    let writers: Vec<_> = (0..running)
        .flat_map(|number| ["out", "err"].map(|end| place.writer(&format!("t{number}.{end}"))))
        .collect();
    for round in 0..20 {
        for writer in &writers {
            write_all(writer, &lines(round, 1));
        }
    }
    for number in 0..running {
        for stream in ["stdout", "stderr"] {
            place.wait_for_log(&format!("t{number}.{stream}"), &lines(14, 6));
        }
        assert_eq!(place.status(&format!("t{number}"))["stdout"]["failures"], 0);
    }
    assert_eq!(
        client.ask(&json!({"v": 1, "op": "stop", "task": "t0"}))["ok"],
        true
    );
    let answer = client.ask(&place.start_request("another", 3, 200));
    assert_eq!(
        answer["ok"], true,
        "the place of the stopped one is free: {answer}"
    );
    drop(writers);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_stream_needs_no_more_descriptors_than_are_asked_for() {
    let place = Place::new();
    let server = place.serve();
    let mut client = place.client();
    assert_eq!(
        client.ask(&place.start_request("first", 3, 200))["ok"],
        true
    );
    let before = server.descriptor_count();
    for number in 0..10 {
        let task = format!("t{number}");
        assert_eq!(client.ask(&place.start_request(&task, 3, 200))["ok"], true);
        for end in ["out", "err"] {
            write_all(&place.writer(&format!("{task}.{end}")), &lines(0, 5));
        }
        place.wait_for_log(&format!("{task}.stdout"), &lines(0, 5));
    }
    let each = (server.descriptor_count() - before) / 20;
    // Two to spare for what is open for a moment.
    assert!(each + 2 <= 8, "{each} descriptors a stream");
}

#[test]
fn the_table_of_descriptors_has_room_for_a_thousand_tasks_from_the_beginning() {
    let place = Place::new();
    let table = |server: &Server| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
        size.unwrap().trim().parse().unwrap()
    };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let server = place.serve();
    assert!(table(&server) >= hard.min(16 * 1024), "{}", table(&server));
    assert_eq!(server.stop(), Some(0));
    // One that may have few is content with that.
    let server = place.serve_command(limited(&place, 160));
    assert!(table(&server) < 1024, "{}", table(&server));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_rotation_without_a_descriptor_waits_and_is_done_later() {
    let place = Place::new();
    let server = place.serve();
    place.start("calm");
    assert_eq!(place.ask(&place.start_request("web", 50, 200))["ok"], true);
    let calm = place.writer("calm.out");
    let writer = place.writer("web.out");
    write_all(&writer, &lines(0, 2));
    place.wait_for_log("web.stdout", &lines(0, 2));
    let limit = |soft: &str| {
        let done = Command::new("prlimit")
            .args([
                "--pid",
                &server.pid().to_string(),
                &format!("--nofile={soft}:"),
            ])
            .status()
            .unwrap();
        assert!(done.success());
    };
    let mut client = place.client();
    let mut status = |task: &str| {
        let answer = client.ask(&json!({"v": 1, "op": "status", "task": task}));
        answer["tasks"][0]["streams"]["stdout"].clone()
    };
    assert_eq!(status("web")["state"], "collecting");
    limit("5");
    write_all(&writer, &lines(2, 4));
    wait_until("the rotation fails", || status("web")["state"] == "blocked");
    // The other task is not touched by it.
    write_all(&calm, &lines(0, 3));
    place.wait_for_log("calm.stdout", &lines(0, 3));
    assert_eq!(place.files("web.stdout").concat(), lines(0, 2));
    limit("500");
    place.wait_for_log("web.stdout", &lines(0, 6));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn starts_that_are_refused_take_no_descriptor_from_a_rotation() {
    let place = Place::new();
    let server = place.serve_command(limited(&place, 80));
    let mut client = place.client();
    let mut number = 0;
    while client.ask(&place.start_request(&format!("t{number}"), 3, 100))["ok"] == true {
        number += 1;
    }
    assert!(number > 0, "nothing fits");
    let writer = place.writer("t0.out");
    let refused = place.start_request(&format!("t{number}"), 3, 100);
    // A rotation for each line, and a refusal at the same time.
    let batch = format!("{refused}\n").repeat(50);
    for round in 0..20 {
        client.send(batch.as_bytes());
        write_all(&writer, &lines(round * 50, 50));
        for _ in 0..50 {
            assert_eq!(client.answer()["error"]["code"], "descriptors");
        }
    }
    place.wait_for_log("t0.stdout", &lines(997, 3));
    assert_eq!(place.status("t0")["stdout"]["failures"], 0);
    assert_eq!(server.stop(), Some(0));
}
