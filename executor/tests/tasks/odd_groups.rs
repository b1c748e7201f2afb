//! Tasks in control groups that are not as usual: frozen, threaded, too deep (edge).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use executor::{Cancel, CgroupParent, End, Executor, LaunchError, LaunchSpec, StandardExecutor};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::stage::{
    LONG, Stage, cgroup1, cgroup2, end, freeze, has_ended_within, line, only, skip, until,
};

/// A group that a test has made; it is removed with the value.
struct Made(PathBuf);

impl Made {
    fn new(parent: &Path, name: &str) -> Made {
        let path = parent.join(format!("executor-tests-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Made(path)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _is_gone = fs::remove_dir(&self.0);
            return;
        }
        // The kernel may hold a group for a moment when the last process has left it.
        until("it is removed", || {
            fs::remove_dir(&self.0).map_err(|error| error.to_string())
        });
    }
}

fn below(spec: LaunchSpec, parent: &Made) -> LaunchSpec {
    LaunchSpec {
        cgroup: CgroupParent::Below(parent.0.clone()),
        ..spec
    }
}

/// Sees a launch refused while its parent is frozen, and done once it is not.
fn refused_while_frozen(executor: &StandardExecutor, parent: &Made, thaw: impl Fn() + Sync) {
    let stage = Stage::new();
    let spec = below(stage.script("exit 3"), parent);
    let (done, waits) = std::sync::mpsc::channel::<()>();
    let thaw = &thaw;
    let outcome = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A launch that waits all the same does not hold the test.
            let _over = waits.recv_timeout(Duration::from_secs(10));
            thaw();
        });
        let outcome = executor.launch(&spec, Cancel::never());
        drop(done);
        outcome
    });
    assert!(matches!(outcome, Err(LaunchError::Frozen)), "{outcome:?}");
    until("it runs again", || {
        let outcome = executor.launch(&spec, Cancel::never());
        outcome.map(drop).map_err(|error| error.to_string())
    });
    assert_eq!(end(executor).end, End::Code(3));
    executor.shutdown(None, LONG).unwrap();
}

#[test]
fn a_launch_into_a_frozen_group_is_refused() {
    let name = "a_launch_into_a_frozen_group_is_refused";
    match cgroup2() {
        Some(own) => {
            let parent = Made::new(&own, "frozen");
            fs::write(parent.0.join("cgroup.freeze"), "1").unwrap();
            refused_while_frozen(&only(true, false), &parent, || {
                fs::write(parent.0.join("cgroup.freeze"), "0").unwrap();
            });
        }
        None => eprintln!("skipped: {name}: no cgroup of version 2 can be made here"),
    }
    match cgroup1("freezer") {
        Some(own) => {
            let parent = Made::new(&own, "frozen");
            freeze(&parent.0);
            refused_while_frozen(&only(false, true), &parent, || {
                fs::write(parent.0.join("freezer.state"), "THAWED").unwrap();
            });
        }
        None => eprintln!("skipped: {name}: no freezer of version 1 can be made here"),
    }
}

#[test]
fn a_task_may_have_a_threaded_group_below_its_own() {
    if cgroup2().is_none() {
        skip!(
            "a_task_may_have_a_threaded_group_below_its_own",
            "no cgroup of version 2 can be made here"
        );
    }
    let stage = Stage::new();
    let executor = only(true, false);
    let spec = stage.script("echo ready; exec sleep 1000");
    let task = executor.launch(&spec, Cancel::never()).unwrap().pid;
    assert_eq!(line(&stage.stdout), "ready");
    let group = executor.contained().unwrap().cgroup().unwrap().to_owned();
    let threaded = group.join("threaded");
    fs::create_dir(&threaded).unwrap();
    fs::write(threaded.join("cgroup.type"), "threaded").unwrap();
    assert_eq!(executor.contained().unwrap().pids().unwrap(), [task]);
    executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
    assert!(!group.exists());
}

#[test]
fn a_group_below_a_threaded_one_is_none_for_a_task() {
    let Some(own) = cgroup2() else {
        skip!(
            "a_group_below_a_threaded_one_is_none_for_a_task",
            "no cgroup of version 2 can be made here"
        );
    };
    let domain = Made::new(&own, "domain");
    let threaded = Made(domain.0.join("threaded"));
    fs::create_dir(&threaded.0).unwrap();
    fs::write(threaded.0.join("cgroup.type"), "threaded").unwrap();
    let stage = Stage::new();
    let spec = below(stage.script("exit 3"), &threaded);
    let error = only(true, false)
        .launch(&spec, Cancel::never())
        .unwrap_err();
    assert!(matches!(error, LaunchError::Contain(_)), "{error:?}");
    assert!(
        error.to_string().contains("which is below a threaded one"),
        "{error}"
    );
    let left = fs::read_dir(&threaded.0).unwrap().flatten();
    assert_eq!(left.filter(|one| one.path().is_dir()).count(), 0);
}

#[test]
fn nobody_is_left_frozen_by_groups_that_are_too_deep() {
    let Some(_) = cgroup1("freezer") else {
        skip!(
            "nobody_is_left_frozen_by_groups_that_are_too_deep",
            "no freezer of version 1 can be made here"
        );
    };
    let stage = Stage::new();
    let executor = only(false, true);
    let spec =
        stage.script("setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' & exec sleep 1000");
    executor.launch(&spec, Cancel::never()).unwrap();
    let daemon: i32 = line(&stage.stdout).parse().unwrap();
    let group = executor.contained().unwrap().cgroup().unwrap().to_owned();
    let deeper =
        "i=0; while [ $i -lt 25 ]; do mkdir \"$1\" && cd -P \"$1\" || exit; i=$((i+1)); done";
    let name = "n".repeat(200);
    let made = Command::new("sh")
        .args(["-c", deeper, "sh", &name])
        .current_dir(&group)
        .status();
    assert!(made.unwrap().success());
    let outcome = executor.shutdown(Some("SIGKILL"), Duration::ZERO);
    let is_gone = has_ended_within(daemon, Duration::ZERO);
    let _is_gone = nix::sys::signal::kill(Pid::from_raw(daemon), Signal::SIGKILL);
    let removed = Command::new("find")
        .args([group.as_os_str(), "-depth".as_ref(), "-type".as_ref()])
        .args(["d", "-delete"])
        .status();
    assert!(removed.unwrap().success());
    assert!(is_gone, "{daemon} lives on");
    assert!(outcome.is_err(), "the group could not be removed");
}
