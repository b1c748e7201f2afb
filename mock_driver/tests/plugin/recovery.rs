//! The plugin dies, and the next one takes its tasks over.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use plugin::msgpack;
use plugin::proto::driver::TaskHandle;
use plugin::value::Value;

use crate::stage::{Place, Stage, exit, number_in, refusal};
use crate::support::{Drain, LIMIT, wait_until};

/// Numbered lines before, between and behind the lives of two plugins; more between than a pipe holds.
pub(crate) const SCRIPT: &str = "echo $$ >>../pids; echo $$ >../pid; n() { seq -f 'line %.0f' $1 $2; }; \
    n 1 10; AWAY n 11 30000; touch ../done; BACK n 30001 30010; exit 7";

pub(crate) fn numbered() -> Vec<u8> {
    let lines: Vec<String> = (1..=30_010)
        .map(|number| format!("line {number}\n"))
        .collect();
    lines.concat().into_bytes()
}

/// The task of these tests, with its two gates.
pub(crate) fn task(place: &Place) -> plugin::proto::driver::TaskConfig {
    place.shell(&script(place))
}

pub(crate) fn script(place: &Place) -> String {
    let gate = |name: &str| crate::support::shell_gate(&place.path(name));
    SCRIPT
        .replace("AWAY", &gate("away"))
        .replace("BACK", &gate("back"))
}

pub(crate) fn first_lines() -> Vec<u8> {
    let all = numbered();
    let end = all
        .windows(8)
        .position(|bytes| bytes == b"line 11\n")
        .unwrap();
    all[..end].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_survives_the_plugin_and_the_next_one_has_it_without_a_gap() {
    let place = Place::new();
    let drains = place.fifos.drains();
    let stage = Stage::new().await;
    let handle = stage.start(&task(&place)).await;
    wait_until("the first lines", || drains[0].has(&first_lines()));
    let pid = number_in(&place.path("pid"));
    stage.kill();
    place.open("away");
    wait_until("the gap", || place.path("done").exists());
    let stage = Stage::new().await;
    stage.driver().recover_task(handle.clone()).await.unwrap();
    // Once more is as good.
    stage.driver().recover_task(handle).await.unwrap();
    let told = stage.driver().inspect_task("a/web/1").await.unwrap();
    assert_eq!(
        told.answer.driver.unwrap().attributes["pid"],
        pid.to_string()
    );
    place.open("back");
    assert_eq!(stage.exit("a/web/1").await, exit(7, 0));
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert!(stdout == numbered(), "{} bytes", stdout.len());
    let pids = std::fs::read_to_string(place.path("pids")).unwrap();
    assert_eq!(pids, format!("{pid}\n"));
    stage
        .driver()
        .kill_and_destroy_task("a/web/1")
        .await
        .unwrap();
    place.until_nothing_is_left();
}

/// The pipes among a process's descriptors of these numbers.
fn pipes(pid: i32, numbers: std::ops::Range<u32>) -> BTreeSet<PathBuf> {
    let link = |number| std::fs::read_link(format!("/proc/{pid}/fd/{number}")).ok();
    let links = numbers.filter_map(link);
    links
        .filter(|link| link.to_string_lossy().starts_with("pipe:"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lives_on_holds_no_pipe_of_the_plugin() {
    let place = Place::new();
    let drains = place.fifos.drains();
    let stage = Stage::new().await;
    stage
        .start(&place.shell("echo ready; exec sleep 1000"))
        .await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    // Its output. It may have others, which the test inherited itself.
    let own = pipes(stage.plugin.reattach().pid, 0..3);
    assert_eq!(own.len(), 2);
    let processes = place.processes();
    assert_eq!(processes.len(), 2);
    for pid in processes {
        let all = pipes(pid, 0..64);
        let shared: Vec<_> = all.intersection(&own).cloned().collect();
        assert!(shared.is_empty(), "{shared:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovered_task_is_stopped_as_any_other() {
    let place = Place::new();
    let drains = place.fifos.drains();
    let stage = Stage::new().await;
    let handle = stage
        .start(&place.shell("echo ready; exec sleep 1000"))
        .await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    stage.kill();
    let stage = Stage::new().await;
    stage.driver().recover_task(handle).await.unwrap();
    let long = Duration::from_secs(30);
    stage
        .driver()
        .stop_task("a/web/1", long, "SIGINT")
        .await
        .unwrap();
    assert_eq!(stage.exit("a/web/1").await, exit(130, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_task_that_nobody_saw_is_told_by_the_next_plugin() {
    let place = Place::new();
    let drains = place.fifos.drains();
    let stage = Stage::new().await;
    let handle = stage
        .start(&place.gated("echo ready; GATE kill -TERM $$", "end"))
        .await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    stage.kill();
    place.open("end");
    wait_until("the end of all", || place.processes().is_empty());
    let stage = Stage::new().await;
    stage.driver().recover_task(handle).await.unwrap();
    assert_eq!(stage.exit("a/web/1").await, exit(143, 15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_gone_without_a_status_is_an_error() {
    let place = Place::new();
    let _drains = place.fifos.drains();
    let stage = Stage::new().await;
    let handle = stage.start(&place.shell("sleep 1000")).await;
    // All at once: no executor is left that could write a status.
    for pid in place.processes() {
        crate::stage::signal(pid, nix::sys::signal::Signal::SIGSTOP);
    }
    for pid in place.processes() {
        crate::stage::signal(pid, nix::sys::signal::Signal::SIGKILL);
    }
    wait_until("the end of all", || place.processes().is_empty());
    // The plugin that had it says so, too.
    let answer = stage.driver().wait_task("a/web/1", LIMIT).await.unwrap();
    assert!(answer.err.contains("left no status"), "{}", answer.err);
    stage.kill();
    let stage = Stage::new().await;
    let why = refusal(stage.driver().recover_task(handle).await);
    assert!(why.contains("gone and left no status"), "{why}");
    let why = refusal(stage.driver().inspect_task("a/web/1").await);
    assert!(why.contains("task not found"), "{why}");
}

/// The handle with one number of its state changed.
pub(crate) fn changed(
    handle: &TaskHandle,
    change: impl FnOnce(&mut serde_json::Value),
) -> TaskHandle {
    let mut json = msgpack::decode(&handle.driver_state).unwrap().to_json();
    change(&mut json);
    TaskHandle {
        driver_state: msgpack::encode(&Value::from_json(&json)),
        ..handle.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_that_is_another_processs_or_none_is_refused() {
    let place = Place::new();
    let _drains = place.fifos.drains();
    let stage = Stage::new().await;
    let handle = stage.start(&place.gated("GATE exit 7", "end")).await;
    stage.kill();
    let stage = Stage::new().await;
    for (bad, words) in [
        (
            changed(&handle, |json| json["executor"]["began"] = 1.into()),
            "gone and left no status",
        ),
        (
            changed(&handle, |json| json["boot"] = "x".into()),
            "gone and left no status",
        ),
        (
            changed(&handle, |json| json["version"] = 9.into()),
            "it has version 9, not 1 or 2",
        ),
        (
            TaskHandle {
                driver_state: vec![0xc1],
                ..handle.clone()
            },
            "driver_state",
        ),
        (
            TaskHandle {
                config: None,
                ..handle.clone()
            },
            "handle.config",
        ),
    ] {
        let why = refusal(stage.driver().recover_task(bad).await);
        assert!(why.contains(words), "{why}");
    }
    // The task was left alone.
    stage.driver().recover_task(handle).await.unwrap();
    place.open("end");
    assert_eq!(stage.exit("a/web/1").await, exit(7, 0));
}
