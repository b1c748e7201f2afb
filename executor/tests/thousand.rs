//! A thousand tasks at once (edge). It counts what this process has, so it is alone in it.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use executor::{
    Cancel, End, Executor, LaunchSpec, LogPaths, NULL_DEVICE, Options, StandardExecutor, Waited,
};
use fifo::{ReadOutcome, Readable, Reader};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const TASKS: usize = 1_000;

/// The read end of its FIFO, a pidfd and an eventfd for each task, and some for this process.
const DESCRIPTORS: u64 = 3 * TASKS as u64 + 100;

/// Far longer than anything takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

/// A task that says its number and stays.
struct Running {
    executor: StandardExecutor,
    stdout: Reader,
    pid: i32,
    groups: Vec<PathBuf>,
}

fn start(folder: &Path, number: usize) -> Running {
    let path = folder.join(number.to_string());
    fifo::create(&path, 0o600).unwrap();
    let stdout = Reader::open(&path).unwrap();
    let logs = LogPaths::of_fifos(&path, Path::new(NULL_DEVICE));
    let script = "echo \"$0\"; exec sleep 1000";
    let spec = LaunchSpec::new("/bin/sh", logs).args(["-c", script, &number.to_string()]);
    let executor = StandardExecutor::new(Options::default());
    let launched = executor.launch(&spec, Cancel::never()).unwrap();
    Running {
        executor,
        stdout,
        pid: launched.pid,
        groups: groups_of(launched.pid),
    }
}

/// The control groups that this process has made for one of another number.
fn groups_of(pid: i32) -> Vec<PathBuf> {
    let own = format!("executor-{}-", std::process::id());
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let paths = paths.map(PathBuf::from).filter(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| name.starts_with(&own))
    });
    paths.collect()
}

/// The control groups on this machine that this process has made.
fn groups() -> Vec<PathBuf> {
    let own = format!("executor-{}-", std::process::id());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut folders: Vec<PathBuf> = mounts
        .lines()
        .filter(|line| {
            line.split(' ')
                .nth(2)
                .is_some_and(|kind| kind.starts_with("cgroup"))
        })
        .filter_map(|line| line.split(' ').nth(1).map(PathBuf::from))
        .collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        // Somebody else's may go meanwhile.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(&own) {
                found.push(entry.path());
            } else {
                folders.push(entry.path());
            }
        }
    }
    found
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// Descriptors and threads of this process.
fn held() -> (usize, usize) {
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// The children of this process, zombies too.
fn children() -> BTreeSet<i32> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let lists =
        threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap());
    let lists: Vec<String> = lists.collect();
    let pids = lists.iter().flat_map(|list| list.split_whitespace());
    pids.map(|pid| pid.parse().unwrap()).collect()
}

/// Reads up to a newline, or to the end.
fn line(reader: &Reader) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 64];
    while !text.ends_with(b"\n") {
        match reader.wait_readable(LONG).unwrap() {
            Readable::Ready => {}
            Readable::NoWriter => break,
            Readable::TimedOut => panic!("nothing more after {text:?}"),
        }
        if let ReadOutcome::Bytes(bytes) = reader.try_read(&mut chunk).unwrap() {
            text.extend_from_slice(&chunk[..bytes]);
        }
    }
    String::from_utf8(text).unwrap()
}

/// True if this process may have as many descriptors as that takes; it allows itself as many as it may.
fn has_descriptors() -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    hard >= DESCRIPTORS
}

#[test]
fn a_thousand_tasks_at_once_write_and_stop_and_leave_nothing() {
    if !has_descriptors() {
        return eprintln!(
            "skipped: a_thousand_tasks_at_once_write_and_stop_and_leave_nothing: this user may have \
             fewer than {DESCRIPTORS} descriptors (ulimit -Hn)"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    // The first task of a process makes what stays.
    let first = start(folder.path(), TASKS);
    first.executor.shutdown(Some("SIGTERM"), LONG).unwrap();
    drop(first);
    let before = held();

    let tasks: Vec<Running> = (0..TASKS)
        .map(|number| start(folder.path(), number))
        .collect();
    let pids: BTreeSet<i32> = tasks.iter().map(|task| task.pid).collect();
    assert_eq!(
        (pids.len(), children()),
        (TASKS, pids.clone()),
        "all live at once"
    );
    let (fds, threads) = held();
    assert_eq!(threads, before.1, "a task costs no thread");
    assert_eq!(fds, before.0 + 3 * TASKS, "descriptors of {TASKS} tasks");
    let all: usize = tasks.iter().map(|task| task.groups.len()).sum();
    assert_eq!(groups().len(), all, "control groups of {TASKS} tasks");
    for (number, task) in tasks.iter().enumerate() {
        assert_eq!(line(&task.stdout), format!("{number}\n"));
    }

    for (number, task) in tasks.iter().enumerate() {
        task.executor.shutdown(Some("SIGTERM"), LONG).unwrap();
        let waited = task.executor.wait(Some(LONG), Cancel::never()).unwrap();
        assert!(
            matches!(waited, Waited::Ended(status) if status.end == End::Signal(15)),
            "task {number}: {waited:?}"
        );
        assert_eq!(line(&task.stdout), "", "the end of task {number}");
    }
    drop(tasks);
    assert_eq!(children(), BTreeSet::new());
    let left: Vec<&i32> = pids
        .iter()
        .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
        .collect();
    assert_eq!(left, Vec::<&i32>::new(), "pids that are still there");
    assert_eq!(groups(), Vec::<PathBuf>::new());
    assert_eq!(held(), before, "descriptors and threads");
    let names: BTreeSet<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let fifos: BTreeSet<String> = (0..=TASKS).map(|number| number.to_string()).collect();
    assert_eq!(names, fifos, "files beside the FIFOs");
}
