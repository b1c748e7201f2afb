//! Edge: the storage of one task hangs, or whoever reads the log (contract MON-7, MON-14, HEAL-7).

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fifo::Written;
use plugin::handshake::{Line, environment};
use plugin::host::{Attach, CallError};
use plugin::reattach::Reattach;

use crate::frozen_disk::{Disk, hangs};
use crate::stage::{Stage, deadlines, pid, timed};
use crate::support::{LIMIT, lines, log_files, wait_until, write_all};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_answered_although_the_storage_of_one_task_hangs() {
    let stage = Stage::new();
    fs::create_dir(stage.path("disk")).unwrap();
    let test = "a_stop_is_answered_although_the_storage_of_one_task_hangs";
    let Some(disk) = Disk::mount(&stage.path("disk"), test) else {
        return;
    };
    let plugin = stage.plugin().await;
    let mut stuck = stage.request("stuck");
    stuck.log_dir = stage.path("disk").into_os_string().into_string().unwrap();
    plugin.log_mon().start(stuck.clone()).await.unwrap();
    plugin.log_mon().start(stage.request("calm")).await.unwrap();
    let frozen = disk.freeze();
    let writer = stage.writer("stuck", "stdout");
    assert_eq!(writer.try_write(&lines(0, 1)).unwrap(), Written::Bytes(100));
    let process = u32::try_from(pid(&plugin)).unwrap();
    wait_until("a stream hangs", || hangs(process));

    let calm = stage.writer("calm", "stdout");
    write_all(&calm, &lines(0, 500));
    stage.wait_for_log("calm.stdout", &lines(0, 500));
    plugin.log_mon().start(stage.request("new")).await.unwrap();
    write_all(&calm, b"prompt> ");
    let (stopped, took) = timed(plugin.log_mon().stop()).await;
    match stopped {
        Err(CallError::Refused { status, .. }) => {
            let text = status.message();
            assert!(text.contains("does not answer"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    // The rule says 2 s; the rest is for a loaded machine. A stop that waited for the disk would wait for
    // this test.
    assert!(took < Duration::from_secs(6), "{took:?}");
    let expected = [lines(0, 500), b"prompt> ".to_vec()].concat();
    assert!(stage.log("calm.stdout") == expected);

    drop(frozen);
    wait_until("what hung is written", || {
        log_files(&stage.path("disk"), "stuck.stdout") == [(0, lines(0, 1))]
    });
    let deadline = Instant::now() + LIMIT;
    while let Err(error) = plugin.log_mon().start(stuck.clone()).await {
        assert!(Instant::now() < deadline, "{error}");
    }
    write_all(&writer, &lines(1, 1));
    wait_until("it goes on", || {
        log_files(&stage.path("disk"), "stuck.stdout") == [(0, lines(0, 2))]
    });
}

/// Lines of the log that no pipe has room for.
const MANY: usize = 2000;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_read_the_log_holds_nothing_up() {
    let stage = Stage::new();
    let handshake = stage.path("handshake");
    // Its standard error stays open, and nobody reads it.
    let mut process = Command::new(env!("CARGO_BIN_EXE_logmon"))
        .arg("plugin")
        .envs(environment())
        .env("TMPDIR", stage.path("run"))
        .stdin(Stdio::null())
        .stdout(File::create(&handshake).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("it has shaken hands", || {
        fs::read(&handshake).unwrap().ends_with(b"\n")
    });
    let line = Line::parse(&fs::read(&handshake).unwrap()).unwrap();
    let reattach = Reattach {
        address: line.address,
        pid: process.id().cast_signed(),
    };
    let attach = Attach::new(reattach, None).deadlines(deadlines());
    let plugin = attach.start().await.unwrap();
    for number in 0..MANY {
        // Other limits each time, so that each is told.
        let mut request = stage.request("web");
        request.max_files = if number % 2 == 0 { 3 } else { 4 };
        plugin.log_mon().start(request).await.unwrap();
    }
    write_all(&stage.writer("web", "stdout"), &lines(0, 10));
    stage.wait_for_log("web.stdout", &lines(0, 10));
    plugin.log_mon().stop().await.unwrap();
    plugin.end().await.unwrap();
    // The host has asked already how it ended, so there may be nothing to hear.
    drop(process.wait());
    assert_eq!(stage.sockets(), [""; 0]);
}
