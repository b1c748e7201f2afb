//! Hosts that are processes of their own: one that dies, and one that counts what it leaves behind.

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use plugin::host::Launch;
use plugin::host::Manner;

use crate::stage::{deadlines, names, runtime};

/// Plays a host of this kind.
pub(crate) fn play(kind: &str) -> ExitCode {
    match kind {
        "dies" => runtime().block_on(dies()),
        _ => runtime().block_on(launches_a_hundred()),
    }
}

fn launch() -> Launch {
    Launch::new(std::env::current_exe().unwrap())
        .arguments(["__plugin", "good"])
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

async fn launches_a_hundred() -> ExitCode {
    let folder = std::env::temp_dir();
    // The first one makes what stays: the runtime's own descriptors.
    launch().start().await.unwrap().end().await.unwrap();
    let before = fs::read_dir("/proc/self/fd").unwrap().count();
    for n in 0..100 {
        let plugin = launch().start().await.unwrap();
        plugin.ping().await.unwrap();
        if n % 2 == 0 {
            let ended = plugin.end().await.unwrap();
            assert_eq!(ended.manner, Manner::Asked, "{ended:?}");
        } else {
            drop(plugin);
        }
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
