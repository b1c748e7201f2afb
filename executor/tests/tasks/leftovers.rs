//! Control groups that killed executors have left (edge).

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use executor::{End, Executor, Kind};
use nix::sys::signal::Signal;
use rustix::fs::{XattrFlags, setxattr};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::command::{Running, run, with};
use crate::stage::{LONG, Stage, cgroup1, cgroup2, end, line, only, skip, until};

const MARK: &str = "user.executor.pid_namespace";

/// A task without an executor. It is killed with the value, if not before.
struct Orphan(OwnedFd);

impl Orphan {
    fn of(pid: i32) -> Orphan {
        Orphan(pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap())
    }

    fn kill(&self) {
        let _is_gone = pidfd_send_signal(&self.0, rustix::process::Signal::KILL);
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A group that a test has made; it is removed with the value, if it is there.
struct Made(PathBuf);

impl Made {
    fn new(parent: &Path, name: &str) -> Made {
        let path = parent.join(name);
        fs::create_dir(&path).unwrap();
        Made(path)
    }

    fn mark(&self, namespace: u64) {
        let namespace = namespace.to_string();
        setxattr(&self.0, MARK, namespace.as_bytes(), XattrFlags::empty()).unwrap();
    }

    fn is_there(&self) -> bool {
        self.0.exists()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _is_gone = fs::remove_dir(&self.0);
    }
}

fn own_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").unwrap().ino()
}

/// A number that nobody has.
fn free_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

/// Starts an executor, and waits for its end.
fn start_one() {
    let output = run(&["--log-disabled", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// The groups that an executor has made for its task.
fn groups_of(executor: i32, task: i32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{task}/cgroup")).unwrap();
    let prefix = format!("executor-{executor}-");
    let found = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, Path::new(parts.next()?));
        let name = path.file_name()?.to_str()?;
        let parent = match controllers {
            "" => cgroup2(),
            one => cgroup1(one),
        };
        parent
            .filter(|_| name.starts_with(&prefix))
            .map(|parent| parent.join(name))
    });
    found.collect()
}

#[test]
fn a_start_removes_what_a_killed_executor_has_left_once_nobody_is_in_it() {
    if cgroup2().is_none() {
        skip!(
            "a_start_removes_what_a_killed_executor_has_left_once_nobody_is_in_it",
            "no cgroup of version 2 can be made here"
        );
    }
    let stage = Stage::new();
    let running = Running::start(with(&stage, &[], "echo $$; exec sleep 1000"));
    let executor = running.pid();
    let task: i32 = line(&stage.stdout).parse().unwrap();
    let orphan = Orphan::of(task);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.end(), (None, String::new()));
    let groups = groups_of(executor, task);
    let expected = 1 + usize::from(cgroup1("memory").is_some());
    assert_eq!(groups.len(), expected, "{groups:?}");
    start_one();
    assert!(groups.iter().all(|group| group.exists()), "its task lives");
    assert!(!crate::stage::has_ended_within(task, Duration::ZERO));
    orphan.kill();
    // The kernel may hold a group for a moment when the last process has left it.
    until("they are removed", || {
        start_one();
        let left: Vec<&PathBuf> = groups.iter().filter(|group| group.exists()).collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
}

#[test]
fn an_empty_group_of_an_executor_that_lives_stays() {
    if cgroup2().is_none() {
        skip!(
            "an_empty_group_of_an_executor_that_lives_stays",
            "no cgroup of version 2 can be made here"
        );
    }
    let stage = Stage::new();
    let executor = only(true, false);
    let spec = stage.script("exit 3");
    let launched = executor.launch(&spec, executor::Cancel::never()).unwrap();
    assert_eq!(launched.contained_by, Kind::Cgroup2);
    assert_eq!(end(&executor).end, End::Code(3));
    let group = executor.contained().unwrap().cgroup().unwrap().to_owned();
    let mut mark = [0; 32];
    let bytes = rustix::fs::lgetxattr(&group, MARK, &mut mark[..]).unwrap();
    assert_eq!(mark[..bytes], *own_namespace().to_string().as_bytes());
    start_one();
    assert!(group.exists());
    executor.shutdown(None, LONG).unwrap();
    assert!(!group.exists());
}

#[test]
fn only_an_empty_marked_group_of_this_namespace_without_a_maker_is_removed() {
    let Some(parent) = cgroup2() else {
        skip!(
            "only_an_empty_marked_group_of_this_namespace_without_a_maker_is_removed",
            "no cgroup of version 2 can be made here"
        );
    };
    let (free, lives) = (free_pid(), std::process::id());
    let own = own_namespace();
    let left = Made::new(&parent, &format!("executor-{free}-1000001"));
    left.mark(own);
    let around = Made::new(&parent, &format!("executor-{free}-1000007"));
    around.mark(own);
    let within = Made::new(&around.0, &format!("executor-{free}-1"));
    within.mark(own);
    let unmarked = Made::new(&parent, &format!("executor-{free}-1000002"));
    let elsewhere = Made::new(&parent, &format!("executor-{free}-1000003"));
    elsewhere.mark(own + 1);
    let of_a_living = Made::new(&parent, &format!("executor-{lives}-1000004"));
    of_a_living.mark(own);
    let of_others = Made::new(&parent, &format!("executor-tests-{free}-1000005"));
    of_others.mark(own);
    let with_one_below = Made::new(&parent, &format!("executor-{free}-1000006"));
    with_one_below.mark(own);
    let below = Made::new(&with_one_below.0, "below");
    start_one();
    for left in [&left, &around, &within] {
        assert!(!left.is_there(), "{} is left", left.0.display());
    }
    for (group, why) in [
        (&unmarked, "nobody knows whose number it has"),
        (&elsewhere, "its number is of another namespace"),
        (&of_a_living, "its maker lives"),
        (&of_others, "no executor gives such a name"),
        (&with_one_below, "it is not empty"),
    ] {
        assert!(group.is_there(), "{}: {why}", group.0.display());
    }
    drop(below);
    // A driver of many tasks does so, too.
    let served = Command::new(env!("CARGO_BIN_EXE_executor"))
        .arg("serve")
        .stdin(std::process::Stdio::null())
        .status();
    assert!(served.unwrap().success());
    assert!(!with_one_below.is_there());
}
