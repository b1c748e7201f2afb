//! A hundred tasks, one after the other (edge). It counts what this process has, so it is alone in it.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use executor::{Cancel, Executor, LaunchSpec, LogPaths, Options, StandardExecutor};
use fifo::Reader;

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// The control groups of this process's tasks. They are made in its own group, wherever that lies.
fn groups() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut folders: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|mount| {
            let mut words = mount.split(' ').skip(1);
            let (point, kind) = (words.next()?, words.next()?);
            kind.starts_with("cgroup").then(|| point.into())
        })
        .collect();
    let name = format!("executor-{}-", std::process::id());
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        // Groups of other processes come and go.
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if entry.file_name().to_string_lossy().starts_with(&name) {
                found.push(entry.path());
            }
            folders.push(entry.path());
        }
    }
    found
}

#[test]
fn a_hundred_restarts_leave_no_descriptor_no_thread_and_no_child() {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogPaths::of_task(folder.path(), "task");
    fifo::create(logs.stdout(), 0o600).unwrap();
    fifo::create(logs.stderr(), 0o600).unwrap();
    let _readers = [
        Reader::open(logs.stdout()).unwrap(),
        Reader::open(logs.stderr()).unwrap(),
    ];
    let mut before = None;
    for round in 0..=100 {
        let executor = StandardExecutor::new(Options::default());
        let script = if round % 2 == 0 {
            "exec sleep 1000"
        } else {
            "sleep 1000 & exit 1"
        };
        let spec = LaunchSpec::new("/bin/sh", logs.clone()).args(["-c", script]);
        executor.launch(&spec, Cancel::never()).unwrap();
        if round == 0
            && let Some(group) = executor.contained().unwrap().cgroup()
        {
            let found = groups();
            assert!(
                found.iter().any(|one| one == group),
                "{} is not seen in {found:?}",
                group.display()
            );
        }
        let executed = executor.exec(Duration::from_secs(60), "true".as_ref(), &[]);
        // In the other rounds the main process may have ended before.
        if round % 2 == 0 {
            executed.unwrap();
        }
        executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
        drop(executor);
        let now = (count("/proc/self/fd"), count("/proc/self/task"));
        let before = before.get_or_insert(now);
        assert_eq!(
            now, *before,
            "descriptors and threads after {round} restarts"
        );
    }
    let children: Vec<String> = fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap())
        .collect();
    assert!(children.iter().all(String::is_empty), "{children:?}");
    assert_eq!(groups(), Vec::<PathBuf>::new(), "groups that are left");
}
