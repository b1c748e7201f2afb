//! How a task ends, and what is left of it (edge).

use std::time::{Duration, Instant};

use executor::stats::{CpuSource, Interval, SwapDetail};
use executor::{Cancel, End, Executor, Kind, NamespaceMode, SignalError, Step, Waited};

use crate::root::{Root, group_folders, launch, needs_containers, script};
use crate::stage::{LONG, Stage, all, end, has_ended_within, line, until};

/// Three processes, two of which have left the session of their parent. Each says that it is there, and where its
/// output goes is nobody's matter.
const FAMILY: &str = "\
for one in 1 2; do setsid sh -c 'echo up; exec sleep 1000 >/dev/null 2>&1' & done
exec sleep 1000 >/dev/null 2>&1";

#[test]
fn nothing_survives_a_shutdown_whatever_it_has_left() {
    needs_containers!("nothing_survives_a_shutdown_whatever_it_has_left");
    for mode in [NamespaceMode::Private, NamespaceMode::Host] {
        let (stage, root) = (Stage::new(), Root::new());
        let mut spec = script(&stage, &root, FAMILY);
        spec.container.as_mut().unwrap().pid = Some(mode);
        let (executor, launched) = launch(&spec);
        assert_eq!(
            (line(&stage.stdout), line(&stage.stdout)),
            ("up".into(), "up".into())
        );
        let contained = executor.contained().unwrap();
        let pids = until("three processes", || {
            let pids = contained.pids().map_err(|error| error.to_string())?;
            if pids.len() == 3 {
                Ok(pids)
            } else {
                Err(format!("{pids:?}"))
            }
        });
        let folders = group_folders(launched.pid);
        let report = executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
        assert!(report.needed().contains(&Step::Release), "{report}");
        for pid in pids {
            assert!(
                has_ended_within(pid, Duration::ZERO),
                "{pid} lives, {mode:?}"
            );
        }
        for folder in folders {
            assert!(!folder.exists(), "{} is left, {mode:?}", folder.display());
        }
        assert_eq!(
            (all(&stage.stdout), all(&stage.stderr)),
            (String::new(), String::new())
        );
    }
}

#[test]
fn a_dropped_executor_leaves_nothing() {
    needs_containers!("a_dropped_executor_leaves_nothing");
    let (stage, root) = (Stage::new(), Root::new());
    let (executor, launched) = launch(&script(&stage, &root, FAMILY));
    assert_eq!(line(&stage.stdout), "up");
    let folders = group_folders(launched.pid);
    drop(executor);
    assert!(has_ended_within(launched.pid, Duration::ZERO));
    assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
}

#[test]
fn a_signal_that_the_first_process_does_not_catch_costs_no_grace() {
    needs_containers!("a_signal_that_the_first_process_does_not_catch_costs_no_grace");
    let (stage, root) = (Stage::new(), Root::new());
    let (executor, _) = launch(&script(&stage, &root, "echo up; exec sleep 1000"));
    assert_eq!(line(&stage.stdout), "up");
    let start = Instant::now();
    executor.shutdown(Some("SIGTERM"), LONG).unwrap();
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    assert_eq!(end(&executor).end, End::Signal(9));
}

#[test]
fn a_signal_that_is_caught_is_waited_for() {
    needs_containers!("a_signal_that_is_caught_is_waited_for");
    let (stage, root) = (Stage::new(), Root::new());
    let polite = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done";
    let (executor, _) = launch(&script(&stage, &root, polite));
    assert_eq!(line(&stage.stdout), "up");
    executor.shutdown(Some("SIGTERM"), LONG).unwrap();
    assert_eq!(all(&stage.stdout), "bye\n");
    assert_eq!(end(&executor).end, End::Code(3));
}

#[test]
fn a_task_in_the_pid_namespace_of_the_host_is_ended_by_the_signal_itself() {
    needs_containers!("a_task_in_the_pid_namespace_of_the_host_is_ended_by_the_signal_itself");
    let (stage, root) = (Stage::new(), Root::new());
    let mut spec = script(&stage, &root, "echo up; exec sleep 1000");
    spec.container.as_mut().unwrap().pid = Some(NamespaceMode::Host);
    let (executor, _) = launch(&spec);
    assert_eq!(line(&stage.stdout), "up");
    executor.signal("TERM").unwrap();
    assert_eq!(end(&executor).end, End::Signal(15));
    let gone = executor.signal("TERM").unwrap_err();
    assert!(matches!(gone, SignalError::Ended { .. }), "{gone:?}");
}

#[test]
fn a_writer_is_silent_for_good_after_a_shutdown() {
    needs_containers!("a_writer_is_silent_for_good_after_a_shutdown");
    let (stage, root) = (Stage::new(), Root::new());
    let loops = "trap '' INT; while :; do echo x; sleep 0.01; done";
    let (executor, _) = launch(&script(&stage, &root, loops));
    assert_eq!(line(&stage.stdout), "x");
    executor
        .shutdown(Some("SIGINT"), Duration::from_millis(100))
        .unwrap();
    // The reader sees the end: nobody has the FIFO open any more, so nobody can write to it.
    let rest = all(&stage.stdout);
    assert!(rest.lines().all(|line| line == "x"), "{rest:?}");
}

#[test]
fn a_task_that_was_killed_from_outside_ends_by_that_signal_and_wakes_all() {
    needs_containers!("a_task_that_was_killed_from_outside_ends_by_that_signal_and_wakes_all");
    let (stage, root) = (Stage::new(), Root::new());
    let (executor, launched) = launch(&script(&stage, &root, "echo up; exec sleep 1000"));
    assert_eq!(line(&stage.stdout), "up");
    std::thread::scope(|scope| {
        let wait = || executor.wait(Some(LONG), Cancel::never()).unwrap();
        let waiters = [scope.spawn(wait), scope.spawn(wait)];
        let pid = nix::unistd::Pid::from_raw(launched.pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        for waiter in waiters {
            match waiter.join().unwrap() {
                Waited::Ended(status) => assert_eq!(status.end, End::Signal(9)),
                other @ (Waited::TimedOut | Waited::Cancelled) => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn what_a_task_uses_is_counted() {
    needs_containers!("what_a_task_uses_is_counted");
    let (stage, root) = (Stage::new(), Root::new());
    let (executor, launched) = launch(&script(&stage, &root, "echo up; while :; do :; done"));
    assert_eq!(line(&stage.stdout), "up");
    let contained = executor.contained().unwrap();
    let sampler = contained.sampler(SwapDetail::LeftOut).unwrap();
    let sample = sampler
        .sample(Interval::new(Duration::from_secs(1)))
        .unwrap();
    let measured: Vec<u32> = sample.processes.keys().copied().collect();
    assert_eq!(measured, [launched.pid.cast_unsigned()]);
    if launched.contained_by == Kind::Cgroup2 {
        assert_eq!(sample.cpu_source, CpuSource::Group);
    }
    executor.shutdown(Some("SIGKILL"), Duration::ZERO).unwrap();
}
