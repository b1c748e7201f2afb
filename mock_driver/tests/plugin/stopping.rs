//! Signals, stops and destroys: the exit is the task's own, and nothing is left.

use std::time::{Duration, Instant};

use crate::stage::{Place, Stage, exit, number_in, refusal};
use crate::support::{Drain, LIMIT, wait_until};

const LONG: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_never_races_a_wait_and_loses_no_output() {
    for (name, signal, code, number) in [
        ("", "SIGTERM", 143, 15),
        ("SIGINT", "SIGINT", 130, 2),
        ("hup", "SIGHUP", 129, 1),
    ] {
        let (stage, place) = (Stage::new().await, Place::new());
        let drains = place.fifos.drains();
        let script = "echo ready; exec sleep 1000";
        stage.start(&place.shell(script)).await;
        wait_until("the task", || drains[0].has(b"ready\n"));
        let driver = stage.driver();
        let waiter = tokio::spawn(async move { driver.wait_task("a/web/1", LIMIT).await });
        stage
            .driver()
            .stop_task("a/web/1", LONG, name)
            .await
            .unwrap();
        let answer = waiter.await.unwrap().unwrap();
        assert_eq!(answer.err, "", "{signal}");
        assert_eq!(answer.result, Some(exit(code, number)), "{signal}");
        // Once more is as good.
        stage
            .driver()
            .stop_task("a/web/1", LONG, name)
            .await
            .unwrap();
        let [stdout, _] = drains.map(Drain::until_writers_are_gone);
        assert_eq!(stdout, b"ready\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_takes_its_time_has_it_and_its_last_words_arrive() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let gate = crate::support::shell_gate(&place.path("go"));
    let script = format!(
        "trap 'echo asked; {gate} echo bye; exit 4' TERM; echo ready; while :; do sleep 0.01; done"
    );
    stage.start(&place.shell(&script)).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let driver = stage.driver();
    let stop = tokio::spawn(async move { driver.stop_task("a/web/1", LONG, "").await });
    wait_until("the signal", || drains[0].has(b"ready\nasked\n"));
    // Longer than a forwarder of its own would have waited.
    let asked = Instant::now();
    wait_until("time to pass", || {
        asked.elapsed() > Duration::from_millis(2500)
    });
    place.open("go");
    stop.await.unwrap().unwrap();
    assert_eq!(stage.exit("a/web/1").await, exit(4, 0));
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert_eq!(stdout, b"ready\nasked\nbye\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_does_not_end_in_time_is_killed_with_all_that_it_started() {
    for limit in [Duration::from_millis(200), Duration::ZERO] {
        let (stage, place) = (Stage::new().await, Place::new());
        let drains = place.fifos.drains();
        let script = "trap '' TERM; setsid sleep 1000 & echo $! >../child; echo ready; while :; do sleep 0.01; done";
        stage.start(&place.shell(script)).await;
        wait_until("the task", || drains[0].has(b"ready\n"));
        let child = number_in(&place.path("child"));
        stage
            .driver()
            .stop_task("a/web/1", limit, "")
            .await
            .unwrap();
        assert_eq!(stage.exit("a/web/1").await, exit(137, 9));
        wait_until("the child's end", || crate::stage::is_gone(child));
        // What it wrote before is there.
        let [stdout, _] = drains.map(Drain::until_writers_are_gone);
        assert_eq!(stdout, b"ready\n");
        stage
            .driver()
            .kill_and_destroy_task("a/web/1")
            .await
            .unwrap();
        place.until_nothing_is_left();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_time_a_task_is_killed_and_not_asked() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    stage
        .start(&place.shell("echo ready; exec sleep 1000"))
        .await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let driver = stage.driver();
    driver
        .stop_task("a/web/1", Duration::ZERO, "SIGTERM")
        .await
        .unwrap();
    assert_eq!(stage.exit("a/web/1").await, exit(137, 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_in_time_while_nobody_reads() {
    let (stage, place) = (Stage::new().await, Place::new());
    let readers = place.fifos.readers();
    let script =
        "echo $$ >../pid; while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done";
    stage.start(&place.journalled(place.shell(script))).await;
    let pid = number_in(&place.path("pid"));
    place.until_blocked();
    let begin = Instant::now();
    stage.driver().stop_task("a/web/1", LONG, "").await.unwrap();
    assert!(begin.elapsed() < LONG, "{:?}", begin.elapsed());
    assert!(crate::stage::is_gone(pid));
    assert_eq!(stage.exit("a/web/1").await, exit(143, 15));
    drop(readers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_reaches_the_task_and_a_name_that_is_none_is_refused() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let script =
        "trap 'echo hup' HUP; echo ready; while ! [ -e ../end ] && [ -d .. ]; do sleep 0.01; done";
    stage.start(&place.shell(script)).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let driver = stage.driver();
    driver.signal_task("a/web/1", "SIGHUP").await.unwrap();
    wait_until("the signal", || drains[0].has(b"ready\nhup\n"));
    for name in ["SIGNONE", ""] {
        let why = refusal(driver.signal_task("a/web/1", name).await);
        assert!(why.contains("signal: "), "{why}");
    }
    let why = refusal(driver.stop_task("a/web/1", LONG, "SIGNONE").await);
    assert!(why.contains("there is no \"SIGNONE\""), "{why}");
    place.open("end");
    assert_eq!(stage.exit("a/web/1").await, exit(0, 0));
    let why = refusal(driver.signal_task("a/web/1", "SIGHUP").await);
    assert!(why.contains("has ended"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_force_destroys_a_task_that_runs_and_then_nothing_is_left() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let script = "setsid sleep 1000 & sleep 1000 & echo ready; wait";
    stage.start(&place.shell(script)).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let why = refusal(stage.driver().destroy_task("a/web/1").await);
    assert!(why.contains("running"), "{why}");
    assert!(place.processes().len() >= 4);
    stage
        .driver()
        .kill_and_destroy_task("a/web/1")
        .await
        .unwrap();
    place.until_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_outlived_its_executor_is_destroyed_too() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    stage
        .start(&place.shell("sleep 1000 & echo ready; wait"))
        .await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let told = stage.driver().inspect_task("a/web/1").await.unwrap();
    let executor = &told.answer.driver.unwrap().attributes["executor_pid"];
    crate::stage::signal(executor.parse().unwrap(), nix::sys::signal::Signal::SIGKILL);
    let answer = stage.driver().wait_task("a/web/1", LIMIT).await.unwrap();
    assert!(answer.err.contains("left no status"), "{}", answer.err);
    assert_eq!(place.processes().len(), 2);
    stage
        .driver()
        .kill_and_destroy_task("a/web/1")
        .await
        .unwrap();
    place.until_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_task_leaves_behind_ends_when_its_exit_is_reported() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    let script = "(trap '' HUP; exec setsid sleep 1000) & echo started; exit 6";
    stage.start(&place.shell(script)).await;
    assert_eq!(stage.exit("a/web/1").await, exit(6, 0));
    wait_until("the end of all", || place.processes().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_end_of_the_plugin_leaves_its_tasks_alone() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    stage
        .start(&place.gated("echo one; GATE echo two", "end"))
        .await;
    wait_until("the task", || drains[0].has(b"one\n"));
    let driver = stage.driver();
    let waiter = tokio::spawn(async move { driver.wait_task("a/web/1", LIMIT).await });
    let mut stats = stage
        .driver()
        .task_stats("a/web/1", Duration::from_secs(600));
    assert!(stats.next(LIMIT).await.unwrap().is_some());
    let ended = stage.plugin.end().await.unwrap();
    assert_eq!(ended.manner, plugin::host::Manner::Asked);
    refusal(waiter.await.unwrap());
    place.open("end");
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert_eq!(stdout, b"one\ntwo\n");
}
