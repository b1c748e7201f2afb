//! Each operation, and what is no request (edge).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::place::{LONG, Place, has_ended, has_ended_within, kill, pid, until};
use crate::speaker::Driver;

#[test]
fn a_driver_says_what_it_can_do_and_what_it_does_not_know() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    let greeting = driver.say("hello", json!({"protocol": 1, "suite": "s", "spec": "s"}));
    let mut expected = vec![
        "signals",
        "multi-writer",
        "no-log-collection",
        "recover",
        "checks-paths",
        "payload.exec",
        "contains",
    ];
    if rustix::process::geteuid().is_root() {
        expected.push("user-change");
    }
    assert_eq!(greeting["capabilities"], json!(expected));
    assert_eq!(greeting["driver"], "executor");
    assert_eq!(
        driver.say("x-1", json!({"a": 1})),
        json!({"unsupported": true})
    );
}

#[test]
fn what_is_no_request_is_told_by_field_and_ends_nothing() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    driver.write("no");
    driver.write("[1]");
    driver.write("{\"op\":\"detach\"}");
    let mut start = place.script("t", "exit 0");
    start["argv"] = json!([]);
    assert_eq!(
        driver.refusal("start", start),
        "`argv` must be a list of texts with at least one, and is []"
    );
    for name in ["", "A=B"] {
        let mut start = place.script("t", "exit 0");
        start["env"] = json!({ name: "c" });
        assert_eq!(
            driver.refusal("start", start),
            "`env` must hold no name that is empty or has a `=` in it"
        );
    }
    assert_eq!(driver.refusal("wait", json!({})), "`id` is missing");
    assert_eq!(
        driver.refusal("wait", json!({"id": "t", "limit": 1})),
        "`limit` is no field of it"
    );
    for op in ["wait", "destroy", "stats"] {
        assert_eq!(
            driver.refusal(op, json!({"id": "t"})),
            "there is no task \"t\""
        );
    }
    assert!(driver.close().success());
}

#[test]
fn what_a_task_uses_is_told_whenever_it_is_asked_for() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    let script = "(while :; do :; done) & echo one; while :; do :; done";
    let started = driver.say("start", place.script("t", script));
    assert_eq!(place.line(), "one");
    let of = json!({"id": "t"});
    let first = driver.say("stats", of.clone());
    let main = pid(&started["pid"]);
    let pids = first["pids"].as_array().unwrap().clone();
    assert!(pids.len() == 2 && pids.contains(&json!(main)), "{first}");
    let rss = first["rss_bytes"].as_u64().unwrap();
    assert!(rss > 100_000 && rss < 1_000_000_000, "{first}");
    assert!(
        first["swap_bytes"].is_u64() && first["cpu_time_us"]["total"].is_u64(),
        "{first}"
    );
    for unknown in ["span_us", "cpu_percent"] {
        assert_eq!(
            first.get(unknown),
            None,
            "there is no time before the first: {first}"
        );
    }
    let second = until("time has passed for a percentage", || {
        let next = driver.say("stats", of.clone());
        let percent = next["cpu_percent"]["total"].as_f64();
        percent
            .filter(|one| *one > 1.0)
            .map(|_| next.clone())
            .ok_or(next.to_string())
    });
    let total = |stats: &Value| stats["cpu_time_us"]["total"].as_u64().unwrap();
    assert!(total(&second) > total(&first), "{first}, {second}");
    assert!(second["span_us"].as_u64().unwrap() > 0, "{second}");
    // Whoever takes it over is asked as well, and begins anew.
    let handles = driver.detach();
    let mut driver = Driver::start(place.path());
    assert_eq!(driver.recover(&handles), json!([]));
    let first = driver.say("stats", of.clone());
    assert_eq!(
        (first["pids"].clone(), first.get("span_us")),
        (json!(pids), None)
    );
    driver.stop("t", 0);
    // By whichever of the two signals.
    assert!(driver.say("wait", of.clone())["signal"].is_u64());
    assert_eq!(driver.refusal("stats", of), "the task has ended");
    driver.destroy("t");
}

#[test]
fn what_is_no_request_ends_nothing_though_nobody_hears_of_it() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut driver = Driver::start_with(place.path(), |command| {
        command.stderr(writer);
    });
    driver.say("start", place.script("t", "echo one; exec sleep 1000"));
    assert_eq!(place.line(), "one");
    driver.write("no");
    driver.stop("t", 3_600_000);
    assert_eq!(driver.say("wait", json!({"id": "t"}))["signal"], 15);
    driver.destroy("t");
    assert!(driver.close().success());
}

#[test]
fn a_request_that_can_t_be_read_ends_nothing() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    let script = "echo one; exec sleep 1000";
    driver.say("start", place.script("t", script));
    assert_eq!(place.line(), "one");
    let mut long = place.silent("long", "exit 0");
    long["env"] = json!({"LONG": "x".repeat(1 << 20)});
    let seq = driver.ask("start", long);
    assert_eq!(
        driver.refusal("wait", json!({"id": "long"})),
        "there is no task \"long\""
    );
    assert_eq!(driver.answer_within(seq, Duration::ZERO), None);
    let mut start = place.silent("bytes", "exit 0");
    start["seq"] = json!(999);
    start["op"] = json!("start");
    start["argv"] = json!(["/bin/sh", "-c", "exit 0", "@"]);
    let line = start.to_string().into_bytes();
    let line: Vec<u8> = line
        .into_iter()
        .map(|byte| if byte == b'@' { 0xff } else { byte })
        .collect();
    driver.write_bytes(&line);
    let why = driver.answer(999)["error"].as_str().unwrap().to_owned();
    assert!(why.starts_with("it is no UTF-8 from byte "), "{why}");
    driver.stop("t", 3_600_000);
    assert_eq!(driver.say("wait", json!({"id": "t"}))["signal"], 15);
    assert!(driver.close().success());
}

#[test]
fn pipes_that_don_t_wait_lose_no_request_and_no_answer() {
    const REQUESTS: usize = 3000;
    let (mut near, far) = UnixStream::pair().unwrap();
    let (answers, out) = UnixStream::pair().unwrap();
    for one in [&far, &out] {
        one.set_nonblocking(true).unwrap();
    }
    answers.set_read_timeout(Some(LONG)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_executor"));
    command.arg("serve").stdin(OwnedFd::from(far));
    let child = command.stdout(OwnedFd::from(out)).spawn();
    drop(command);
    let mut child = child.unwrap();
    let writer = std::thread::spawn(move || {
        for seq in 1..=REQUESTS {
            let request =
                json!({"seq": seq, "op": "hello", "protocol": 1, "suite": "s", "spec": "s"});
            writeln!(near, "{request}").unwrap();
        }
    });
    let answers = BufReader::new(answers).lines().map(|line| line.unwrap());
    let seqs: Vec<Value> = answers
        .map(|line| serde_json::from_str::<Value>(&line).unwrap()["seq"].take())
        .collect();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(seqs, (1..=REQUESTS).map(Value::from).collect::<Vec<_>>());
}

#[test]
fn tasks_live_on_if_nothing_can_be_read_any_more() {
    let place = Place::new();
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    near.connect(far.local_addr().unwrap()).unwrap();
    let stdin = OwnedFd::from(far.try_clone().unwrap());
    let mut driver = Driver::start_with(place.path(), |command| {
        command.stdin(stdin);
    });
    let mut start = place.script("t", "echo one; exec sleep 1000");
    start["seq"] = json!(1);
    start["op"] = json!("start");
    near.send(format!("{start}\n").as_bytes()).unwrap();
    let started = driver.answer(1);
    assert_eq!(place.line(), "one");
    // Nobody is at the other end when something is sent there, and the next read is told so, udp(7). A
    // process that another test starts holds that end too, from its fork until its exec.
    let port = format!(":{:04X}", near.local_addr().unwrap().port());
    drop(near);
    until("the other end is closed", || {
        let all = fs::read_to_string("/proc/net/udp").unwrap();
        let is_it = |line: &&str| {
            let own = line.split_whitespace().nth(1);
            own.is_some_and(|own| own.ends_with(&port))
        };
        match all.lines().find(is_it) {
            Some(line) => Err(line.to_owned()),
            None => Ok(()),
        }
    });
    far.send(b"x").unwrap();
    assert_eq!(driver.close().code(), Some(125));
    assert!(!has_ended(pid(&started["pid"])));
    let mut driver = Driver::start(place.path());
    let handles = json!([{"id": "t", "handle": started["handle"]}]);
    assert_eq!(driver.recover(&handles), json!([]));
    driver.destroy("t");
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_task_writes_to_its_fifos_and_its_end_is_told() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    for (id, script, exit, signal) in [
        (
            "a",
            "echo \"$OWN $INHERITED\"; echo err >&2; exit 42",
            json!(42),
            Value::Null,
        ),
        ("b", "kill -9 $$", Value::Null, json!(9)),
    ] {
        let started = driver.say("start", place.script(id, script));
        assert!(pid(&started["pid"]) > 1, "{started}");
        assert_eq!(
            driver.say("wait", json!({ "id": id })),
            json!({"exit": exit, "signal": signal})
        );
        // Once more, and a stop is no error.
        assert_eq!(driver.say("wait", json!({ "id": id }))["exit"], exit);
        driver.stop(id, 0);
        driver.destroy(id);
        assert_eq!(place.files(), Vec::<String>::new());
        if id == "a" {
            assert_eq!(
                (place.rest(0), place.rest(1)),
                ("1 yes\n".into(), "err\n".into())
            );
        }
    }
    assert!(driver.close().success());
    assert_eq!(place.processes(), Vec::<i32>::new());
}

#[test]
fn a_stop_gives_the_task_its_time_and_leaves_nothing_of_it() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    let family =
        "setsid sh -c 'echo $$; exec sleep 1000' & read go </dev/null; trap '' TERM; echo ready
while :; do sleep 1000; done";
    for (script, timeout_ms, signal) in [
        (family, 100, 9),
        (
            "sleep 0 & wait; echo 0; echo ready; exec sleep 1000",
            3_600_000,
            15,
        ),
    ] {
        let started = driver.say("start", place.script("t", script));
        let mut lines = [place.line(), place.line()];
        lines.sort();
        let child: i32 = lines[0].parse().unwrap();
        assert_eq!(lines[1], "ready");
        let wait = driver.ask("wait", json!({"id": "t"}));
        driver.stop("t", timeout_ms);
        assert!(has_ended(pid(&started["pid"])));
        assert!(child == 0 || has_ended(child));
        assert_eq!(driver.answer(wait), json!({"exit": null, "signal": signal}));
        driver.destroy("t");
    }
}

#[test]
fn calls_of_one_task_don_t_hold_those_of_another() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    let deaf = "trap '' TERM; echo ready; while :; do sleep 1000; done";
    driver.say("start", place.script("slow", deaf));
    assert_eq!(place.line(), "ready");
    let wait = driver.ask("wait", json!({"id": "slow"}));
    let fields = json!({"id": "slow", "signal": "SIGTERM", "timeout_ms": 3_600_000});
    let stop = driver.ask("stop", fields);
    driver.say("start", place.silent("quick", "exit 7"));
    assert_eq!(driver.say("wait", json!({"id": "quick"}))["exit"], 7);
    for seq in [wait, stop] {
        assert_eq!(driver.answer_within(seq, Duration::ZERO), None);
    }
    // A second stop with less time counts.
    driver.stop("slow", 0);
    assert_eq!(driver.answer(stop), json!({}));
    assert_eq!(driver.answer(wait)["signal"], 9);
    assert!(driver.close().success());
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_signal_reaches_the_main_process_and_one_of_no_name_is_told() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    let script = "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done";
    driver.say("start", place.script("t", script));
    assert_eq!(place.line(), "ready");
    driver.order("signal", json!({"id": "t", "signal": "SIGUSR1"}));
    assert_eq!(place.line(), "usr1");
    let bad = json!({"id": "t", "signal": "SIGTREM"});
    assert_eq!(
        driver.refusal("signal", bad),
        "`signal` names no signal: \"SIGTREM\""
    );
    let bad = json!({"id": "t", "signal": "SIGTREM", "timeout_ms": 3_600_000});
    assert_eq!(
        driver.refusal("stop", bad),
        "`signal` names no signal: \"SIGTREM\"; the task was stopped by SIGINT in its place"
    );
    assert_eq!(driver.say("wait", json!({"id": "t"}))["signal"], 2);
    let late = json!({"id": "t", "signal": "SIGUSR1"});
    assert_eq!(driver.refusal("signal", late), "the task has ended");
}

#[test]
fn destroy_kills_and_forgets() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    let started = driver.say(
        "start",
        place.silent("t", "trap '' TERM INT; sleep 1000 & sleep 1000"),
    );
    let again = driver.refusal("start", place.silent("t", "exit 0"));
    assert_eq!(again, "`id` is that of another task: \"t\"");
    let wait = driver.ask("wait", json!({"id": "t"}));
    let warden = pid(&started["handle"]["warden"]["pid"]);
    driver.destroy("t");
    assert_eq!(driver.answer(wait)["signal"], 9);
    assert!(has_ended(warden) && has_ended(pid(&started["pid"])));
    assert_eq!(
        driver.refusal("wait", json!({"id": "t"})),
        "there is no task \"t\""
    );
    assert_eq!(place.files(), Vec::<String>::new());
    assert_eq!(place.processes(), [driver.pid()]);
}

#[test]
fn a_task_that_was_stopped_is_gone_though_its_driver_is_killed_then() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    let script = "trap '' TERM; setsid sleep 1000 & echo ready; while :; do sleep 1000; done";
    let started = driver.say("start", place.script("t", script));
    assert_eq!(place.line(), "ready");
    let warden = pid(&started["handle"]["warden"]["pid"]);
    driver.stop("t", 0);
    driver.kill();
    assert!(has_ended(pid(&started["pid"])));
    assert!(has_ended_within(warden, LONG));
    let main = pid(&started["pid"]);
    until("its number is free", || {
        match fs::exists(format!("/proc/{main}")) {
            Ok(false) => Ok(()),
            there => Err(format!("{there:?}")),
        }
    });
    assert_eq!(place.processes(), Vec::<i32>::new());
    assert_eq!(place.rest(0), "");
}

#[test]
fn the_end_of_stdin_ends_all_tasks() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    for id in ["a", "b", "c"] {
        let script = "trap '' TERM INT HUP; setsid sleep 1000 & while :; do sleep 1000; done";
        assert!(driver.say("start", place.silent(id, script))["handle"].is_object());
    }
    assert!(driver.close().success());
    assert_eq!(place.processes(), Vec::<i32>::new());
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_warden_that_is_told_to_end_stops_its_task() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    let script = "trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let started = driver.say("start", place.script("t", script));
    assert_eq!(place.line(), "ready");
    kill(
        pid(&started["handle"]["warden"]["pid"]),
        nix::sys::signal::Signal::SIGTERM,
    );
    assert_eq!(place.rest(0), "term\n");
    assert_eq!(driver.say("wait", json!({"id": "t"}))["exit"], 5);
}
