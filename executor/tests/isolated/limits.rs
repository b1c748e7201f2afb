//! What a task may use (edge).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use executor::{Cancel, End, Executor};

use crate::root::{
    Root, group_folders, groups, isolating, launch, needs_containers, own_name, script,
};
use crate::stage::{Stage, end, line, status_field, until};

/// The file of a task's control group that has this name in any hierarchy.
fn file(pid: i32, name: &str) -> Option<PathBuf> {
    let folders = group_folders(pid);
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
}

fn number(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn the_limits_are_those_that_were_asked_for_and_gone_with_the_task() {
    needs_containers!("the_limits_are_those_that_were_asked_for_and_gone_with_the_task");
    let (stage, root) = (Stage::new(), Root::new());
    let mut spec = script(&stage, &root, "echo up; exec sleep 1000");
    let around = spec.container.as_mut().unwrap();
    around.memory_bytes = Some(64 << 20);
    around.cpu_shares = Some("300/524288".parse().unwrap());
    let (executor, launched) = launch(&spec);
    assert_eq!(line(&stage.stdout), "up");
    let Some(memory) = file(launched.pid, "memory.limit_in_bytes") else {
        return eprintln!(
            "skipped: the_limits_are_those_that_were_asked_for_and_gone_with_the_task: no memory controller of version 1"
        );
    };
    assert_eq!(number(&memory), 64 << 20);
    let shares = file(launched.pid, "cpu.shares").expect("version 1 has both");
    assert_eq!(number(&shares), 150);
    let folders = group_folders(launched.pid);
    executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
    for folder in folders {
        assert!(!folder.exists(), "{} is left", folder.display());
    }
}

#[test]
fn memory_is_kept_for_a_task_with_a_limit_and_without_one() {
    let name = "memory_is_kept_for_a_task_with_a_limit_and_without_one";
    needs_containers!("memory_is_kept_for_a_task_with_a_limit_and_without_one");
    let unlimited = |number: u64| number > 1 << 60;
    for (limit, kept) in [
        (Some(64 << 20), None),
        (Some(64 << 20), Some(16 << 20)),
        (None, Some(16 << 20)),
    ] {
        let (stage, root) = (Stage::new(), Root::new());
        let mut spec = script(&stage, &root, "echo up; exec sleep 1000");
        let around = spec.container.as_mut().unwrap();
        (around.memory_bytes, around.memory_reserve_bytes) = (limit, kept);
        let (executor, launched) = launch(&spec);
        assert_eq!(line(&stage.stdout), "up");
        let Some(most) = file(launched.pid, "memory.limit_in_bytes") else {
            return eprintln!("skipped: {name}: no memory controller of version 1");
        };
        let low = file(launched.pid, "memory.soft_limit_in_bytes").unwrap();
        for (path, wanted) in [(most, limit), (low, kept)] {
            let set = number(&path);
            let is_right = wanted.map_or_else(|| unlimited(set), |wanted| set == wanted);
            assert!(is_right, "{}: {set}, not {wanted:?}", path.display());
        }
        executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
    }
}

#[test]
fn a_task_that_wants_too_much_memory_is_killed_and_that_is_told() {
    needs_containers!("a_task_that_wants_too_much_memory_is_killed_and_that_is_told");
    let (stage, root) = (Stage::new(), Root::new());
    let greedy = "exec dd if=/dev/zero of=/dev/null bs=200M count=1";
    let mut spec = script(&stage, &root, greedy);
    spec.container.as_mut().unwrap().memory_bytes = Some(32 << 20);
    let (executor, _) = launch(&spec);
    let status = end(&executor);
    assert_eq!(
        (status.end, status.oom_killed),
        (End::Signal(9), Some(true))
    );
    executor.shutdown(None, Duration::ZERO).unwrap();
}

#[test]
fn every_hierarchy_holds_the_task_in_a_group_of_the_same_name() {
    needs_containers!("every_hierarchy_holds_the_task_in_a_group_of_the_same_name");
    let (stage, root) = (Stage::new(), Root::new());
    let (executor, launched) = launch(&script(&stage, &root, "echo up; exec sleep 1000"));
    assert_eq!(line(&stage.stdout), "up");
    let name = own_name(launched.pid);
    for (controllers, path) in groups(launched.pid) {
        // A hierarchy with a name only has no limits.
        if !controllers.starts_with("name=") {
            assert_eq!(
                path.rsplit('/').next(),
                Some(name.as_str()),
                "{controllers}"
            );
        }
    }
    for folder in group_folders(launched.pid) {
        let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap();
        let expected = format!("{}\n", launched.pid);
        assert_eq!(pids, expected, "{} has the task alone", folder.display());
    }
    executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
}

#[test]
fn a_group_that_somebody_is_in_is_never_a_task_s() {
    needs_containers!("a_group_that_somebody_is_in_is_never_a_task_s");
    let (stage, root) = (Stage::new(), Root::new());
    let (first, launched) = launch(&script(&stage, &root, "echo up; exec sleep 1000"));
    assert_eq!(line(&stage.stdout), "up");
    let folders = group_folders(launched.pid);
    let (own, prefix) = (
        std::process::id(),
        format!("executor-{}-", std::process::id()),
    );
    let number: u64 = own_name(launched.pid)
        .strip_prefix(&prefix)
        .unwrap_or_else(|| panic!("it is of {own}"))
        .parse()
        .unwrap();
    first.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
    // Other tests take numbers meanwhile, so there are stale groups for all that may come next.
    let stale = (number + 1..number + 40)
        .map(|number| folders[0].with_file_name(format!("{prefix}{number}")))
        .filter(|folder| fs::create_dir(folder).is_ok());
    let mut stale: Vec<Stale> = stale.map(Stale::with_somebody_in).collect();
    let (second, launched) = launch(&script(&stage, &root, "echo up; exec sleep 1000"));
    assert_eq!(line(&stage.stdout), "up");
    for folder in group_folders(launched.pid) {
        let inside = fs::read_to_string(folder.join("cgroup.procs")).unwrap();
        let of_task: Vec<&str> = inside.lines().collect();
        assert_eq!(of_task, [launched.pid.to_string()], "{}", folder.display());
    }
    second.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
    for one in &mut stale {
        let ended = one.somebody.try_wait().unwrap();
        assert_eq!(ended, None, "in {}", one.folder.display());
        assert!(one.folder.is_dir(), "{} is gone", one.folder.display());
    }
}

/// A group that looks like one of a task, with a process in it that is none of the task's.
struct Stale {
    folder: PathBuf,
    somebody: Child,
}

impl Stale {
    fn with_somebody_in(folder: PathBuf) -> Stale {
        let somebody = Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(folder.join("cgroup.procs"), somebody.id().to_string()).unwrap();
        Stale { folder, somebody }
    }
}

impl Drop for Stale {
    fn drop(&mut self) {
        drop(self.somebody.kill());
        drop(self.somebody.wait());
        // The kernel may still count the process for a moment.
        until("the group is empty", || {
            match fs::remove_dir(&self.folder) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        });
    }
}

#[test]
fn the_score_of_the_executor_is_not_handed_on() {
    needs_containers!("the_score_of_the_executor_is_not_handed_on");
    let root = Root::new();
    let script = format!(
        "echo 300 >/proc/self/oom_score_adj; exec {} run --log-disabled --isolate --root {} -- \
         sh -c 'test $(cat /proc/self/oom_score_adj) = 0'",
        env!("CARGO_BIN_EXE_executor"),
        root.path().display()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stage = Stage::new();
    let mut spec = crate::root::script(&stage, &root, "exec cat /proc/self/oom_score_adj");
    spec.oom_score_adj = Some(400);
    let (executor, _) = launch(&spec);
    assert_eq!(line(&stage.stdout), "400");
    assert_eq!(end(&executor).end, End::Code(0));
}

#[test]
fn a_device_is_there_and_allowed_only_if_it_was_asked_for() {
    needs_containers!("a_device_is_there_and_allowed_only_if_it_was_asked_for");
    let (stage, root) = (Stage::new(), Root::new());
    let mut spec = script(
        &stage,
        &root,
        "test -c /dev/kmsg && echo there; exec sleep 1000",
    );
    spec.container.as_mut().unwrap().devices = vec!["/dev/kmsg:r".parse().unwrap()];
    let (executor, launched) = launch(&spec);
    assert_eq!(line(&stage.stdout), "there");
    match file(launched.pid, "devices.list") {
        Some(list) => {
            let rules = fs::read_to_string(list).unwrap();
            assert!(rules.lines().any(|rule| rule == "c 1:11 r"), "{rules}");
            assert!(!rules.lines().any(|rule| rule.starts_with("a ")), "{rules}");
        }
        None => eprintln!(
            "skipped: a_device_is_there_and_allowed_only_if_it_was_asked_for: no devices controller of version 1"
        ),
    }
    executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
    let without = script(&stage, &root, "test -e /dev/kmsg || exit 5");
    let (executor, _) = launch(&without);
    assert_eq!(end(&executor).end, End::Code(5));
}

#[test]
fn a_limit_that_can_t_be_set_is_an_error_and_leaves_nothing() {
    needs_containers!("a_limit_that_can_t_be_set_is_an_error_and_leaves_nothing");
    let (stage, root) = (Stage::new(), Root::new());
    let mut spec = script(&stage, &root, "exit 0");
    // Less than the process needs that is to be limited.
    spec.container.as_mut().unwrap().memory_bytes = Some(1);
    let executor = isolating();
    let launched = executor.launch(&spec, Cancel::never());
    if let Ok(launched) = &launched {
        // The kernel may take the limit, and kill what exceeds it.
        let _text = status_field(launched.pid, "State");
        assert_ne!(end(&executor).end, End::Code(0));
    }
    executor.shutdown(None, Duration::ZERO).unwrap();
}
