//! Commands that run in a task, beside its main process (edge).

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use executor::{Cancel, End, ExecError, Executed, Executor, StandardExecutor, TAIL_BYTES};

use crate::stage::{LONG, Stage, cgroup1, cgroup2, has_ended_within, only, until, words};

fn sh(executor: &StandardExecutor, limit: Duration, script: &str) -> Result<Executed, ExecError> {
    executor.exec(limit, Path::new("sh"), &words(&["-c", script]))
}

fn text(output: &[u8]) -> &str {
    std::str::from_utf8(output).unwrap()
}

#[test]
fn a_command_gives_its_output_and_its_code() {
    let stage = Stage::new();
    let (executor, _) = stage.launch("exec sleep 1000");
    let done = sh(&executor, LONG, "echo out; echo err >&2; exit 5").unwrap();
    assert_eq!((text(&done.output), done.code()), ("out\nerr\n", 5));
    let done = sh(&executor, LONG, "kill -TERM $$").unwrap();
    assert_eq!((done.end, done.code()), (End::Signal(15), 143));
    let done = sh(&executor, LONG, "exec >/dev/null 2>&1; sleep 0.1; exit 6").unwrap();
    assert_eq!(
        (text(&done.output), done.code()),
        ("", 6),
        "a closed output is no end"
    );
}

#[test]
fn the_last_bytes_of_a_long_output_are_kept() {
    let stage = Stage::new();
    let (executor, _) = stage.launch("exec sleep 1000");
    let done = sh(
        &executor,
        LONG,
        "i=0; while [ $i -lt 30000 ]; do echo $i; i=$((i+1)); done",
    )
    .unwrap();
    let all: String = (0..30000).map(|i| format!("{i}\n")).collect();
    assert_eq!(text(&done.output), &all[all.len() - TAIL_BYTES..]);
}

#[test]
fn a_command_runs_where_the_task_does() {
    let stage = Stage::new();
    let executor = StandardExecutor::new(executor::Options::default());
    let mut spec = stage.script("exec sleep 1000").env("OWN", "mine");
    spec.cwd = Some("/usr".into());
    spec.oom_score_adj = Some(700);
    let launched = executor.launch(&spec, Cancel::never()).unwrap();
    let script = "pwd; echo $OWN; cat /proc/self/oom_score_adj /proc/self/cgroup";
    let done = sh(&executor, LONG, script).unwrap();
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", launched.pid)).unwrap();
    assert_eq!(text(&done.output), format!("/usr\nmine\n700\n{groups}"));
    let contained = executor.contained().unwrap();
    if let Some(folder) = contained.cgroup() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(groups.contains(name), "{name} is not in {groups}");
    }
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_its_group() {
    let stage = Stage::new();
    let (executor, _) = stage.launch("exec sleep 1000");
    let mut limit = Duration::from_millis(100);
    let child: i32 = loop {
        let start = Instant::now();
        let error = sh(&executor, limit, "sleep 1000 & echo $!; wait").unwrap_err();
        assert!(start.elapsed() >= limit, "after {:?}", start.elapsed());
        let ExecError::Deadline { output, .. } = error else {
            panic!("got {error:?}");
        };
        // A busy machine may need more time to come so far.
        if let Some(pid) = text(&output).strip_suffix('\n') {
            break pid.parse().unwrap();
        }
        limit *= 2;
        assert!(limit < LONG, "it does not come to its first line");
    };
    assert!(has_ended_within(child, LONG));
}

#[test]
fn a_shutdown_ends_the_commands_in_the_task() {
    let stage = Stage::new();
    let (executor, launched) = stage.launch("exec sleep 1000");
    let told = stage.path("told");
    let script = format!(
        "echo $$ >{0}.new; mv {0}.new {0}; exec sleep 1000",
        told.display()
    );
    let command = std::thread::scope(|scope| {
        let exec = scope.spawn(|| sh(&executor, LONG, &script));
        let command: i32 = until("the command's pid", || {
            let text = fs::read_to_string(&told).map_err(|error| error.to_string())?;
            text.trim().parse().map_err(|_| text)
        });
        executor.shutdown(None, LONG).unwrap();
        assert!(has_ended_within(command, Duration::ZERO));
        let error = exec.join().unwrap().unwrap_err();
        assert!(matches!(error, ExecError::Stopped { .. }), "got {error:?}");
        command
    });
    assert_ne!(command, launched.pid);
}

#[test]
fn a_command_needs_a_task_that_runs() {
    let stage = Stage::new();
    let executor = StandardExecutor::new(executor::Options::default());
    let refused = || sh(&executor, LONG, "true").unwrap_err();
    assert!(matches!(refused(), ExecError::NotRunning));
    let launched = executor
        .launch(&stage.script("exit 0"), Cancel::never())
        .unwrap();
    // Nobody has waited for it through the executor.
    assert!(has_ended_within(launched.pid, LONG));
    assert!(matches!(refused(), ExecError::NotRunning));
    executor.shutdown(None, LONG).unwrap();
    assert!(matches!(refused(), ExecError::NotRunning));
}

#[test]
fn a_command_that_is_not_there_is_told() {
    let stage = Stage::new();
    let (executor, _) = stage.launch("exec sleep 1000");
    let error = executor
        .exec(LONG, Path::new("/no/such/command"), &[])
        .unwrap_err();
    assert!(matches!(error, ExecError::Program(_)), "got {error:?}");
}

/// Sees a command refused while this file of the task's cgroup has it frozen, and done once it has not.
fn refused_while_frozen(executor: &StandardExecutor, file: &str, frozen: &str, thawed: &str) {
    let stage = Stage::new();
    let spec = stage.script("exec sleep 1000");
    executor.launch(&spec, Cancel::never()).unwrap();
    let contained = executor.contained().unwrap();
    let file = contained.cgroup().unwrap().join(file);
    fs::write(&file, frozen).unwrap();
    let file = &file;
    let (done, waits) = mpsc::channel::<()>();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command that was started all the same does not hold the test.
            let _over = waits.recv_timeout(Duration::from_secs(10));
            fs::write(file, thawed).unwrap();
        });
        let outcome = executor.exec(LONG, "true".as_ref(), &[]);
        drop(done);
        outcome
    });
    assert!(
        matches!(outcome, Err(ExecError::Frozen)),
        "{}: {outcome:?}",
        file.display()
    );
    let done = until("it runs again", || {
        let outcome = executor.exec(LONG, "true".as_ref(), &[]);
        outcome.map_err(|error| error.to_string())
    });
    assert_eq!(done.code(), 0);
}

#[test]
fn a_command_in_a_frozen_task_is_refused() {
    let name = "a_command_in_a_frozen_task_is_refused";
    match cgroup2() {
        Some(_) => refused_while_frozen(&only(true, false), "cgroup.freeze", "1", "0"),
        None => eprintln!("skipped: {name}: no cgroup of version 2 can be made here"),
    }
    match cgroup1("freezer") {
        Some(_) => refused_while_frozen(&only(false, true), "freezer.state", "FROZEN", "THAWED"),
        None => eprintln!("skipped: {name}: no freezer of version 1 can be made here"),
    }
}
