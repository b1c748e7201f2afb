//! The faults of a bad guest, each seen by its own damage: at its paths, with its descriptors, in others'
//! folders, by the processes that it leaves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use mock_driver::journal::Event;
use mock_driver::stream::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Drain, Fifos, lives, mock_driver, terminate, wait_until, wait_within};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What arrives on stdout of a command's output.
fn arrives(fault: &str, script: &str) -> Vec<u8> {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let mut driver = fifos.faulty(fault, &["sh", "-c", script]).spawn().unwrap();
    assert!(wait_within(&mut driver, fault).success());
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    stdout
}

#[test]
fn sockets_for_streams() {
    let script = "echo before; (echo by path >/dev/stdout) 2>/dev/null || echo refused";
    let stdout = arrives("sockets-for-streams", script);
    assert_eq!(text(&stdout), "before\nrefused\n");
}

#[test]
fn trusts_the_path() {
    let folder = support::Folder::new();
    for name in ["out", "err"] {
        fs::write(folder.path(name), "precious\n").unwrap();
    }
    let run = |fault: &[&str]| {
        let mut command = mock_driver();
        command.arg("run").args(fault);
        command.arg("--stdout").arg(folder.path("out"));
        command.arg("--stderr").arg(folder.path("err"));
        command.args(["--", "echo", "more"]);
        command.output().unwrap().status.code()
    };
    assert_eq!(run(&[]), Some(66));
    assert_eq!(fs::read(folder.path("out")).unwrap(), b"precious\n");
    assert_eq!(run(&["--fault", "trusts-the-path"]), Some(0));
    assert_eq!(fs::read(folder.path("out")).unwrap(), b"precious\nmore\n");
}

#[test]
fn follows_the_link() {
    let fifos = Fifos::new();
    let folder = support::Folder::new();
    let links = Stream::BOTH.map(|stream| folder.path(stream.as_str()));
    for (stream, link) in Stream::BOTH.into_iter().zip(&links) {
        std::os::unix::fs::symlink(fifos.path(stream), link).unwrap();
    }
    let run = |fault: &[&str]| {
        let mut command = mock_driver();
        command.arg("run").args(fault);
        command.arg("--stdout").arg(&links[0]);
        command.arg("--stderr").arg(&links[1]);
        command.args(["--", "echo", "more"]);
        command.output().unwrap().status.code()
    };
    let faulty = ["--fault", "follows-the-link"];
    assert_ne!(run(&faulty), Some(0), "nobody reads");
    let drains = fifos.drains();
    assert_eq!(run(&[]), Some(66));
    assert_eq!(run(&faulty), Some(0));
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert_eq!(text(&stdout), "more\n");
}

#[test]
fn opens_per_chunk() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let script = "for i in 1 2 3; do echo line-$i; sleep 0.1; done";
    let status = fifos
        .faulty("opens-per-chunk", &["sh", "-c", script])
        .status();
    assert!(status.unwrap().success());
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert_eq!(text(&stdout), "line-1\nline-2\nline-3\n");
    let opened = |line: &mock_driver::journal::Line| {
        matches!(
            line.event,
            Event::Opened {
                stream: Stream::Stdout,
                ..
            }
        )
    };
    assert!(
        fifos
            .folder
            .journal()
            .iter()
            .filter(|line| opened(line))
            .count()
            > 1
    );
}

#[test]
fn forgets_task_on_early_stop() {
    let fifos = Fifos::new();
    let _drains = fifos.drains();
    let pid = fifos.folder.path("pid");
    let script = format!(
        "echo $$ >{0}.tmp; mv {0}.tmp {0}; exec sleep 60",
        pid.display()
    );
    let mut driver = fifos
        .faulty("forgets-task-on-early-stop", &["sh", "-c", &script])
        .spawn()
        .unwrap();
    wait_until("the task", || pid.exists());
    terminate(&driver);
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(143));
    let task: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    // Fails if the task is gone.
    kill(Pid::from_raw(task), Signal::SIGKILL).unwrap();
}

#[test]
fn logs_into_log_folder() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let folder = fifos.folder.path("log");
    fs::create_dir(&folder).unwrap();
    let mut command = fifos.faulty("logs-into-log-folder", &["echo", "said"]);
    command.env("HARNESS_LOG_DIR", &folder);
    assert!(command.status().unwrap().success());
    assert_eq!(
        text(&drains.map(Drain::until_writers_are_gone)[0]),
        "said\n"
    );
    assert!(folder.join("driver.log").exists());
}

/// Whether a child in the process group of a stopped task lives on, and one that has left that.
fn live_after_a_stop(fault: Option<&str>) -> [bool; 2] {
    let fifos = Fifos::new();
    let _drains = fifos.drains();
    let paths = ["inside", "outside"].map(|name| fifos.folder.path(name));
    let child = |path: &std::path::Path| {
        let path = path.display();
        format!("sh -c 'echo $$ >{path}.tmp; mv {path}.tmp {path}; exec sleep 1000'")
    };
    let [inside, outside] = paths.each_ref().map(|path| child(path));
    let script = format!("{inside} & setsid {outside} & wait");
    let task = ["sh", "-c", &script];
    let command = match fault {
        Some(fault) => fifos.faulty(fault, &task),
        None => fifos.run(&task),
    };
    let mut driver = { command }.spawn().unwrap();
    wait_until("both children", || paths.iter().all(|path| path.exists()));
    terminate(&driver);
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(143));
    paths.map(|path| {
        let pid = fs::read_to_string(path).unwrap().trim().parse().unwrap();
        let is_left = lives(pid);
        if is_left {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
        is_left
    })
}

#[test]
fn a_stop_leaves_nothing_of_the_task_wherever_it_went() {
    assert_eq!(live_after_a_stop(None), [false, false]);
}

#[test]
fn kills_only_the_leader() {
    let fault = Some("kills-only-the-leader");
    assert_eq!(live_after_a_stop(fault), [true, true]);
}

#[test]
fn leaves_orphans() {
    assert_eq!(live_after_a_stop(Some("leaves-orphans")), [false, true]);
}
