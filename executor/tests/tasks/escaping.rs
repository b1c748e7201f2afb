//! What tries to leave a task, by what contains it (edge). The child subreaper is tested with the binary, since it
//! takes all children of its process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use executor::{
    Cancel, CgroupParent, End, Executor, Kind, LaunchSpec, Outcome, StandardExecutor, Step,
};

use crate::stage::{
    LONG, Stage, all, cgroup1, cgroup2, end, freeze, has_ended_within, line, only, program, skip,
    until,
};

/// Starts a process in the group, one in a session of its own and one that was forked twice there; tells the
/// pids of all three, and waits.
pub(crate) const FAMILY: &str = "\
sleep 1000 >/dev/null 2>&1 & echo $!
setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' &
setsid sh -c 'sh -c \"echo \\$\\$; exec sleep 1000 >/dev/null 2>&1\" & exit 0' &
exec sleep 1000 >/dev/null 2>&1";

fn pids(stage: &Stage) -> Vec<i32> {
    (0..3)
        .map(|_| line(&stage.stdout).parse().unwrap())
        .collect()
}

/// Ends what a process group could not hold.
fn kill(pids: &[i32]) {
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(*pid).unwrap();
        // Those that were held are gone.
        let _is_gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Stops a family; gives its report, and the pids of who survived.
fn survivors(executor: &StandardExecutor, stage: &Stage) -> (executor::StopReport, Vec<i32>) {
    executor
        .launch(&stage.script(FAMILY), Cancel::never())
        .unwrap();
    let family = pids(stage);
    let report = executor.shutdown(None, LONG).unwrap();
    let survive = |pid: &i32| !has_ended_within(*pid, Duration::ZERO);
    (report, family.into_iter().filter(survive).collect())
}

#[test]
fn nothing_leaves_a_cgroup_of_version_2() {
    let Some(_) = cgroup2() else {
        skip!(
            "nothing_leaves_a_cgroup_of_version_2",
            "no cgroup of version 2 can be made here"
        );
    };
    let stage = Stage::new();
    let executor = only(true, false);
    let (report, left) = survivors(&executor, &stage);
    assert_eq!(left, Vec::<i32>::new(), "{report}");
    assert_eq!(executor.contained().unwrap().kind(), Kind::Cgroup2);
    assert_eq!(
        report.outcome(Step::KillGroup),
        Some(&Outcome::Done),
        "{report}"
    );
    assert_eq!(
        report.outcome(Step::KillRest),
        Some(&Outcome::Done),
        "{report}"
    );
    assert_eq!(
        report.outcome(Step::AwaitEmpty),
        Some(&Outcome::Done),
        "{report}"
    );
    assert_eq!(
        report.outcome(Step::Release),
        Some(&Outcome::Done),
        "{report}"
    );
    assert!(!executor.contained().unwrap().cgroup().unwrap().exists());
}

#[test]
fn nothing_leaves_a_freezer_of_version_1() {
    let Some(_) = cgroup1("freezer") else {
        skip!(
            "nothing_leaves_a_freezer_of_version_1",
            "no freezer of version 1 can be made here"
        );
    };
    let stage = Stage::new();
    let executor = only(false, true);
    let (report, left) = survivors(&executor, &stage);
    assert_eq!(left, Vec::<i32>::new(), "{report}");
    assert_eq!(executor.contained().unwrap().kind(), Kind::Freezer);
    assert_eq!(
        report.outcome(Step::KillRest),
        Some(&Outcome::Done),
        "{report}"
    );
    assert!(!executor.contained().unwrap().cgroup().unwrap().exists());
}

#[test]
fn a_frozen_task_dies_as_soon_as_it_is_killed() {
    let Some(_) = cgroup1("freezer") else {
        skip!(
            "a_frozen_task_dies_as_soon_as_it_is_killed",
            "no freezer of version 1 can be made here"
        );
    };
    // Frozen in the task's own group, and in one that was made below it.
    for below in ["", "below"] {
        let stage = Stage::new();
        let executor = only(false, true);
        let spec = stage.script("exec sleep 1000");
        let launched = executor.launch(&spec, Cancel::never()).unwrap();
        let contained = executor.contained().unwrap();
        let folder = contained.cgroup().unwrap().join(below);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cgroup.procs"), launched.pid.to_string()).unwrap();
        freeze(&folder);
        let report = executor
            .shutdown(None, Duration::from_millis(100))
            .unwrap_or_else(|error| panic!("{below:?}: {error}"));
        assert_eq!(report.outcome(Step::Grace), Some(&Outcome::RanOut));
        assert_eq!(report.outcome(Step::KillLeader), Some(&Outcome::Done));
    }
}

#[test]
fn a_process_group_says_that_who_leaves_it_survives() {
    let stage = Stage::new();
    let executor = only(false, false);
    let (report, left) = survivors(&executor, &stage);
    let kind = executor.contained().unwrap().kind();
    assert_eq!(kind, Kind::ProcessGroup);
    assert_eq!(
        kind.gap(),
        Some("processes of the task that left its process group survive")
    );
    assert_eq!(
        report.outcome(Step::KillGroup),
        Some(&Outcome::Done),
        "{report}"
    );
    assert_eq!(
        left.len(),
        2,
        "only the one in the group was found: {report}"
    );
    kill(&left);
}

/// A task with a process that hands itself on to a child of its own, again and again, and so has another pid at each
/// look. It holds the output: the reader sees the end of that with the last of them.
fn relay(stage: &Stage, before: &str) -> LaunchSpec {
    let script = stage.path("relay");
    program(&script, "#!/bin/sh\n\"$0\" &\n", 0o755);
    let script = script.display();
    stage.script(&format!(
        "{before} {script} & echo ready; exec sleep 1000 >/dev/null 2>&1"
    ))
}

#[test]
fn a_process_that_hands_itself_on_does_not_outrun_its_end() {
    let mut tried = vec![("process group", only(false, false), "")];
    if cgroup2().is_some() {
        tried.push(("cgroup of version 2", only(true, false), "setsid"));
    }
    if cgroup1("freezer").is_some() {
        tried.push(("freezer", only(false, true), "setsid"));
    }
    for (name, executor, before) in tried {
        let stage = Stage::new();
        executor
            .launch(&relay(&stage, before), Cancel::never())
            .unwrap();
        assert_eq!(line(&stage.stdout), "ready");
        let report = executor.shutdown(None, LONG).unwrap();
        assert_eq!(all(&stage.stdout), "", "{name}: {report}");
    }
}

#[test]
fn all_processes_of_a_contained_task_are_listed() {
    let stage = Stage::new();
    let executor = StandardExecutor::new(executor::Options::default());
    let launched = executor
        .launch(&stage.script(FAMILY), Cancel::never())
        .unwrap();
    let mut family = pids(&stage);
    let everybody = family.clone();
    let contained = executor.contained().unwrap();
    if contained.kind() == Kind::ProcessGroup {
        family.truncate(1);
    }
    family.push(launched.pid);
    family.sort_unstable();
    // The shells between them end by themselves.
    until("the list of processes", || {
        let mut listed = contained.pids().unwrap();
        listed.sort_unstable();
        if listed == family {
            Ok(())
        } else {
            Err(format!("{listed:?}, not {family:?}"))
        }
    });
    executor.shutdown(None, LONG).unwrap();
    kill(&everybody);
}

#[test]
fn a_cgroup_that_a_task_made_in_its_own_is_removed_with_it() {
    let Some(_) = cgroup2() else {
        skip!(
            "a_cgroup_that_a_task_made_in_its_own_is_removed_with_it",
            "no cgroup of version 2 can be made here"
        );
    };
    let stage = Stage::new();
    let (executor, launched) = stage.launch("read line <\"$0\"; exec sleep 1000");
    let folder = executor.contained().unwrap().cgroup().unwrap().to_owned();
    let below = folder.join("a/b");
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("cgroup.procs"), launched.pid.to_string()).unwrap();
    executor.shutdown(Some("KILL"), Duration::ZERO).unwrap();
    assert!(!folder.exists(), "{} stays", folder.display());
}

/// The group of a process in a hierarchy, which `0::` or `:freezer:` stands for.
fn group_of(pid: i32, hierarchy: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let group = text
        .lines()
        .find_map(|line| Some(line.split_once(hierarchy)?.1));
    group.unwrap_or_else(|| panic!("{text}")).into()
}

/// The same folder as it is seen from the mount that it lies below.
fn below_its_mount(folder: &Path) -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let found = points.filter_map(|point| folder.strip_prefix(point).ok());
    let shortest = found.min_by_key(|below| below.as_os_str().len());
    shortest.unwrap().to_owned()
}

#[test]
fn a_task_is_made_in_the_cgroup_that_was_named() {
    let name = "a_task_is_made_in_the_cgroup_that_was_named";
    let all = [
        ("0::", cgroup2(), true),
        (":freezer:", cgroup1("freezer"), false),
    ];
    for (hierarchy, own, has_cgroup2) in all {
        let Some(own) = own else {
            eprintln!("skipped: {name}: {hierarchy} no cgroup can be made here");
            continue;
        };
        let parent = own.join(format!("test-of-executor-{}", std::process::id()));
        fs::create_dir(&parent).unwrap();
        let made = [parent.clone(), below_its_mount(&parent)].map(|path| {
            let stage = Stage::new();
            let executor = only(has_cgroup2, true);
            let mut spec = stage.script("exec sleep 1000");
            spec.cgroup = CgroupParent::Below(path);
            let launched = executor.launch(&spec, Cancel::never());
            launched.map(|launched| group_of(launched.pid, hierarchy))
        });
        fs::remove_dir(&parent).unwrap();
        for group in made {
            let group = group.unwrap();
            let around = group.parent().and_then(Path::file_name);
            assert_eq!(around, parent.file_name(), "{}", group.display());
        }
    }
}

#[test]
fn a_task_that_was_killed_for_want_of_memory_is_told() {
    let Some(own) = cgroup1("memory") else {
        skip!(
            "a_task_that_was_killed_for_want_of_memory_is_told",
            "no memory cgroup of version 1 can be made here"
        );
    };
    let stage = Stage::new();
    let go = stage.path("go");
    fifo::create(&go, 0o600).unwrap();
    // dd takes one buffer of this size, and fills it.
    let script = format!(
        "read line <{}; exec dd if=/dev/zero of=/dev/null bs=256M count=1",
        go.display()
    );
    let (executor, launched) = stage.launch(&script);
    let mut folders = fs::read_dir(&own)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let folder = folders.find(|folder| {
        let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        pids.lines().any(|pid| pid == launched.pid.to_string())
    });
    fs::write(folder.unwrap().join("memory.limit_in_bytes"), "16M").unwrap();
    fs::write(&go, "now\n").unwrap();
    let status = end(&executor);
    assert_eq!(
        (status.end, status.oom_killed),
        (End::Signal(9), Some(true))
    );

    let other = Stage::new();
    let (executor, _) = other.launch("kill -KILL $$");
    let status = end(&executor);
    assert_eq!(
        (status.end, status.oom_killed),
        (End::Signal(9), Some(false))
    );
}
