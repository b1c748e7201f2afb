//! Edge: Stop, and the ends that are asked for (contract MON-7).

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fifo::{Writer, Written};
use nix::sys::signal::Signal;
use plugin::host::{End, Manner};

use crate::stage::{Stage, assert_quick, descriptors, is_gone, pid, send, timed};
use crate::support::{LIMIT, lines, pause, wait_until, write_all};

/// Contract MON-7.
const STOP_LIMIT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_drains_and_lets_go_and_the_task_can_be_started_again() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    for round in 0..3 {
        plugin.log_mon().start(stage.request("web")).await.unwrap();
        let writer = stage.writer("web", "stdout");
        write_all(&writer, &lines(round * 500, 500));
        plugin.log_mon().stop().await.unwrap();
        // Nothing is waited for: it is there when the answer is.
        assert!(stage.log("web.stdout") == lines(0, (round + 1) * 500));
        assert_eq!(writer.try_write(b"x").unwrap(), Written::NoReader);
        let open: Vec<_> = descriptors(pid(&plugin)).into_values().collect();
        let is_ours = |path: &PathBuf| path.starts_with(stage.path(""));
        assert!(!open.iter().any(is_ours), "{open:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_a_start_is_no_error() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    plugin.log_mon().stop().await.unwrap();
    plugin.log_mon().stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_about_all_tasks() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    let tasks = ["a", "b", "c"];
    for task in tasks {
        plugin.log_mon().start(stage.request(task)).await.unwrap();
        write_all(&stage.writer(task, "stderr"), task.as_bytes());
    }
    plugin.log_mon().stop().await.unwrap();
    for task in tasks {
        assert_eq!(stage.log(&format!("{task}.stderr")), task.as_bytes());
        assert!(Writer::try_open(stage.fifo(task, "stderr")).is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifos_that_nobody_opened_hold_no_stop_up() {
    assert_quick(Duration::from_millis(500), || async {
        let stage = Stage::new();
        let plugin = stage.plugin().await;
        plugin.log_mon().start(stage.request("web")).await.unwrap();
        let (stopped, took) = timed(plugin.log_mon().stop()).await;
        stopped.unwrap();
        plugin.log_mon().start(stage.request("web")).await.unwrap();
        write_all(&stage.writer("web", "stdout"), b"again");
        stage.wait_for_log("web.stdout", b"again");
        took
    })
    .await;
}

/// Writes lines until nobody reads them; gives how many bytes went into the pipe.
fn flood(writer: &Writer, text: &[u8], has_begun: &AtomicBool) -> usize {
    let mut written = 0;
    while written < text.len() {
        let end = text.len().min(written + 64 * 1024);
        match writer.try_write(&text[written..end]).unwrap() {
            Written::Bytes(bytes) => written += bytes,
            Written::Full => {}
            Written::NoReader => break,
        }
        has_begun.store(true, Ordering::Relaxed);
        pause();
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_never_ends_holds_no_stop_up_and_loses_nothing() {
    assert_quick(STOP_LIMIT, || async {
        let stage = Stage::new();
        let plugin = stage.plugin().await;
        let mut request = stage.request("web");
        request.max_files = 1000;
        plugin.log_mon().start(request.clone()).await.unwrap();
        let writer = stage.writer("web", "stdout");
        // At 64 KiB in 2 ms or more this lasts for longer than any stop.
        let text = Arc::new(lines(0, 2_000_000));
        let has_begun = Arc::new(AtomicBool::new(false));
        let flooding = {
            let (text, has_begun) = (Arc::clone(&text), Arc::clone(&has_begun));
            std::thread::spawn(move || {
                let written = flood(&writer, &text, &has_begun);
                (writer, written)
            })
        };
        wait_until("the flood has begun", || has_begun.load(Ordering::Relaxed));
        let (stopped, took) = timed(plugin.log_mon().stop()).await;
        stopped.unwrap();
        let (_writer, written) = flooding.join().unwrap();
        assert!(written < text.len(), "the flood was over");
        // What was not read is in the pipe, which its writer has open.
        plugin.log_mon().start(request).await.unwrap();
        wait_until("all of it is logged", || {
            stage.log("web.stdout").len() >= written
        });
        assert!(stage.log("web.stdout") == text[..written]);
        took
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_asks_for_the_end_gets_everything_written() {
    assert_quick(STOP_LIMIT, || async {
        let stage = Stage::new();
        let plugin = stage.plugin().await;
        for task in ["a", "b"] {
            plugin.log_mon().start(stage.request(task)).await.unwrap();
        }
        // A writer that stays, with a line that waits for its rest as the file is nearly full, and one that
        // has gone.
        let writer = stage.writer("a", "stdout");
        write_all(&writer, &lines(0, 10_485));
        stage.wait_for_log("a.stdout", &lines(0, 10_485));
        write_all(&writer, b"prompt> ");
        write_all(&stage.writer("b", "stderr"), b"the end without a newline");
        let ended = plugin.end().await.unwrap();
        assert_eq!((ended.manner, ended.end), (Manner::Asked, End::Code(0)));
        assert!(stage.log("a.stdout") == [lines(0, 10_485), b"prompt> ".to_vec()].concat());
        assert_eq!(stage.log("b.stderr"), b"the end without a newline");
        assert_eq!(stage.sockets(), [""; 0]);
        ended.took
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_and_sigint_does_nothing() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    send(pid(&plugin), Signal::SIGINT);
    // Had the signal ended it, this would have no answer.
    plugin.ping().await.unwrap();
    let writer = stage.writer("web", "stdout");
    write_all(&writer, &lines(0, 600));
    send(pid(&plugin), Signal::SIGTERM);
    assert_eq!(plugin.end_within(LIMIT).await, Some(End::Code(0)));
    assert!(stage.log("web.stdout") == lines(0, 600));
    assert_eq!(stage.sockets(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_keeper_a_stop_lets_go_there_too() {
    let stage = Stage::new();
    let keeper = stage.path("run/keeper.sock");
    let keeper = keeper.to_str().unwrap();
    let plugin = stage.launch(&["--keeper", keeper]).start().await.unwrap();
    let held = || {
        let mut list = Command::new(env!("CARGO_BIN_EXE_logmon"));
        let output = list.args(["keeper", "--list", "--socket", keeper]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    assert_eq!(held().lines().count(), 2, "{}", held());

    // A start of which the second half is refused: the first half, which was kept by then, is not.
    let path = stage.path("logs/other.stderr.0");
    let locked = File::create_new(&path).unwrap();
    locked.try_lock().unwrap();
    let refused = plugin.log_mon().start(stage.request("other")).await;
    let text = refused.unwrap_err().to_string();
    let expected = format!("another logmon writes {}", path.display());
    assert!(text.contains(&expected), "{text}");
    assert_eq!(held().lines().count(), 2, "{}", held());
    assert!(Writer::try_open(stage.fifo("other", "stdout")).is_err());
    drop(locked);
    plugin
        .log_mon()
        .start(stage.request("other"))
        .await
        .unwrap();
    assert_eq!(held().lines().count(), 4, "{}", held());

    plugin.log_mon().stop().await.unwrap();
    assert_eq!(held(), "");
    let process = pid(&plugin);
    plugin.end().await.unwrap();
    assert!(is_gone(process));
    wait_until("the keeper has ended", || {
        !stage.path("run/keeper.sock").exists()
    });
}
