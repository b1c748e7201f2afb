//! `executor run --isolate`: exit codes, messages and signals (edge).

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::root::{Root, needs_containers, which};
use crate::stage::{LONG, Stage, all, has_ended_within, line};

/// `executor run --isolate` in a root, with more options, and a command.
fn run(root: &Root, options: &[&str], command: &[&str]) -> Command {
    let mut line = Command::new(env!("CARGO_BIN_EXE_executor"));
    line.args(["run", "--isolate", "--root"])
        .arg(root.path())
        .args(options)
        .arg("--")
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    line
}

/// Code and stderr; nothing else may be said.
fn outcome(output: &Output) -> (Option<i32>, String) {
    assert_eq!(output.stdout, b"", "nothing is said on stdout");
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code(), said)
}

/// A running `executor run`, which is stopped when a test is surprised.
struct Running(Child);

impl Running {
    fn start(stage: &Stage, root: &Root, options: &[&str], script: &str) -> Running {
        let logs = [
            "--stdout",
            stage.logs.stdout().to_str().unwrap(),
            "--stderr",
            stage.logs.stderr().to_str().unwrap(),
        ];
        let options = [&logs[..], options].concat();
        Running(run(root, &options, &["sh", "-c", script]).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }

    fn end(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that runs in the background ignores SIGINT and SIGQUIT, and so does what it starts.
        let _is_gone = kill(Pid::from_raw(self.pid()), Signal::SIGALRM);
        drop(self.0.wait());
    }
}

#[test]
fn the_code_of_the_task_is_the_exit_code() {
    needs_containers!("the_code_of_the_task_is_the_exit_code");
    let root = Root::new();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("sh -c 'kill -9 $$'; exit $?", 137),
    ] {
        let line = ["sh", "-c", script];
        let output = run(&root, &["--log-disabled"], &line).output().unwrap();
        assert_eq!(outcome(&output), (Some(code), String::new()), "{script}");
    }
}

#[test]
fn failures_have_the_codes_of_any_other_task() {
    needs_containers!("failures_have_the_codes_of_any_other_task");
    let root = Root::new();
    root.closed();
    let host = which("env");
    for (options, program, code, cause) in [
        (&[][..], host.to_str().unwrap(), 127, "there is no program"),
        (
            &[],
            "closed",
            126,
            "can't execute /local/closed; use chmod +x on it",
        ),
        (
            &["--cwd", "/no/such"],
            "sh",
            125,
            "can't build the container: ",
        ),
        (
            &["--cwd", "tmp"],
            "sh",
            125,
            "tmp that it starts in is not absolute",
        ),
        (
            &["--mount", "/no/such:/a"],
            "sh",
            125,
            "can't use /no/such as a mount of the task",
        ),
        (
            &["--device", "/etc/passwd"],
            "sh",
            125,
            "can't use /etc/passwd as a device of the task",
        ),
        (&["--user", "no-such-user"], "sh", 125, "there is no user"),
    ] {
        let options = [&["--log-disabled"], options].concat();
        let (told, text) = outcome(&run(&root, &options, &[program]).output().unwrap());
        assert_eq!(told, Some(code), "{text}");
        assert!(text.starts_with("executor: can't run the task: "), "{text}");
        assert!(text.contains(cause), "{cause:?} in {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn the_output_goes_to_the_fifos() {
    needs_containers!("the_output_goes_to_the_fifos");
    let (stage, root) = (Stage::new(), Root::new());
    let mut running = Running::start(
        &stage,
        &root,
        &["--clear-env"],
        "echo out; echo err >&2; exit 4",
    );
    assert_eq!(all(&stage.stdout), "out\n");
    assert_eq!(all(&stage.stderr), "err\n");
    assert_eq!(running.end(), Some(4));
}

/// The limit says nothing of the time that it takes; a grace that was waited for would be longer.
#[test]
fn a_signal_to_the_executor_ends_the_task_without_a_grace_that_helps_nobody() {
    needs_containers!("a_signal_to_the_executor_ends_the_task_without_a_grace_that_helps_nobody");
    for signal in [Signal::SIGTERM, Signal::SIGALRM] {
        let (stage, root) = (Stage::new(), Root::new());
        let grace = ["--grace-ms", "3600000", "--pid-mode", "private"];
        let mut running = Running::start(&stage, &root, &grace, "echo up; exec sleep 1000");
        assert_eq!(line(&stage.stdout), "up");
        let start = Instant::now();
        kill(Pid::from_raw(running.pid()), signal).unwrap();
        assert!(has_ended_within(running.pid(), LONG), "{signal}");
        println!("{signal}: {:?}", start.elapsed());
        assert_eq!(running.end(), Some(137));
        assert_eq!(all(&stage.stdout), "");
    }
}

#[test]
fn a_task_that_catches_the_signal_ends_as_it_likes() {
    needs_containers!("a_task_that_catches_the_signal_ends_as_it_likes");
    let (stage, root) = (Stage::new(), Root::new());
    let polite = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done";
    let mut running = Running::start(&stage, &root, &["--grace-ms", "60000"], polite);
    assert_eq!(line(&stage.stdout), "up");
    kill(Pid::from_raw(running.pid()), Signal::SIGTERM).unwrap();
    assert_eq!(running.end(), Some(3));
    assert_eq!(all(&stage.stdout), "bye\n");
}

#[test]
fn without_cgroups_nothing_is_run() {
    needs_containers!("without_cgroups_nothing_is_run");
    let root = Root::new();
    let script = "umount -R /sys/fs/cgroup && exec \"$0\" \"$@\"";
    let mut line = Command::new("unshare");
    line.args(["-m", "sh", "-c", script]);
    line.arg(env!("CARGO_BIN_EXE_executor"));
    let words = ["run", "--log-disabled", "--isolate", "--root"];
    line.args(words).arg(root.path()).args(["--", "sh"]);
    let (code, text) = outcome(&line.output().unwrap());
    assert_eq!(code, Some(125), "{text}");
    let expected = "executor: can't run the task: can't isolate a task: there is no cgroup of version 2 and no freezer";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_root_without_the_right_to_mount_is_told_so() {
    needs_containers!("a_root_without_the_right_to_mount_is_told_so");
    if !Path::new("/usr/bin/setpriv").exists() {
        return eprintln!(
            "skipped: a_root_without_the_right_to_mount_is_told_so: this machine has no setpriv"
        );
    }
    let root = Root::new();
    let mut line = Command::new("/usr/bin/setpriv");
    line.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]);
    line.arg(env!("CARGO_BIN_EXE_executor"));
    let words = ["run", "--log-disabled", "--isolate", "--root"];
    line.args(words).arg(root.path()).args(["--", "sh"]);
    let (code, text) = outcome(&line.output().unwrap());
    assert_eq!(code, Some(125), "{text}");
    assert!(text.contains("this process lacks CAP_SYS_ADMIN"), "{text}");
}

#[test]
fn an_executor_that_is_stopped_leaves_no_folder() {
    needs_containers!("an_executor_that_is_stopped_leaves_no_folder");
    let (stage, root) = (Stage::new(), Root::new());
    let mut running = Running::start(&stage, &root, &[], "echo up; exec sleep 1000");
    assert_eq!(line(&stage.stdout), "up");
    let prefix = format!("executor-{}-", running.pid());
    let folders = || {
        let run = ["/run".into(), std::env::temp_dir()];
        let entries = run
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(&prefix)).count()
    };
    assert_eq!(folders(), 1);
    kill(Pid::from_raw(running.pid()), Signal::SIGTERM).unwrap();
    assert!(has_ended_within(
        running.pid(),
        LONG + Duration::from_secs(1)
    ));
    running.end();
    assert_eq!(folders(), 0);
}
