//! Edge: what is refused, with which exit code, and what the message names (contract MON-6, ROT-4,
//! SEC-1, SEC-3).

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use fifo::Reader;

use crate::subject::refusal;
use crate::support::{Place, lines, write_all};

#[test]
fn anything_but_a_fifo_is_refused_and_stays_as_it_is() {
    let place = Place::new();
    let path = place.path("out");
    let target = place.path("target");
    fs::write(&path, "a plain file").unwrap();
    assert_refused(&place, 66);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a plain file");
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    assert_refused(&place, 66);
    fs::remove_dir(&path).unwrap();

    fifo::create(&target, 0o600).unwrap();
    symlink(&target, &path).unwrap();
    assert_refused(&place, 66);
    fs::remove_file(&path).unwrap();

    let _socket = UnixListener::bind(&path).unwrap();
    assert_refused(&place, 66);
    assert_eq!(place.files(), []);
}

#[test]
fn a_message_that_is_longer_than_a_pipe_takes_as_a_whole_keeps_its_newline() {
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
    command
        .args(["run", "--log-dir", &"x".repeat(5000), "--stdout"])
        .arg(format!("{}=web", place.path("out").display()))
        .args(["--max-files", "2", "--max-file-size", "1000"]);
    let (code, told) = refusal(command);
    assert_eq!(code, Some(66), "{told}");
    assert!(told.ends_with("x…\n"), "{told}");
    assert_eq!(told.len(), 4096);
}

#[track_caller]
fn assert_refused(place: &Place, expected: i32) {
    let (code, told) = refusal(place.command("2", "1000"));
    assert_eq!(code, Some(expected), "{told}");
    assert!(told.contains(place.path("out").to_str().unwrap()), "{told}");
}

#[test]
fn a_log_folder_that_is_missing_or_a_link_or_a_file_is_refused() {
    let place = Place::new();
    let logs = place.path("logs");
    let assert_names_folder = || {
        let (code, told) = refusal(place.command("2", "1000"));
        assert_eq!(code, Some(66), "{told}");
        assert!(told.contains(logs.to_str().unwrap()), "{told}");
        assert!(
            !place.path("out").exists(),
            "nothing is made for a refused start"
        );
    };
    fs::remove_dir(&logs).unwrap();
    assert_names_folder();
    fs::write(&logs, "").unwrap();
    assert_names_folder();
    fs::remove_file(&logs).unwrap();
    fs::create_dir(place.path("elsewhere")).unwrap();
    symlink(place.path("elsewhere"), &logs).unwrap();
    assert_names_folder();
}

#[test]
fn a_fifo_in_a_missing_folder_is_refused() {
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
    command
        .args([
            "run",
            "--max-files",
            "2",
            "--max-file-size",
            "1000",
            "--log-dir",
        ])
        .arg(place.path("logs"));
    command
        .arg("--stdout")
        .arg(format!("{}=demo.stdout", place.path("none/out").display()));
    assert_eq!(refusal(command).0, Some(66));
}

#[test]
fn limits_of_nothing_or_too_much_are_refused_by_name() {
    let place = Place::new();
    for (files, size, option) in [
        ("0", "1000", "--max-files"),
        ("-1", "1000", "--max-files"),
        ("99999999999999999999", "1000", "--max-files"),
        ("2", "0", "--max-file-size"),
        ("2", "-5", "--max-file-size"),
        ("2", "1.5MB", "--max-file-size"),
        ("2", "9223372036854775808", "--max-file-size"),
        ("2", "18446744073709551616", "--max-file-size"),
        ("2", "99999999999GiB", "--max-file-size"),
    ] {
        let (code, told) = refusal(place.command(files, size));
        assert_eq!(code, Some(65), "{files} {size}: {told}");
        assert!(told.contains(option), "{told}");
    }
    for (option, value) in [
        ("--line-guard", "0"),
        ("--fifo-mode", "0644"),
        ("--fifo-mode", "9"),
    ] {
        let mut command = place.command("2", "1000");
        command.args([option, value]);
        let (code, told) = refusal(command);
        assert_eq!(code, Some(65), "{told}");
        assert!(told.contains(option), "{told}");
    }
    assert_eq!(place.files(), []);
}

#[test]
fn unsafe_names_and_one_fifo_for_two_streams_are_refused() {
    let place = Place::new();
    for name in ["", "a/b", "..", ".hidden", &"n".repeat(201)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
        command
            .args([
                "run",
                "--max-files",
                "2",
                "--max-file-size",
                "1000",
                "--log-dir",
            ])
            .arg(place.path("logs"));
        command
            .arg("--stdout")
            .arg(format!("{}={name}", place.path("out").display()));
        let (code, told) = refusal(command);
        assert_eq!(code, Some(65), "{name:?}: {told}");
        assert!(told.contains("--stdout"), "{told}");
    }
    let mut command = place.command("2", "1000");
    command
        .arg("--stderr")
        .arg(format!("{}=demo.stderr", place.path("out").display()));
    assert_eq!(refusal(command).0, Some(65));
}

#[test]
fn a_command_line_that_is_not_understood_is_a_usage_error() {
    let place = Place::new();
    let mut typo = place.command("2", "1000");
    typo.arg("--max-flies=3");
    let mut policy = place.command("2", "1000");
    policy.args(["--on-full", "explode"]);
    let mut no_stream = Command::new(env!("CARGO_BIN_EXE_logmon"));
    no_stream
        .args([
            "run",
            "--max-files",
            "2",
            "--max-file-size",
            "1000",
            "--log-dir",
        ])
        .arg(place.path("logs"));
    for command in [
        typo,
        policy,
        no_stream,
        Command::new(env!("CARGO_BIN_EXE_logmon")),
    ] {
        assert_eq!(refusal(command).0, Some(64));
    }
}

#[test]
fn a_start_that_is_refused_for_one_stream_reads_no_byte_of_the_other() {
    let place = Place::new();
    let out = place.path("out");
    fifo::create(&out, 0o600).unwrap();
    let spare = Reader::open(&out).unwrap();
    let writer = place.writer();
    write_all(&writer, &lines(0, 300));
    let with_stderr = || {
        let mut command = place.command("2", "1MiB");
        let stderr = format!("{}=demo.stderr", place.path("err").display());
        command.arg("--stderr").arg(stderr);
        command
    };
    fs::write(place.path("err"), "a plain file").unwrap();
    for _ in 0..5 {
        assert_eq!(refusal(with_stderr()).0, Some(66));
        assert_eq!(spare.fill_level().unwrap(), 30_000);
    }
    fs::remove_file(place.path("err")).unwrap();
    let logmon = place.start_command(with_stderr());
    place.wait_for_log(&lines(0, 300));
    drop((writer, spare));
    assert_eq!(logmon.stop().0, Some(0));
}
