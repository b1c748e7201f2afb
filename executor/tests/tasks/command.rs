//! `executor run`: exit codes, messages and signals (edge).

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Pid, geteuid};
use rustix::io::FdFlags;

use crate::escaping::FAMILY;
use crate::stage::{
    Stage, all, cgroup1, has_ended_within, line, program, skip, status_field, until,
};

pub(crate) fn run(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_executor"));
    command
        .arg("run")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// `executor run` with the FIFOs of a stage, more options, and a script.
pub(crate) fn with(stage: &Stage, options: &[&str], script: &str) -> Command {
    let (stdout, stderr) = (stage.logs.stdout(), stage.logs.stderr());
    let fifos = [
        "--stdout",
        stdout.to_str().unwrap(),
        "--stderr",
        stderr.to_str().unwrap(),
    ];
    let command = ["--", "/bin/sh", "-c", script];
    run(&[&fifos[..], options, &command].concat())
}

/// Code and stderr; nothing else may be said.
pub(crate) fn outcome(output: &Output) -> (Option<i32>, String) {
    assert_eq!(output.stdout, b"", "nothing is said on stdout");
    (
        output.status.code(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

fn disabled(command: &[&str]) -> (Option<i32>, String) {
    outcome(
        &run(&[&["--log-disabled", "--"], command].concat())
            .output()
            .unwrap(),
    )
}

/// A running `executor run`, which is stopped when a test is surprised.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        Running(Some(command.spawn().unwrap()))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.as_ref().unwrap().id().try_into().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        outcome(&self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let pid = Pid::from_raw(child.id().try_into().unwrap());
            // A test that runs in the background ignores SIGINT and SIGQUIT, and so does what it starts.
            let _is_gone = nix::sys::signal::kill(pid, Signal::SIGALRM);
            drop(child.wait());
        }
    }
}

#[test]
fn the_code_of_the_task_is_the_exit_code() {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        // A real-time signal, which has no name.
        ("kill -34 $$", 162),
    ] {
        assert_eq!(
            disabled(&["sh", "-c", script]),
            (Some(code), String::new()),
            "{script}"
        );
    }
}

#[test]
fn nobody_has_to_hear_what_is_said() {
    for (command, code) in [
        (&["sh", "-c", "exit 3"][..], 3),
        (&["sh", "-c", "sleep 1000 & kill -9 $$"], 137),
        (&["/no/such/program"], 127),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let words = [&["--log-disabled", "--verbose", "--"], command].concat();
        let status = run(&words).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(code), "{command:?}");
    }
}

#[test]
fn the_output_goes_to_the_fifos_and_ends_with_the_task() {
    let stage = Stage::new();
    let running = Running::start(with(&stage, &[], "echo out; echo err >&2; exit 4"));
    assert_eq!(all(&stage.stdout), "out\n");
    assert_eq!(all(&stage.stderr), "err\n");
    assert_eq!(running.end(), (Some(4), String::new()));
}

#[test]
fn failures_of_the_executor_have_codes_and_one_line_of_their_own() {
    let (code, text) = disabled(&["/no/such/program"]);
    assert_eq!(
        (code, text.as_str()),
        (
            Some(127),
            "executor: can't run the task: there is no program /no/such/program; looked for it at \
             /no/such/program\n"
        )
    );
    let (code, text) = disabled(&["/etc/passwd"]);
    assert_eq!(
        (code, text.as_str()),
        (
            Some(126),
            "executor: can't run the task: can't execute /etc/passwd; use chmod +x on it\n"
        )
    );
    for (options, cause) in [
        (
            &["--user", "no-such-user"][..],
            "there is no user \"no-such-user\"",
        ),
        (
            &["--cgroup-parent", "/tmp"],
            "can't make a cgroup below /tmp",
        ),
        (
            &["--cwd", "/no/such/folder"],
            "it could not enter the folder that it starts in",
        ),
        (
            &["--task-dir", "/no/such/folder"],
            "can't open task folder /no/such/folder",
        ),
    ] {
        let words = [options, &["--log-disabled", "--", "true"]].concat();
        let (code, text) = outcome(&run(&words).output().unwrap());
        assert_eq!(code, Some(125), "{text}");
        assert!(
            text.starts_with("executor: can't run the task: "),
            "got {text}"
        );
        assert!(text.contains(cause), "got {text}");
        assert_eq!(text.lines().count(), 1, "got {text}");
    }
    // An option that is not understood.
    let output = run(&["--log-disbaled", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn an_isolation_that_can_t_be_had_is_an_error_that_says_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let words = ["--isolate", "--root", root, "--log-disabled", "--", "true"];
    let mut command = run(&words);
    if geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let (code, text) = outcome(&command.output().unwrap());
    let why = if cfg!(feature = "isolate") {
        "can't isolate a task: only root can; start the executor as root"
    } else {
        "this build of the executor can't isolate a task; build it with `--features isolate`, or ask for the standard \
         isolation"
    };
    let expected = format!("executor: can't run the task: {why}\n");
    assert_eq!((code, text), (Some(125), expected));
}

#[test]
fn to_serve_isolated_tasks_is_refused_and_not_done_otherwise() {
    let serve = Command::new(env!("CARGO_BIN_EXE_executor"))
        .args(["serve", "--isolate", "--root", "/"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (code, text) = outcome(&serve);
    assert_eq!(code, Some(125));
    assert!(text.contains("unexpected argument '--isolate'"), "{text}");
}

#[test]
fn without_a_reader_the_run_fails_at_its_deadline() {
    let (_folder, logs) = crate::stage::fifos();
    let path = logs.stdout().to_str().unwrap();
    let words = [
        "--stdout",
        path,
        "--stderr",
        path,
        "--open-ms",
        "100",
        "--",
        "true",
    ];
    let (code, text) = outcome(&run(&words).output().unwrap());
    assert_eq!(code, Some(125));
    assert!(text.contains("nobody has opened"), "got {text}");
    // A signal does not have to wait for the deadline.
    let words = [
        "--stdout",
        path,
        "--stderr",
        path,
        "--open-ms",
        "3600000",
        "--",
        "true",
    ];
    let running = Running::start(run(&words));
    until("the signals are watched", || {
        let blocked = u64::from_str_radix(&status_field(running.pid(), "SigBlk"), 16).unwrap();
        if blocked & (1 << (15 - 1)) == 0 {
            Err(format!("{blocked:x}"))
        } else {
            Ok(())
        }
    });
    running.signal(Signal::SIGTERM);
    let (code, text) = running.end();
    assert_eq!(code, Some(125));
    assert!(
        text.contains("this program got SIGTERM before the task was started"),
        "got {text}"
    );
}

#[test]
fn a_signal_stops_the_task_in_its_own_way() {
    let script = "trap 'echo term; exit 7' TERM; trap 'echo usr1; exit 8' USR1; echo ready
while :; do sleep 0.05; done";
    for (options, says, code) in [
        (&[][..], "term", 7),
        (&["--kill-signal", "USR1"], "usr1", 8),
    ] {
        let stage = Stage::new();
        let running = Running::start(with(&stage, options, script));
        assert_eq!(line(&stage.stdout), "ready");
        running.signal(Signal::SIGTERM);
        assert_eq!(all(&stage.stdout), format!("{says}\n"));
        assert_eq!(running.end(), (Some(code), String::new()));
    }
}

#[test]
fn a_task_that_does_not_obey_is_killed_by_its_grace_or_by_a_second_signal() {
    let script = "trap '' TERM ALRM; echo ready; while :; do sleep 1000; done";
    for (grace, signals) in [("100", 1), ("3600000", 2)] {
        let stage = Stage::new();
        let running = Running::start(with(&stage, &["--grace-ms", grace], script));
        assert_eq!(line(&stage.stdout), "ready");
        running.signal(Signal::SIGTERM);
        if signals == 2 {
            // Two of the same kind may come as one.
            running.signal(Signal::SIGALRM);
        }
        assert_eq!(running.end(), (Some(137), String::new()));
    }
}

#[test]
fn a_kill_signal_of_no_name_is_told_before_there_is_a_task() {
    let stage = Stage::new();
    let made = stage.path("made");
    let script = format!("touch {}", made.display());
    let output = with(&stage, &["--kill-signal", "TREM"], &script).output();
    let (code, text) = outcome(&output.unwrap());
    assert_eq!(code, Some(125), "{text}");
    for said in ["--kill-signal <SIGNAL>", "there is no such signal"] {
        assert!(text.contains(said), "no {said:?} in {text}");
    }
    assert!(!made.exists());
}

#[test]
fn what_a_task_leaves_behind_ends_with_it() {
    // With a cgroup where one can be made, and by the child subreaper.
    for options in [&[][..], &["--no-cgroup"]] {
        let stage = Stage::new();
        let script = FAMILY
            .replace("exec sleep 1000 >/dev/null 2>&1\n", "")
            .replace(
                "\nexec sleep 1000 >/dev/null 2>&1",
                "\nread line <\"$0.go\"; exit 3",
            );
        let go = stage.path("go");
        let script = script.replace("\"$0.go\"", go.to_str().unwrap());
        fifo::create(&go, 0o600).unwrap();
        let running = Running::start(with(&stage, options, &script));
        let family: Vec<i32> = (0..3)
            .map(|_| line(&stage.stdout).parse().unwrap())
            .collect();
        fs::write(&go, "now\n").unwrap();
        assert_eq!(running.end(), (Some(3), String::new()), "{options:?}");
        let left: Vec<&i32> = family
            .iter()
            .filter(|pid| !has_ended_within(**pid, Duration::ZERO))
            .collect();
        assert_eq!(left, Vec::<&i32>::new(), "{options:?}");
    }
}

#[test]
fn a_task_may_have_more_processes_than_the_executor_has_descriptors() {
    let freezer = cgroup1("freezer").map(|folder| folder.display().to_string());
    let mut means = vec![vec!["--no-cgroup"]];
    match &freezer {
        Some(folder) => means.push(vec!["--cgroup-parent", folder]),
        None => eprintln!("not tested: a freezer of version 1, as none can be made here"),
    }
    let script = "i=0; while [ $i -lt 100 ]; do setsid sleep 1000 & i=$((i+1)); done; echo ready; exec sleep 1000";
    for options in means {
        let stage = Stage::new();
        let command = with(&stage, &options, script);
        let mut limited = Command::new("sh");
        limited
            .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let running = Running::start(limited);
        assert_eq!(line(&stage.stdout), "ready");
        running.signal(Signal::SIGTERM);
        assert_eq!(running.end(), (Some(143), String::new()), "{options:?}");
        assert_eq!(all(&stage.stdout), "", "the last of them is gone");
    }
}

/// A program whose main thread ends at once, and another one never.
const HEADLESS: &str = "\
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
print(os.getpid(), flush=True)
# pthread_exit(3) without what it runs at the end of a thread.
ctypes.CDLL(None).syscall({'x86_64': 60}.get(os.uname().machine, 93), 0)
";

#[test]
fn a_process_whose_main_thread_has_ended_is_killed_with_the_task() {
    if Command::new("python3").arg("--version").output().is_err() {
        skip!(
            "a_process_whose_main_thread_has_ended_is_killed_with_the_task",
            "there is no python3"
        );
    }
    let stage = Stage::new();
    let program = stage.path("headless.py");
    fs::write(&program, HEADLESS).unwrap();
    let script = format!(
        "setsid python3 {} & exec sleep 1000 >/dev/null",
        program.display()
    );
    let running = Running::start(with(&stage, &["--no-cgroup"], &script));
    let headless: i32 = line(&stage.stdout).parse().unwrap();
    until("its main thread has ended", || {
        let state = status_field(headless, "State");
        if state.starts_with('Z') {
            Ok(())
        } else {
            Err(state)
        }
    });
    running.signal(Signal::SIGTERM);
    let outcome = running.end();
    let survives = !has_ended_within(headless, Duration::ZERO);
    let _is_gone = nix::sys::signal::kill(Pid::from_raw(headless), Signal::SIGKILL);
    assert_eq!(outcome, (Some(143), String::new()));
    assert!(!survives, "{headless} lives on");
}

/// Starts it with this descriptor open, which is closed in no program.
fn with_open(command: &mut Command, fd: &impl AsRawFd) {
    let number = fd.as_raw_fd();
    let inherit = move || {
        #[expect(unsafe_code, reason = "only the child may have it inherited")]
        // SAFETY: it is open in the parent as long as the command is, and so in the child.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "nothing else runs between fork(2) and execve(2)"
    )]
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(inherit);
    }
}

#[test]
fn a_task_gets_nothing_that_the_executor_was_started_with() {
    let secret = fs::File::open("/etc/hostname").unwrap();
    // A number that no shell and no `ls` takes for itself.
    let secret = rustix::io::fcntl_dupfd_cloexec(&secret, 70).unwrap();
    for options in [&[][..], &["--no-cgroup"]] {
        let stage = Stage::new();
        let mut command = with(&stage, options, "ls /proc/$$/fd");
        with_open(&mut command, &secret);
        let running = Running::start(command);
        let open = all(&stage.stdout);
        assert_eq!(running.end(), (Some(0), String::new()));
        assert_eq!(open, "0\n1\n2\n", "{options:?}");
    }
}

#[test]
fn a_relative_task_folder_is_where_the_executor_is_and_not_where_the_task_starts() {
    for (options, started_in) in [
        (&["--task-dir", "task"][..], "task"),
        (&["--task-dir", "task", "--cwd", "other/task"], "other/task"),
    ] {
        let stage = Stage::new();
        let tool = |folder: &str, says: &str| {
            let text = format!("#!/bin/sh\necho {says}; pwd; exec cat local/note\n");
            program(&stage.path(folder).join("local/tool"), &text, 0o755);
            fs::write(stage.path(folder).join("local/note"), folder).unwrap();
        };
        tool("task", "found");
        tool("other/task", "another one");
        let (stdout, stderr) = (stage.logs.stdout(), stage.logs.stderr());
        let fifos = ["--stdout", stdout.to_str().unwrap(), "--stderr"];
        let words = [
            &fifos,
            &[stderr.to_str().unwrap()][..],
            options,
            &["--", "tool"],
        ];
        let mut command = run(&words.concat());
        command.current_dir(stage.folder.path());
        let running = Running::start(command);
        let folder = stage.path(started_in).canonicalize().unwrap();
        assert_eq!(
            all(&stage.stdout),
            format!("found\n{}\n{started_in}", folder.display()),
            "{options:?}"
        );
        assert_eq!(running.end(), (Some(0), String::new()), "{options:?}");
    }
}

#[test]
fn the_environment_is_handed_on_set_and_cleared() {
    let script = "echo \"$INHERITED-$OWN\"";
    for (options, expected) in [
        (&["--env", "OWN=1"][..], "yes-1\n"),
        (&["--clear-env", "--env", "OWN=1"], "-1\n"),
        (&["--env", "INHERITED=no"], "no-\n"),
    ] {
        let stage = Stage::new();
        let mut command = with(&stage, options, script);
        command.env("INHERITED", "yes");
        let running = Running::start(command);
        assert_eq!(all(&stage.stdout), expected);
        assert_eq!(running.end().0, Some(0));
    }
}

#[test]
fn the_help_fits_80_columns_and_names_the_exit_codes() {
    for args in [&["--help"][..], &["run", "--help"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_executor"))
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success() && output.status.signal().is_none());
        let text = String::from_utf8(output.stdout).unwrap();
        for line in text.lines() {
            assert!(
                line.chars().count() <= 80,
                "{} columns: {line}",
                line.chars().count()
            );
        }
        assert!(args.len() == 1 || ["125", "126", "127"].iter().all(|code| text.contains(code)));
    }
}
