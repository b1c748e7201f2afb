//! Starts that fail, wait, or are ended (edge).

use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::place::{LONG, Place, has_ended, pid, until};
use crate::speaker::Driver;

/// True once a warden works at a start.
fn await_warden(place: &Place) {
    until("the warden listens", || {
        let files = place.files();
        let socket = files
            .first()
            .map(|one| place.task_dir().join(one).join("socket"));
        match socket {
            Some(socket) if socket.exists() => Ok(()),
            Some(_) | None => Err(format!("{files:?}")),
        }
    });
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    let mut start = place.script("t", "exit 0");
    start["argv"] = json!(["/no/such/program"]);
    let why = driver.refusal("start", start);
    assert!(
        why.starts_with("there is no program /no/such/program"),
        "{why}"
    );
    // A path where no FIFO stands is refused, and left alone.
    let file = place.path().join("file");
    fs::write(&file, "text").unwrap();
    let mut start = place.script("t", "echo more");
    start["stdout"] = json!(file);
    let why = driver.refusal("start", start);
    assert!(why.ends_with("as a FIFO: it is a regular file"), "{why}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    let mut start = place.script("t", "exit 0");
    start["user"] = json!("no-such-user");
    let why = driver.refusal("start", start);
    assert!(why.contains("there is no user \"no-such-user\""), "{why}");
    let mut start = place.script("t", "exit 0");
    start["task_dir"] = json!("/no/such/folder");
    let why = driver.refusal("start", start);
    assert!(
        why.starts_with("can't make a folder in /no/such/folder"),
        "{why}"
    );
    assert_eq!(place.files(), Vec::<String>::new());
    assert_eq!(place.processes(), [driver.pid()]);
}

#[test]
fn a_start_without_a_reader_fails_in_time() {
    let place = Place::unread();
    let mut driver = Driver::start(place.path());
    let begin = Instant::now();
    let why = driver.refusal("start", place.script("t", "exit 0"));
    assert!(
        why.contains("nobody has opened") && why.contains("within 8s"),
        "{why}"
    );
    // A collector may come that late.
    let waited = begin.elapsed();
    assert!(waited >= Duration::from_secs(8), "after {waited:?}");
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_stop_and_a_destroy_end_a_start_that_waits_for_a_reader() {
    let place = Place::unread();
    let mut driver = Driver::start(place.path());
    for op in ["stop", "kill", "destroy"] {
        let start = driver.ask("start", place.script("t", "exit 0"));
        await_warden(&place);
        let wait = driver.ask("wait", json!({"id": "t"}));
        match op {
            // It may be that a reader comes within its patience.
            "stop" => driver.stop("t", 3_600_000),
            "kill" => driver.stop("t", 0),
            _ => driver.destroy("t"),
        }
        // Not because its own time was over.
        let answer = driver.answer(start);
        let why = answer["error"].as_str().unwrap();
        let expected = "the task was stopped before it was started: the launch was cancelled";
        assert!(why.starts_with(expected), "{why}");
        assert_eq!(driver.answer(wait)["error"], "there is no task \"t\"");
        assert_eq!(place.files(), Vec::<String>::new());
        assert_eq!(place.processes(), [driver.pid()]);
    }
}

#[test]
fn a_stop_that_meets_a_start_ends_the_task_by_its_signal() {
    let place = Place::new();
    let mut driver = Driver::start(place.path());
    for _ in 0..10 {
        let start = driver.ask("start", place.silent("t", "exec sleep 1000"));
        let fields = json!({"id": "t", "signal": "SIGTERM", "timeout_ms": 3_600_000});
        let stop = driver.ask("stop", fields);
        assert!(driver.answer(start)["handle"].is_object());
        assert_eq!(driver.answer(stop), json!({}));
        assert_eq!(driver.say("wait", json!({"id": "t"}))["signal"], 15);
        driver.destroy("t");
    }
}

#[test]
fn a_driver_that_goes_away_during_a_start_leaves_nothing() {
    let place = Place::unread();
    for how in ["detach", "kill", "close"] {
        let mut driver = Driver::start(place.path());
        driver.ask("start", place.script("t", "exit 0"));
        await_warden(&place);
        match how {
            "detach" => assert_eq!(driver.detach(), json!([])),
            "kill" => driver.kill(),
            _ => assert!(driver.close().success()),
        }
        until("the warden ends", || match place.processes() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        });
        assert_eq!(place.files(), Vec::<String>::new(), "{how}");
    }
}

#[test]
fn a_task_may_be_another_user_s() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: a_task_may_be_another_user_s: only root can start one");
    }
    let place = Place::new();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.task_dir(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut driver = Driver::start(place.path());
    let script =
        "id -u; echo again >/dev/stdout; ls -A .executor-* 2>/dev/null | head -1; exec sleep 1000";
    let mut start = place.script("t", script);
    start["user"] = json!("65534");
    let started = driver.say("start", start);
    assert!(pid(&started["pid"]) > 1, "{started}");
    assert_eq!(
        (place.line(), place.line()),
        ("65534".into(), "again".into())
    );
    driver.stop("t", 3_600_000);
    assert_eq!(
        place.rest(0),
        "",
        "it can't look into the folder of its warden"
    );
    assert_eq!(driver.say("wait", json!({"id": "t"}))["signal"], 15);
}

/// Starts a warden as a driver does.
fn warden(place: &Place) -> (UnixStream, Child) {
    let folder = place.task_dir().join(".executor-0-1");
    DirBuilder::new().mode(0o700).create(&folder).unwrap();
    let (driver, far) = UnixStream::pair().unwrap();
    driver.set_read_timeout(Some(LONG)).unwrap();
    let mut warden = Command::new(env!("CARGO_BIN_EXE_executor"));
    warden.arg("warden").arg(folder).current_dir(place.path());
    warden.stdin(OwnedFd::from(far)).stdout(Stdio::null());
    let child = warden.spawn();
    // It holds the warden's end.
    drop(warden);
    (driver, child.unwrap())
}

#[test]
fn a_warden_that_gets_no_order_removes_its_folder() {
    for part in ["", "{\"argv\":"] {
        let place = Place::new();
        let (mut driver, mut child) = warden(&place);
        driver.write_all(part.as_bytes()).unwrap();
        drop(driver);
        assert!(child.wait().unwrap().success(), "{part}");
        assert_eq!(place.files(), Vec::<String>::new(), "{part}");
    }
}

#[test]
fn a_task_that_gets_no_word_to_go_on_is_ended() {
    let place = Place::new();
    let (driver, mut child) = warden(&place);
    let start = place.script("t", "echo one; exec sleep 1000");
    let order = json!({
        "task": {
            "open_ms": 60_000, "argv": start["argv"], "env": {}, "inherits_env": true, "user": null, "cwd": null,
            "stdout": start["stdout"], "stderr": start["stderr"], "task_dir": start["task_dir"],
        },
    });
    writeln!(&driver, "{order}").unwrap();
    let mut line = String::new();
    BufReader::new(&driver).read_line(&mut line).unwrap();
    let report: Value = serde_json::from_str(&line).unwrap();
    let main = pid(&report["held"]["main"]["pid"]);
    assert_eq!(place.line(), "one");
    drop(driver);
    assert!(child.wait().unwrap().success());
    assert!(has_ended(main));
    assert_eq!(place.files(), Vec::<String>::new());
    assert_eq!(place.processes(), Vec::<i32>::new());
}

/// A driver with a trusted root.
fn rooted(place: &Place, root: &Path) -> Driver {
    Driver::start_with(place.path(), |command| {
        command.arg("--trusted-root").arg(root);
    })
}

#[test]
fn below_a_trusted_root_no_link_leads_to_a_fifo() {
    let place = Place::new();
    let link = place.path().join("logs");
    symlink(place.path(), &link).unwrap();
    let linked = |stream: &str, name: &str| {
        let mut start = place.script("t", "echo linked; exit 3");
        start[stream] = json!(link.join(name));
        start
    };
    let exit = |code: i32| json!({"exit": code, "signal": null});
    // Without a root it is followed.
    let mut driver = Driver::start(place.path());
    driver.say("start", linked("stdout", "out"));
    assert_eq!(place.line(), "linked");
    assert_eq!(driver.say("wait", json!({"id": "t"})), exit(3));
    driver.destroy("t");
    let mut driver = rooted(&place, place.path());
    for (stream, name) in [("stdout", "out"), ("stderr", "err")] {
        let why = driver.refusal("start", linked(stream, name));
        let expected = format!("open {}: it is a symbolic link", link.display());
        assert!(why.contains(&expected), "{stream}: {why}");
        assert_eq!(place.files(), Vec::<String>::new());
    }
    driver.say("start", place.script("t", "echo below; exit 4"));
    assert_eq!(place.line(), "below");
    assert_eq!(driver.say("wait", json!({"id": "t"})), exit(4));
    driver.destroy("t");
    // It is for the FIFOs; the null device is none.
    driver.say("start", place.silent("n", "exit 5"));
    assert_eq!(driver.say("wait", json!({"id": "n"})), exit(5));
    driver.destroy("n");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut driver = rooted(&place, elsewhere.path());
    let why = driver.refusal("start", place.script("t", "exit 0"));
    let expected = format!("not below the trusted root {}", elsewhere.path().display());
    assert!(why.contains(&expected), "{why}");
}

#[test]
fn a_trusted_root_that_is_none_ends_the_driver_before_a_request() {
    let place = Place::new();
    let (file, link) = (place.path().join("file"), place.path().join("link"));
    fs::write(&file, "").unwrap();
    symlink(place.path(), &link).unwrap();
    for (root, cause) in [
        ("/no/such/folder", "No such file or directory"),
        (file.to_str().unwrap(), "it is no folder"),
        (link.to_str().unwrap(), "it is no folder"),
        ("logs", "write it from / on"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_executor"))
            .args(["serve", "--trusted-root", root])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(125), "{text}");
        assert!(text.contains("--trusted-root"), "{text}");
        assert!(text.contains(cause), "no {cause:?} in {text}");
    }
}
