//! Edge: a host goes away, and another one comes, or none (contract MON-13, MON-14).

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use plugin::handshake::{Line, environment};
use plugin::host::Attach;
use plugin::reattach::Reattach;

use crate::stage::{Stage, attach, deadlines, is_gone, pid, send};
use crate::support::{lines, wait_until, write_all};

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_its_host_and_serves_the_next_one() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    let writer = stage.writer("web", "stdout");
    write_all(&writer, &lines(0, 10));
    // Its connection, its standard output and its standard error are closed with that.
    let saved = plugin.detach();
    write_all(&writer, &lines(10, 10));
    stage.wait_for_log("web.stdout", &lines(0, 20));

    let plugin = attach(&saved).start().await.unwrap();
    plugin.ping().await.unwrap();
    let mut request = stage.request("web");
    request.max_files = 3;
    // Each of these is told on a standard error that nobody reads.
    for _ in 0..20 {
        plugin.log_mon().start(request.clone()).await.unwrap();
    }
    write_all(&writer, &lines(20, 10));
    stage.wait_for_log("web.stdout", &lines(0, 30));
    plugin.log_mon().stop().await.unwrap();
    plugin.end().await.unwrap();
    assert_eq!(stage.sockets(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_the_process_that_started_it() {
    let stage = Stage::new();
    let handshake = stage.path("handshake");
    let mut host = Command::new("sh")
        .args(["-c", "\"$0\" plugin >\"$1\" & echo $!"])
        .arg(env!("CARGO_BIN_EXE_logmon"))
        .arg(&handshake)
        .envs(environment())
        .env("TMPDIR", stage.path("run"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(host.stderr.take());
    let output = host.wait_with_output().unwrap();
    let process: i32 = String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    wait_until("it has shaken hands", || {
        fs::read(&handshake).unwrap().ends_with(b"\n")
    });
    let line = Line::parse(&fs::read(&handshake).unwrap()).unwrap();
    let reattach = Reattach {
        address: line.address,
        pid: process,
    };
    let attach = Attach::new(reattach, None).deadlines(deadlines());
    let plugin = attach.start().await.unwrap();
    plugin.ping().await.unwrap();
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    write_all(&stage.writer("web", "stdout"), &lines(0, 10));
    stage.wait_for_log("web.stdout", &lines(0, 10));
    plugin.end().await.unwrap();
    wait_until("it has ended", || is_gone(process));
}

/// Kills a process that was let go, so that a test that fails leaves none.
struct Leftover(i32);

impl Leftover {
    fn is_gone(&self) -> bool {
        is_gone(self.0)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if !self.is_gone() {
            send(self.0, Signal::SIGKILL);
        }
    }
}

/// How long each of them may be alone, in seconds.
const ALONE: [&str; 2] = ["--orphan-after", "1"];

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_host_and_tasks_are_gone_and_not_before() {
    let stage = Stage::new();
    // One has a host, one has a task that is silent, and one may be alone for ever.
    let hosted = stage.launch(&ALONE).start().await.unwrap();
    let busy = stage.launch(&ALONE).start().await.unwrap();
    let patient = stage
        .launch(&["--orphan-after", "0"])
        .start()
        .await
        .unwrap();
    busy.log_mon().start(stage.request("busy")).await.unwrap();
    let writer = stage.writer("busy", "stdout");
    let busy_one = Leftover(pid(&busy));
    drop(busy.detach());
    let _patient_one = Leftover(pid(&patient));
    let patient = patient.detach();

    // Two are alone, one after the other, so that the first three had time for it twice.
    let alone = stage.launch(&ALONE).start().await.unwrap();
    alone.log_mon().start(stage.request("alone")).await.unwrap();
    write_all(&stage.writer("alone", "stdout"), b"the last words");
    let alone_one = Leftover(pid(&alone));
    drop(alone.detach());
    wait_until("the first one has ended", || alone_one.is_gone());
    assert_eq!(stage.log("alone.stdout"), b"the last words");
    let idle = stage.launch(&ALONE).start().await.unwrap();
    let idle_one = Leftover(pid(&idle));
    drop(idle.detach());
    wait_until("the second one has ended", || idle_one.is_gone());

    hosted.ping().await.unwrap();
    let patient = attach(&patient).start().await.unwrap();
    patient.ping().await.unwrap();
    assert!(!busy_one.is_gone());
    write_all(&writer, b"a word at last");
    drop(writer);
    wait_until("the task is gone, and so is the plugin", || {
        busy_one.is_gone()
    });
    assert_eq!(stage.log("busy.stdout"), b"a word at last");
    // Only the sockets of those that live are left.
    assert_eq!(stage.sockets().len(), 2);
}
