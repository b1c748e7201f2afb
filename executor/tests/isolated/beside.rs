//! Commands that are run in a container, beside its main process (edge).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use executor::{End, ExecError, Executed, Executor, IsolatedExecutor, ProgramError};

use nix::sys::signal::Signal;

use crate::root::{Root, is_ignored, launch, needs_containers, script};
use crate::stage::{LONG, Stage, line, words};

fn sh(executor: &IsolatedExecutor, limit: Duration, text: &str) -> Result<Executed, ExecError> {
    let args: Vec<OsString> = words(&["-c", text]);
    executor.exec(limit, Path::new("sh"), &args)
}

/// A container that waits.
fn waiting(stage: &Stage, root: &Root) -> IsolatedExecutor {
    let mut spec = script(stage, root, "echo up; exec sleep 1000");
    spec.env.push(("A".into(), "1".into()));
    spec.cwd = Some("/tmp".into());
    let (executor, _) = launch(&spec);
    assert_eq!(line(&stage.stdout), "up");
    executor
}

#[test]
fn a_command_is_in_the_container_with_all_that_the_task_has() {
    needs_containers!("a_command_is_in_the_container_with_all_that_the_task_has");
    let (stage, root) = (Stage::new(), Root::new());
    let executor = waiting(&stage, &root);
    let text = "echo $A $PWD; readlink /proc/1/ns/mnt /proc/self/ns/mnt; \
                grep -E 'CapBnd|NoNewPrivs|SigIgn' /proc/self/status; cat /proc/self/cgroup; echo e >&2; exit 4";
    let done = sh(&executor, LONG, text).unwrap();
    assert_eq!(done.end, End::Code(4));
    let output = String::from_utf8(done.output).unwrap();
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("1 /tmp"));
    assert_eq!(lines.next(), lines.next(), "{output}");
    let main = crate::stage::status_field(executor.contained().unwrap().leader(), "CapBnd");
    assert!(output.contains(&main), "{main} in {output}");
    assert!(output.contains("NoNewPrivs:\t1"), "{output}");
    assert!(!is_ignored(&output, Signal::SIGPIPE), "{output}");
    assert!(output.ends_with("e\n"), "{output}");
    let name = crate::root::own_name(executor.contained().unwrap().leader());
    let groups = output
        .lines()
        .filter(|line| line.split(':').count() == 3 && line.contains('/'));
    let own = groups
        .filter(|line| !line.contains("name="))
        .collect::<Vec<_>>();
    assert!(
        !own.is_empty() && own.iter().all(|line| line.ends_with(&name)),
        "{output}"
    );
}

#[test]
fn a_command_that_takes_too_long_is_killed_and_the_task_lives_on() {
    needs_containers!("a_command_that_takes_too_long_is_killed_and_the_task_lives_on");
    let (stage, root) = (Stage::new(), Root::new());
    let executor = waiting(&stage, &root);
    let mut limit = Duration::from_millis(500);
    let output = loop {
        match sh(&executor, limit, "echo begun; sleep 1000") {
            // A busy machine lets it not even begin.
            Err(ExecError::Deadline { output, .. }) if output.is_empty() && limit < LONG => {
                limit *= 2;
            }
            Err(ExecError::Deadline { output, .. }) => break output,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(output, b"begun\n");
    assert_eq!(sh(&executor, LONG, "exit 2").unwrap().code(), 2);
}

#[test]
fn a_command_that_is_nowhere_or_can_t_be_executed_is_an_error_and_the_task_lives_on() {
    needs_containers!(
        "a_command_that_is_nowhere_or_can_t_be_executed_is_an_error_and_the_task_lives_on"
    );
    let (stage, root) = (Stage::new(), Root::new());
    root.closed();
    let executor = waiting(&stage, &root);
    let error = executor.exec(LONG, Path::new("env"), &[]).unwrap_err();
    let is_right = matches!(&error, ExecError::Program(ProgramError::NotFound { .. }));
    assert!(is_right, "{error:?}");
    let error = executor.exec(LONG, Path::new("closed"), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "can't execute /local/closed; use chmod +x on it"
    );
    assert_eq!(sh(&executor, LONG, "exit 2").unwrap().code(), 2);
}

#[test]
fn a_shutdown_ends_a_command() {
    needs_containers!("a_shutdown_ends_a_command");
    let (stage, root) = (Stage::new(), Root::new());
    let executor = waiting(&stage, &root);
    std::thread::scope(|scope| {
        let command = scope.spawn(|| sh(&executor, LONG, "echo run >&2; exec sleep 1000"));
        crate::stage::until("a second process", || {
            let pids = executor.contained().unwrap().pids().unwrap();
            if pids.len() == 2 {
                Ok(())
            } else {
                Err(format!("{pids:?}"))
            }
        });
        let start = Instant::now();
        executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
        assert!(start.elapsed() < LONG / 2);
        let error = command.join().unwrap();
        // It may have been killed before it was the program.
        assert!(error.is_err(), "{error:?}");
    });
    let over = sh(&executor, LONG, "exit 0").unwrap_err();
    assert!(matches!(over, ExecError::NotRunning), "{over:?}");
}

/// The file of a task's groups that freezes it, and the words for that, in each hierarchy that can.
fn freezers(executor: &IsolatedExecutor) -> Vec<(PathBuf, &'static str, &'static str)> {
    let folders = crate::root::group_folders(executor.contained().unwrap().leader());
    let files = folders.iter().flat_map(|folder| {
        [
            (folder.join("cgroup.freeze"), "1", "0"),
            (folder.join("freezer.state"), "FROZEN", "THAWED"),
        ]
    });
    files.filter(|(file, ..)| file.exists()).collect()
}

#[test]
fn a_command_in_a_frozen_container_is_refused_and_its_task_is_stopped() {
    needs_containers!("a_command_in_a_frozen_container_is_refused_and_its_task_is_stopped");
    let (stage, root) = (Stage::new(), Root::new());
    let count = freezers(&waiting(&stage, &root)).len();
    assert!(count > 0, "nothing can freeze it");
    for one in 0..count {
        let (stage, root) = (Stage::new(), Root::new());
        let executor = waiting(&stage, &root);
        let (file, frozen, thawed) = freezers(&executor).remove(one);
        fs::write(&file, frozen).unwrap();
        let refused = sh(&executor, LONG, "exit 2");
        assert!(
            matches!(refused, Err(ExecError::Frozen)),
            "{}: {refused:?}",
            file.display()
        );
        fs::write(&file, thawed).unwrap();
        let done = crate::stage::until("it runs again", || {
            sh(&executor, LONG, "exit 2").map_err(|error| error.to_string())
        });
        assert_eq!(done.code(), 2);
        fs::write(&file, frozen).unwrap();
        let report = executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
        assert_eq!(report.failure(), None, "{}", file.display());
    }
}
