//! Drivers that go away, and tasks that are taken over (edge).

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::FdFlags;
use serde_json::{Value, json};

use crate::place::{LONG, Place, has_ended, has_ended_within, kill, pid, until};
use crate::speaker::Driver;

const GOES_ON: &str = "echo one; read go <\"$PWD/go\"; echo two; exit 3";

/// A place with a FIFO that a task is told to go on by.
fn place() -> Place {
    let place = Place::new();
    fifo::create(&place.task_dir().join("go"), 0o600).unwrap();
    place
}

fn go_on(place: &Place) {
    fs::write(place.task_dir().join("go"), "now\n").unwrap();
}

fn handles(started: &Value) -> Value {
    json!([{"id": "t", "handle": started["handle"]}])
}

/// Starts a script, and has the driver go away.
fn left_alone(place: &Place, script: &str, is_killed: bool) -> Value {
    let mut driver = Driver::start(place.path());
    let started = driver.say("start", place.script("t", script));
    assert_eq!(place.line(), "one");
    if is_killed {
        driver.kill();
        return handles(&started);
    }
    let detached = driver.detach();
    assert_eq!(detached, handles(&started));
    detached
}

#[test]
fn a_task_lives_on_without_its_driver_and_is_taken_over() {
    for is_killed in [false, true] {
        let place = place();
        let handles = left_alone(&place, GOES_ON, is_killed);
        assert_eq!(place.processes().len(), 2, "a warden and a task");
        let warden = pid(&handles[0]["handle"]["warden"]["pid"]);
        let held = fs::read_dir(format!("/proc/{warden}/fd")).unwrap();
        let held = held.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        let fifos: Vec<_> = held
            .filter(|path| path.parent() == Some(place.path()))
            .collect();
        assert!(fifos.is_empty(), "the warden holds {fifos:?}");
        let mut driver = Driver::start(place.path());
        assert_eq!(driver.recover(&handles), json!([]));
        let wait = driver.ask("wait", json!({"id": "t"}));
        go_on(&place);
        assert_eq!(driver.answer(wait), json!({"exit": 3, "signal": null}));
        assert_eq!(place.rest(0), "two\n");
        driver.destroy("t");
        assert_eq!(place.files(), ["go"]);
    }
}

#[test]
fn who_lives_on_holds_nothing_that_the_driver_was_started_with() {
    let place = place();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let number = writer.as_raw_fd();
    let inherit = move || {
        #[expect(unsafe_code, reason = "only the child may have it inherited")]
        // SAFETY: it is open in the parent as long as the command is, and so in the child.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
        Ok(())
    };
    let mut driver = Driver::start_with(place.path(), |command| {
        #[expect(
            unsafe_code,
            reason = "nothing else runs between fork(2) and execve(2)"
        )]
        // SAFETY: the closure makes one system call and allocates nothing.
        unsafe {
            command.pre_exec(inherit);
        }
    });
    driver.say("start", place.script("t", GOES_ON));
    assert_eq!(place.line(), "one");
    drop(writer);
    driver.detach();
    assert_eq!(place.processes().len(), 2, "a warden and a task");
    let mut fds = [PollFd::new(&reader, PollFlags::IN)];
    let long = Timespec {
        tv_sec: 60,
        tv_nsec: 0,
    };
    assert_eq!(poll(&mut fds, Some(&long)).unwrap(), 1, "a writer stays");
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_was_taken_over_can_be_signalled_stopped_and_destroyed() {
    let script = "trap 'echo usr1' USR1; trap 'echo term; exit 9' TERM; echo one; while :; do sleep 0.05; done";
    let place = place();
    let handles = left_alone(&place, script, true);
    let mut driver = Driver::start(place.path());
    assert_eq!(driver.recover(&handles), json!([]));
    let lost = driver.recover(&handles);
    assert_eq!(lost[0]["reason"], "`id` is that of another task: \"t\"");
    driver.order("signal", json!({"id": "t", "signal": "SIGUSR1"}));
    assert_eq!(place.line(), "usr1");
    driver.stop("t", 3_600_000);
    assert_eq!(place.rest(0), "term\n");
    assert_eq!(driver.say("wait", json!({"id": "t"}))["exit"], 9);
    driver.destroy("t");
    assert_eq!(
        driver.refusal(
            "stop",
            json!({"id": "t", "signal": "SIGTERM", "timeout_ms": 1})
        ),
        "there is no task \"t\""
    );
}

#[test]
fn the_end_of_stdin_ends_what_was_taken_over() {
    let place = place();
    let handles = left_alone(&place, "echo one; exec sleep 1000", false);
    let mut driver = Driver::start(place.path());
    assert_eq!(driver.recover(&handles), json!([]));
    assert!(driver.close().success());
    assert_eq!(place.processes(), Vec::<i32>::new());
    assert_eq!(place.files(), ["go"]);
}

#[test]
fn how_a_task_ended_while_no_driver_was_there_is_known() {
    for (script, end) in [
        (GOES_ON, json!({"exit": 3, "signal": null})),
        (
            "echo one; read go <\"$PWD/go\"; kill -TERM $$",
            json!({"exit": null, "signal": 15}),
        ),
    ] {
        let place = place();
        let handles = left_alone(&place, script, true);
        go_on(&place);
        let warden = pid(&handles[0]["handle"]["warden"]["pid"]);
        assert!(has_ended_within(warden, LONG));
        // Another driver may come and go, too.
        for _ in 0..2 {
            let mut driver = Driver::start(place.path());
            assert_eq!(driver.recover(&handles), json!([]));
            assert_eq!(driver.say("wait", json!({"id": "t"})), end);
            driver.stop("t", 0);
            assert_eq!(driver.detach(), handles);
        }
        // The machine was started again: no process is the same, but the file is.
        let mut moved = handles.clone();
        moved[0]["handle"]["boot"] = "another".into();
        let mut driver = Driver::start(place.path());
        assert_eq!(driver.recover(&moved), json!([]));
        assert_eq!(driver.say("wait", json!({"id": "t"})), end);
        driver.destroy("t");
        assert_eq!(place.files(), ["go"]);
    }
}

#[test]
fn a_stranger_with_the_same_pid_is_not_taken_for_the_task() {
    let place = place();
    let handles = left_alone(&place, "echo one; exec sleep 1000", true);
    // One of another moment: a moment has 10 ms, and pids don't come back in one.
    let mut stranger = until("a stranger is younger than the task", || {
        // At home here, so it ends with the test.
        let mut stranger = Command::new("sleep");
        stranger.arg("1000").current_dir(place.path());
        let stranger = stranger.stdout(Stdio::null()).stderr(Stdio::null());
        let stranger = stranger.spawn().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", stranger.id())).unwrap();
        let birth = stat.split(' ').nth(21).unwrap().parse().unwrap();
        if handles[0]["handle"]["held"]["main"]["birth"].as_u64() < Some(birth) {
            return Ok(stranger);
        }
        kill(stranger.id().try_into().unwrap(), Signal::SIGKILL);
        drop(stranger.wait_with_output());
        Err(stat)
    });
    let (warden, main) = ("/0/handle/warden", "/0/handle/held/main");
    let pids = [warden, main].map(|one| pid(&handles.pointer(one).unwrap()["pid"]));
    let mut of_stranger = handles.clone();
    for one in [warden, main] {
        of_stranger.pointer_mut(one).unwrap()["pid"] = stranger.id().into();
    }
    for group in ["cgroup2", "freezer", "counter"] {
        of_stranger[0]["handle"]["held"][group] = Value::Null;
    }
    let mut of_boot = handles.clone();
    of_boot[0]["handle"]["boot"] = "another".into();
    // What is lost has no folder any more, so each has its own.
    let folder = place
        .files()
        .into_iter()
        .find(|one| one.starts_with(".executor"))
        .unwrap();
    let away = place.path().join("away");
    fs::rename(place.task_dir().join(&folder), &away).unwrap();
    let mut driver = Driver::start(place.path());
    let reason = |lost: Value| lost[0]["reason"].as_str().unwrap().to_owned();
    let said = reason(driver.recover(&of_stranger));
    assert!(said.contains("was killed and left no word"), "{said}");
    let said = reason(driver.recover(&of_boot));
    assert_eq!(said, "the machine was started again");
    let said = reason(driver.recover(&json!([{"id": "t", "handle": {"pid": 1}}])));
    assert!(
        said.starts_with("the handle is none of this driver"),
        "{said}"
    );
    assert_eq!(stranger.try_wait().unwrap(), None, "the stranger lives");
    assert!(pids.iter().all(|pid| !has_ended(*pid)), "so does the task");
    fs::rename(&away, place.task_dir().join(&folder)).unwrap();
    assert_eq!(driver.recover(&handles), json!([]));
    driver.destroy("t");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_hundred_drivers_in_a_row_leave_no_process_no_descriptor_and_no_file() {
    let place = place();
    let mut handles = left_alone(&place, "echo one; exec sleep 1000", false);
    let warden = pid(&handles[0]["handle"]["warden"]["pid"]);
    let count = |folder: &str| {
        fs::read_dir(format!("/proc/{warden}/{folder}"))
            .unwrap()
            .count()
    };
    let files = place.files();
    let inside = place
        .task_dir()
        .join(files.iter().find(|one| one.starts_with('.')).unwrap());
    let mut before = None;
    for round in 0..=100 {
        let mut driver = Driver::start(place.path());
        assert_eq!(driver.recover(&handles), json!([]), "round {round}");
        driver.order("signal", json!({"id": "t", "signal": "SIGCONT"}));
        let own = fs::read_dir(format!("/proc/{}/fd", driver.pid()))
            .unwrap()
            .count();
        if round % 2 == 0 {
            handles = driver.detach();
        } else {
            driver.kill();
        }
        // The one that has answered may still be closing its connection.
        let now = until("it is alone again", || {
            let now = (own, count("fd"), count("task"), place.processes().len());
            match before {
                Some(before) if before != now => Err(format!("{now:?}, before {before:?}")),
                Some(_) | None if now.2 == 2 => Ok(now),
                Some(_) | None => Err(format!("{now:?}")),
            }
        });
        before = Some(now);
        assert_eq!(place.files(), files);
        let mut inner: Vec<_> = fs::read_dir(&inside)
            .unwrap()
            .map(|one| one.unwrap().file_name().into_string().unwrap())
            .collect();
        inner.sort();
        assert_eq!(inner, ["end.1", "end.2", "messages", "socket"]);
    }
    let mut driver = Driver::start(place.path());
    assert_eq!(driver.recover(&handles), json!([]));
    driver.destroy("t");
    assert_eq!(place.files(), ["go"]);
    assert_eq!(place.processes(), [driver.pid()]);
    for group in ["cgroup2", "freezer", "counter"] {
        let path = handles[0]["handle"]["held"][group]["path"].as_str();
        assert!(
            path.is_none_or(|path| !fs::exists(path).unwrap()),
            "{path:?}"
        );
    }
}
