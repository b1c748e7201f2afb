//! Core: the laws of the requests: what is understood, and that everything else is refused by name.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::name::StreamKind;
use crate::owner::FifoOwner;

fn start() -> Value {
    json!({
        "v": 1, "op": "start", "task": "web", "log_dir": "/logs",
        "stdout": {"fifo": "/run/out", "name": "web.stdout"},
        "stderr": {"fifo": "/run/err", "name": "web.stderr"},
        "max_files": 3, "max_file_size": "64KiB", "line_guard": 1000, "on_full": "drop",
        "fifo_mode": "0620", "fifo_owner": "7:8", "trusted_root": "/", "id": 7,
    })
}

fn parsed(request: &Value) -> Result<Request, String> {
    parse(request.to_string().as_bytes()).map_err(|(_, refusal)| refusal.to_string())
}

fn refusal(request: &Value) -> String {
    parsed(request).unwrap_err()
}

#[test]
fn a_start_says_all_that_the_options_of_run_say() {
    let request = parsed(&start()).unwrap();
    assert_eq!(request.id, Some(7));
    let Op::Start(task, streams) = request.op else {
        panic!()
    };
    assert_eq!(task.as_str(), "web");
    assert_eq!(streams.len(), 2);
    assert_eq!(streams[0].kind, StreamKind::Stdout);
    assert_eq!(*streams[1].fifo, *Path::new("/run/err"));
    assert_eq!(streams[1].name.as_str(), "web.stderr");
    assert_eq!(streams[0].limits, Limits::checked(3, 65536, 1000).unwrap());
    assert_eq!(streams[0].on_full, OnFull::Drop);
    assert_eq!(streams[0].fifo_mode, 0o620);
    let owner = FifoOwner::parse("7:8").unwrap();
    assert_eq!(streams[1].fifo_owner.as_deref(), Some(&owner));
    assert_eq!(streams[1].trusted_root.as_deref(), Some(Path::new("/")));
}

#[test]
fn what_may_be_left_out_is_what_run_has_by_default() {
    let mut request = start();
    for field in [
        "stderr",
        "line_guard",
        "on_full",
        "fifo_mode",
        "fifo_owner",
        "trusted_root",
        "id",
    ] {
        request.as_object_mut().unwrap().remove(field);
    }
    let Op::Start(_, streams) = parsed(&request).unwrap().op else {
        panic!()
    };
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0].limits.asked_line_guard(), 32 * 1024);
    assert_eq!(streams[0].on_full, OnFull::Block);
    assert_eq!(streams[0].fifo_mode, 0o600);
    assert_eq!(streams[0].fifo_owner, None);
    assert_eq!(streams[0].trusted_root, None);
}

#[test]
fn a_missing_field_is_refused_by_its_name() {
    for field in ["v", "op", "task", "log_dir", "max_files", "max_file_size"] {
        let mut request = start();
        request.as_object_mut().unwrap().remove(field);
        let told = refusal(&request);
        assert!(told.contains(&format!("missing field `{field}`")), "{told}");
    }
    let mut request = start();
    request.as_object_mut().unwrap().remove("stdout");
    request.as_object_mut().unwrap().remove("stderr");
    assert!(refusal(&request).contains("stdout, stderr"));
    let told = refusal(&json!({"v": 1, "op": "reconfigure", "task": "web"}));
    assert!(
        told.contains("max_files, max_file_size, line_guard"),
        "{told}"
    );
    assert!(refusal(&json!({"v": 1, "op": "stop"})).contains("missing field `task`"));
}

#[test]
fn an_unknown_field_is_refused_by_its_name_in_every_operation() {
    for request in [
        start(),
        json!({"v": 1, "op": "ping"}),
        json!({"v": 1, "op": "stop", "task": "web"}),
        json!({"v": 1, "op": "status"}),
        json!({"v": 1, "op": "reconfigure", "task": "web", "max_files": 1}),
    ] {
        assert!(parsed(&request).is_ok());
        let mut request = request;
        request["max_flies"] = json!(1);
        let told = refusal(&request);
        assert!(told.contains("unknown field `max_flies`"), "{told}");
    }
    let mut request = start();
    request["stdout"]["mode"] = json!("0600");
    assert!(refusal(&request).contains("unknown field `mode`"));
}

#[test]
fn a_field_that_is_there_twice_is_refused_by_its_name() {
    let told = |line: &str| parse(line.as_bytes()).unwrap_err().1.to_string();
    let twice = told(r#"{"v":1,"op":"stop","task":"a","task":"b"}"#);
    assert!(twice.contains("duplicate field `task`"), "{twice}");
    let twice = told(r#"{"v":1,"op":"stop","op":"ping"}"#);
    assert!(twice.contains("duplicate field `op`"), "{twice}");
}

#[test]
fn what_is_wrong_is_told_with_its_field_and_its_id() {
    let told = |field: &str, value: Value| {
        let mut request = start();
        request[field] = value;
        let (id, refusal) = parse(request.to_string().as_bytes()).unwrap_err();
        assert_eq!(id, Some(7));
        refusal.to_string()
    };
    assert!(told("v", json!(2)).contains("version 2"));
    assert!(told("op", json!("begin")).contains("\"begin\""));
    assert!(told("task", json!("a\nb")).contains("task"));
    assert!(told("log_dir", json!("logs")).contains("log_dir"));
    assert!(told("trusted_root", json!("run")).contains("trusted_root"));
    assert!(told("stdout", json!({"fifo": "out", "name": "x"})).contains("stdout"));
    assert!(told("max_files", json!(0)).contains("max-files"));
    assert!(told("max_files", json!(-1)).contains("whole number"));
    assert!(told("max_file_size", json!("1 MiB")).contains("max-file-size"));
    assert!(told("line_guard", json!(0)).contains("line-guard"));
    assert!(told("on_full", json!("never")).contains("never"));
    assert!(told("fifo_mode", json!("0666")).contains("fifo-mode"));
    assert!(told("fifo_owner", json!("a:b:c")).contains("fifo-owner"));
    assert!(told("stderr", json!({"fifo": "/run/out", "name": "e"})).contains("/run/out"));
}

#[test]
fn what_is_no_object_is_no_request() {
    for line in [
        "",
        " ",
        "{",
        "[]",
        "1",
        "null",
        "\"v\"",
        "{}x",
        "\u{0}",
        "{\"v\":1,}",
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line:?}");
    }
    assert!(
        parse(b"{\"v\":1,\"op\":\"ping\xff\"}").is_err(),
        "not UTF-8"
    );
}

#[test]
fn limits_that_are_not_named_stay() {
    let old = Limits::checked(3, 100, 5000).unwrap();
    let Op::Reconfigure(_, change) =
        parsed(&json!({"v": 1, "op": "reconfigure", "task": "a", "max_file_size": "10KiB"}))
            .unwrap()
            .op
    else {
        panic!()
    };
    // The guard was lowered to the file; a larger file gives it back.
    assert_eq!(
        change.apply(&old).unwrap(),
        Limits::checked(3, 10240, 5000).unwrap()
    );
}

#[test]
fn a_line_is_bounded_wherever_its_newline_comes() {
    let mut lines = Lines::default();
    lines.push(&vec![b'x'; MAX_REQUEST_BYTES - 1]);
    assert!(lines.next_line().unwrap().is_none());
    lines.push(b"\ny");
    assert_eq!(
        lines.next_line().unwrap().unwrap().len(),
        MAX_REQUEST_BYTES - 1
    );
    assert!(lines.next_line().unwrap().is_none());
    lines.push(&vec![b'x'; MAX_REQUEST_BYTES]);
    assert!(matches!(lines.next_line(), Err(Refusal::TooLong)));
    let mut lines = Lines::default();
    lines.push(&vec![b'x'; MAX_REQUEST_BYTES]);
    lines.push(b"\n");
    assert!(matches!(lines.next_line(), Err(Refusal::TooLong)));
}

proptest! {
    #[test]
    fn lines_are_the_same_however_they_arrive(
        lines in prop::collection::vec("[a-z]{0,9}", 0..20), rest in "[a-z]{0,5}",
        chunks in prop::collection::vec(1usize..30, 1..8),
    ) {
        let mut sent = Vec::new();
        for line in &lines {
            sent.extend_from_slice(line.as_bytes());
            sent.push(b'\n');
        }
        sent.extend_from_slice(rest.as_bytes());
        let (mut reader, mut found, mut at, mut turn) = (Lines::default(), Vec::new(), 0, 0);
        while at < sent.len() {
            let end = sent.len().min(at + chunks[turn % chunks.len()]);
            reader.push(&sent[at..end]);
            at = end;
            turn += 1;
            // Sometimes lines are left for later.
            while turn % 3 != 0 && let Some(line) = reader.next_line().unwrap() {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        while let Some(line) = reader.next_line().unwrap() {
            found.push(String::from_utf8(line.to_vec()).unwrap());
        }
        prop_assert_eq!(found, lines);
    }

    #[test]
    fn any_bytes_are_refused_or_understood_without_a_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _request = parse(&line).map_err(|(_, refusal)| refusal.to_string());
    }

    #[test]
    fn a_request_with_one_byte_changed_is_no_other_request_by_accident(at in 0usize..400, byte in any::<u8>()) {
        let mut line = start().to_string().into_bytes();
        let at = at % line.len();
        line[at] = byte;
        // Whatever is still understood is a start with the same number of streams.
        if let Ok(request) = parse(&line) {
            match request.op {
                Op::Start(_, streams) => prop_assert_eq!(streams.len(), 2),
                other @ (Op::Ping | Op::Reconfigure(..) | Op::Stop(_) | Op::Status(_)) => {
                    panic!("{other:?}")
                }
            }
        }
    }
}
