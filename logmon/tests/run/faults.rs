//! Edge: storage that takes no bytes, under both policies (contract HEAL-1, HEAL-2, HEAL-3, DATA-6).

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use fifo::{Reader, Writable, Writer, Written};

use crate::subject::{Logmon, assert_quick};
use crate::support::{LIMIT, Place, lines, wait_until, write_all};

/// Starts a logmon that can't make a file larger than 10,240 bytes, until [`lift`].
pub(crate) fn start_with_small_disk(place: &Place, policy: &str) -> Logmon {
    let mut command = Command::new("prlimit");
    command.args([
        "--fsize=10240:unlimited",
        "--",
        env!("CARGO_BIN_EXE_logmon"),
    ]);
    place.add_options(&mut command, "5", "1MiB");
    command.args(["--on-full", policy]);
    place.start_command(command)
}

pub(crate) fn lift(logmon: &Logmon) {
    let pid = logmon.pid().to_string();
    assert!(
        Command::new("prlimit")
            .args(["--fsize=unlimited", "--pid", &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn block_lets_the_task_wait_and_loses_nothing() {
    let place = Place::new();
    let logmon = start_with_small_disk(&place, "block");
    let writer = place.writer();
    let capacity = writer.capacity().unwrap();
    let expected = lines(0, 2 * capacity / 100 + 2000);
    let written = fill_until_blocked(&writer, &expected);
    assert!(written > capacity, "the pipe is full");
    assert_eq!(place.log(), expected[..10_240]);
    wait_until("it is told", || place.diagnostics().contains("WARN"));
    let before = logmon.cpu_ticks();
    assert_eq!(
        writer.wait_writable(Duration::from_millis(600)).unwrap(),
        Writable::TimedOut
    );
    assert!(
        logmon.cpu_ticks() - before <= 5,
        "it retries without a pause"
    );

    lift(&logmon);
    let lifted = Instant::now();
    assert_eq!(writer.wait_writable(LIMIT).unwrap(), Writable::Ready);
    assert!(
        lifted.elapsed() < Duration::from_secs(2),
        "{:?}",
        lifted.elapsed()
    );
    write_all(&writer, &expected[written..]);
    place.wait_for_log(&expected);
    assert_eq!(logmon.stop().0, Some(0));
}

/// Writes until the pipe has no room for half a second, and gives the bytes accepted.
fn fill_until_blocked(writer: &Writer, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match writer.try_write(&bytes[written..]).unwrap() {
            Written::Bytes(count) => written += count,
            Written::Full => match writer.wait_writable(Duration::from_millis(500)).unwrap() {
                Writable::Ready => {}
                Writable::TimedOut | Writable::NoReader => return written,
            },
            Written::NoReader => panic!("the read end is closed"),
        }
    }
    panic!("the pipe took everything")
}

#[test]
fn drop_lets_the_task_go_on_and_records_exactly_what_is_missing() {
    assert_quick(Duration::from_secs(1), longest_wait_under_drop);
}

/// Plays a full disk under `drop`, and gives the longest time that a write had to wait.
fn longest_wait_under_drop() -> Duration {
    let place = Place::new();
    let logmon = start_with_small_disk(&place, "drop");
    let writer = place.writer();
    let capacity = writer.capacity().unwrap();
    let input = lines(0, 3 * capacity / 100);
    let mut longest = Duration::ZERO;
    for chunk in input.chunks(4000) {
        let begun = Instant::now();
        write_all(&writer, chunk);
        longest = longest.max(begun.elapsed());
    }
    wait_until("all is read", || writer.fill_level().unwrap() == 0);
    lift(&logmon);
    wait_until("what was kept is written", || place.log().len() > 10_240);
    let after = lines(900_000, 50);
    write_all(&writer, &after);
    wait_until("the new lines are there", || place.log().ends_with(&after));
    let total = input.len() + after.len();
    let log = place.log();
    assert_eq!(logmon.stop().0, Some(0));
    let told = place.diagnostics();
    let dropped: usize = told
        .lines()
        .filter(|line| line.contains("output was dropped"))
        .map(|line| number_after(line, "dropped_bytes="))
        .sum();
    assert!(dropped > 0, "{told}");
    assert_eq!(log.len() + dropped, total, "{told}");
    assert!(told.contains("stream=demo.stdout"), "{told}");
    assert!(
        log.chunks(100)
            .all(|line| line.ends_with(b"\n") && line[..99].iter().all(u8::is_ascii_digit))
    );
    longest
}

pub(crate) fn number_after(line: &str, key: &str) -> usize {
    let digits: String = line
        .split_once(key)
        .unwrap()
        .1
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

#[test]
fn a_stop_with_a_full_disk_ends_in_time_and_says_what_is_lost() {
    assert_quick(Duration::from_secs(2), || {
        let place = Place::new();
        let logmon = start_with_small_disk(&place, "block");
        let writer = place.writer();
        write_all(&writer, &lines(0, 300));
        wait_until("the file is full", || place.log().len() == 10_240);
        let (code, took) = logmon.stop();
        assert_eq!(code, Some(71));
        let told = place.diagnostics();
        let lost = told
            .lines()
            .find(|line| line.contains("lost_bytes="))
            .unwrap();
        let left = writer.fill_level().unwrap();
        assert_eq!(number_after(lost, "lost_bytes=") + left, 30_000 - 10_240);
        took
    });
}

#[test]
fn what_lies_in_a_fifo_that_nobody_else_holds_is_lost_by_a_stop_and_counted() {
    let place = Place::new();
    let logmon = start_with_small_disk(&place, "block");
    let writer = place.writer();
    // More than a staging pipe holds that has not grown.
    write_all(&writer, &lines(0, 1000));
    wait_until("the file is full", || place.log().len() == 10_240);
    drop(writer);
    assert_eq!(logmon.stop().0, Some(71));
    let told = place.diagnostics();
    let lost = told
        .lines()
        .find(|line| line.contains("lost_bytes="))
        .unwrap();
    assert_eq!(number_after(lost, "lost_bytes="), 100_000 - 10_240);
}

#[test]
fn a_fifo_that_is_too_small_for_the_guard_is_read_through_memory_and_that_is_told() {
    let place = Place::new();
    fifo::create(&place.path("out"), 0o600).unwrap();
    // The capacity is the host's choice, so logmon leaves it.
    let spare = Reader::open(place.path("out")).unwrap();
    assert_eq!(spare.set_capacity(4096).unwrap(), 4096);
    let logmon = place.start("5", "100000");
    assert_eq!(spare.capacity().unwrap(), 4096);
    wait_until("it is told", || place.diagnostics().contains("too small"));
    place.write(&lines(0, 3000));
    place.wait_for_log(&lines(0, 3000));
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_log_folder_that_vanishes_is_made_again_at_the_next_rotation() {
    let place = Place::new();
    let logmon = place.start("5", "1000");
    let writer = place.writer();
    write_all(&writer, &lines(0, 10));
    place.wait_for_log(&lines(0, 10));
    fs::remove_dir_all(place.path("logs")).unwrap();
    // Something else is in the way, so it can't be made yet.
    fs::write(place.path("logs"), "").unwrap();
    write_all(&writer, &lines(10, 10));
    wait_until("it says so", || {
        place.diagnostics().contains("takes no bytes")
    });
    fs::remove_file(place.path("logs")).unwrap();
    wait_until("it goes on", || {
        place.path("logs").is_dir() && place.log() == lines(10, 10)
    });
    assert_eq!(logmon.stop().0, Some(0));
}
