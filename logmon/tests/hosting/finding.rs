//! What a supervisor finds: a state that lies, a state that is broken, somebody else.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::Named;
use crate::stage::{Stage, is_gone, kill_9};
use crate::support::{copy_of_logmon, lines, wait_until, write_all};

pub(crate) fn tests() -> Vec<Named> {
    vec![
        (
            "a_stranger_on_the_saved_socket_is_not_spoken_to_and_not_killed",
            stranger,
        ),
        (
            "a_socket_of_a_dead_plugin_is_nobodys_who_listens_there_now",
            successor,
        ),
        (
            "a_process_that_has_the_saved_number_now_is_left_alone",
            reused_number,
        ),
        (
            "a_plugin_that_can_not_be_reached_goes_with_its_socket",
            unreachable,
        ),
        (
            "a_plugin_of_another_boot_is_dead_and_its_socket_goes",
            other_boot,
        ),
        (
            "a_state_that_is_cut_off_does_not_hide_the_plugin",
            broken_state,
        ),
        (
            "a_state_that_is_cut_off_and_a_dead_plugin_are_a_new_start",
            broken_state_alone,
        ),
        (
            "a_process_of_another_user_is_no_plugin_whatever_its_environment_says",
            mark_of_a_stranger,
        ),
        (
            "other_options_are_refused_while_a_plugin_runs",
            other_options,
        ),
        ("a_second_supervisor_is_refused", second),
    ]
}

/// The plugin lives, and another process has taken the path of its socket.
fn stranger() {
    let stage = Stage::new();
    stage.start(&stage.alone()).kill();
    let (plugin, socket) = (stage.plugin().pid, stage.socket());
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let supervisor = stage.start(&stage.alone());
    assert_not_spoken_to(&listener);
    // What can't be reached reads the FIFOs, so it had to go.
    assert!(is_gone(plugin));
    assert_ne!(stage.plugin().pid, plugin);
    write_all(&stage.writer(), &lines(0, 5));
    stage.wait_for_log(&lines(0, 5));
    assert_eq!(supervisor.stop(), Some(0));
    assert!(socket.exists(), "the stranger's socket is gone");
}

/// The plugin is dead, and another process has taken the path of its socket.
fn successor() {
    let stage = Stage::new();
    stage.start(&stage.alone()).kill();
    let (plugin, socket) = (stage.plugin().pid, stage.socket());
    kill_9(plugin);
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let supervisor = stage.start(&stage.alone());
    assert_not_spoken_to(&listener);
    assert_eq!(supervisor.stop(), Some(0));
    assert!(socket.exists(), "the stranger's socket is gone");
}

/// The plugin is dead, and another process has its number.
fn reused_number() {
    let stage = Stage::new();
    stage.start(&stage.alone()).kill();
    let plugin = stage.plugin().pid;
    let state = stage.state();
    kill_9(plugin);
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = other.id();
    let forged = state
        .replace(&format!("logmon {plugin} "), &format!("logmon {pid} "))
        .replace(&format!("\"Pid\":{plugin}"), &format!("\"Pid\":{pid}"));
    write_state(&stage, &forged);
    let supervisor = stage.start(&stage.alone());
    let diagnostics = stage.place.diagnostics();
    assert!(!diagnostics.contains("can't be used"), "{diagnostics}");
    assert_eq!(other.try_wait().unwrap(), None, "it was killed");
    assert_ne!(stage.plugin().pid, pid.cast_signed());
    assert_eq!(supervisor.stop(), Some(0));
    other.kill().unwrap();
    other.wait().unwrap();
}

/// The plugin lives, and its state says wrongly of which process the socket is.
fn unreachable() {
    let stage = Stage::new();
    stage.start(&stage.alone()).kill();
    let (plugin, socket) = (stage.plugin().pid, stage.socket());
    let state = stage.state();
    let forged = state.replace(&format!("\"Pid\":{plugin}"), "\"Pid\":1");
    assert_ne!(forged, state);
    write_state(&stage, &forged);
    let supervisor = stage.start(&stage.alone());
    assert!(is_gone(plugin), "there are two");
    assert!(!socket.exists(), "its socket is left");
    assert_eq!(supervisor.stop(), Some(0));
    stage.assert_nothing_is_left();
}

fn other_boot() {
    let stage = Stage::new();
    stage.start(&stage.alone()).kill();
    let socket = stage.socket();
    kill_9(stage.plugin().pid);
    // What has ended first is the thread that the process is called after; the others hold the socket.
    wait_until("nobody listens", || UnixStream::connect(&socket).is_err());
    let state = stage.state();
    let boot = state
        .lines()
        .find(|line| line.starts_with("boot "))
        .unwrap();
    write_state(&stage, &state.replace(boot, "boot another"));
    let supervisor = stage.start(&stage.alone());
    assert_eq!(supervisor.stop(), Some(0));
    stage.assert_nothing_is_left();
}

/// Leaves a state for the next supervisor, with the checksum that it must have.
fn write_state(stage: &Stage, state: &str) {
    let (lines, _) = state.split_once("end ").unwrap();
    let state = format!("{lines}end {:016x}\n", checksum(lines.as_bytes()));
    fs::write(stage.path("state/state"), state).unwrap();
}

/// The checksum of a state: FNV-1a with 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Who connects has to, to see who listens; but nothing is said.
#[track_caller]
fn assert_not_spoken_to(listener: &UnixListener) {
    listener.set_nonblocking(true).unwrap();
    while let Ok((mut connection, _)) = listener.accept() {
        connection.set_nonblocking(false).unwrap();
        let mut said = Vec::new();
        connection.read_to_end(&mut said).unwrap();
        assert_eq!(said, b"");
    }
}

fn broken_state() {
    let stage = Stage::new();
    for (garbage, why) in [
        (&b""[..], "cut off"),
        (b"logmon-supervise 1\nboot x\ncomm", "cut off"),
        (b"logmon-supervise 7\nsomething new\n", "it has version"),
    ] {
        stage.start(&stage.alone()).kill();
        let plugin = stage.plugin().pid;
        fs::write(stage.path("state/state"), garbage).unwrap();
        let supervisor = stage.start(&stage.alone());
        assert_eq!(stage.plugin().pid, plugin);
        let diagnostics = stage.place.diagnostics();
        assert!(diagnostics.contains(why), "{diagnostics}");
        write_all(&stage.writer(), b"on ");
        assert_eq!(supervisor.stop(), Some(0));
        stage.assert_nothing_is_left();
    }
    assert_eq!(stage.log(), b"on on on ");
}

fn broken_state_alone() {
    let stage = Stage::new();
    stage.start(&stage.alone()).kill();
    let plugin = stage.plugin().pid;
    let state = stage.state();
    kill_9(plugin);
    fs::write(stage.path("state/state"), &state[..state.len() / 2]).unwrap();
    let supervisor = stage.start(&stage.alone());
    assert_ne!(stage.plugin().pid, plugin);
    write_all(&stage.writer(), &lines(0, 1));
    stage.wait_for_log(&lines(0, 1));
    assert_eq!(supervisor.stop(), Some(0));
}

/// Anybody can write into an environment for which folder a process is.
fn mark_of_a_stranger() {
    const NOBODY: u32 = 65_534;
    if !geteuid().is_root() {
        println!("left out: only root can start a process of another user");
        return;
    }
    let stage = Stage::new();
    let beside = tempfile::tempdir().unwrap();
    fs::set_permissions(beside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = beside.path().join("logmon");
    copy_of_logmon(&program);
    let mut stranger = Command::new(&program)
        .arg("plugin")
        .current_dir(beside.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .env("TMPDIR", beside.path())
        .env("LOGMON_SUPERVISED_IN", stage.path("state"))
        .envs(plugin::handshake::environment())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It listens before it says where.
    let mut said = [0];
    stranger
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    let supervisor = stage.start(&stage.alone());
    assert_ne!(stage.plugin().pid, stranger.id().cast_signed());
    assert_eq!(supervisor.stop(), Some(0));
    assert_eq!(stranger.try_wait().unwrap(), None, "it was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

fn other_options() {
    let stage = Stage::new();
    stage.start(&stage.alone()).kill();
    let plugin = stage.plugin().pid;
    let mut other = stage.supervise(&["--plugin", &stage.alone()]);
    other.args(["--max-files", "11"]);
    // The later one of two is not taken: it is a usage error of `run`, too.
    let (code, told) = stage.spawn(other).end();
    assert_eq!(code, Some(64), "{told}");
    let kept = stage.kept();
    let (code, told) = stage.spawn(stage.supervise(&["--plugin", &kept])).end();
    assert_eq!(code, Some(65), "{told}");
    assert!(told.contains("runs with other options"), "{told}");
    assert!(!is_gone(plugin));
    let supervisor = stage.start(&stage.alone());
    assert_eq!(stage.plugin().pid, plugin);
    assert_eq!(supervisor.stop(), Some(0));
    wait_until("it is gone", || is_gone(plugin));
}

fn second() {
    let stage = Stage::new();
    let supervisor = stage.start(&stage.alone());
    let plugin = stage.plugin().pid;
    let alone = stage.alone();
    let (code, told) = stage.spawn(stage.supervise(&["--plugin", &alone])).end();
    assert_eq!(code, Some(75), "{told}");
    assert_eq!(stage.plugin().pid, plugin);
    assert_eq!(supervisor.stop(), Some(0));
}
