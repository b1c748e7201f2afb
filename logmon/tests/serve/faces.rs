//! Edge: `logmon ctl`, `logmon status` and the metrics, as a person and as Prometheus see them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::support::{Place, lines, wait_until, write_all};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn ctl_starts_changes_shows_and_stops_a_task() {
    let place = Place::new();
    let _server = place.serve();
    let stream = |end: &str| format!("{}=web.{end}", place.fifo(end).display());
    let logs = place.path("logs").display().to_string();
    let (out, err) = (stream("stdout"), stream("stderr"));
    let start = |max_file_size: &str| {
        let mut words = vec!["start", "--task", "web", "--log-dir", &logs];
        words.extend(["--stdout", &out, "--stderr", &err]);
        words.extend(["--max-files", "10", "--max-file-size", max_file_size]);
        let done = place.logmon("ctl", &words);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        text(&done.stdout)
    };
    assert_eq!(start("100"), "stdout: started\nstderr: started\n");
    assert_eq!(start("100"), "stdout: runs already\nstderr: runs already\n");
    assert_eq!(
        start("1KiB"),
        "stdout: has the new limits\nstderr: has the new limits\n"
    );
    write_all(&place.writer("stdout"), &lines(0, 3));
    place.wait_for_log("web.stdout", &lines(0, 3));
    let done = place.logmon("ctl", &["reconfigure", "--task", "web", "--max-files", "1"]);
    assert_eq!(done.status.code(), Some(0));
    let table = text(&place.logmon("status", &[]).stdout);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[0].starts_with("TASK"), "{table}");
    assert!(rows[1].starts_with("web                 stdout"), "{table}");
    assert!(rows[1].contains(" 300 "), "{table}");
    assert!(rows.iter().all(|row| row.chars().count() <= 80), "{table}");
    let one = text(&place.logmon("ctl", &["status", "--task", "web"]).stdout);
    assert!(
        one.contains("web.stdout.0") && one.contains("1 files of 1024"),
        "{one}"
    );
    let json: Value = serde_json::from_slice(&place.logmon("status", &["--json"]).stdout).unwrap();
    assert_eq!(json["tasks"][0]["streams"]["stdout"]["read_bytes"], 300);
    let ping = text(&place.logmon("ctl", &["ping"]).stdout);
    assert!(ping.ends_with("1 tasks\n"), "{ping}");
    let stopped = text(&place.logmon("ctl", &["stop", "--task", "web"]).stdout);
    assert!(
        stopped.starts_with("stdout: stopped; 300 bytes read, 300 written"),
        "{stopped}"
    );
}

#[test]
fn ctl_tells_what_went_wrong_and_exits_as_run_would() {
    let place = Place::new();
    let code = |words: &[&str]| {
        let done = place.logmon("ctl", words);
        (done.status.code(), text(&done.stderr))
    };
    let (exit, told) = code(&["ping"]);
    assert_eq!(exit, Some(69), "{told}");
    assert!(told.contains("logmon serve"), "{told}");
    let _server = place.serve();
    let (exit, told) = code(&["stop", "--task", "nobody"]);
    assert_eq!(exit, Some(65));
    assert_eq!(told, "logmon: there is no task nobody\n");
    assert_eq!(code(&["reconfigure", "--task", "web"]).0, Some(64));
    assert_eq!(code(&["stop"]).0, Some(64));
    assert_eq!(code(&["status", "--task", "nobody"]).0, Some(65));
}

#[test]
fn prometheus_gets_the_counters_over_tcp_and_over_a_socket() {
    let place = Place::new();
    let mut command = place.command();
    command.args(["--metrics", "127.0.0.1:0"]);
    let server = place.serve_command(command);
    place.start("we\"b");
    write_all(&place.writer("we\"b.out"), &lines(0, 2));
    wait_until("it is written", || {
        place.status("we\"b")["stdout"]["written_bytes"] == 200
    });
    let mut address = String::new();
    wait_until("the address is told", || {
        let said = place.diagnostics();
        let found = said.split_once("address=127.0.0.1:").map(|(_, rest)| rest);
        address = found
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap_or_default()
            .to_owned();
        !address.is_empty()
    });
    let address = format!("127.0.0.1:{address}");
    let fetch = |request: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    };
    let reply = fetch("GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(
        head.contains(&format!("Content-Length: {}", body.len())),
        "{head}"
    );
    let line = "logmon_written_bytes_total{task=\"we\\\"b\",stream=\"stdout\"} 200";
    assert!(body.lines().any(|one| one == line), "{body}");
    assert!(fetch("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(fetch("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(fetch("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    // More clients than there are places, none of which asks: they hurt nobody but themselves.
    let silent: Vec<_> = (0..10)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    assert_eq!(place.ask(&json!({"v": 1, "op": "ping"}))["ok"], true);
    drop(silent);
    assert!(fetch("GET /metrics HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
    assert_eq!(server.stop(), Some(0));

    let mut command = place.command();
    command.arg("--metrics");
    command.arg(format!("unix:{}", place.fifo("metrics").display()));
    let server = place.serve_command(command);
    let mut stream = UnixStream::connect(place.fifo("metrics")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.contains("\nlogmon_tasks 0\n"), "{reply}");
    assert_eq!(server.stop(), Some(0));
}
