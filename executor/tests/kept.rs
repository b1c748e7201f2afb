//! Tasks that are kept for another driver than `executor serve` (edge).

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use executor::kept::{Ended, GiveUp, Keeper, KeptSpec, KeptTask};
use executor::stats::{Interval, SwapDetail};
use executor::{
    Cancel, CancelSource, CommandEnd, End, ExecMessage, ExecOutput, NULL_DEVICE, WindowSize,
};

const LONG: Duration = Duration::from_secs(60);

fn keeper() -> Keeper {
    Keeper::new(vec![env!("CARGO_BIN_EXE_executor").into()]).unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn spec(folder: &Path, script: &str) -> KeptSpec {
    KeptSpec {
        argv: words(&["/bin/sh", "-c", script]),
        env: [("OWN".to_owned(), "mine".to_owned())].into(),
        inherits_env: false,
        user: None,
        stdout: NULL_DEVICE.into(),
        stderr: NULL_DEVICE.into(),
        task_dir: folder.to_str().unwrap().into(),
        cwd: None,
        open_ms: 8000,
        trusted_root: None,
    }
}

fn start(spec: &KeptSpec) -> KeptTask {
    keeper().start(spec, drop).unwrap().go_on()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[expect(
    clippy::disallowed_methods,
    reason = "what the table of processes says has no event; the condition is looked at, not the time"
)]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < LONG, "not yet: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the end of a process, zombie or gone.
fn until_gone(pid: i32) {
    until("the end of a process", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
}

/// Hears its stdout until that ends so.
fn hear(output: &mut ExecOutput, end: &str) -> String {
    let mut heard = String::new();
    while !heard.ends_with(end) {
        match output.next(Cancel::never()).unwrap() {
            Some(ExecMessage::Stdout(bytes)) => heard.push_str(str::from_utf8(&bytes).unwrap()),
            other => panic!("{other:?} behind {heard:?}"),
        }
    }
    heard
}

#[test]
fn a_task_is_started_found_by_another_keeper_and_destroyed() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut spec = spec(
        folder.path(),
        "pwd >seen; env >>seen; echo end >>seen; exec sleep 1000",
    );
    spec.cwd = Some(elsewhere.path().to_str().unwrap().into());
    let first = start(&spec);
    let handle = first.handle().unwrap();
    drop(first);
    let task = keeper().find(handle, LONG).unwrap();
    let output = |script: &str| {
        let argv = words(&["sh", "-c", script]);
        let ran = task.exec(&argv, Some(LONG), Cancel::never()).unwrap();
        assert_eq!(ran.end, CommandEnd::Ended(End::Code(3)));
        String::from_utf8(ran.output).unwrap()
    };
    assert_eq!(
        output("echo $OWN; pwd; exit 3"),
        format!("mine\n{}\n", elsewhere.path().display())
    );
    // Nothing of this process's environment is there, but for what a shell makes itself.
    let mut seen = String::new();
    until("the task says where it is", || {
        seen = fs::read_to_string(elsewhere.path().join("seen")).unwrap_or_default();
        seen.ends_with("end\n")
    });
    assert!(
        seen.starts_with(elsewhere.path().to_str().unwrap()),
        "{seen}"
    );
    assert!(!seen.contains("CARGO"), "{seen}");
    let sampler = task.sampler(SwapDetail::Measured).unwrap();
    let sample = sampler.sample(Interval::new(LONG)).unwrap();
    let pids: Vec<u32> = sample.processes.keys().copied().collect();
    assert_eq!(pids, [task.main_pid().cast_unsigned()]);
    task.signal("TERM").unwrap();
    let Ended::Known(status) = task.wait().unwrap() else {
        panic!("it was seen");
    };
    assert_eq!(status.end, End::Signal(15));
    assert!(task.sampler(SwapDetail::LeftOut).unwrap_err().is_gone());
    let why = task.exec(&words(&["true"]), None, Cancel::never());
    assert_eq!(why.unwrap_err().to_string(), "the task has ended");
    task.destroy(LONG).unwrap();
    assert!(is_empty(folder.path()));
}

#[test]
fn a_task_that_nobody_tells_to_go_on_is_killed_and_so_is_a_start_that_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let new = keeper().start(&spec(folder.path(), "exec sleep 1000"), drop);
    drop(new.unwrap());
    assert!(is_empty(folder.path()));
    let mut spec = spec(folder.path(), "exec sleep 1000");
    let fifo = folder.path().join("fifo");
    fifo::create(&fifo, 0o600).unwrap();
    spec.stdout = fifo.to_str().unwrap().into();
    // Nobody reads. One gives up at once, the other when its warden waits for a reader.
    let begin = Instant::now();
    keeper().start(&spec, |start| start.give_up()).unwrap_err();
    let inside = folder.path().to_owned();
    let later = |start: GiveUp| {
        drop(thread::spawn(move || {
            until("the warden listens", || {
                let mut files = fs::read_dir(&inside).unwrap().flatten();
                files.any(|one| one.path().join("socket").exists())
            });
            start.give_up();
        }));
    };
    let why = keeper().start(&spec, later).unwrap_err();
    assert!(why.to_string().contains("cancelled"), "{why}");
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
    fs::remove_file(fifo).unwrap();
    assert!(is_empty(folder.path()));
}

#[test]
fn a_command_is_ended_by_its_time_and_by_whoever_does_not_want_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let task = start(&spec(folder.path(), "exec sleep 1000"));
    let script = words(&["sh", "-c", "echo said; sleep 1000 & echo $!; wait"]);
    let mut limit = Duration::from_millis(300);
    let child = loop {
        let ran = task.exec(&script, Some(limit), Cancel::never()).unwrap();
        assert_eq!(ran.end, CommandEnd::Deadline);
        let said = String::from_utf8(ran.output).unwrap();
        let child = said.strip_prefix("said\n").map(str::trim);
        if let Some(Ok(child)) = child.map(str::parse) {
            break child;
        }
        // A busy machine lets it not even begin.
        limit *= 2;
        assert!(limit < LONG, "it said {said:?}");
    };
    until_gone(child);
    let source = CancelSource::new().unwrap();
    source.cancel();
    let ran = task.exec(&script, None, Cancel::when_readable(&source));
    assert_eq!(ran.unwrap().end, CommandEnd::Cancelled);
    task.destroy(LONG).unwrap();
    assert!(is_empty(folder.path()));
}

#[test]
fn a_command_of_a_warden_is_spoken_with_as_one_of_a_library() {
    let folder = tempfile::tempdir().unwrap();
    let task = start(&spec(folder.path(), "exec sleep 1000"));
    let script = words(&["sh", "-c", "stty size; read line; echo \"<$line>\"; exit 5"]);
    let window = WindowSize {
        rows: 24,
        columns: 80,
    };
    let mut stream = task.exec_streaming(&script, Some(window), None).unwrap();
    assert_eq!(hear(&mut stream.output, "\n"), "24 80\r\n");
    stream.input.write(b"typed\n").unwrap();
    assert_eq!(hear(&mut stream.output, ">\r\n"), "typed\r\n<typed>\r\n");
    let last = stream.output.next(Cancel::never()).unwrap();
    assert_eq!(
        last,
        Some(ExecMessage::Ended(CommandEnd::Ended(End::Code(5))))
    );
    assert_eq!(stream.output.next(Cancel::never()).unwrap(), None);

    // Its time is kept by the warden: enough for a shell to begin, on a busy machine too.
    let script = words(&["sh", "-c", "echo $$; exec sleep 1000"]);
    let limit = Some(Duration::from_secs(2));
    let mut stream = task.exec_streaming(&script, None, limit).unwrap();
    let pid = hear(&mut stream.output, "\n").trim().parse().unwrap();
    until_gone(pid);
    let last = stream.output.next(Cancel::never()).unwrap();
    assert_eq!(last, Some(ExecMessage::Ended(CommandEnd::Deadline)));

    let mut stream = task.exec_streaming(&script, Some(window), None).unwrap();
    let pid = hear(&mut stream.output, "\n").trim().parse().unwrap();
    drop(stream);
    until_gone(pid);

    // The end of the task is the end of all that is spoken with.
    let mut stream = task.exec_streaming(&script, None, None).unwrap();
    hear(&mut stream.output, "\n");
    let stopped = Arc::new(task.clone());
    let stop = thread::spawn(move || stopped.stop("TERM", LONG));
    let last = stream.output.next(Cancel::never()).unwrap();
    assert_eq!(last, Some(ExecMessage::Ended(CommandEnd::Stopped)));
    stop.join().unwrap().unwrap();
    let why = task.exec_streaming(&script, None, None).unwrap_err();
    assert_eq!(why.to_string(), "the task has ended");
    task.destroy(LONG).unwrap();
    assert!(is_empty(folder.path()));
}
