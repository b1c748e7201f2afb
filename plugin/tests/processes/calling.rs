//! Calls, their answers, and each way that one can go wrong.

use std::time::Duration;

use plugin::Code;
use plugin::host::{CallError, Deadlines, End, HostError, Said};
use plugin::proto::base::SetConfigRequest;
use plugin::proto::driver::exec_task_streaming_request::Setup;
use plugin::proto::driver::{
    DriverCapabilities, ExecTaskStreamingIo, ExecTaskStreamingRequest, TaskConfig,
};
use plugin::proto::logmon::StartRequest;
use plugin::spec::Spec;
use plugin::value::Value;
use serde_json::json;

use crate::stage::{LONG, Stage, deadlines, trials};

trials![
    a_stream_is_open_before_its_first_answer,
    a_configuration_goes_by_its_schema,
    a_driver_answers_every_call,
    what_is_missing_in_an_answer_is_named,
    a_plugin_that_dies_in_a_call_is_told_with_its_last_words,
    a_call_that_is_not_answered_has_a_deadline,
    a_plugin_is_told_the_deadline_of_a_call,
    a_plugin_without_a_word_has_a_deadline,
    hundreds_of_calls_are_open_on_one_connection,
    what_a_plugin_writes_behind_its_handshake_is_read,
    a_plugin_that_speaks_something_else_is_told,
    an_error_tells_whether_trying_again_may_help,
    output_comes_in_chunks_and_lines_of_the_log_with_their_fields,
    a_plugin_of_one_thread_says_more_than_a_pipe_holds,
    standard_error_can_be_captured_too,
];

pub(crate) fn start(log_dir: &str) -> StartRequest {
    StartRequest {
        log_dir: log_dir.to_owned(),
        stdout_file_name: "web.stdout".to_owned(),
        ..StartRequest::default()
    }
}

async fn a_stream_is_open_before_its_first_answer() {
    let stage = Stage::new();
    let plugin = stage.launch("leaves-out").start().await.unwrap();
    let mut events = plugin.driver().task_events();
    for _ in 0..2 {
        let error = events.next(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.to_string(), "call TaskEvents: no answer within 20ms");
    }
    plugin.log_mon().stop().await.unwrap();
    let event = events.next(LONG).await.unwrap().unwrap();
    assert_eq!(event.message, "stopped");
    assert!(events.next(LONG).await.unwrap().is_none());
    plugin.end().await.unwrap();
}

async fn a_configuration_goes_by_its_schema() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let base = plugin.base();
    assert_eq!(base.plugin_info().await.unwrap().name, "test");
    let schema = base.config_schema().await.unwrap().unwrap();
    let spec = Spec::from_proto(&schema).unwrap();
    let set = async |name: &str| {
        let config = spec
            .check(&Value::from_json(&json!({"name": name})))
            .unwrap();
        base.set_config(SetConfigRequest {
            msgpack_config: plugin::msgpack::encode(&config),
            plugin_api_version: "v0.1.0".to_owned(),
            ..SetConfigRequest::default()
        })
        .await
    };
    set("web").await.unwrap();
    let error = set("db").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "call SetConfig: the plugin answered FailedPrecondition: {\"enabled\":true,\"name\":\"db\"}"
    );
    assert_eq!(error.is_recoverable(), Some(false));
    plugin.end().await.unwrap();
}

async fn a_driver_answers_every_call() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let driver = plugin.driver();
    let config = TaskConfig {
        id: "a/web/1".to_owned(),
        ..TaskConfig::default()
    };
    driver.task_config_schema().await.unwrap();
    assert!(driver.capabilities().await.unwrap().send_signals);
    let mut fingerprints = driver.fingerprint();
    let first = fingerprints.next(LONG).await.unwrap().unwrap();
    assert_eq!(first.health_description, "healthy");
    assert!(fingerprints.next(LONG).await.unwrap().is_none());
    let mut events = driver.task_events();
    assert!(events.next(LONG).await.unwrap().is_none());
    let started = driver.start_task(config.clone()).await.unwrap();
    assert_eq!(started.handle.config, Some(config));
    driver.recover_task(started.handle).await.unwrap();
    let waited = driver.wait_task("a", LONG).await.unwrap();
    assert_eq!(waited.result.unwrap().exit_code, -1);
    let lost = driver.wait_task("lost", LONG).await.unwrap();
    assert_eq!(lost.err, "it was lost");
    let unknown = driver.wait_task("unknown", LONG).await.unwrap_err();
    assert_eq!(unknown.code(), Some(Code::Unknown));
    let kill_after = Duration::from_millis(1500);
    driver.stop_task("a", kill_after, "SIGTERM").await.unwrap();
    driver.destroy_task("a").await.unwrap_err();
    driver.kill_and_destroy_task("a").await.unwrap();
    let inspected = driver.inspect_task("a").await.unwrap();
    assert_eq!(inspected.task.name, "web");
    let mut stats = driver.task_stats("a", LONG);
    stats.next(LONG).await.unwrap().unwrap();
    assert!(stats.next(LONG).await.unwrap().is_none());
    driver.signal_task("a", "SIGHUP").await.unwrap();
    let words = vec!["ls".to_owned(), "-l".to_owned()];
    let executed = driver.exec_task("a", words.clone(), LONG).await.unwrap();
    assert_eq!(executed.stdout, b"ls -l");
    // Servers and clients of gRPC take 4 MiB unless told otherwise.
    let much = driver.exec_task("a", vec!["much".to_owned()], LONG).await;
    assert_eq!(much.unwrap().stdout.len(), 16 << 20);
    plugin.end().await.unwrap();

    let plugin = stage.launch("good").start().await.unwrap();
    let setup = Setup {
        task_id: "a".to_owned(),
        command: words,
        tty: false,
    };
    let stdin = ExecTaskStreamingIo {
        data: b"input".to_vec(),
        close: true,
    };
    let stdin = ExecTaskStreamingRequest {
        stdin: Some(stdin),
        ..ExecTaskStreamingRequest::default()
    };
    let mut exec = plugin.driver().exec_task_streaming(setup);
    exec.input.send(stdin).await.unwrap();
    let output = exec.output.next(LONG).await.unwrap().unwrap();
    assert_eq!(output.stdout.unwrap().data, b"input");
    let end = exec.output.next(LONG).await.unwrap().unwrap();
    assert!(end.exited);
    assert_eq!(end.result.unwrap().exit_code, 2);
    plugin.end().await.unwrap();
}

#[track_caller]
fn lacks<T>(answer: Result<T, CallError>, call: &str, field: &str) {
    let Err(error @ CallError::Missing(_)) = answer else {
        panic!("{call} lacks {field}, and nobody said so");
    };
    let text = format!("call {call}: the answer has no {field}");
    assert_eq!(error.to_string(), text);
}

async fn what_is_missing_in_an_answer_is_named() {
    let stage = Stage::new();
    let plugin = stage.launch("leaves-out").start().await.unwrap();
    let driver = plugin.driver();
    lacks(
        driver.task_config_schema().await,
        "TaskConfigSchema",
        "spec",
    );
    // What the original host goes on without.
    assert_eq!(plugin.base().config_schema().await.unwrap(), None);
    let nothing = DriverCapabilities::default();
    assert_eq!(driver.capabilities().await.unwrap(), nothing);
    let started = driver.start_task(TaskConfig::default()).await;
    lacks(started, "StartTask", "handle");
    lacks(driver.wait_task("a", LONG).await, "WaitTask", "result");
    let lost = driver.wait_task("lost", LONG).await.unwrap_err();
    assert_eq!(
        lost.to_string(),
        "call WaitTask: the answer has no result beside its error: it was lost"
    );
    for field in [
        "task",
        "task.result",
        "task.started_at",
        "task.completed_at",
    ] {
        lacks(driver.inspect_task(field).await, "InspectTask", field);
    }
    for field in ["stats", "stats.agg_resource_usage", "stats.timestamp"] {
        let mut stats = driver.task_stats(field, LONG);
        lacks(stats.next(LONG).await, "TaskStats", field);
    }
    let executed = driver.exec_task("a", Vec::new(), LONG).await;
    lacks(executed, "ExecTask", "result");
    plugin.end().await.unwrap();
}

async fn a_plugin_that_dies_in_a_call_is_told_with_its_last_words() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let error = plugin.log_mon().start(start("dies")).await.unwrap_err();
    let CallError::Ended { call, end, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((call, end), ("Start", End::Code(9)));
    let again = plugin.ping().await.unwrap_err();
    assert_eq!(
        again.to_string(),
        "call Check: the plugin ended with code 9; it said: last words"
    );
    plugin.end().await.unwrap();
    assert_eq!(stage.files(), [""; 0], "the socket of a dead plugin");
}

async fn a_call_that_is_not_answered_has_a_deadline() {
    let stage = Stage::new();
    let call = Duration::from_millis(100);
    let short = Deadlines {
        call,
        ..deadlines()
    };
    let plugin = stage.launch("good").deadlines(short).start().await.unwrap();
    let error = plugin.log_mon().start(start("waits")).await.unwrap_err();
    assert_eq!(error.to_string(), "call Start: no answer within 100ms");
    // The plugin does not wait for that call, either.
    plugin.end().await.unwrap();
}

async fn a_plugin_is_told_the_deadline_of_a_call() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let told = plugin.log_mon().start(start("tells-the-deadline")).await;
    assert_eq!(
        told.unwrap_err().to_string(),
        format!(
            "call Start: the plugin answered Unknown: {}u",
            LONG.as_micros()
        )
    );
    plugin.end().await.unwrap();
}

async fn a_plugin_without_a_word_has_a_deadline() {
    let stage = Stage::new();
    let call = Duration::from_millis(100);
    let short = Deadlines {
        call,
        ..deadlines()
    };
    let plugin = stage.launch("deaf").deadlines(short).start().await.unwrap();
    let error = plugin.ping().await.unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    drop(plugin);
    assert_eq!(stage.files(), [""; 0], "the socket of a killed plugin");
}

async fn hundreds_of_calls_are_open_on_one_connection() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    // As many as a driver of 250 tasks has, and more than servers allow unless told otherwise.
    let calls: Vec<_> = (0..500)
        .map(|_| {
            let log_mon = plugin.log_mon();
            tokio::spawn(async move { log_mon.start(start("waits")).await })
        })
        .collect();
    let driver = plugin.driver();
    let mut stream = driver.task_events();
    assert!(stream.next(LONG).await.unwrap().is_none());
    plugin.ping().await.unwrap();
    plugin.end().await.unwrap();
    for call in calls {
        call.await.unwrap().unwrap_err();
    }
}

async fn what_a_plugin_writes_behind_its_handshake_is_read() {
    let stage = Stage::new();
    let plugin = stage.launch("chatty").start().await.unwrap();
    let bytes = |heard: &[Said]| joined(heard, stray).0.len();
    stage.hears(move |heard| bytes(heard) == 1 << 20).await;
    drop(plugin);
}

async fn a_plugin_that_speaks_something_else_is_told() {
    for kind in ["speaks-http-1", "hangs-up"] {
        let stage = Stage::new();
        match stage.launch(kind).start().await {
            Ok(plugin) => {
                let error = plugin.ping().await.unwrap_err();
                assert!(
                    matches!(error, CallError::Disconnected { call: "Check", .. }),
                    "{kind}: {error}"
                );
            }
            // It may be faster than the connection is made.
            Err(HostError::Http { .. }) => {}
            Err(error) => panic!("{kind}: {error}"),
        }
        assert_eq!(stage.files(), [""; 0], "{kind}");
    }
}

async fn an_error_tells_whether_trying_again_may_help() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let error = plugin.log_mon().start(start("")).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::FailedPrecondition));
    assert_eq!(error.is_recoverable(), Some(true));
    let error = plugin.driver().signal_task("a", "X").await.unwrap_err();
    assert_eq!(error.is_recoverable(), None);
    assert_eq!(
        error.to_string(),
        "call SignalTask: the plugin answered Unknown: there is no X"
    );
    plugin.end().await.unwrap();
}

/// All bytes of one kind, and the length of the longest piece.
fn joined(heard: &[Said], of: impl Fn(&Said) -> Option<&Vec<u8>>) -> (Vec<u8>, usize) {
    let pieces: Vec<_> = heard.iter().filter_map(of).collect();
    let longest = pieces.iter().map(|piece| piece.len()).max();
    (
        pieces.into_iter().flatten().copied().collect(),
        longest.unwrap_or(0),
    )
}

fn stdout(said: &Said) -> Option<&Vec<u8>> {
    match said {
        Said::Stdout(bytes) => Some(bytes),
        Said::Log(_) | Said::Stray(_) | Said::Stderr(_) => None,
    }
}

fn stray(said: &Said) -> Option<&Vec<u8>> {
    match said {
        Said::Stray(bytes) => Some(bytes),
        Said::Log(_) | Said::Stdout(_) | Said::Stderr(_) => None,
    }
}

fn stderr(said: &Said) -> Option<&Vec<u8>> {
    match said {
        Said::Stderr(bytes) => Some(bytes),
        Said::Log(_) | Said::Stray(_) | Said::Stdout(_) => None,
    }
}

fn messages(heard: &[Said]) -> Vec<String> {
    let message = |said: &Said| match said {
        Said::Log(record) => Some(format!(
            "{} {} {}",
            record.level.name(),
            record.message,
            record.fields.get("task").unwrap_or(&json!(null))
        )),
        Said::Stray(_) | Said::Stdout(_) | Said::Stderr(_) => None,
    };
    heard.iter().filter_map(message).collect()
}

async fn output_comes_in_chunks_and_lines_of_the_log_with_their_fields() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    plugin.log_mon().start(start("says")).await.unwrap();
    let expected = ["info started \"web.stdout\"", "warn on standard error null"];
    stage
        .hears(move |heard| joined(heard, stdout).0.len() == 1500 && messages(heard) == expected)
        .await;
    let heard = stage.heard.lock().unwrap().clone();
    let (bytes, longest) = joined(&heard, stdout);
    assert_eq!(bytes, [b'o'; 1500]);
    assert!(longest <= 1024, "{longest}");
    assert!(
        !heard.iter().any(|said| matches!(said, Said::Stray(_))),
        "{heard:?}"
    );
    plugin.end().await.unwrap();
}

async fn a_plugin_of_one_thread_says_more_than_a_pipe_holds() {
    let stage = Stage::new();
    let plugin = stage.launch("has-one-thread").start().await.unwrap();
    plugin.log_mon().start(start("says-more")).await.unwrap();
    plugin.log_mon().start(start("says-more")).await.unwrap();
    plugin.end().await.unwrap();
}

async fn standard_error_can_be_captured_too() {
    let stage = Stage::new();
    let plugin = stage.launch("captures-all").start().await.unwrap();
    plugin.log_mon().start(start("says")).await.unwrap();
    stage
        .hears(|heard| {
            joined(heard, stderr).0 == b"[WARN] on standard error\n"
                && messages(heard) == ["info started \"web.stdout\""]
        })
        .await;
    plugin.end().await.unwrap();
}
