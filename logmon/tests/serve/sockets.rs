//! Edge: the control socket is this user's alone, and of one server (contract SEC-1, MON-11).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use serde_json::json;

use crate::support::{Place, lines, write_all};

fn refusal(mut command: Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.stdout, b"", "a refused start prints no ready line");
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn set_mode(path: impl AsRef<std::path::Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_socket_and_its_lock_are_closed_to_others() {
    let place = Place::new();
    let server = place.serve();
    for name in ["run/control", "run/control.lock"] {
        let mode = fs::symlink_metadata(place.path(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // What the server makes later is not made with the narrow umask of the socket.
    place.start("web");
    write_all(&place.writer("web.out"), &lines(0, 1));
    place.wait_for_log("web.stdout", &lines(0, 1));
    let log = fs::metadata(place.path("logs/web.stdout.0")).unwrap();
    assert_eq!(log.permissions().mode() & 0o400, 0o400);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_second_server_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let server = place.serve();
    let (code, told) = refusal(place.command());
    assert_eq!(code, Some(75), "{told}");
    assert!(
        told.contains(&place.socket().display().to_string()),
        "{told}"
    );
    assert_eq!(place.ask(&json!({"v": 1, "op": "ping"}))["ok"], true);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_dead_servers_socket_is_replaced() {
    let place = Place::new();
    place.serve().kill();
    assert!(place.socket().exists(), "nobody could remove it");
    let server = place.serve();
    assert_eq!(
        place.ask(&json!({"v": 1, "op": "ping"}))["pid"],
        server.pid()
    );
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let place = Place::new();
    fs::write(place.socket(), "precious").unwrap();
    let (code, told) = refusal(place.command());
    assert_eq!(code, Some(66), "{told}");
    assert_eq!(fs::read(place.socket()).unwrap(), b"precious");

    let place = Place::new();
    fs::write(place.path("precious"), "precious").unwrap();
    symlink(place.path("precious"), place.socket()).unwrap();
    assert_eq!(refusal(place.command()).0, Some(66));
    assert!(fs::symlink_metadata(place.socket()).unwrap().is_symlink());

    let place = Place::new();
    symlink(place.path("precious"), place.path("run/control.lock")).unwrap();
    assert_eq!(refusal(place.command()).0, Some(66));
    assert!(!place.path("precious").exists());
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        let place = Place::new();
        set_mode(place.path("run"), mode);
        let (code, told) = refusal(place.command());
        assert_eq!(code, Some(66), "{mode:o} {told}");
        assert!(told.contains("written by others"), "{told}");
        assert!(!place.socket().exists());
    }
    let place = Place::new();
    fs::rename(place.path("run"), place.path("real")).unwrap();
    symlink(place.path("real"), place.path("run")).unwrap();
    assert_eq!(refusal(place.command()).0, Some(66), "a link");
}

#[test]
fn a_long_path_fits() {
    let place = Place::new();
    let folder = place.path("run").join("n".repeat(150));
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o700);
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
    command
        .arg("serve")
        .arg("--control")
        .arg(folder.join("control"));
    let server = place.serve_command(command);
    assert!(folder.join("control").exists());
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_stranger_is_turned_away_although_it_can_connect() {
    // Only root can be somebody else for a moment.
    if !geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let server = place.serve();
    for path in [place.path(""), place.path("run")] {
        set_mode(path, 0o755);
    }
    set_mode(place.socket(), 0o666);
    let told = Command::new("python3")
        .args(["-c", STRANGER])
        .arg(place.socket())
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("not-allowed"), "{told}");
    assert!(told.contains("65534"), "{told}");
    assert_eq!(place.ask(&json!({"v": 1, "op": "ping"}))["ok"], true);
    assert_eq!(server.stop(), Some(0));
}

const STRANGER: &str = "
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(s.makefile().readline())
";

#[test]
fn a_socket_of_another_program_under_the_same_name_is_not_removed_at_the_end() {
    let place = Place::new();
    let server = place.serve();
    fs::remove_file(place.socket()).unwrap();
    let _other = UnixListener::bind(place.socket()).unwrap();
    assert_eq!(server.stop(), Some(0));
    assert!(place.socket().exists());
}

#[test]
fn a_killed_server_costs_its_tasks_nothing_if_a_keeper_holds_their_pipes() {
    let place = Place::new();
    let command = || {
        let mut command = place.command();
        command
            .arg("--keeper")
            .arg(place.path("run/keep/keeper.sock"));
        command
    };
    let server = place.serve_command(command());
    place.start("web");
    let writer = place.writer("web.out");
    write_all(&writer, &lines(0, 3));
    place.wait_for_log("web.stdout", &lines(0, 3));
    server.kill();
    write_all(&writer, &lines(3, 3));
    let server = place.serve_command(command());
    place.start("web");
    write_all(&writer, &lines(6, 3));
    place.wait_for_log("web.stdout", &lines(0, 9));
    assert_eq!(server.stop(), Some(0));
}
