//! Wardens that die or do not answer (edge).

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::place::{LONG, Place, has_ended, has_ended_within, kill, pid, until};
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

/// Tells when the end of a task is written, in the folder of its warden.
struct Ends {
    folder: PathBuf,
    watch: Inotify,
}

impl Ends {
    fn of(handles: &Value) -> Ends {
        let folder = handles[0]["handle"]["folder"]["path"].as_str().unwrap();
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).unwrap();
        // Two events of one kind that follow each other are one, inotify(7); so the drafts are told too.
        let wanted = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MOVED_FROM;
        watch.add_watch(folder, wanted).unwrap();
        Ends {
            folder: folder.into(),
            watch,
        }
    }

    /// How often it was written since the last look.
    fn written(&self) -> usize {
        let events = self.watch.read_events().unwrap_or_default();
        let is_end = |name: Option<&OsStr>| name == Some(OsStr::new("end"));
        let ends = events.iter().filter(|event| {
            event.mask == AddWatchFlags::IN_MOVED_TO && is_end(event.name.as_deref())
        });
        ends.count()
    }

    fn await_one(&self) {
        let limit = PollTimeout::try_from(LONG).unwrap();
        while self.written() == 0 {
            let mut fds = [PollFd::new(self.watch.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, limit), Ok(1), "no end is written");
        }
    }

    fn read(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder.join("end")).unwrap()).unwrap()
    }
}

#[test]
fn an_end_is_written_before_the_rest_is_ended_and_once_more_when_it_is() {
    let place = Place::new();
    let (mut driver, handles, warden, main) = started(&place, FAMILY);
    let ends = Ends::of(&handles);
    kill(main, Signal::SIGKILL);
    assert!(has_ended_within(warden, LONG));
    assert_eq!(ends.written(), 2);
    let end = ends.read();
    assert_eq!(
        (&end["signal"], &end["is_clean"]),
        (&json!(9), &json!(true))
    );
    assert_eq!(driver.say("wait", json!({"id": "t"}))["signal"], 9);
}

#[test]
fn an_end_is_known_of_a_warden_that_is_killed_while_it_ends_the_rest() {
    // The more there is to end, the longer that takes; a warden that was faster is tried again.
    let many =
        "i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; echo one; read go; exit 4";
    for round in 0..100 {
        let place = Place::new();
        fifo::create(&place.task_dir().join("go"), 0o600).unwrap();
        let script = many.replace("read go", "read go <\"$PWD/go\"");
        let (driver, handles, warden, main) = started(&place, &script);
        driver.kill();
        let ends = Ends::of(&handles);
        fs::write(place.task_dir().join("go"), "now\n").unwrap();
        ends.await_one();
        kill(warden, Signal::SIGKILL);
        assert!(has_ended_within(warden, LONG) && has_ended_within(main, LONG));
        let end = ends.read();
        assert_eq!(end["exit"], 4, "round {round}");
        let mut driver = Driver::start(place.path());
        assert_eq!(driver.recover(&handles), json!([]));
        let told = driver.say("wait", json!({"id": "t"}));
        assert_eq!(told, json!({"exit": 4, "signal": null}));
        if is_held(&handles) {
            assert_eq!(place.processes(), [driver.pid()]);
        }
        if end["is_clean"] == json!(false) {
            return;
        }
    }
    panic!("no warden was killed before it had ended the rest");
}

/// What is left behind by a main process that waits until it is told to end.
const LEAVES: &str = "(setsid sleep 1000 &) ; echo one; read go <\"$PWD/go\"; exit 3";

fn go_on(place: &Place) {
    fs::write(place.task_dir().join("go"), "now\n").unwrap();
}

/// A place with a FIFO that a task is told to end by.
fn place_to_go_on() -> Place {
    let place = Place::new();
    fifo::create(&place.task_dir().join("go"), 0o600).unwrap();
    place
}

#[test]
fn an_end_that_can_t_be_written_is_told_and_leaves_nothing() {
    for is_recovered in [false, true] {
        let place = place_to_go_on();
        let (mut driver, handles, warden, main) = started(&place, LEAVES);
        forbid_files(warden);
        if is_recovered {
            driver.kill();
            driver = Driver::start(place.path());
            assert_eq!(driver.recover(&handles), json!([]));
        }
        go_on(&place);
        let expected = json!({"exit": 3, "signal": null});
        assert_eq!(driver.say("wait", json!({"id": "t"})), expected);
        driver.stop("t", 0);
        assert_eq!(driver.say("wait", json!({"id": "t"})), expected);
        assert!(has_ended(warden) && has_ended(main));
        assert_eq!(place.processes(), [driver.pid()]);
        driver.destroy("t");
        assert_eq!(place.files(), ["go"]);
    }
}

/// From now on it can write to no file.
fn forbid_files(pid: i32) {
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let pid = rustix::process::Pid::from_raw(pid);
    rustix::process::prlimit(pid, rustix::process::Resource::Fsize, none).unwrap();
}

#[test]
fn an_end_that_nobody_can_be_told_leaves_nothing_and_waits_for_who_asks() {
    let place = place_to_go_on();
    let (driver, handles, warden, _) = started(&place, LEAVES);
    driver.kill();
    forbid_files(warden);
    go_on(&place);
    until("only the warden is left", || match place.processes() {
        left if left == [warden] => Ok(()),
        left => Err(format!("{left:?}")),
    });
    let mut driver = Driver::start(place.path());
    assert_eq!(driver.recover(&handles), json!([]));
    let expected = json!({"exit": 3, "signal": null});
    assert_eq!(driver.say("wait", json!({"id": "t"})), expected);
    driver.destroy("t");
    assert_eq!(place.files(), ["go"]);
    assert_eq!(place.processes(), [driver.pid()]);
}

#[test]
fn a_task_that_removes_what_it_is_found_by_has_its_end_told() {
    for is_recovered in [false, true] {
        let place = place_to_go_on();
        let script = "echo one; read go <\"$PWD/go\"; find . -mindepth 1 -delete; exit 3";
        let (mut driver, handles, warden, _) = started(&place, script);
        if is_recovered {
            driver.kill();
            driver = Driver::start(place.path());
            assert_eq!(driver.recover(&handles), json!([]));
        }
        go_on(&place);
        let expected = json!({"exit": 3, "signal": null});
        assert_eq!(driver.say("wait", json!({"id": "t"})), expected);
        assert!(has_ended(warden));
        driver.stop("t", 0);
        driver.destroy("t");
        assert_eq!(place.files(), Vec::<String>::new());
    }
}

#[test]
fn a_full_disk_loses_no_end() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: a_full_disk_loses_no_end: only root can mount a disk to fill");
    }
    let disk = Disk(tempfile::tempdir().unwrap());
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(disk.0.path())
        .status();
    assert!(mounted.unwrap().success());
    let place = Place::new();
    let mut start = place.script("t", "echo one; cat /dev/zero >fill 2>/dev/null; exit 3");
    start["task_dir"] = json!(disk.0.path());
    let mut driver = Driver::start(place.path());
    let handles = json!([{"id": "t", "handle": driver.say("start", start.clone())["handle"]}]);
    driver.kill();
    let warden = pid(&handles[0]["handle"]["warden"]["pid"]);
    assert!(has_ended_within(warden, LONG));
    let mut driver = Driver::start(place.path());
    assert_eq!(driver.recover(&handles), json!([]));
    let expected = json!({"exit": 3, "signal": null});
    assert_eq!(driver.say("wait", json!({"id": "t"})), expected);
    driver.destroy("t");
    // What it had is free now. When that is used, too, there is no room for the end of another one.
    let mut zero = fs::File::open("/dev/zero").unwrap();
    let mut more = fs::File::create(disk.0.path().join("more")).unwrap();
    std::io::copy(&mut zero, &mut more).unwrap_err();
    start["id"] = json!("late");
    let why = driver.refusal("start", start);
    assert!(
        why.contains("can't use ") && why.contains("No space left"),
        "{why}"
    );
    assert!(driver.close().success());
}

/// A mounted folder.
struct Disk(tempfile::TempDir);

impl Drop for Disk {
    fn drop(&mut self) {
        // What still has a file open there keeps it until then.
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}
