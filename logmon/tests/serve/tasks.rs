//! Edge: start, stop, reconfigure and status of tasks (contract MON-4, MON-5, MON-7, MON-15, COST-4).

use serde_json::json;

use crate::support::{Place, lines, wait_until, write_all};

#[test]
fn a_task_is_started_collected_and_stopped_with_its_counters() {
    let place = Place::new();
    let server = place.serve();
    place.start("web");
    write_all(&place.writer("web.out"), &lines(0, 30));
    write_all(&place.writer("web.err"), b"a tail without a newline");
    let answer = place.ask(&json!({"v": 1, "id": 5, "op": "stop", "task": "web"}));
    assert_eq!(answer["ok"], true, "{answer}");
    assert_eq!(answer["id"], 5);
    assert_eq!(answer["stopped"]["stdout"]["read_bytes"], 3000);
    assert_eq!(answer["stopped"]["stdout"]["written_bytes"], 3000);
    assert_eq!(answer["stopped"]["stderr"]["written_bytes"], 24);
    assert_eq!(answer["stopped"]["stdout"]["lost_bytes"], 0);
    assert_eq!(place.files("web.stdout").concat(), lines(0, 30));
    assert_eq!(
        place.files("web.stderr").concat(),
        b"a tail without a newline"
    );
    let all = place.ask(&json!({"v": 1, "op": "status"}));
    assert_eq!(all["tasks"], json!([]));
    let again = place.ask(&json!({"v": 1, "op": "stop", "task": "web"}));
    assert_eq!(again["error"]["code"], "no-task", "{again}");
    // A new generation goes on where the first one ended.
    place.start("web");
    write_all(&place.writer("web.out"), &lines(30, 3));
    place.wait_for_log("web.stdout", &lines(0, 33));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_server_drains_every_task_when_it_ends() {
    let place = Place::new();
    let server = place.serve();
    for task in ["a", "b", "c"] {
        place.start(task);
    }
    let writers = ["a", "b", "c"].map(|task| place.writer(&format!("{task}.out")));
    for writer in &writers {
        write_all(writer, &lines(0, 500));
    }
    drop(writers);
    assert_eq!(server.stop(), Some(0));
    for task in ["a", "b", "c"] {
        assert_eq!(
            place.files(&format!("{task}.stdout")).concat(),
            lines(0, 500)
        );
    }
    assert!(!place.socket().exists(), "the socket is left behind");
}

#[test]
fn a_second_start_leaves_the_healthy_stream_alone_and_starts_the_other() {
    let place = Place::new();
    let _server = place.serve();
    let mut request = place.start_request("web", 10, 1 << 20);
    let stderr = request.as_object_mut().unwrap().remove("stderr").unwrap();
    assert_eq!(place.ask(&request)["started"], json!({"stdout": "now"}));
    let writer = place.writer("web.out");
    write_all(&writer, &lines(0, 3));
    request["stderr"] = stderr;
    let both = json!({"stdout": "already-running", "stderr": "now"});
    assert_eq!(place.ask(&request)["started"], both);
    let neither = json!({"stdout": "already-running", "stderr": "already-running"});
    assert_eq!(place.ask(&request)["started"], neither);
    write_all(&writer, &lines(3, 3));
    place.wait_for_log("web.stdout", &lines(0, 6));
}

#[test]
fn one_stream_that_cannot_be_started_does_not_hurt_the_other() {
    let place = Place::new();
    let _server = place.serve();
    std::fs::write(place.fifo("web.err"), "a file").unwrap();
    let request = place.start_request("web", 10, 1 << 20);
    let answer = place.ask(&request);
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["error"]["code"], "path");
    assert_eq!(answer["error"]["exit"], 66);
    let told = answer["error"]["message"].as_str().unwrap();
    assert!(told.contains("web.err"), "{told}");
    assert_eq!(answer["started"], json!({"stdout": "now"}));
    let writer = place.writer("web.out");
    write_all(&writer, &lines(0, 3));
    std::fs::remove_file(place.fifo("web.err")).unwrap();
    let mended = json!({"stdout": "already-running", "stderr": "now"});
    assert_eq!(place.ask(&request)["started"], mended);
    write_all(&writer, &lines(3, 3));
    place.wait_for_log("web.stdout", &lines(0, 6));
}

#[test]
fn a_start_with_other_limits_applies_them_and_with_another_path_is_refused() {
    let place = Place::new();
    let _server = place.serve();
    place.start("web");
    let writer = place.writer("web.out");
    write_all(&writer, &lines(0, 10));
    place.wait_for_log("web.stdout", &lines(0, 10));
    let both = json!({"stdout": "other-limits", "stderr": "other-limits"});
    assert_eq!(
        place.ask(&place.start_request("web", 3, 500))["started"],
        both
    );
    // The current file is over the new limit: it is closed with the next byte, and not rewritten.
    write_all(&writer, &lines(10, 10));
    place.wait_for_log("web.stdout", &lines(0, 20));
    let lengths: Vec<usize> = place.files("web.stdout").iter().map(Vec::len).collect();
    assert_eq!(lengths, [1000, 500, 500]);
    let mut other = place.start_request("web", 9, 9000);
    other["stdout"]["fifo"] = json!(place.fifo("elsewhere"));
    let answer = place.ask(&other);
    assert_eq!(answer["error"]["code"], "config");
    let told = answer["error"]["message"].as_str().unwrap();
    assert!(
        told.contains("web.stdout") && told.contains("FIFO"),
        "{told}"
    );
    assert!(answer["started"].is_null(), "nothing was touched: {answer}");
    assert_eq!(place.status("web")["stderr"]["max_files"], 3);
    assert!(!place.fifo("elsewhere").exists());
}

#[test]
fn fewer_files_are_deleted_at_once_while_nobody_writes() {
    let place = Place::new();
    let _server = place.serve();
    let answer = place.ask(&place.start_request("web", 10, 100));
    assert_eq!(answer["ok"], true);
    write_all(&place.writer("web.out"), &lines(0, 6));
    place.wait_for_log("web.stdout", &lines(0, 6));
    let request = json!({"v": 1, "op": "reconfigure", "task": "web", "max_files": 2});
    let both = json!({"stdout": "other-limits", "stderr": "other-limits"});
    assert_eq!(place.ask(&request)["started"], both);
    place.wait_for_log("web.stdout", &lines(4, 2));
    let status = place.status("web");
    assert_eq!(status["stdout"]["max_files"], 2);
    assert_eq!(
        status["stdout"]["max_file_bytes"], 100,
        "what is not named stays"
    );
    let refused = json!({"v": 1, "op": "reconfigure", "task": "web", "max_files": 0});
    let answer = place.ask(&refused);
    assert_eq!(answer["error"]["code"], "config");
    assert_eq!(place.status("web")["stdout"]["max_files"], 2);
    let absent = json!({"v": 1, "op": "reconfigure", "task": "no", "max_files": 1});
    assert_eq!(place.ask(&absent)["error"]["code"], "no-task");
}

#[test]
fn a_larger_file_size_goes_on_in_the_current_file() {
    let place = Place::new();
    let _server = place.serve();
    assert_eq!(place.ask(&place.start_request("web", 10, 200))["ok"], true);
    let writer = place.writer("web.out");
    write_all(&writer, &lines(0, 3));
    place.wait_for_log("web.stdout", &lines(0, 3));
    let request = json!({"v": 1, "op": "reconfigure", "task": "web", "max_file_size": "1KiB"});
    assert_eq!(place.ask(&request)["ok"], true);
    write_all(&writer, &lines(3, 10));
    place.wait_for_log("web.stdout", &lines(0, 13));
    let lengths: Vec<usize> = place.files("web.stdout").iter().map(Vec::len).collect();
    assert_eq!(lengths, [200, 1000, 100]);
}

#[test]
fn the_status_tells_counters_lag_and_the_current_file() {
    let place = Place::new();
    let _server = place.serve();
    assert_eq!(place.ask(&place.start_request("web", 2, 100))["ok"], true);
    // A start is answered before the stream has looked at its FIFO for the first time.
    wait_until("the stream has looked for a writer", || {
        place.status("web")["stdout"]["state"] == "no-writer"
    });
    assert!(place.status("web")["stdout"]["last_write_ms"].is_null());
    let writer = place.writer("web.out");
    write_all(&writer, &lines(0, 3));
    place.wait_for_log("web.stdout", &lines(1, 2));
    wait_until("the status says so", || {
        place.status("web")["stdout"]["written_bytes"] == 300
    });
    let status = &place.status("web")["stdout"];
    assert_eq!(status["state"], "collecting");
    assert_eq!(status["read_bytes"], 300);
    assert_eq!(status["dropped_bytes"], 0);
    assert_eq!(status["failures"], 0);
    assert_eq!(status["rotations"], 3);
    assert_eq!(status["lag_bytes"], 0);
    assert!(status["last_write_ms"].as_u64().unwrap() > 1_600_000_000_000);
    let current = place.path("logs/web.stdout.2");
    assert_eq!(status["current_file"], current.display().to_string());
    assert!(["read-write", "splice"].contains(&status["pump"].as_str().unwrap()));
    assert_eq!(place.status("web")["stderr"]["read_bytes"], 0);
}

#[test]
fn what_a_stuck_folder_leaves_in_the_pipe_is_told_as_lag() {
    let place = Place::new();
    let _server = place.serve();
    assert_eq!(place.ask(&place.start_request("web", 2, 100))["ok"], true);
    let writer = place.writer("web.out");
    write_all(&writer, &lines(0, 1));
    place.wait_for_log("web.stdout", &lines(0, 1));
    // Every name that the next file could have is taken by a folder that is not empty, and gone is the
    // folder itself: its path is a file.
    std::fs::rename(place.path("logs"), place.path("away")).unwrap();
    std::fs::write(place.path("logs"), "in the way").unwrap();
    std::fs::remove_dir_all(place.path("away")).unwrap();
    write_all(&writer, &lines(1, 50));
    wait_until("the folder takes no bytes", || {
        place.status("web")["stdout"]["state"] == "blocked"
    });
    let status = &place.status("web")["stdout"];
    assert_eq!(status["lag_bytes"], 5000, "{status}");
    assert!(status["failures"].as_u64().unwrap() > 0);
    std::fs::remove_file(place.path("logs")).unwrap();
    wait_until("collection goes on", || {
        place.path("logs").is_dir() && place.files("web.stdout").concat() == lines(49, 2)
    });
}

#[test]
fn two_tasks_cannot_write_the_same_files() {
    let place = Place::new();
    let _server = place.serve();
    place.start("web");
    let mut other = place.start_request("api", 10, 1 << 20);
    other["stderr"]["name"] = json!("web.stdout");
    fifo::create(&place.fifo("api.out"), 0o600).unwrap();
    let spare = fifo::Reader::open(place.fifo("api.out")).unwrap();
    write_all(&place.writer("api.out"), &lines(0, 3));
    let answer = place.ask(&other);
    assert_eq!(
        spare.fill_level().unwrap(),
        300,
        "the other stream is not read"
    );
    assert_eq!(answer["error"]["code"], "config");
    let told = answer["error"]["message"].as_str().unwrap();
    assert!(
        told.contains("web.stdout") && told.contains("task web"),
        "{told}"
    );
    let mut other = place.start_request("api", 10, 1 << 20);
    other["stderr"]["fifo"] = json!(place.fifo("web.out"));
    assert_eq!(place.ask(&other)["error"]["code"], "busy");
}
