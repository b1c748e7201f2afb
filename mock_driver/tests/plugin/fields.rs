//! The fields that users of Nomad's mock driver know, scripts, and what is wrong about them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::stage::{Place, Stage, exit, refusal};
use crate::support::{Drain, LIMIT, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_time_and_exit_are_as_the_fields_say() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let config = json!({
        "run_for": "300ms", "exit_code": 3, "stdout_string": "hi\n", "stdout_repeat": 2,
        "stdout_repeat_duration": "50ms", "stderr_string": "no\n", "of_a_newer_host": [1, 2],
    });
    let begin = Instant::now();
    stage.start(&place.task(&config)).await;
    assert_eq!(stage.exit("a/web/1").await, exit(3, 0));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    let [stdout, stderr] = drains.map(Drain::until_writers_are_gone);
    assert_eq!(
        (stdout.as_slice(), stderr.as_slice()),
        (&b"hi\nhi\nhi\n"[..], &b"no\n"[..])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_may_have_any_name_that_a_folder_can_have() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    for (number, name) in [".web", "...", "a\tb", "a b", &"x".repeat(255)]
        .into_iter()
        .enumerate()
    {
        std::fs::create_dir(place.path(name)).unwrap();
        let mut task = place.task(&json!({"command": "true"}));
        task.id = format!("a/{name}/{number}");
        task.name = name.to_owned();
        stage.start(&task).await;
        assert_eq!(stage.exit(&task.id).await, exit(0, 0), "{name:?}");
    }
    for name in ["", ".", "..", "a/b", "/"] {
        let mut task = place.task(&json!({"command": "true"}));
        task.name = name.to_owned();
        let why = refusal(stage.driver().start_task(task).await);
        assert!(why.contains("is no name of a task"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_ends_the_task_and_the_waiter_is_told_more() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    let config = json!({"exit_signal": 9, "exit_err_msg": "out of luck"});
    stage.start(&place.task(&config)).await;
    let answer = stage.driver().wait_task("a/web/1", LIMIT).await.unwrap();
    assert_eq!(answer.result, Some(exit(137, 9)));
    assert_eq!(answer.err, "out of luck");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_fails_after_its_time_and_says_whether_trying_again_may_help() {
    let (stage, place) = (Stage::new().await, Place::new());
    for is_recoverable in [false, true] {
        let config = json!({
            "start_error": "no room", "start_error_recoverable": is_recoverable, "start_block_for": "100ms",
        });
        let begin = Instant::now();
        let error = stage
            .driver()
            .start_task(place.task(&config))
            .await
            .unwrap_err();
        assert!(begin.elapsed() >= Duration::from_millis(100));
        assert_eq!(error.is_recoverable(), Some(is_recoverable));
        assert!(error.to_string().contains("no room"), "{error}");
    }
    place.until_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_nobody_waits_for_any_more_starts_nothing() {
    let (stage, place) = (Stage::new().await, Place::new());
    let fault = json!({"command": "true", "fault": "blocks-start-without-reader"});
    let slow = json!({"run_for": "1000s", "start_block_for": "1000s"});
    // A start of the same id that fails in any case, and tells whether the id is taken.
    let mut probe = place.task(&json!({}));
    probe.stdout_path = "/no/such".to_owned();
    for config in [fault, slow] {
        let task = place.task(&config);
        let driver = stage.driver();
        let call = tokio::spawn(async move {
            // A probe may have the id just now.
            while driver.start_task(task.clone()).await.is_err() {}
        });
        let begin = Instant::now();
        let mut why = String::new();
        while !why.contains("was started already") {
            why = refusal(stage.driver().start_task(probe.clone()).await);
            assert!(begin.elapsed() < LIMIT, "{why}");
        }
        call.abort();
        while why.contains("was started already") {
            why = refusal(stage.driver().start_task(probe.clone()).await);
            assert!(begin.elapsed() < LIMIT, "{why}");
        }
        place.until_nothing_is_left();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_is_answered_with_an_error_and_the_task_lives_on() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    let config = json!({"run_for": "1000s", "signal_error": "not now"});
    stage.start(&place.task(&config)).await;
    let why = refusal(stage.driver().signal_task("a/web/1", "SIGKILL").await);
    assert!(why.contains("not now"), "{why}");
    // A stop is none.
    let long = Duration::from_secs(30);
    stage.driver().stop_task("a/web/1", long, "").await.unwrap();
    assert_eq!(stage.exit("a/web/1").await, exit(143, 15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_lives_on_after_the_stop_as_long_as_it_says() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let config = json!({"run_for": "1000s", "kill_after": "300ms", "stdout_string": "ready\n"});
    stage.start(&place.task(&config)).await;
    wait_until("the task", || drains[0].has(b"ready\n"));
    let begin = Instant::now();
    let long = Duration::from_secs(30);
    stage.driver().stop_task("a/web/1", long, "").await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert_eq!(stage.exit("a/web/1").await, exit(143, 15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_configured_is_told_at_the_start_and_later() {
    let (stage, place) = (Stage::new().await, Place::new());
    let _drains = place.fifos.drains();
    let config =
        json!({"driver_ip": "10.1.2.3", "driver_port_map": "http:8080", "driver_advertise": true});
    let started = stage
        .driver()
        .start_task(place.task(&config))
        .await
        .unwrap();
    let network = started.network.unwrap();
    assert_eq!(
        (network.addr.as_str(), network.auto_advertise),
        ("10.1.2.3", true)
    );
    assert_eq!(network.port_map["http"], 8080);
    let told = stage.driver().inspect_task("a/web/1").await.unwrap();
    assert_eq!(told.answer.network_override, Some(network));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_dies_when_its_task_says_so_and_the_task_lives_on() {
    let (stage, place) = (Stage::new().await, Place::new());
    let drains = place.fifos.drains();
    let config = json!({"run_for": "1s", "plugin_exit_after": "100ms", "stdout_string": "a\n"});
    stage.start(&place.task(&config)).await;
    let end = stage.plugin.end_within(LIMIT).await;
    assert_eq!(end, Some(plugin::host::End::Signal(9)));
    assert!(!place.processes().is_empty());
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert_eq!(stdout, b"a\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_is_played_from_its_text_and_from_its_file() {
    let text = "exit_code = 5\n[[step]]\ndo = 'text'\nstream = 'stderr'\ntext = 'hello'\n";
    for script in [text, "local/task.toml"] {
        let (stage, place) = (Stage::new().await, Place::new());
        let drains = place.fifos.drains();
        std::fs::create_dir(place.path("web/local")).unwrap();
        std::fs::write(place.path("web/local/task.toml"), text).unwrap();
        stage.start(&place.task(&json!({ "script": script }))).await;
        assert_eq!(stage.exit("a/web/1").await, exit(5, 0));
        let [_, stderr] = drains.map(Drain::until_writers_are_gone);
        assert_eq!(stderr, b"hello");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_by_its_key_and_nothing_is_started() {
    let (stage, place) = (Stage::new().await, Place::new());
    for (config, words) in [
        (json!({"run_for": "5"}), "run_for: `5` is not a duration"),
        (
            json!({"exit_code": "x"}),
            "exit_code: expected number, found the string",
        ),
        (
            json!({"command": "a", "script": "b"}),
            "command, script: both are set",
        ),
        (json!({"script": "missing.toml"}), "script: cannot read "),
        (json!({"script": "x = 1"}), "script: "),
        (json!({"fault": "x"}), "fault: there is no fault `x`"),
    ] {
        let why = refusal(stage.driver().start_task(place.task(&config)).await);
        assert!(why.contains(words), "{config}: {why}");
    }
    let mut task = place.shell("true");
    task.msgpack_driver_config = vec![0x81, 0xa1];
    let why = refusal(stage.driver().start_task(task).await);
    assert!(why.contains("read MessagePack"), "{why}");
    place.until_nothing_is_left();
}
