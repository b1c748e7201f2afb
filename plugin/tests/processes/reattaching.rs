//! Finding a plugin again, and not somebody else.

use std::process::Command;
use std::sync::Arc;

use plugin::host::{Attach, Birth, HostError, Manner, Said, Saved};
use plugin::proto::logmon::StartRequest;
use plugin::reattach::Reattach;

use crate::stage::{Stage, deadlines, is_gone, trials};

trials![
    a_plugin_outlives_its_host_and_is_found_again,
    a_stranger_on_the_socket_is_refused_by_name,
    a_process_that_has_the_number_of_a_dead_one_is_refused,
    a_process_that_is_gone_is_named,
    a_second_host_takes_the_output_over,
    a_refused_stranger_lives_on,
    a_plugin_that_was_found_again_ends_with_its_host,
];

fn attach(saved: &Saved) -> Attach {
    let reattach = Reattach::parse(&saved.reattach).unwrap();
    Attach::new(reattach, Some(saved.birth)).deadlines(deadlines())
}

async fn refusal(attach: Attach) -> HostError {
    match attach.start().await {
        Ok(_) => panic!("it was taken for the plugin"),
        Err(error) => error,
    }
}

async fn a_plugin_outlives_its_host_and_is_found_again() {
    let stage = Stage::new();
    let host = Command::new(std::env::current_exe().unwrap())
        .args(["__host", "dies"])
        .env("TMPDIR", stage.folder.path())
        .output()
        .unwrap();
    assert!(!host.status.success());
    let saved: Saved = serde_json::from_slice(&host.stdout).unwrap();
    let plugin = attach(&saved).start().await.unwrap();
    plugin.ping().await.unwrap();
    // It writes to pipes that nobody reads any more.
    for _ in 0..100 {
        let log_dir = "says".to_owned();
        let request = StartRequest {
            log_dir,
            ..StartRequest::default()
        };
        plugin.log_mon().start(request).await.unwrap();
    }
    assert_eq!(plugin.saved(), saved);
    let pid = plugin.reattach().pid;
    let ended = plugin.end().await.unwrap();
    assert_eq!(ended.manner, Manner::Asked);
    assert!(is_gone(pid));
    assert_eq!(stage.files(), [""; 0]);
}

async fn a_stranger_on_the_socket_is_refused_by_name() {
    let stage = Stage::new();
    let ours = stage.launch("good").start().await.unwrap();
    let other = stage.launch("good").start().await.unwrap();
    let mut saved = ours.saved();
    let reattach = Reattach {
        address: other.reattach().address.clone(),
        pid: ours.reattach().pid,
    };
    saved.reattach = reattach.to_json();
    let error = refusal(attach(&saved)).await;
    let HostError::Stranger {
        pid,
        found,
        expected,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((pid, expected), (other.reattach().pid, ours.reattach().pid));
    assert!(found.starts_with("processes-"), "{found}");
    other.ping().await.unwrap();
    ours.ping().await.unwrap();
}

async fn a_process_that_has_the_number_of_a_dead_one_is_refused() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let mut saved = plugin.saved();
    saved.birth = Birth(saved.birth.0 - 1);
    let error = refusal(attach(&saved)).await;
    assert!(matches!(error, HostError::Reused { .. }), "{error}");
    plugin.ping().await.unwrap();
    // Who does not know when it started has to believe the socket.
    let reattach = Reattach::parse(&saved.reattach).unwrap();
    let found = Attach::new(reattach, None).start().await.unwrap();
    found.ping().await.unwrap();
}

async fn a_process_that_is_gone_is_named() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let saved = plugin.saved();
    let pid = plugin.reattach().pid;
    plugin.end().await.unwrap();
    assert_eq!(
        refusal(attach(&saved)).await.to_string(),
        format!("find the plugin again: there is no process {pid}")
    );
}

/// How many bytes of output were heard.
fn output(heard: &[Said]) -> usize {
    let bytes = |said: &Said| match said {
        Said::Stdout(bytes) => bytes.len(),
        Said::Log(_) | Said::Stray(_) | Said::Stderr(_) => 0,
    };
    heard.iter().map(bytes).sum()
}

async fn a_second_host_takes_the_output_over() {
    let stage = Stage::new();
    let first = stage.launch("good").start().await.unwrap();
    let say = async || {
        let log_dir = "says".to_owned();
        let request = StartRequest {
            log_dir,
            ..StartRequest::default()
        };
        first.log_mon().start(request).await.unwrap();
    };
    say().await;
    stage.hears(|heard| output(heard) == 1500).await;
    let later = Stage::new();
    let also = Arc::clone(&later.heard);
    let second = attach(&first.saved())
        .listener(move |said| also.lock().unwrap().push(said))
        .start()
        .await
        .unwrap();
    // It has attached some time after it was started.
    while output(&later.heard.lock().unwrap()) == 0 {
        say().await;
    }
    let before = output(&stage.heard.lock().unwrap());
    let so_far = output(&later.heard.lock().unwrap());
    say().await;
    later
        .hears(move |heard| output(heard) >= so_far + 1500)
        .await;
    assert_eq!(output(&stage.heard.lock().unwrap()), before);
    second.end().await.unwrap();
}

async fn a_refused_stranger_lives_on() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let mut saved = plugin.saved();
    saved.birth = Birth(1);
    refusal(attach(&saved)).await;
    let error = refusal(attach(&Saved {
        reattach: saved.reattach.replace("unix", "tcp"),
        birth: plugin.saved().birth,
    }))
    .await;
    assert!(matches!(error, HostError::Network { .. }), "{error}");
    plugin.ping().await.unwrap();
}

async fn a_plugin_that_was_found_again_ends_with_its_host() {
    let stage = Stage::new();
    let saved = stage.launch("good").start().await.unwrap().detach();
    let found = attach(&saved).start().await.unwrap();
    let pid = found.reattach().pid;
    assert!(!is_gone(pid));
    drop(found);
    assert!(is_gone(pid));
    assert_eq!(stage.files(), [""; 0]);
}
