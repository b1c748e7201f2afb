//! Edge: the plugin dies or stands still, and the task's output is there all the same (contract MON-8,
//! MON-9, MON-10, HEAL-5).

use std::fs;
use std::time::Duration;

use fifo::Reader;
use nix::sys::signal::Signal;
use plugin::host::{CallError, Deadlines, Plugin};

use crate::stage::{Stage, attach, deadlines, descriptors, is_gone, pid, send};
use crate::support::{lines, wait_until, write_all};

#[track_caller]
fn kill(plugin: &Plugin) {
    let pid = pid(plugin);
    send(pid, Signal::SIGKILL);
    wait_until("it is dead", || is_gone(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_goes_on_where_a_killed_one_was_while_somebody_holds_the_fifos() {
    let stage = Stage::new();
    let mut plugin = stage.plugin().await;
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    let spares = ["stdout", "stderr"].map(|end| Reader::open(stage.fifo("web", end)).unwrap());
    let writer = stage.writer("web", "stdout");
    for life in 0..5 {
        write_all(&writer, &lines(life * 20, 10));
        // Without a keeper only what lies in the FIFO outlives a kill.
        stage.wait_for_log("web.stdout", &lines(0, life * 20 + 10));
        kill(&plugin);
        write_all(&writer, &lines(life * 20 + 10, 10));
        match plugin.log_mon().start(stage.request("web")).await {
            Err(CallError::Ended { .. }) => {}
            other => panic!("{other:?}"),
        }
        plugin = stage.plugin().await;
        plugin.log_mon().start(stage.request("web")).await.unwrap();
    }
    stage.wait_for_log("web.stdout", &lines(0, 100));
    drop(spares);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_keeper_a_kill_at_any_moment_costs_nothing() {
    let stage = Stage::new();
    let keeper = stage.path("run/keeper.sock");
    let launch = || stage.launch(&["--keeper", keeper.to_str().unwrap()]);
    let mut plugin = launch().start().await.unwrap();
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    let writer = stage.writer("web", "stdout");
    let text = lines(0, 60_000);
    let writing = std::thread::spawn(move || write_all(&writer, &text));
    for life in 1..=5 {
        wait_until("more is logged", || {
            stage.log("web.stdout").len() > life * 1_000_000
        });
        kill(&plugin);
        plugin = launch().start().await.unwrap();
        plugin.log_mon().start(stage.request("web")).await.unwrap();
    }
    writing.join().unwrap();
    stage.wait_for_log("web.stdout", &lines(0, 60_000));
    plugin.end().await.unwrap();
    wait_until("the keeper has ended", || !keeper.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stands_still_loses_nothing_and_a_call_has_its_deadline() {
    let stage = Stage::new();
    let plugin = stage.plugin().await;
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    let writer = stage.writer("web", "stdout");
    write_all(&writer, &lines(0, 100));
    let impatient = Deadlines {
        call: Duration::from_millis(100),
        ..deadlines()
    };
    let other = attach(&plugin.saved())
        .deadlines(impatient)
        .start()
        .await
        .unwrap();
    send(pid(&plugin), Signal::SIGSTOP);
    wait_until("all its threads stand still", || {
        let threads = fs::read_dir(format!("/proc/{}/task", pid(&plugin))).unwrap();
        threads
            .map(|thread| thread.unwrap().path().join("stat"))
            .all(|stat| {
                let stat = fs::read_to_string(stat).unwrap();
                stat.rsplit(") ").next().unwrap().starts_with('T')
            })
    });
    write_all(&writer, &lines(100, 100));
    let started = other.log_mon().start(stage.request("web")).await;
    assert!(
        matches!(started, Err(CallError::Deadline { .. })),
        "{started:?}"
    );
    send(pid(&plugin), Signal::SIGCONT);
    // It would be killed with this handle.
    drop(other.detach());
    plugin.log_mon().start(stage.request("web")).await.unwrap();
    write_all(&writer, &lines(200, 100));
    stage.wait_for_log("web.stdout", &lines(0, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_launches_leave_nothing() {
    let stage = Stage::new();
    let mut own = None;
    for launch in 0..100 {
        let plugin = stage.plugin().await;
        plugin.log_mon().start(stage.request("web")).await.unwrap();
        write_all(&stage.writer("web", "stdout"), &lines(launch, 1));
        let process = pid(&plugin);
        if launch % 2 == 0 {
            plugin.log_mon().stop().await.unwrap();
        }
        plugin.end().await.unwrap();
        assert!(is_gone(process));
        assert_eq!(stage.sockets(), [""; 0]);
        let count = descriptors(std::process::id().cast_signed()).len();
        let before = *own.get_or_insert(count);
        assert!(count < before + 50, "{before} descriptors became {count}");
    }
    assert!(stage.log("web.stdout") == lines(0, 100));
    let left: Vec<_> = fs::read_dir(stage.path("run")).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
