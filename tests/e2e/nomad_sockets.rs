//! Tests of what plugins of Nomad leave behind: nothing, whoever of plugin and host dies, and when.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::tempdir;

use crate::nomad::TASK;
use crate::program::{harness, path, processes_of, sockets_below, wait_until_nothing};

/// Whether this is said, wherever the lines are broken.
fn unwrapped(text: &'static str) -> impl Predicate<str> {
    predicate::function(move |said: &str| {
        let said: Vec<&str> = said.split_whitespace().collect();
        said.join(" ").contains(text)
    })
}

/// A plugin that listens where an older server of go-plugin does, and then says this line, or nothing.
const OLD_SERVER: &str = r"import os, socket, sys, time
path = os.path.join(os.environ['TMPDIR'], 'plugin1')
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
if len(sys.argv) > 1:
    print(sys.argv[1].replace('PATH', path), flush=True)
time.sleep(1000)
";

#[test]
fn a_plugin_that_can_not_be_used_leaves_no_socket_whatever_it_said() {
    let plugins: [(&str, &[&str], &str); 3] = [
        ("3s", &[], "no line came on standard output within 3s"),
        ("1m", &["listening"], "find the four first fields"),
        ("1m", &["1|1|unix|PATH|grpc|"], "use version \"1\""),
    ];
    for (within, line, told) in plugins {
        let folder = tempdir().unwrap();
        harness(&folder)
            .env("TMPDIR", folder.path())
            .args(["nomad", "doctor", "--within", within, "--"])
            .args(["python3", "-c", OLD_SERVER])
            .args(line)
            .assert()
            .code(69)
            .stdout(contains("WRONG  handshake"))
            .stdout(unwrapped(told));
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{told}: {left:?}");
    }
}

#[test]
fn the_greeting_of_a_driver_plugin_that_can_not_be_used_leaves_no_socket() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("old.py"), OLD_SERVER).unwrap();
    fs::write(folder.path().join("task.toml"), TASK).unwrap();
    let arguments = format!("{} nonsense", folder.path().join("old.py").display());
    harness(&folder)
        .env("TMPDIR", folder.path())
        .args([
            "run",
            "--nomad-plugin",
            "python3",
            "--plugin-args",
            &arguments,
        ])
        .args(["--task-config", "task.toml"])
        .assert()
        .code(69)
        .stderr(contains("handshake"));
    assert_eq!(sockets_below(folder.path()), [""; 0]);
}

#[test]
fn a_hundred_launches_leave_no_process_and_no_file() {
    let folder = tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    harness(&folder)
                        .env("TMPDIR", folder.path())
                        .args(["nomad", "doctor", path(), "mock-driver", "plugin"])
                        .assert()
                        .code(0);
                }
            });
        }
    });
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let left = processes_of(folder.path());
    assert!(left.is_empty(), "{left:?}");
}

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_host_that_is_killed_takes_its_plugin_with_it_and_the_socket_lies_in_the_case() {
    let folder = tempdir().unwrap();
    let case = folder.path().join("case");
    fs::create_dir(&case).unwrap();
    let task = folder.path().join("task.toml");
    fs::write(&task, TASK).unwrap();
    let host = Command::new(path())
        .args(["nomad", "driver", "--task-config"])
        .arg(&task)
        .args(["--", path(), "mock-driver", "plugin"])
        .env("TMPDIR", folder.path())
        .env("HARNESS_TASK_DIR", &case)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut host = Killed(host.unwrap());
    let hello = "{\"seq\":1,\"op\":\"hello\",\"protocol\":1}\n";
    let mut stdin = host.0.stdin.take().unwrap();
    stdin.write_all(hello.as_bytes()).unwrap();
    let mut answer = String::new();
    let stdout = host.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut answer).unwrap();
    assert!(answer.contains("\"driver\":\"mock_driver\""), "{answer}");
    assert_eq!(sockets_below(&case).len(), 1);
    drop(host);
    // It had no time to remove anything.
    wait_until_nothing(Duration::from_secs(20), || processes_of(folder.path()));
    assert_eq!(sockets_below(folder.path()), sockets_below(&case));
    drop(stdin);
}
