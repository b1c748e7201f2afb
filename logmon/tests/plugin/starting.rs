//! Edge: what a Start does, and what it leaves alone (contract MON-1, MON-2, MON-4, MON-5, MON-6).

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::Duration;

use plugin::hclog::{Level, Record};

use crate::stage::{Stage, assert_quick, descriptors_of, pid, timed};
use crate::support::{lines, wait_until, write_all};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bytes_arrive_through_fifos_that_are_made_private() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    for end in ["stdout", "stderr"] {
        let metadata = fs::symlink_metadata(stage.fifo("web", end)).unwrap();
        assert!(metadata.file_type().is_fifo());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        write_all(&stage.writer("web", end), end.as_bytes());
    }
    for end in ["stdout", "stderr"] {
        stage.wait_for_log(&format!("web.{end}"), end.as_bytes());
    }
    let files = stage.files("web.stdout");
    assert_eq!(files, [(0, b"stdout".to_vec())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_may_have_any_name_that_files_can_have() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    // Of the longest one, the stream has 245 bytes.
    for task in [
        ".web",
        ".",
        "..",
        "a\tb",
        "a\nb",
        "\u{1b}[2J",
        " ",
        &"x".repeat(238),
    ] {
        plugin.log_mon().start(stage.request(task)).await.unwrap();
        for end in ["stdout", "stderr"] {
            write_all(&stage.writer(task, end), end.as_bytes());
        }
        for end in ["stdout", "stderr"] {
            let name = format!("{task}.{end}");
            stage.wait_for_log(&name, end.as_bytes());
            assert_eq!(stage.files(&name), [(0, end.as_bytes().to_vec())]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_not_wait_for_writers() {
    assert_quick(Duration::from_millis(500), || async {
        let stage = Stage::new();
        let plugin = stage.plugin().await;
        let (started, took) = timed(plugin.log_mon().start(stage.request("web"))).await;
        started.unwrap();
        took
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_changes_nothing() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    let fifos = ["stdout", "stderr"].map(|end| stage.fifo("web", end));
    let open = || {
        fifos
            .each_ref()
            .map(|fifo| descriptors_of(pid(&plugin), fifo))
    };
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    let before = open();
    assert!(before.iter().all(|one| !one.is_empty()), "{before:?}");
    let writer = stage.writer("web", "stdout");
    let text = lines(0, 2000);
    write_all(&writer, &text[..100_000]);
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    assert_eq!(open(), before);
    write_all(&writer, &text[100_000..]);
    stage.wait_for_log("web.stdout", &text);
}

/// The original's log collector takes both streams down when one of them ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_when_the_other_has_no_writer_any_more() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    let stdout = stage.writer("web", "stdout");
    let stderr = stage.writer("web", "stderr");
    write_all(&stderr, &lines(0, 10));
    write_all(&stdout, b"the last words");
    drop(stdout);
    stage.wait_for_log("web.stdout", b"the last words");
    let open = || descriptors_of(pid(&plugin), &stage.fifo("web", "stderr"));
    let before = open();
    assert!(!before.is_empty());
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    assert_eq!(open(), before);
    write_all(&stderr, &lines(10, 10));
    stage.wait_for_log("web.stderr", &lines(0, 20));
    write_all(&stage.writer("web", "stdout"), b" and more");
    stage.wait_for_log("web.stdout", b"the last words and more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_restarted_goes_on_in_the_same_files() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    for run in 0..30 {
        plugin.log_mon().start(stage.request("web")).await.unwrap();
        write_all(&stage.writer("web", "stdout"), &lines(run * 10, 10));
        write_all(&stage.writer("web", "stderr"), &lines(run, 1));
    }
    stage.wait_for_log("web.stdout", &lines(0, 300));
    stage.wait_for_log("web.stderr", &lines(0, 30));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_with_other_fifos_are_other_tasks_of_the_same_process() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    let tasks: Vec<String> = (0..20).map(|number| format!("task{number}")).collect();
    for task in &tasks {
        plugin.log_mon().start(stage.request(task)).await.unwrap();
    }
    for (number, task) in tasks.iter().enumerate() {
        write_all(&stage.writer(task, "stdout"), &lines(number * 100, 50));
        write_all(&stage.writer(task, "stderr"), &lines(number * 100, 5));
    }
    for (number, task) in tasks.iter().enumerate() {
        stage.wait_for_log(&format!("{task}.stdout"), &lines(number * 100, 50));
        stage.wait_for_log(&format!("{task}.stderr"), &lines(number * 100, 5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_of_one_task_at_the_same_time_agree() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    let starts: Vec<_> = (0..16)
        .map(|_| {
            let (log_mon, request) = (plugin.log_mon(), stage.request("web"));
            tokio::spawn(async move { log_mon.start(request).await })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    write_all(&stage.writer("web", "stdout"), &lines(0, 10));
    stage.wait_for_log("web.stdout", &lines(0, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_takes_changed_limits_over() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    let mut request = stage.request("web");
    plugin.log_mon().start(request.clone()).await.unwrap();
    let writer = stage.writer("web", "stdout");
    // Files of 2^20 bytes have room for 10,485 whole lines.
    write_all(&writer, &lines(0, 45_000));
    wait_until("everything is logged", || {
        stage.log("web.stdout").len() == 4_500_000
    });
    let sizes = |stage: &Stage| -> Vec<(u64, usize)> {
        let files = stage.files("web.stdout").into_iter();
        files.map(|(index, bytes)| (index, bytes.len())).collect()
    };
    let full = 1_048_500;
    let expected = [(0, full), (1, full), (2, full), (3, full), (4, 306_000)];
    assert_eq!(sizes(&stage), expected);

    request.max_files = 2;
    request.max_file_size_mb = 3;
    plugin.log_mon().start(request).await.unwrap();
    wait_until("the oldest files are gone", || {
        sizes(&stage) == [(3, full), (4, 306_000)]
    });
    write_all(&writer, &lines(45_000, 28_397));
    wait_until("the larger file is full", || {
        sizes(&stage) == [(3, full), (4, 3_145_700)]
    });
    write_all(&writer, &lines(73_397, 1));
    wait_until("the next file is begun", || {
        sizes(&stage) == [(4, 3_145_700), (5, 100)]
    });
}

/// Longer than the 4,096 bytes that a pipe takes as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_line_that_is_too_long_stays_a_line() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    let mut nowhere = stage.request("web");
    nowhere.log_dir = "/x".repeat(4000);
    plugin.log_mon().start(nowhere).await.unwrap_err();
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    let is_started = |line: &Record| line.message == "started";
    wait_until("both starts are told", || {
        stage.log_lines().iter().any(is_started)
    });
    let lines = stage.log_lines();
    let are_whole = lines
        .iter()
        .all(|line| line.module.as_deref() == Some("logmon"));
    assert!(are_whole, "{lines:?}");
    let refused = &lines[0];
    assert_eq!(refused.level, Level::Warn, "{refused:?}");
    assert_eq!(refused.message, "can't start");
    let error = refused.fields["error"].as_str().unwrap();
    assert!(
        error.starts_with("log_dir is \"/x/x") && error.ends_with('…'),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_those_of_a_plugin() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    wait_until("the start is told", || {
        stage
            .log_lines()
            .iter()
            .any(|line| line.message == "started")
    });
    for line in stage.log_lines() {
        assert_eq!(line.level, Level::Info, "{line:?}");
        assert_eq!(line.module.as_deref(), Some("logmon"), "{line:?}");
        assert!(line.timestamp.is_some(), "{line:?}");
    }
}
