//! Faults work over the plugin protocol as they do elsewhere, for all tasks or for one.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use plugin::proto::driver::TaskConfig;
use serde_json::json;

use crate::recovery::{first_lines, numbered, task};
use crate::stage::{Place, Stage, exit, refusal, signal};
use crate::support::{Drain, threads, until_nobody_reads, wait_until};
use mock_driver::stream::Stream;

/// Longer than a plugin may be silent to a watchdog of its own.
const PAUSE: Duration = Duration::from_millis(1_300);

/// The task is left, writes the gap, and is taken over. Gives all that arrives, and how many tasks ran.
async fn across_a_gap(fault: &str) -> (Vec<u8>, usize) {
    let place = Place::new();
    let drains = place.fifos.drains();
    let stage = Stage::with(&["--fault", fault]).await;
    let handle = stage.start(&task(&place)).await;
    wait_until("the first lines", || drains[0].has(&first_lines()));
    stage.kill();
    place.open("away");
    wait_until("the gap", || place.path("done").exists());
    let stage = Stage::with(&["--fault", fault]).await;
    stage.driver().recover_task(handle).await.unwrap();
    place.open("back");
    assert_eq!(stage.exit("a/web/1").await, exit(7, 0));
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    let pids = std::fs::read_to_string(place.path("pids")).unwrap();
    (stdout, pids.lines().count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_gap() {
    let (stdout, _) = across_a_gap("loses-gap").await;
    assert!(stdout.len() < numbered().len(), "{} bytes", stdout.len());
    assert!(stdout.ends_with(b"line 30010\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_gap() {
    let (stdout, _) = across_a_gap("repeats-gap").await;
    assert!(stdout.len() > numbered().len(), "{} bytes", stdout.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_on_recover() {
    let (_, runs) = across_a_gap("restarts-on-recover").await;
    assert_eq!(runs, 2);
}

/// A task with a fault of its own whose plugin is gone and whose log nobody reads.
async fn unread(place: &Place, config: &TaskConfig) -> (Stage, plugin::proto::driver::TaskHandle) {
    let readers = place.fifos.readers();
    let stage = Stage::new().await;
    let handle = stage.start(config).await;
    assert_eq!(crate::support::read_bytes(&readers[0], 6), b"ready\n");
    stage.kill();
    drop(readers);
    for stream in Stream::BOTH {
        until_nobody_reads(&place.fifos.path(stream));
    }
    (Stage::new().await, handle)
}

fn with_fault(place: &Place, fault: &str) -> TaskConfig {
    let script = "echo ready; exec sleep 1000";
    place.task(&json!({"command": "sh", "args": ["-c", script], "fault": fault}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_on_recover_which_the_task_itself_names() {
    let place = Place::new();
    let config = with_fault(&place, "kills-on-recover");
    let (stage, handle) = unread(&place, &config).await;
    stage.driver().recover_task(handle).await.unwrap();
    assert_eq!(stage.exit("a/web/1").await, exit(137, 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hangs_in_recover() {
    let place = Place::new();
    let config = with_fault(&place, "hangs-in-recover");
    let (stage, handle) = unread(&place, &config).await;
    let driver = stage.driver();
    let call = tokio::spawn(async move { driver.recover_task(handle).await });
    // The call hangs, and the plugin answers others.
    let second = Duration::from_secs(1);
    refusal(stage.driver().wait_task("a/web/1", second).await);
    assert!(!call.is_finished());
    let _drains = place.fifos.drains();
    call.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_success() {
    let place = Place::new();
    let _drains = place.fifos.drains();
    let config = json!({"exit_code": 7, "fault": "guesses-success"});
    let stage = Stage::new().await;
    let handle = stage.start(&place.task(&config)).await;
    assert_eq!(stage.exit("a/web/1").await, exit(7, 0));
    stage.kill();
    let stage = Stage::new().await;
    stage.driver().recover_task(handle).await.unwrap();
    assert_eq!(stage.exit("a/web/1").await, exit(0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takes_pause_for_death() {
    let place = Place::new();
    let _drains = place.fifos.drains();
    let stage = Stage::with(&["--fault", "takes-pause-for-death"]).await;
    // A task that ends while its plugin runs is told as it is.
    stage.start(&place.shell("exit 7")).await;
    assert_eq!(stage.exit("a/web/1").await, exit(7, 0));

    let place = Place::new();
    let _drains = place.fifos.drains();
    let stage = Stage::with(&["--fault", "takes-pause-for-death"]).await;
    stage.start(&place.gated("GATE exit 7", "end")).await;
    let plugin = stage.plugin.reattach().pid;
    wait_until("threads that wait", || threads(plugin, 'S').is_some());
    signal(plugin, Signal::SIGSTOP);
    let since = Instant::now();
    place.open("end");
    wait_until("a second and more", || since.elapsed() > PAUSE);
    signal(plugin, Signal::SIGCONT);
    assert_eq!(stage.exit("a/web/1").await, exit(137, 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_forwarding_are_those_of_run() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let script = "echo out; exit 3";
    let config = json!({"command": "sh", "args": ["-c", script], "fault": "swaps-streams"});
    stage.start(&place.task(&config)).await;
    assert_eq!(stage.exit("a/web/1").await, exit(3, 0));
    let [stdout, stderr] = drains.map(Drain::until_writers_are_gone);
    assert_eq!(
        (stdout.as_slice(), stderr.as_slice()),
        (&b""[..], &b"out\n"[..])
    );
    // As the configuration of the plugin says it, too.
    let place = Place::new();
    let _drains = place.fifos.drains();
    stage
        .set_config(&json!({"fault": "wrong-exit-code"}))
        .await
        .unwrap();
    let mut task = place.shell("exit 3");
    task.id = "2".to_owned();
    stage.start(&task).await;
    assert_eq!(stage.exit("2").await, exit(0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_is_deaf_to_stops_answers_none_while_nobody_reads() {
    let (stage, place) = (Stage::new().await, Place::new());
    let readers = place.fifos.readers();
    let script = "echo ready; while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxx; done";
    let config = json!({"command": "sh", "args": ["-c", script], "fault": "deaf-to-stop"});
    stage.start(&place.journalled(place.task(&config))).await;
    place.until_blocked();
    let driver = stage.driver();
    let brief = Duration::from_millis(100);
    let stop = tokio::spawn(async move { driver.stop_task("a/web/1", brief, "").await });
    let second = Duration::from_secs(1);
    refusal(stage.driver().wait_task("a/web/1", second).await);
    assert!(!stop.is_finished());
    let _drains = readers.map(Drain::of);
    stop.await.unwrap().unwrap();
    assert_eq!(stage.exit("a/web/1").await, exit(143, 15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgets_task_on_early_stop() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let config = with_fault(&place, "forgets-task-on-early-stop");
    stage.start(&config).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let long = Duration::from_secs(30);
    stage.driver().stop_task("a/web/1", long, "").await.unwrap();
    assert_eq!(stage.exit("a/web/1").await, exit(137, 9));
    assert_eq!(place.processes().len(), 1, "the task lives on");
}
