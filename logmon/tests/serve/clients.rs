//! Edge: clients that are slow, gone or mad do not disturb the collection or each other.

use std::io::Write;
use std::os::unix::net::UnixStream;

use serde_json::json;

use crate::place::Client;
use crate::support::{Place, lines, wait_until, write_all};

#[test]
fn garbage_is_answered_and_hurts_nobody() {
    let place = Place::new();
    let server = place.serve();
    place.start("web");
    let mut client = place.client();
    for garbage in [
        &b"\xff\xfe\x00\n"[..],
        b"\n",
        b"{}\n",
        b"[1]\n",
        b"GET / HTTP/1.1\r\n",
    ] {
        client.send(garbage);
        let answer = client.answer();
        assert_eq!(answer["ok"], false, "{answer}");
        assert_eq!(answer["error"]["exit"], 64, "{answer}");
    }
    let unknown = json!({"v": 1, "id": 3, "op": "stop", "task": "web", "gently": true});
    let answer = client.ask(&unknown);
    assert_eq!(answer["id"], 3);
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("`gently`")
    );
    assert_eq!(client.ask(&json!({"v": 1, "op": "ping"}))["task_count"], 1);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_request_without_an_end_is_cut_off() {
    let place = Place::new();
    let _server = place.serve();
    let mut client = place.client();
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    // The server may close before all of it is sent.
    drop(stream.write_all(&vec![b'x'; 1 << 20]));
    client.send(&vec![b'x'; 65537]);
    let answer = client.answer();
    let told = answer["error"]["message"].as_str().unwrap();
    assert!(told.contains("65536"), "{told}");
    assert!(client.answer().is_null(), "the connection is closed");
    assert_eq!(place.ask(&json!({"v": 1, "op": "ping"}))["ok"], true);
}

#[test]
fn a_client_that_is_killed_half_way_through_a_request_asked_for_nothing() {
    let place = Place::new();
    let _server = place.serve();
    let request = place.start_request("web", 3, 1000).to_string();
    for end in [1, request.len() / 2, request.len()] {
        place.client().send(&request.as_bytes()[..end]);
    }
    // A connection that comes later is served later, as each was closed at once.
    wait_until("the clients are gone", || {
        place.ask(&json!({"v": 1, "op": "ping"}))["ok"] == true
    });
    let all = place.ask(&json!({"v": 1, "op": "status"}));
    assert_eq!(all["tasks"], json!([]));
    assert!(!place.fifo("web.out").exists());
}

#[test]
fn what_a_client_asked_for_is_done_although_it_does_not_wait() {
    let place = Place::new();
    let _server = place.serve();
    let request = place.start_request("web", 3, 1000);
    place.client().send(format!("{request}\n").as_bytes());
    wait_until("the task runs", || place.fifo("web.err").exists());
    write_all(&place.writer("web.out"), &lines(0, 3));
    place
        .client()
        .send(b"{\"v\":1,\"op\":\"stop\",\"task\":\"web\"}\n");
    wait_until("the task is stopped", || {
        place.ask(&json!({"v": 1, "op": "status"}))["tasks"] == json!([])
    });
    assert_eq!(place.files("web.stdout").concat(), lines(0, 3));
}

#[test]
fn a_client_that_takes_no_answers_costs_a_bounded_amount_and_delays_nobody() {
    let place = Place::new();
    let server = place.serve();
    place.start("web");
    let before = resident_kib(server.pid());
    let deaf = UnixStream::connect(place.socket()).unwrap();
    deaf.set_nonblocking(true).unwrap();
    let request = b"{\"v\":1,\"op\":\"status\"}\n";
    let mut sent = 0_usize;
    // It sends until the server takes no more.
    let writer = place.writer("web.out");
    let mut written = 0;
    let mut refusals = 0;
    while refusals < 20 {
        match (&deaf).write_all(request) {
            Ok(()) => sent += 1,
            Err(_) => {
                refusals += 1;
                write_all(&writer, &lines(written, 1));
                written += 1;
                place.wait_for_log("web.stdout", &lines(0, written));
            }
        }
        assert!(sent < 1_000_000, "the server takes requests for ever");
    }
    assert_eq!(place.ask(&json!({"v": 1, "op": "ping"}))["ok"], true);
    let grown = resident_kib(server.pid()) - before;
    assert!(grown < 4096, "{grown} KiB more after {sent} requests");
}

#[test]
fn clients_beyond_the_bound_are_told_so_and_places_become_free() {
    let place = Place::new();
    let _server = place.serve();
    let mut clients: Vec<Client> = (0..16).map(|_| place.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&json!({"v": 1, "op": "ping"}))["ok"], true);
    }
    let answer = place.client().answer();
    assert_eq!(answer["error"]["code"], "busy", "{answer}");
    clients.pop();
    wait_until("a place is free", || {
        let mut client = place.client();
        client.ask(&json!({"v": 1, "op": "ping"}))["ok"] == true
    });
}

#[test]
fn answers_come_in_the_order_of_the_requests_and_stops_run_side_by_side() {
    let place = Place::new();
    let _server = place.serve();
    let tasks: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
    let mut writers = Vec::new();
    for task in &tasks {
        place.start(task);
        // A writer that stays makes a stop take its time.
        writers.push(place.writer(&format!("{task}.out")));
    }
    let mut client = place.client();
    let mut batch = String::new();
    for (id, task) in tasks.iter().enumerate() {
        batch += &format!(
            "{}\n",
            json!({"v": 1, "id": id, "op": "stop", "task": task})
        );
    }
    batch += "{\"v\":1,\"id\":99,\"op\":\"ping\"}\n";
    client.send(batch.as_bytes());
    for id in (0..8).chain([99]) {
        let answer = client.answer();
        assert_eq!(answer["id"], id, "{answer}");
        assert_eq!(answer["ok"], true, "{answer}");
    }
}

fn resident_kib(pid: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
