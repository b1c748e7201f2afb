//! Edge: what is refused, by which words, and that nothing stays open after it (contract MON-6, MON-11).

use std::fs;
use std::process::Command;

use fifo::Writer;
use plugin::handshake::COOKIE_NAME;
use plugin::host::{CallError, Plugin};
use plugin::proto::logmon::StartRequest;

use crate::stage::{Stage, descriptors, pid};
use crate::support::{wait_until, write_all};

/// Codes of gRPC.
const UNKNOWN: i32 = 2;
const INVALID_ARGUMENT: i32 = 3;

async fn refusal(plugin: &Plugin, request: StartRequest) -> (i32, String) {
    match plugin.log_mon().start(request).await {
        Err(CallError::Refused { status, .. }) => {
            (status.code().into(), status.message().to_owned())
        }
        Err(error) => panic!("{error}"),
        Ok(()) => panic!("it was not refused"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_fifo_is_refused_and_stays_what_it_is() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    // The first call opens what calls need.
    plugin.log_mon().stop().await.unwrap();
    let before = descriptors(pid(&plugin));
    let path = stage.fifo("web", "stderr");
    fs::write(&path, "somebody's").unwrap();
    let (code, text) = refusal(&plugin, stage.request("web")).await;
    assert_eq!(code, UNKNOWN);
    let expected = format!(
        "stderr_fifo is {path:?}: can't use the FIFO: use {} as a FIFO: it is a regular file",
        path.display()
    );
    assert_eq!(text, expected);
    assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    // The other FIFO was made, and nobody has it open.
    assert!(stage.fifo("web", "stdout").exists());
    assert_eq!(descriptors(pid(&plugin)), before);
    assert!(Writer::try_open(stage.fifo("web", "stdout")).is_err());

    fs::remove_file(&path).unwrap();
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    write_all(&stage.writer("web", "stderr"), b"now it is one");
    stage.wait_for_log("web.stderr", b"now it is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_folders_are_refused_too() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    let path = stage.fifo("web", "stdout");
    std::os::unix::fs::symlink(stage.path("run/elsewhere"), &path).unwrap();
    let (_, text) = refusal(&plugin, stage.request("web")).await;
    assert!(
        text.starts_with(&format!("stdout_fifo is {path:?}: ")),
        "{text}"
    );
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let (_, text) = refusal(&plugin, stage.request("web")).await;
    assert!(text.ends_with("it is a folder"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_makes_no_sense_is_told_field_and_value() {
    type Change = fn(&mut StartRequest);
    let cases: [(Change, &str); 8] = [
        (|one| one.log_dir.clear(), "log_dir is \"\": "),
        (|one| one.stdout_fifo.clear(), "stdout_fifo is \"\": "),
        (|one| one.stderr_fifo = "a".into(), "stderr_fifo is \"a\": "),
        (
            |one| one.stdout_file_name.clear(),
            "stdout_file_name is \"\": ",
        ),
        (
            |one| one.stderr_file_name = "../web".into(),
            "stderr_file_name is \"../web\": the name \"../web\" has a slash",
        ),
        (
            |one| one.stdout_file_name = format!("{}.stdout", "x".repeat(239)),
            "stdout_file_name is \"xxx",
        ),
        (|one| one.max_files = 0, "max_files is 0: "),
        (|one| one.max_file_size_mb = 0, "max_file_size_mb is 0: "),
    ];
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    plugin.log_mon().stop().await.unwrap();
    let before = descriptors(pid(&plugin));
    for (change, beginning) in cases {
        let mut request = stage.request("web");
        change(&mut request);
        let (code, text) = refusal(&plugin, request).await;
        assert_eq!(code, INVALID_ARGUMENT, "{text}");
        assert!(text.starts_with(beginning), "{text}");
    }
    assert!(!stage.fifo("web", "stdout").exists());
    assert_eq!(descriptors(pid(&plugin)), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_told_with_its_field() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    plugin.log_mon().stop().await.unwrap();
    let before = descriptors(pid(&plugin));
    let nowhere = stage.path("nowhere").display().to_string();
    type Change = fn(&mut StartRequest, String);
    let cases: [(&str, Change); 3] = [
        ("log_dir", |one, path| one.log_dir = path),
        ("stdout_fifo", |one, path| one.stdout_fifo = path + "/x"),
        ("stderr_fifo", |one, path| one.stderr_fifo = path + "/x"),
    ];
    for (field, change) in cases {
        let mut request = stage.request("web");
        change(&mut request, nowhere.clone());
        let (code, text) = refusal(&plugin, request).await;
        assert_eq!(code, UNKNOWN, "{text}");
        let beginning = format!("{field} is \"{nowhere}");
        assert!(text.starts_with(&beginning), "{text}");
        assert!(text.contains("No such file or directory"), "{text}");
        assert_eq!(descriptors(pid(&plugin)), before, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_for_a_task_that_runs_are_refused_and_it_runs_on() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    let writer = stage.writer("web", "stdout");
    write_all(&writer, b"one ");
    let mut request = stage.request("web");
    request.stdout_file_name = "other".into();
    request.max_files = 1;
    let (_, text) = refusal(&plugin, request).await;
    assert!(text.contains("web.stdout runs with another name"), "{text}");
    write_all(&writer, b"two");
    stage.wait_for_log("web.stdout", b"one two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_for_the_same_fifos_is_refused() {
    let stage = Stage::new();
    let first = stage.plugin().await;
    first.log_mon().start(stage.request("web")).await.unwrap();
    let second = stage.plugin().await;
    let (_, text) = refusal(&second, stage.request("web")).await;
    let path = stage.fifo("web", "stdout");
    assert!(
        text.starts_with(&format!("stdout_fifo is {path:?}: another logmon reads")),
        "{text}"
    );
    write_all(&stage.writer("web", "stdout"), b"for the first");
    stage.wait_for_log("web.stdout", b"for the first");
    first.end().await.unwrap();
    second.log_mon().start(stage.request("web")).await.unwrap();
}

#[test]
fn started_by_hand_it_says_what_it_is() {
    for cookie in [None, Some("wrong")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
        command.arg("plugin").env_remove(COOKIE_NAME);
        if let Some(cookie) = cookie {
            command.env(COOKIE_NAME, cookie);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("This program is a plugin: "), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_can_not_be_is_told_before_the_handshake() {
    let stage = Stage::new();
    let keeper = stage.path("nowhere/at/all/keeper.sock");
    let launched = stage
        .launch(&["--keeper", keeper.to_str().unwrap()])
        .start();
    let Err(error) = launched.await else {
        panic!("it serves without a keeper");
    };
    assert!(error.to_string().contains("ended with code 66"), "{error}");
    wait_until("the reason is told", || {
        let lines = stage.log_lines();
        lines.iter().any(|line| {
            let reason = line.fields.get("error").and_then(|text| text.as_str());
            reason.is_some_and(|text| text.contains("nowhere"))
        })
    });
}
