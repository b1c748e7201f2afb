//! Edge: stopping drains the pipe and memory, and ends in time (contract MON-7, MON-14).

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fifo::{ReadOutcome, Reader, Writer, Written};
use nix::sys::signal::Signal;

use crate::subject::assert_quick;
use crate::support::{LIMIT, Place, lines, wait_until, write_all};

#[test]
fn sigterm_writes_what_lies_in_the_pipe() {
    let place = Place::new();
    let logmon = place.start("5", "1MiB");
    let writer = place.writer();
    logmon.signal(Signal::SIGSTOP);
    let mut expected = lines(0, 600);
    expected.extend(b"a tail without a newline");
    write_all(&writer, &expected);
    drop(writer);
    logmon.signal(Signal::SIGTERM);
    logmon.signal(Signal::SIGCONT);
    assert_eq!(logmon.wait(), Some(0));
    assert_eq!(place.log(), expected);
}

#[test]
fn sigint_drains_too() {
    let place = Place::new();
    let logmon = place.start("5", "1MiB");
    place.write(b"words");
    logmon.signal(Signal::SIGINT);
    assert_eq!(logmon.wait(), Some(0));
    assert_eq!(place.log(), b"words");
}

#[test]
fn a_stop_without_any_writer_is_quick() {
    assert_quick(Duration::from_millis(500), || {
        let (code, took) = Place::new().start("5", "1MiB").stop();
        assert_eq!(code, Some(0));
        took
    });
}

#[test]
fn a_held_line_is_written_at_the_stop() {
    let place = Place::new();
    let logmon = place.start("5", "1000");
    let writer = place.writer();
    write_all(&writer, &[lines(0, 9), b"prompt> ".to_vec()].concat());
    wait_until("the complete lines are written", || {
        place.log().len() >= 900
    });
    assert_eq!(logmon.stop().0, Some(0));
    assert_eq!(place.log(), [lines(0, 9), b"prompt> ".to_vec()].concat());
}

#[test]
fn a_writer_that_never_ends_does_not_keep_it_and_what_is_not_read_stays_in_the_pipe() {
    assert_quick(Duration::from_secs(2), stop_with_a_writer_that_never_ends);
}

/// Gives how long the stop took.
fn stop_with_a_writer_that_never_ends() -> Duration {
    let place = Place::new();
    let logmon = place.start("1000", "10MB");
    let spare = Reader::open(place.path("out")).unwrap();
    let writer = place.writer();
    let is_over = AtomicBool::new(false);
    let (accepted, took) = std::thread::scope(|scope| {
        let busy = scope.spawn(|| write_until(&writer, &is_over));
        wait_until("there is some output", || !place.files().is_empty());
        let (code, took) = logmon.stop();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(code, Some(0));
        (busy.join().unwrap(), took)
    });
    let mut left = 0;
    let mut buffer = vec![0; 1 << 20];
    while let ReadOutcome::Bytes(count) = spare.try_read(&mut buffer).unwrap() {
        left += count as u64;
    }
    let logged: u64 = place
        .files()
        .iter()
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    assert_eq!(accepted, logged + left);
    took
}

fn write_until(writer: &Writer, is_over: &AtomicBool) -> u64 {
    let chunk = lines(0, 40);
    let mut accepted = 0;
    while !is_over.load(Ordering::Relaxed) {
        match writer.try_write(&chunk).unwrap() {
            Written::Bytes(count) => accepted += count as u64,
            Written::Full | Written::NoReader => std::thread::yield_now(),
        }
    }
    accepted
}

#[test]
fn closed_stdout_and_stderr_do_not_hurt() {
    let place = Place::new();
    let mut command = place.command("5", "1000");
    command.args(["--log-level", "trace"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    place_write_when_ready(&place, &lines(0, 30));
    wait_until("the log is complete", || {
        place.log().ends_with(&lines(29, 1))
    });
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_stderr_that_nobody_reads_does_not_stop_it() {
    let place = Place::new();
    let (unread, stderr) = nix::unistd::pipe().unwrap();
    let mut command = place.command("3", "200");
    command.args(["--log-level", "trace"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap();
    place_write_when_ready(&place, &lines(0, 20_000));
    wait_until("the log is complete", || {
        place.log().ends_with(&lines(19_999, 1))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    drop(unread);
}

fn place_write_when_ready(place: &Place, bytes: &[u8]) {
    wait_until("the FIFO is made", || {
        fs::symlink_metadata(place.path("out")).is_ok()
    });
    let writer = Writer::open_within(place.path("out"), LIMIT).unwrap();
    write_all(&writer, bytes);
}
