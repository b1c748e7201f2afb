//! What a served plugin does beside its calls.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use plugin::handshake::{Address, COOKIE_NAME, COOKIE_VALUE, Line};
use plugin::host::{Attach, Manner};
use plugin::reattach::Reattach;
use serde_json::Value;

use crate::calling::start;
use crate::stage::{Stage, deadlines, trials};

trials![
    without_a_cookie_three_lines_explain_and_nothing_is_served,
    a_folder_that_cannot_hold_the_socket_is_named,
    a_host_that_asks_hears_whether_calls_share_a_connection,
    a_host_of_bytes_ends_it_and_the_socket_is_gone,
    the_socket_is_its_users_alone,
    connections_without_a_word_keep_nobody_waiting,
    a_log_that_nobody_reads_holds_no_call_up,
];

pub(crate) fn plugin(stage: &Stage) -> Command {
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

pub(crate) fn failure(command: &mut Command) -> String {
    let output = command.env(COOKIE_NAME, COOKIE_VALUE).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    String::from_utf8(output.stderr).unwrap()
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

/// Starts it, and gives the line that it answers as it stands.
pub(crate) fn started(command: &mut Command) -> (Child, String) {
    started_with(command, Stdio::null())
}

fn started_with(command: &mut Command, stderr: Stdio) -> (Child, String) {
    let mut child = command
        .env(COOKIE_NAME, COOKIE_VALUE)
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let stdout = child.stdout.as_mut().unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        stdout.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    (child, String::from_utf8(line).unwrap())
}

fn line(command: &mut Command) -> String {
    let (mut child, line) = started(command);
    child.kill().unwrap();
    child.wait().unwrap();
    line
}

/// What a host of HTTP/2 says first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of HTTP/2, see RFC 9113.
pub(crate) fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend(payload);
    frame
}

/// A call with an empty message, byte by byte: this host is not ours.
pub(crate) fn call(stream: u8, path: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = vec![u8::try_from(text.len()).unwrap()];
        bytes.extend(text.as_bytes());
        bytes
    };
    // HPACK: POST and http by their numbers, then names by number with their values as text.
    let headers = [
        vec![0x83, 0x86, 0x04],
        text(path),
        vec![0x01],
        text("unused"),
        vec![0x0f, 0x10],
        text("application/grpc"),
        vec![0x00],
        text("te"),
        text("trailers"),
    ];
    [
        frame(HEADERS, END_HEADERS, stream, &headers.concat()),
        frame(DATA, END_STREAM, stream, &[0; 5]),
    ]
    .concat()
}

/// Kind, flags, stream and payload of each frame.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u8, &[u8])> {
    let mut frames = Vec::new();
    while let [_, high, low, kind, flags, _, _, _, stream, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (payload, rest) = rest.split_at(length);
        frames.push((*kind, *flags, *stream, payload));
        bytes = rest;
    }
    frames
}

async fn a_host_of_bytes_ends_it_and_the_socket_is_gone() {
    let stage = Stage::new();
    let (mut child, line) = started(&mut plugin(&stage));
    let path = line.split('|').nth(3).unwrap();
    let mut stream = UnixStream::connect(path).unwrap();
    let bytes = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        call(1, "/plugin.GRPCStdio/StreamStdio"),
        call(3, "/plugin.GRPCController/Shutdown"),
    ];
    stream.write_all(&bytes.concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let frames = frames(&answer);
    let empty = |(kind, _, stream, payload): &(u8, u8, u8, &[u8])| {
        (*kind, *stream, *payload) == (DATA, 3, [0; 5].as_slice())
    };
    assert!(frames.iter().any(empty), "{frames:?}");
    // Both calls end as calls do, and not as connections that break.
    for call in [1, 3] {
        let end = |(kind, flags, stream, _): &(u8, u8, u8, &[u8])| {
            (*kind, flags & END_STREAM, *stream) == (HEADERS, END_STREAM, call)
        };
        assert!(frames.iter().any(end), "{frames:?}");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(stage.files(), [""; 0]);
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

/// Calls that say a line each; all lines together are four times what a pipe holds.
const LOUD_CALLS: usize = 500;

async fn a_log_that_nobody_reads_holds_no_call_up() {
    let stage = Stage::new();
    let (mut child, line) = started_with(&mut plugin(&stage), Stdio::piped());
    let address = Line::parse(line.as_bytes()).unwrap().address;
    let pid = child.id().cast_signed();
    let attach = Attach::new(Reattach { address, pid }, None).deadlines(deadlines());
    let plugin = attach.start().await.unwrap();
    for _ in 0..LOUD_CALLS {
        plugin.log_mon().start(start("logs")).await.unwrap();
    }
    let mut stderr = child.stderr.take().unwrap();
    let waiting = rustix::io::ioctl_fionread(&stderr).unwrap();
    let mut said = vec![0; usize::try_from(waiting).unwrap()];
    stderr.read_exact(&mut said).unwrap();
    let long = "logs-more-than-a-pipe-takes-at-once";
    for call in ["logs", long] {
        plugin.log_mon().start(start(call)).await.unwrap();
    }
    plugin.end().await.unwrap();
    child.wait().ok();
    stderr.read_to_end(&mut said).unwrap();
    let lines = said.split_inclusive(|byte| *byte == b'\n');
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let [before @ .., after, last] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert!(before.iter().all(|line| line["dropped_lines"].is_null()));
    assert_eq!(after["dropped_lines"], LOUD_CALLS - before.len());
    assert!(last["dropped_lines"].is_null(), "{last}");
    assert_eq!(last["@message"], "a long line");
    assert!(last["text"].as_str().unwrap().ends_with('…'));
}
