//! Hosts that are processes of their own: one that dies, and one that counts what it leaves behind.

use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use plugin::host::{Deadlines, End, HostError, Launch, Manner, Plugin};
use rustix::process::Signal;

use crate::ending::signal;
use crate::stage::{LONG, deadlines, names, runtime};

/// Plays a host of this kind.
pub(crate) fn play(kind: &str) -> ExitCode {
    match kind {
        "dies" => runtime().block_on(dies()),
        _ => runtime().block_on(launches_a_hundred()),
    }
}

fn launch() -> Launch {
    launch_of("good")
}

fn launch_of(kind: &str) -> Launch {
    Launch::new(std::env::current_exe().unwrap())
        .arguments(["__plugin", kind])
        .deadlines(deadlines())
}

/// Starts a plugin, says where it is, and dies as somebody who was killed.
async fn dies() -> ExitCode {
    let plugin = launch().start().await.unwrap();
    let saved = serde_json::to_string(&plugin.saved()).unwrap();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{saved}").unwrap();
    std::process::abort();
}

/// The children of this process, ended ones too.
fn children() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default())
        .filter(|children| !children.trim().is_empty())
        .collect()
}

async fn good() -> Plugin {
    let plugin = launch().start().await.unwrap();
    plugin.ping().await.unwrap();
    plugin
}

async fn refused(launch: Launch) -> HostError {
    match launch.start().await {
        Ok(plugin) => panic!("{:?} was started", plugin.reattach()),
        Err(error) => error,
    }
}

/// One launch of each way to end, in turn.
async fn one(n: usize) {
    match n % 7 {
        0 => {
            let ended = good().await.end().await.unwrap();
            assert_eq!(ended.manner, Manner::Asked, "{ended:?}");
        }
        1 => drop(good().await),
        2 => {
            let plugin = good().await;
            signal(plugin.reattach().pid, Signal::KILL);
            assert_eq!(plugin.end_within(LONG).await, Some(End::Signal(9)));
        }
        3 => {
            let plugin = good().await;
            signal(plugin.reattach().pid, Signal::KILL);
            plugin.end().await.unwrap();
        }
        4 => {
            let handshake = Duration::from_millis(20);
            let short = Deadlines {
                handshake,
                ..deadlines()
            };
            let error = refused(launch_of("hangs").deadlines(short)).await;
            assert!(
                matches!(error, HostError::HandshakeDeadline { .. }),
                "{error}"
            );
        }
        5 => {
            let error = refused(launch_of("listens-for-protocol-1")).await;
            assert!(matches!(error, HostError::HandshakeLine { .. }), "{error}");
        }
        _ => match launch_of("speaks-http-1").start().await {
            Ok(plugin) => drop(plugin.ping().await.unwrap_err()),
            Err(error) => assert!(matches!(error, HostError::Http { .. }), "{error}"),
        },
    }
}

async fn launches_a_hundred() -> ExitCode {
    let folder = std::env::temp_dir();
    // The first one makes what stays: the runtime's own descriptors.
    launch().start().await.unwrap().end().await.unwrap();
    let before = fs::read_dir("/proc/self/fd").unwrap().count();
    for n in 0..100 {
        one(n).await;
        assert_eq!(names(&folder), [""; 0], "after launch {n}");
        assert_eq!(children(), [""; 0], "after launch {n}");
    }
    // Tasks of the runtime that were told to end close what they have a moment later.
    crate::stage::until(|| {
        let now = fs::read_dir("/proc/self/fd").unwrap().count();
        if now <= before {
            Ok(())
        } else {
            Err(format!("{before} descriptors became {now}"))
        }
    })
    .await;
    ExitCode::SUCCESS
}
