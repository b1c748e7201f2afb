//! What a served plugin does beside its calls.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use plugin::handshake::{Address, COOKIE_NAME, COOKIE_VALUE, Line};
use plugin::host::Manner;

use crate::stage::{Stage, trials};

trials![
    without_a_cookie_three_lines_explain_and_nothing_is_served,
    a_host_that_asks_for_encryption_is_told_why_not,
    a_folder_that_cannot_hold_the_socket_is_named,
    a_host_that_asks_hears_whether_calls_share_a_connection,
    the_socket_is_its_users_alone,
    connections_without_a_word_keep_nobody_waiting,
];

fn plugin(stage: &Stage) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["__plugin", "good"])
        .env("TMPDIR", stage.folder.path())
        .env_remove(COOKIE_NAME);
    command
}

async fn without_a_cookie_three_lines_explain_and_nothing_is_served() {
    for cookie in [None, Some("wrong")] {
        let stage = Stage::new();
        let mut command = plugin(&stage);
        if let Some(cookie) = cookie {
            command.env(COOKIE_NAME, cookie);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.starts_with("This program is a plugin: "), "{text}");
        assert_eq!(stage.files(), [""; 0]);
    }
}

fn failure(command: &mut Command) -> String {
    let output = command.env(COOKIE_NAME, COOKIE_VALUE).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    String::from_utf8(output.stderr).unwrap()
}

async fn a_host_that_asks_for_encryption_is_told_why_not() {
    let stage = Stage::new();
    assert_eq!(
        failure(plugin(&stage).env("PLUGIN_CLIENT_CERT", "-----BEGIN CERTIFICATE-----")),
        "[ERROR] failed to encrypt calls, as PLUGIN_CLIENT_CERT asks for: this plugin does not\n"
    );
    assert_eq!(stage.files(), [""; 0]);
}

async fn a_folder_that_cannot_hold_the_socket_is_named() {
    let stage = Stage::new();
    let text = failure(plugin(&stage).env("PLUGIN_UNIX_SOCKET_DIR", "/nowhere"));
    assert!(
        text.starts_with("[ERROR] failed to make a socket in /nowhere: "),
        "{text}"
    );
    let text = failure(plugin(&stage).env("PLUGIN_UNIX_SOCKET_DIR", "/a|b"));
    assert!(text.contains("only UTF-8 without |"), "{text}");
    let long = stage.folder.path().join("x".repeat(100));
    std::fs::create_dir(&long).unwrap();
    let text = failure(plugin(&stage).env("PLUGIN_UNIX_SOCKET_DIR", &long));
    assert!(text.contains("make a socket in"), "{text}");
}

/// The line that a plugin answers, as it stands.
fn line(command: &mut Command) -> String {
    let mut child = command
        .env(COOKIE_NAME, COOKIE_VALUE)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        stdout.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    String::from_utf8(line).unwrap()
}

async fn a_host_that_asks_hears_whether_calls_share_a_connection() {
    let stage = Stage::new();
    let asked = line(plugin(&stage).env("PLUGIN_MULTIPLEX_GRPC", "true"));
    assert!(asked.ends_with("|grpc||false\n"), "{asked}");
    // A host of other versions gets ours, to compare them itself.
    for versions in ["2", "1,3"] {
        let line = line(plugin(&stage).env("PLUGIN_PROTOCOL_VERSIONS", versions));
        let start = format!("1|2|unix|{}/plugin", stage.folder.path().display());
        assert!(
            line.starts_with(&start) && line.ends_with("|grpc|\n"),
            "{line}"
        );
        Line::parse(line.as_bytes()).unwrap();
    }
}

async fn the_socket_is_its_users_alone() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let Address::Unix(path) = plugin.reattach().address.clone() else {
        panic!("no Unix socket");
    };
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

async fn connections_without_a_word_keep_nobody_waiting() {
    let stage = Stage::new();
    let plugin = stage.launch("good").start().await.unwrap();
    let Address::Unix(path) = plugin.reattach().address.clone() else {
        panic!("no Unix socket");
    };
    let silent: Vec<_> = (0..20)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    drop(UnixStream::connect(&path).unwrap());
    plugin.ping().await.unwrap();
    let ended = plugin.end().await.unwrap();
    assert_eq!(ended.manner, Manner::Asked);
    drop(silent);
}
