//! Ends: asked for, enforced, and within their time.

use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use plugin::host::{Deadlines, End, Ended, Manner, Said};
use plugin::proto::logmon::StartRequest;
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::{LONG, Stage, deadlines, is_gone, trials, until};

trials![
    a_stopped_plugin_is_killed_in_time,
    a_plugin_that_never_answers_shutdown_is_killed_in_time,
    a_plugin_that_is_dead_already_is_no_fault,
    a_plugin_ends_while_a_call_is_open,
    output_before_the_end_is_not_lost,
    output_that_does_not_end_is_within_the_time_to_go,
    a_dropped_host_leaves_nothing_behind,
    a_detached_plugin_lives_on,
    a_hundred_launches_leave_nothing_behind,
    a_plugin_ignores_an_interrupt_and_dies_of_a_termination,
];

pub(crate) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The state of each thread, a letter each.
fn thread_states(pid: i32) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stats =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap());
    let states = stats.map(|stat| stat.rsplit(')').next().unwrap().trim_start()[..1].to_owned());
    states.collect()
}

fn short_shutdown() -> Deadlines {
    Deadlines {
        shutdown: Duration::from_millis(200),
        ..deadlines()
    }
}

async fn a_stopped_plugin_is_killed_in_time() {
    let stage = Stage::new();
    let launch = stage.launch("good").deadlines(short_shutdown());
    let plugin = launch.start().await.unwrap();
    plugin.ping().await.unwrap();
    let pid = plugin.reattach().pid;
    signal(pid, Signal::STOP);
    // A thread that still runs could answer.
    until(|| {
        let states = thread_states(pid);
        if states.bytes().all(|state| state == b'T') {
            Ok(())
        } else {
            Err(states)
        }
    })
    .await;
    let ended = plugin.end().await.unwrap();
    assert_eq!((ended.manner, ended.end), (Manner::Killed, End::Signal(9)));
    assert!(ended.took < LONG, "{:?}", ended.took);
    assert_eq!(stage.files(), [""; 0]);
}

async fn a_plugin_that_never_answers_shutdown_is_killed_in_time() {
    let stage = Stage::new();
    let launch = stage.launch("deaf").deadlines(short_shutdown());
    let ended = launch.start().await.unwrap().end().await.unwrap();
    assert_eq!((ended.manner, ended.end), (Manner::Killed, End::Signal(9)));
    assert!(ended.took < LONG, "{:?}", ended.took);
    assert_eq!(stage.files(), [""; 0]);
}

async fn a_plugin_that_is_dead_already_is_no_fault() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    signal(plugin.reattach().pid, Signal::KILL);
    assert_eq!(plugin.end_within(LONG).await, Some(End::Signal(9)));
    let ended = plugin.end().await.unwrap();
    assert_eq!(ended.end, End::Signal(9));
    assert_eq!(stage.files(), [""; 0]);
}

/// Ends a plugin that has not answered a call.
async fn end_with_an_open_call() -> Ended {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let log_mon = plugin.log_mon();
    let call = tokio::spawn(async move {
        let log_dir = "waits".to_owned();
        let request = StartRequest {
            log_dir,
            ..StartRequest::default()
        };
        log_mon.start(request).await
    });
    plugin.ping().await.unwrap();
    let ended = plugin.end().await.unwrap();
    call.await.unwrap().unwrap_err();
    ended
}

async fn a_plugin_ends_while_a_call_is_open() {
    let mut took = Vec::new();
    // A server that has a call to answer waits a second for it, unless the connection goes. On a busy
    // machine any single end may take longer.
    while took.iter().all(|took| *took >= Duration::from_secs(1)) {
        assert!(took.len() < 20, "{took:?}");
        let ended = end_with_an_open_call().await;
        assert_eq!((ended.manner, ended.end), (Manner::Asked, End::Code(0)));
        took.push(ended.took);
    }
}

async fn output_before_the_end_is_not_lost() {
    for _ in 0..10 {
        let stage = Stage::new();
        let plugin = stage.launch("good").start().await.unwrap();
        let log_dir = "says-much".to_owned();
        let request = StartRequest {
            log_dir,
            ..StartRequest::default()
        };
        plugin.log_mon().start(request).await.unwrap();
        plugin.end().await.unwrap();
        let heard = stage.heard.lock().unwrap();
        let chunk = |said: &Said| match said {
            Said::Stdout(bytes) => bytes.len(),
            Said::Log(_) | Said::Stray(_) | Said::Stderr(_) => 0,
        };
        assert_eq!(heard.iter().map(chunk).sum::<usize>(), 60_000);
    }
}

/// Ends a plugin that stays after its Shutdown, while what it has said is not read to its end.
async fn end_with_output_that_is_not_read(exit: Duration) -> Ended {
    let stage = Stage::new();
    let (reader, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let deadlines = Deadlines {
        exit,
        ..deadlines()
    };
    let plugin = stage
        .launch("stays")
        .deadlines(deadlines)
        .listener(move |said| {
            if matches!(said, Said::Stdout(_)) {
                // It ends when the other side is dropped.
                tokio::task::block_in_place(|| gate.lock().unwrap().recv().unwrap_err());
            }
        })
        .start()
        .await
        .unwrap();
    let log_dir = "says-much".to_owned();
    let request = StartRequest {
        log_dir,
        ..StartRequest::default()
    };
    plugin.log_mon().start(request).await.unwrap();
    let ended = plugin.end().await.unwrap();
    drop(reader);
    ended
}

async fn output_that_does_not_end_is_within_the_time_to_go() {
    let exit = Duration::from_secs(1);
    let mut took = Vec::new();
    // Half of the time to go is what the output may take of it. On a busy machine any single end may take longer.
    while took.iter().all(|took| *took >= exit * 3 / 2) {
        assert!(took.len() < 10, "{took:?}");
        let ended = end_with_output_that_is_not_read(exit).await;
        assert_eq!((ended.manner, ended.end), (Manner::Killed, End::Signal(9)));
        assert!(ended.took >= exit, "{:?}", ended.took);
        took.push(ended.took);
    }
}

async fn a_dropped_host_leaves_nothing_behind() {
    for kind in ["good", "deaf"] {
        let stage = Stage::new();
        let plugin = stage.launch(kind).start().await.unwrap();
        let pid = plugin.reattach().pid;
        // What makes calls keeps nothing alive.
        let log_mon = plugin.log_mon();
        drop(plugin);
        assert!(is_gone(pid), "{kind}");
        assert_eq!(stage.files(), [""; 0], "{kind}");
        log_mon.stop().await.unwrap_err();
    }
}

async fn a_detached_plugin_lives_on() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let pid = plugin.reattach().pid;
    let saved = plugin.detach();
    assert!(
        saved.reattach.contains(&format!("\"Pid\":{pid}")),
        "{saved:?}"
    );
    assert!(!is_gone(pid));
    assert_eq!(stage.files().len(), 1);
    signal(pid, Signal::KILL);
}

async fn a_hundred_launches_leave_nothing_behind() {
    let stage = Stage::new();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["__host", "launches-a-hundred"])
        .env("TMPDIR", stage.folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn a_plugin_ignores_an_interrupt_and_dies_of_a_termination() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let pid = plugin.reattach().pid;
    signal(pid, Signal::INT);
    for _ in 0..100 {
        plugin.ping().await.unwrap();
    }
    signal(pid, Signal::TERM);
    assert_eq!(plugin.end_within(LONG).await, Some(End::Signal(15)));
}
