//! The end of a task: by itself, by a signal, by a shutdown, and who is told (edge).

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime};

use executor::{
    Cancel, CancelSource, End, Executor, Options, Outcome, Phase, ShutdownError, SignalError,
    StandardExecutor, Step, Waited,
};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::gettid;

use crate::stage::{LONG, Stage, all, end, has_ended_within, line, until};

/// Far shorter than a grace that a test must not wait for.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_code_is_seen_and_a_shutdown_after_the_end_is_right() {
    let stage = Stage::new();
    let before = SystemTime::now();
    let (executor, _) = stage.launch("exit 42");
    let status = end(&executor);
    assert_eq!((status.end, status.code()), (End::Code(42), 42));
    assert!(status.seen_at >= before && status.seen_at <= SystemTime::now());
    assert_eq!(executor.phase(), Phase::Exited);
    let report = executor.shutdown(Some("SIGINT"), LONG).unwrap();
    for step in [
        Step::Signal,
        Step::Grace,
        Step::KillLeader,
        Step::KillGroup,
        Step::KillRest,
    ] {
        assert_eq!(report.outcome(step), Some(&Outcome::Unneeded), "{step}");
    }
    assert_eq!(report.outcome(Step::Reap), Some(&Outcome::Done));
    assert_eq!(end(&executor), status, "the status is kept");
}

#[test]
fn the_end_of_the_main_process_is_told_while_its_children_live_on() {
    let stage = Stage::new();
    let (executor, _) = stage.launch("sleep 1000 >/dev/null 2>&1 & echo $!; exit 3");
    let child: i32 = line(&stage.stdout).parse().unwrap();
    assert_eq!(end(&executor).end, End::Code(3));
    assert!(
        !has_ended_within(child, Duration::ZERO),
        "it was killed too soon"
    );
    let report = executor.shutdown(None, LONG).unwrap();
    assert_eq!(report.outcome(Step::Signal), Some(&Outcome::Unneeded));
    assert_eq!(
        report.outcome(Step::KillGroup),
        Some(&Outcome::Done),
        "{report}"
    );
    assert!(has_ended_within(child, LONG));
}

#[test]
fn a_kill_from_outside_is_told_as_its_signal() {
    let stage = Stage::new();
    let (executor, launched) = stage.launch("exec sleep 1000");
    kill_process(Pid::from_raw(launched.pid).unwrap(), Signal::KILL).unwrap();
    let status = end(&executor);
    assert_eq!((status.end, status.code()), (End::Signal(9), 137));
}

#[test]
fn a_task_that_obeys_ends_in_its_grace_and_prints_nothing_afterwards() {
    let stage = Stage::new();
    let (executor, launched) = stage.launch("exec sleep 1000");
    let report = executor.shutdown(Some("SIGINT"), LONG).unwrap();
    assert_eq!(
        report.needed(),
        removal(&[Step::Signal, Step::Grace, Step::Reap], &executor)
    );
    assert_eq!(end(&executor).end, End::Signal(2));
    assert_eq!(all(&stage.stdout), "");
    assert!(has_ended_within(launched.pid, Duration::ZERO));
}

/// These steps, and the removal of the cgroup if there was one.
fn removal(steps: &[Step], executor: &StandardExecutor) -> Vec<Step> {
    let has_cgroup = executor.contained().unwrap().cgroup().is_some();
    let removal = has_cgroup.then_some(Step::Release);
    steps.iter().copied().chain(removal).collect()
}

#[test]
fn a_task_ends_in_its_own_way_within_its_grace() {
    let stage = Stage::new();
    let script = "trap 'echo bye; exit 7' TERM; sleep 1000 >/dev/null 2>&1 & echo ready; wait";
    let (executor, _) = stage.launch(script);
    assert_eq!(line(&stage.stdout), "ready");
    let report = executor.shutdown(Some("TERM"), LONG).unwrap();
    assert_eq!(report.outcome(Step::KillLeader), Some(&Outcome::Unneeded));
    assert_eq!(
        report.outcome(Step::KillGroup),
        Some(&Outcome::Done),
        "its sleep: {report}"
    );
    assert_eq!(
        (all(&stage.stdout).as_str(), end(&executor).end),
        ("bye\n", End::Code(7))
    );
}

#[test]
fn a_task_that_does_not_obey_is_killed_after_its_grace() {
    let stage = Stage::new();
    let (executor, _) = stage.launch("trap '' TERM; echo ready; while :; do sleep 1000; done");
    assert_eq!(line(&stage.stdout), "ready");
    let (start, grace) = (Instant::now(), Duration::from_millis(200));
    let report = executor.shutdown(Some("SIGTERM"), grace).unwrap();
    assert!(start.elapsed() >= grace, "after {:?}", start.elapsed());
    assert_eq!(report.outcome(Step::Signal), Some(&Outcome::Done));
    assert_eq!(report.outcome(Step::Grace), Some(&Outcome::RanOut));
    assert_eq!(report.outcome(Step::KillLeader), Some(&Outcome::Done));
    assert_eq!(end(&executor).end, End::Signal(9));
}

/// Waits until a thread of this process sleeps.
fn await_sleep(thread: i32) {
    until("the thread sleeps", || {
        let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
        if stat.contains(") S ") {
            Ok(())
        } else {
            Err(stat)
        }
    });
}

#[test]
fn a_kill_wakes_whoever_waits() {
    for grace in [Duration::ZERO, Duration::from_millis(100)] {
        let stage = Stage::new();
        let (executor, _) = stage.launch("exec sleep 1000");
        let executor = Arc::new(executor);
        let (tell, threads) = channel();
        let (say, ends) = channel();
        for _ in 0..3 {
            let (executor, tell, say) = (Arc::clone(&executor), tell.clone(), say.clone());
            std::thread::spawn(move || {
                tell.send(gettid().as_raw_nonzero().get()).unwrap();
                say.send(executor.wait(None, Cancel::never()).unwrap())
            });
        }
        threads.iter().take(3).for_each(await_sleep);
        executor.shutdown(Some("SIGKILL"), grace).unwrap();
        for _ in 0..3 {
            let Ok(Waited::Ended(status)) = ends.recv_timeout(LONG) else {
                panic!("not all were woken");
            };
            assert_eq!(status.end, End::Signal(9));
        }
    }
}

#[test]
fn a_wait_ends_at_its_deadline_or_when_it_is_cancelled() {
    let stage = Stage::new();
    let (executor, _) = stage.launch("exec sleep 1000");
    let limit = Duration::from_millis(50);
    assert_eq!(
        executor.wait(Some(limit), Cancel::never()).unwrap(),
        Waited::TimedOut
    );
    let source = CancelSource::new().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| executor.wait(None, Cancel::when_readable(&source)));
        source.cancel();
        assert_eq!(waiter.join().unwrap().unwrap(), Waited::Cancelled);
    });
    assert_eq!(executor.phase(), Phase::Running);
}

#[test]
fn a_shutdown_may_be_repeated_and_the_hastier_of_two_counts() {
    let stage = Stage::new();
    let (executor, _) =
        stage.launch("trap 'echo heard' INT; echo ready; while :; do sleep 0.05; done");
    assert_eq!(line(&stage.stdout), "ready");
    let start = Instant::now();
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| executor.shutdown(None, Duration::from_secs(3600)));
        // So it has begun, and waits.
        assert_eq!(line(&stage.stdout), "heard");
        executor.shutdown(None, Duration::ZERO).unwrap();
        patient.join().unwrap().unwrap();
    });
    assert!(start.elapsed() < SOON, "after {:?}", start.elapsed());
    assert_eq!(executor.phase(), Phase::Closed { was_launched: true });
    assert_eq!(executor.shutdown(None, LONG).unwrap().steps(), []);
}

#[test]
fn without_a_signal_s_name_the_task_gets_sigint_and_without_a_grace_nothing() {
    for name in [None, Some("")] {
        let script = "trap 'echo asked; exit 5' INT; echo ready; while :; do sleep 0.05; done";
        for (grace, says, ends) in [
            (LONG, "asked\n", End::Code(5)),
            (Duration::ZERO, "", End::Signal(9)),
        ] {
            let stage = Stage::new();
            let (executor, launched) = stage.launch(script);
            assert_eq!(line(&stage.stdout), "ready");
            executor.shutdown(name, grace).unwrap();
            assert!(has_ended_within(launched.pid, Duration::ZERO));
            let said = (all(&stage.stdout), end(&executor).end);
            assert_eq!(said, (says.to_owned(), ends), "{name:?} {grace:?}");
        }
    }
}

#[test]
fn a_signal_of_no_name_stops_the_task_all_the_same_and_is_told() {
    let stage = Stage::new();
    let (executor, _) = stage.launch("exec sleep 1000");
    let error = executor.shutdown(Some("SIGTREM"), LONG).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no signal \"SIGTREM\"; the task was stopped by SIGINT in its place"
    );
    let ShutdownError::UnknownSignal { name, report } = error else {
        panic!("got {error:?}");
    };
    assert_eq!((name.as_str(), report.failure()), ("SIGTREM", None));
    assert_eq!(end(&executor).end, End::Signal(2));
    assert_eq!(executor.phase(), Phase::Closed { was_launched: true });
}

#[test]
fn a_signal_reaches_the_main_process_and_an_ended_one_is_told() {
    let stage = Stage::new();
    let executor = StandardExecutor::new(Options::default());
    assert!(matches!(
        executor.signal("HUP"),
        Err(SignalError::NotLaunched)
    ));
    let script = "trap 'echo heard; exit 0' HUP; echo ready; while :; do sleep 0.1; done";
    let launched = executor
        .launch(&stage.script(script), Cancel::never())
        .unwrap();
    assert_eq!(line(&stage.stdout), "ready");
    let error = executor.signal("HUPP").unwrap_err();
    assert!(
        matches!(error, SignalError::UnknownSignal { .. }),
        "got {error:?}"
    );
    executor.signal("HUP").unwrap();
    assert_eq!(
        (line(&stage.stdout).as_str(), end(&executor).end),
        ("heard", End::Code(0))
    );
    let error = executor.signal("HUP").unwrap_err();
    let pid = launched.pid;
    assert_eq!(
        error.to_string(),
        format!("can't signal process {pid}: it has ended")
    );
}

#[test]
fn a_dropped_executor_takes_its_task_along() {
    let stage = Stage::new();
    let (executor, launched) = stage.launch("sleep 1000 & echo $!; exec sleep 1000");
    let child: i32 = line(&stage.stdout).parse().unwrap();
    let contained = executor.contained().unwrap();
    assert_eq!(contained.leader(), launched.pid);
    drop(executor);
    assert!(has_ended_within(launched.pid, Duration::ZERO));
    assert!(has_ended_within(child, Duration::ZERO));
    assert_eq!(contained.pids().unwrap(), Vec::<i32>::new());
    assert!(contained.cgroup().is_none_or(|folder| !folder.exists()));
}
