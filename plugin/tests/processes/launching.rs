//! Starts that go well, and each way that one can go wrong.

use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use plugin::handshake::LineError;
use plugin::host::{Attach, Deadlines, End, HostError, Launch, Saved};
use plugin::reattach::Reattach;
use rustix::process::Signal;

use crate::ending::signal;
use crate::stage::{LONG, Stage, deadlines, is_gone, names, trials};

trials![
    a_plugin_is_started_pinged_and_ended,
    a_host_that_is_a_plugin_hands_nothing_of_its_own_on,
    a_program_that_is_not_there_is_named,
    a_plugin_that_says_nothing_is_killed_at_the_deadline,
    garbage_is_no_handshake,
    protocol_1_is_named,
    a_plugin_that_ends_is_told_with_its_last_words,
    a_plugin_whose_child_holds_its_output_has_ended,
    a_plugin_that_closes_its_output_is_told,
    a_socket_of_somebody_else_is_left_alone,
    a_file_that_is_no_socket_is_left_alone,
    a_socket_that_is_not_there_is_named,
    the_socket_of_a_plugin_that_can_not_be_used_is_removed,
    what_is_left_of_a_plugin_that_told_no_socket_lies_in_the_folder_for_it,
    a_flood_on_standard_error_costs_no_memory_and_no_handshake,
    a_launch_that_is_given_up_leaves_no_process,
];

async fn failure(stage: &Stage, kind: &str, deadlines: Deadlines) -> HostError {
    let Err(error) = stage.launch(kind).deadlines(deadlines).start().await else {
        panic!("{kind} was started");
    };
    error
}

async fn a_plugin_is_started_pinged_and_ended() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    plugin.ping().await.unwrap();
    assert_eq!(stage.files().len(), 1, "{:?}", stage.files());
    let pid = plugin.reattach().pid;
    let ended = plugin.end().await.unwrap();
    assert_eq!(ended.end, End::Code(0));
    assert!(is_gone(pid));
    assert_eq!(stage.files(), [""; 0]);
}

async fn a_host_that_is_a_plugin_hands_nothing_of_its_own_on() {
    let stage = Stage::new();
    let host = Command::new(std::env::current_exe().unwrap())
        .args(["__host", "dies"])
        .env("TMPDIR", stage.folder.path())
        .env("PLUGIN_CLIENT_CERT", "for the host alone")
        .env("PLUGIN_PROTOCOL_VERSIONS", "7")
        .output()
        .unwrap();
    let saved: Saved = serde_json::from_slice(&host.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&host.stderr)));
    let reattach = Reattach::parse(&saved.reattach).unwrap();
    let found = Attach::new(reattach, Some(saved.birth)).start().await;
    found.unwrap().end().await.unwrap();
}

async fn a_program_that_is_not_there_is_named() {
    let Err(error) = Launch::new("/nowhere/plugin").start().await else {
        panic!("nothing was started");
    };
    assert_eq!(error.to_string(), "start /nowhere/plugin");
}

async fn a_plugin_that_says_nothing_is_killed_at_the_deadline() {
    let within = Duration::from_millis(100);
    let handshake = Deadlines {
        handshake: within,
        ..deadlines()
    };
    let begin = Instant::now();
    for kind in ["hangs", "floods"] {
        let error = failure(&Stage::new(), kind, handshake).await;
        let HostError::HandshakeDeadline { within: told, .. } = error else {
            panic!("{kind}: {error}");
        };
        assert_eq!(told, within);
    }
    assert!(begin.elapsed() < LONG);
}

async fn garbage_is_no_handshake() {
    let error = failure(&Stage::new(), "garbage", deadlines()).await;
    let HostError::HandshakeLine { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(
        source.to_string(),
        "find the four first fields of a handshake, there are 1: \
         \"hello from a program that is no plugin\""
    );
}

async fn protocol_1_is_named() {
    let error = failure(&Stage::new(), "protocol-1", deadlines()).await;
    let HostError::HandshakeLine { source, .. } = &error else {
        panic!("{error}");
    };
    assert!(
        matches!(source, LineError::AppVersion { found, .. } if found == "\"1\""),
        "{source}"
    );
}

async fn a_plugin_that_ends_is_told_with_its_last_words() {
    let error = failure(&Stage::new(), "ends", deadlines()).await;
    let HostError::HandshakeEnd { end, words } = error else {
        panic!("{error}");
    };
    assert_eq!(end, End::Code(3));
    assert!(
        words.text().ends_with("there is no licence\nbye"),
        "{words}"
    );
}

async fn a_plugin_whose_child_holds_its_output_has_ended() {
    let stage = Stage::new();
    let start = Launch::new("/bin/sh")
        .arguments(["-c", "sleep 600 & echo $! >pid; exit 3"])
        .folder(stage.folder.path())
        .deadlines(deadlines())
        .start()
        .await;
    let child = std::fs::read_to_string(stage.folder.path().join("pid")).unwrap();
    signal(child.trim().parse().unwrap(), Signal::KILL);
    let Err(error) = start else {
        panic!("it was started");
    };
    assert_eq!(
        error.to_string(),
        "shake hands: the plugin ended with code 3 before its handshake"
    );
}

async fn a_plugin_that_closes_its_output_is_told() {
    let exit = Duration::from_millis(50);
    let short = Deadlines {
        exit,
        ..deadlines()
    };
    let error = failure(&Stage::new(), "closes", short).await;
    assert!(
        matches!(error, HostError::HandshakeClosed { .. }),
        "{error}"
    );
}

async fn a_socket_that_is_not_there_is_named() {
    let error = failure(&Stage::new(), "no-socket", deadlines()).await;
    assert_eq!(error.to_string(), "connect to /nowhere/at/all");
}

async fn a_socket_of_somebody_else_is_left_alone() {
    let stage = Stage::new();
    let path = stage.folder.path().join("stranger");
    let _stranger = UnixListener::bind(&path).unwrap();
    let launch = stage.launch("names-another").variable("NAMED", &path);
    // Connected, and never answered.
    drop(launch.start().await.unwrap());
    assert_eq!(stage.files(), ["stranger"]);
}

/// connect(2) is refused as it is where nobody listens.
async fn a_file_that_is_no_socket_is_left_alone() {
    for kind in ["names-another", "names-another-for-protocol-1"] {
        let stage = Stage::new();
        let path = stage.folder.path().join("precious");
        std::fs::write(&path, "all that we have").unwrap();
        let launch = stage.launch(kind).variable("NAMED", &path);
        assert!(launch.start().await.is_err());
        assert_eq!(stage.files(), ["precious"], "{kind}");
    }
}

async fn the_socket_of_a_plugin_that_can_not_be_used_is_removed() {
    let stage = Stage::new();
    let error = failure(&stage, "listens-for-protocol-1", deadlines()).await;
    assert!(matches!(error, HostError::HandshakeLine { .. }), "{error}");
    assert_eq!(stage.files(), [""; 0]);
}

async fn what_is_left_of_a_plugin_that_told_no_socket_lies_in_the_folder_for_it() {
    let handshake = Duration::from_millis(500);
    let short = Deadlines {
        handshake,
        ..deadlines()
    };
    for (kind, deadlines) in [
        ("listens-and-hangs", short),
        ("listens-and-says-nonsense", deadlines()),
    ] {
        let stage = Stage::new();
        let folder = tempfile::tempdir().unwrap();
        let launch = stage.launch(kind).deadlines(deadlines);
        let started = launch.socket_folder(folder.path()).start().await;
        assert!(started.is_err(), "{kind}");
        let left = names(folder.path());
        // A busy machine may not have come as far as the socket by the deadline.
        assert!(
            left == ["plugin-by-hand"] || (left.is_empty() && kind == "listens-and-hangs"),
            "{kind}: {left:?}"
        );
        assert_eq!(stage.files(), [""; 0], "{kind}");
    }
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let launch = stage.launch("good").socket_folder(folder.path());
    let plugin = launch.start().await.unwrap();
    assert_eq!(names(folder.path()).len(), 1);
    drop(plugin);
    assert_eq!(names(folder.path()), [""; 0]);
}

async fn a_flood_on_standard_error_costs_no_memory_and_no_handshake() {
    let stage = Stage::new();
    let plugin = stage.launch("says-much").start().await.unwrap();
    plugin.ping().await.unwrap();
    assert_eq!(stage.heard.lock().unwrap().len(), 20_000);
    let words = plugin.words();
    assert!(words.text().len() < 5000, "{}", words.text().len());
    assert!(words.text().contains("line 19999 "), "{words}");
    plugin.end().await.unwrap();
}

async fn a_launch_that_is_given_up_leaves_no_process() {
    let stage = Stage::new();
    let mark = stage.folder.path().display().to_string();
    let start = stage.launch("hangs").variable("MARK", &mark).start();
    let given_up = tokio::time::timeout(Duration::from_millis(100), start).await;
    assert!(given_up.is_err());
    let left: Vec<_> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.unwrap().path().join("environ")).ok())
        .filter(|environ| String::from_utf8_lossy(environ).contains(&format!("MARK={mark}")))
        .collect();
    assert_eq!(left.len(), 0);
}
