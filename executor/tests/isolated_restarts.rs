//! Containers, one after the other (edge). It counts what this process has, so it is alone in it.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

#[expect(dead_code, reason = "it is that of the other containers")]
#[path = "isolated/root.rs"]
mod root;
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "it is the stage of the other tasks, too"
)]
#[path = "tasks/stage.rs"]
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use executor::{Cancel, Executor};

use root::{Root, isolating, launch, needs_containers, script};
use stage::{LONG, Stage};

/// Descriptors, threads and children of this process, the mounts in a root, and what it has made elsewhere.
fn owned(root: &Root) -> [usize; 5] {
    let count = |folder: &str| fs::read_dir(folder).unwrap().count();
    let children = fs::read_dir("/proc/self/task").unwrap().map(|thread| {
        let text = fs::read_to_string(thread.unwrap().path().join("children"));
        text.unwrap().split_whitespace().count()
    });
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let in_root = root.path().to_str().unwrap();
    let own = format!("executor-{}-", std::process::id());
    let points = mounts
        .lines()
        .filter(|line| {
            line.split(' ')
                .nth(2)
                .is_some_and(|kind| kind.starts_with("cgroup"))
        })
        .filter_map(|line| line.split(' ').nth(1));
    let made = points.chain(["/run"]).map(|folder| {
        let entries = fs::read_dir(folder).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(&own)).count()
    });
    [
        count("/proc/self/fd"),
        count("/proc/self/task"),
        children.sum(),
        mounts.lines().filter(|line| line.contains(in_root)).count(),
        made.sum(),
    ]
}

/// What lies in the folders of containers that this process has made.
fn bundle_files() -> Vec<PathBuf> {
    let own = format!("executor-{}-", std::process::id());
    let folders = fs::read_dir("/run").unwrap().map(Result::unwrap);
    let folders = folders.filter(|one| one.file_name().to_str().unwrap().starts_with(&own));
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap());
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn containers_leave_no_descriptor_thread_child_mount_or_folder() {
    needs_containers!("containers_leave_no_descriptor_thread_child_mount_or_folder");
    let (stage, root) = (Stage::new(), Root::new());
    let round = |number: usize| {
        let (executor, _) = launch(&script(&stage, &root, "sleep 1000 & exec sleep 1000"));
        let before = bundle_files();
        assert!(!before.is_empty());
        let done = executor.exec(LONG, Path::new("sh"), &["-c".into(), "exit 2".into()]);
        assert_eq!(done.unwrap().code(), 2);
        executor.exec(LONG, Path::new("nowhere"), &[]).unwrap_err();
        assert_eq!(bundle_files(), before, "commands leave no file");
        executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
        // Those that fail at a program, and in the middle of the container.
        for (program, cwd) in [("nowhere", "/"), ("sh", "/no/such")] {
            let mut spec = script(&stage, &root, "");
            (spec.program, spec.cwd) = (program.into(), Some(cwd.into()));
            let executor = isolating();
            executor.launch(&spec, Cancel::never()).unwrap_err();
            assert_eq!(
                owned(&root)[2..],
                [0, 0, 0],
                "after a failure of round {number}"
            );
        }
    };
    round(0);
    let before = owned(&root);
    for number in 1..=4 {
        round(number);
        assert_eq!(
            owned(&root),
            before,
            "descriptors, threads, children, mounts, folders after round {number}"
        );
    }
}
