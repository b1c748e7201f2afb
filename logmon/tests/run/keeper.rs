//! Edge: a keeper holds what a dead logmon held, and the other way round (contract MON-8, MON-9).

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fifo::{Writable, Writer, Written};
use nix::sys::signal::Signal;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::kin::{LeftOvers, another, kill_9, process, processes};
use crate::subject::{Logmon, refusal};
use crate::support::{LIMIT, Place, lines, wait_until, write_all};

fn kept_command(place: &Place) -> Command {
    let mut command = place.command("1000", "1MiB");
    command.arg("--keeper").arg(place.path("keep/keeper.sock"));
    command
}

fn start(place: &Place) -> Logmon {
    place.start_command(kept_command(place))
}

fn keeper_command(place: &Place) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
    command
        .arg("keeper")
        .arg("--socket")
        .arg(place.path("keep/keeper.sock"));
    command
}

/// What the keeper says that it holds.
fn listed(place: &Place) -> String {
    let output = keeper_command(place).arg("--list").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

/// Writes numbered lines, as fast as they are taken, in writes of so many bytes, until it is told to stop.
/// Gives how many lines it has written.
fn write_lines_until(writer: &Writer, bytes_per_write: usize, is_over: &AtomicBool) -> usize {
    let mut number = 0;
    let mut waiting = Vec::new();
    while !is_over.load(Ordering::Relaxed) || !waiting.is_empty() {
        if !is_over.load(Ordering::Relaxed) {
            while waiting.len() < bytes_per_write {
                waiting.extend(lines(number, 1));
                number += 1;
            }
        }
        let next = &waiting[..bytes_per_write.min(waiting.len())];
        match writer.try_write(next).unwrap() {
            Written::Bytes(count) => drop(waiting.drain(..count)),
            Written::Full => {
                let waited = writer.wait_writable(Duration::from_millis(50)).unwrap();
                assert_ne!(waited, Writable::NoReader, "EPIPE");
            }
            Written::NoReader => panic!("EPIPE after {number} lines"),
        }
    }
    number
}

/// Milliseconds to live, different each time and the same in every run.
fn lives_ms(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|life| (life.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) % 40)
}

#[test]
fn a_writer_never_sees_that_logmon_was_killed_and_no_byte_is_lost_or_repeated() {
    let mut told = Vec::new();
    for bytes_per_write in [100, 37, 65_536] {
        let place = Place::new();
        let _left = LeftOvers(place.root());
        let first = start(&place);
        let keeper = process("keeper", place.root());
        let writer = place.writer();
        let is_over = AtomicBool::new(false);
        let (count, logmon) = std::thread::scope(|scope| {
            let writing = scope.spawn(|| write_lines_until(&writer, bytes_per_write, &is_over));
            let mut logmon = first;
            for life_ms in lives_ms(12) {
                let end = Instant::now() + Duration::from_millis(life_ms);
                wait_until("the life is over", || Instant::now() >= end);
                logmon.kill();
                logmon = start(&place);
            }
            is_over.store(true, Ordering::Relaxed);
            (writing.join().unwrap(), logmon)
        });
        wait_until("the last line is there", || {
            place.log().ends_with(&lines(count - 1, 1))
        });
        assert_eq!(process("keeper", place.root()), keeper);
        assert_eq!(logmon.stop().0, Some(0));
        assert_exact(&place.log(), count);
        told.push((bytes_per_write, count));
    }
    println!("12 kills each, bytes per write and lines: {told:?}, 0 lost, 0 repeated");
}

#[test]
fn killing_both_in_turn_in_a_flood_loses_and_repeats_nothing() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let first = start(&place);
    let before = listed(&place);
    let writer = place.writer();
    let is_over = AtomicBool::new(false);
    let (count, logmon) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write_lines_until(&writer, 100, &is_over));
        let mut logmon = first;
        let mut keepers = vec![process("keeper", place.root())];
        for turn in 0..4 {
            kill_9(keepers[turn]);
            keepers.push(another("keeper", place.root(), &keepers));
            wait_until("everything is held again", || listed(&place) == before);
            logmon.kill();
            logmon = start(&place);
        }
        is_over.store(true, Ordering::Relaxed);
        (writing.join().unwrap(), logmon)
    });
    assert_eq!(logmon.stop().0, Some(0));
    assert_exact(&place.log(), count);
}

/// Asserts that the log is these many numbered lines, and says where it is not.
#[track_caller]
fn assert_exact(log: &[u8], count: usize) {
    let expected = lines(0, count);
    let differs_at = log.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(differs_at, None, "of {} bytes", expected.len());
    assert_eq!(log.len(), expected.len());
}

#[test]
fn what_is_written_while_logmon_is_dead_arrives() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let logmon = start(&place);
    let writer = place.writer();
    write_all(&writer, &lines(0, 5));
    place.wait_for_log(&lines(0, 5));
    logmon.kill();
    write_all(&writer, &lines(5, 300));
    drop(writer);
    let logmon = start(&place);
    place.wait_for_log(&lines(0, 305));
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_dead_keeper_is_replaced_and_holds_everything_again() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let mut command = kept_command(&place);
    command
        .arg("--stderr")
        .arg(format!("{}=demo.stderr", place.path("err").display()));
    let mut logmon = place.start_command(command);
    let before = listed(&place);
    assert_eq!(before.lines().count(), 2, "{before}");
    let writer = place.writer();
    let mut keepers = vec![process("keeper", place.root())];
    let mut expected = Vec::new();
    for turn in 0..3 {
        kill_9(keepers[turn]);
        write_all(&writer, &lines(turn * 20, 10));
        expected.extend(lines(turn * 20, 10));
        keepers.push(another("keeper", place.root(), &keepers));
        wait_until("everything is held again", || listed(&place) == before);
        place.wait_for_log(&expected);
        logmon.kill();
        // The new keeper holds the only read end now.
        write_all(&writer, &lines(turn * 20 + 10, 10));
        expected.extend(lines(turn * 20 + 10, 10));
        let mut command = kept_command(&place);
        command
            .arg("--stderr")
            .arg(format!("{}=demo.stderr", place.path("err").display()));
        logmon = place.start_command(command);
        place.wait_for_log(&expected);
    }
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_stop_leaves_no_keeper_no_socket_and_no_lock_file() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let logmon = start(&place);
    place.write(&lines(0, 3));
    assert_eq!(logmon.stop().0, Some(0));
    wait_until("the keeper is gone", || {
        processes("keeper", place.root()).is_empty()
    });
    let left = fs::read_dir(place.path("keep")).unwrap().count();
    assert_eq!(left, 0);
    assert_eq!(place.log(), lines(0, 3));
}

#[test]
fn a_start_that_is_refused_leaves_no_keeper() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    fs::write(place.path("err"), "a plain file").unwrap();
    let mut command = kept_command(&place);
    command
        .arg("--stderr")
        .arg(format!("{}=demo.stderr", place.path("err").display()));
    let (code, told) = refusal(command);
    assert_eq!(code, Some(66), "{told}");
    // What stdout had kept was given back first: a keeper that holds something does not end.
    assert_eq!(processes("keeper", place.root()), Vec::<i32>::new());
}

#[test]
fn a_start_that_is_refused_leaves_what_an_earlier_life_left() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let logmon = start(&place);
    let writer = place.writer();
    logmon.kill();
    fs::write(place.path("err"), "a plain file").unwrap();
    let mut command = kept_command(&place);
    command
        .arg("--stderr")
        .arg(format!("{}=demo.stderr", place.path("err").display()));
    assert_eq!(refusal(command).0, Some(66));
    write_all(&writer, &lines(0, 10));
    let logmon = start(&place);
    place.wait_for_log(&lines(0, 10));
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_second_keeper_is_refused_and_a_dead_ones_socket_is_replaced() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let mut first = keeper_command(&place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(first.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let (code, told) = refusal(keeper_command(&place));
    assert_eq!(code, Some(75), "{told}");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(
        place.path("keep/keeper.sock").exists(),
        "a killed keeper leaves its socket"
    );
    let logmon = start(&place);
    assert_eq!(listed(&place).lines().count(), 1);
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_keeper_that_nobody_needs_ends_by_itself() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let mut keeper = keeper_command(&place)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    assert_eq!(keeper.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < LIMIT);
    assert!(!place.path("keep/keeper.sock").exists());
}

#[test]
fn a_folder_that_others_can_enter_is_refused() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    fs::create_dir(place.path("keep")).unwrap();
    fs::set_permissions(place.path("keep"), fs::Permissions::from_mode(0o755)).unwrap();
    for command in [keeper_command(&place), kept_command(&place)] {
        let (code, told) = refusal(command);
        assert_eq!(code, Some(66), "{told}");
        assert!(told.contains("0700"), "{told}");
    }
    fs::remove_dir(place.path("keep")).unwrap();
    fs::create_dir(place.path("elsewhere")).unwrap();
    fs::set_permissions(place.path("elsewhere"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink(place.path("elsewhere"), place.path("keep")).unwrap();
    let (code, told) = refusal(keeper_command(&place));
    assert_eq!(code, Some(66), "{told}");
}

#[test]
fn garbage_costs_its_sender_the_connection_and_the_keeper_nothing() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let logmon = start(&place);
    let before = listed(&place);
    let address = SocketAddrUnix::new(place.path("keep/keeper.sock")).unwrap();
    for garbage in [
        &b"x"[..],
        &[0; 4000],
        &[7; 9000],
        b"LMK\x01\x02\x03\x01\x00k",
        b"LMK\x01\x63\x00\x00\x00",
    ] {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        rustix::net::send(&socket, garbage, SendFlags::NOSIGNAL).unwrap();
        let mut answer = [0; 64];
        let (count, _) =
            rustix::net::recv(&socket, &mut answer[..], rustix::net::RecvFlags::empty()).unwrap();
        // A refusal by name, or the end of the connection.
        assert!(count == 0 || answer[4] == 255, "{:?}", &answer[..count]);
    }
    assert_eq!(listed(&place), before);
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_keeper_uses_little_memory() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let logmon = start(&place);
    let keeper = process("keeper", place.root());
    let rollup = fs::read_to_string(format!("/proc/{keeper}/smaps_rollup")).unwrap();
    let kib = |name: &str| -> u64 {
        let line = rollup
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (pss, dirty) = (kib("Pss:"), kib("Private_Dirty:"));
    println!("keeper: Pss {pss} KiB, Private_Dirty {dirty} KiB");
    // Most of it are tables that the loader relocates; without optimisation, and with every feature, they are large.
    let most = if cfg!(debug_assertions) { 2048 } else { 1024 };
    assert!(dirty < most, "{rollup}");
    let threads = fs::read_dir(format!("/proc/{keeper}/task"))
        .unwrap()
        .count();
    assert_eq!(threads, 1);
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn what_lies_in_a_fifo_that_was_replaced_comes_first() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    start(&place).kill();
    place.write(&lines(0, 200));
    fs::remove_file(place.path("out")).unwrap();
    fifo::create(&place.path("out"), 0o600).unwrap();
    let logmon = start(&place);
    place.write(&lines(200, 2));
    place.wait_for_log(&lines(0, 202));
    wait_until("it is told", || {
        place
            .diagnostics()
            .contains("another FIFO has the path now")
    });
    assert_eq!(listed(&place).lines().count(), 1);
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_start_that_is_refused_leaves_what_is_kept_as_it_is() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    start(&place).kill();
    let writer = place.writer();
    write_all(&writer, &lines(0, 200));
    let path = place.path("out");
    let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o604);
    assert_eq!(refusal(kept_command(&place)).0, Some(66));
    assert_eq!(writer.fill_level().unwrap(), 20_000);
    set_mode(0o600);
    let logmon = start(&place);
    place.wait_for_log(&lines(0, 200));
    drop(writer);
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn what_a_stop_could_not_write_waits_at_the_keeper_for_the_next_life() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let mut command = Command::new("prlimit");
    command.arg("--fsize=10240").arg("--");
    command.arg(env!("CARGO_BIN_EXE_logmon"));
    place.add_options(&mut command, "1000", "1MiB");
    command.arg("--keeper").arg(place.path("keep/keeper.sock"));
    let logmon = place.start_command(command);
    place.write(&lines(0, 500));
    wait_until("no more fits into the file", || {
        place.log() == lines(0, 500)[..10_240]
    });
    assert_eq!(logmon.stop().0, Some(71));
    assert_eq!(listed(&place).lines().count(), 1);
    let logmon = start(&place);
    place.wait_for_log(&lines(0, 500));
    assert_eq!(logmon.stop().0, Some(0));
    wait_until("the keeper is gone", || {
        processes("keeper", place.root()).is_empty()
    });
}

#[test]
fn a_keeper_that_is_frozen_does_not_stop_the_collection() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let logmon = start(&place);
    let keeper = nix::unistd::Pid::from_raw(process("keeper", place.root()));
    nix::sys::signal::kill(keeper, Signal::SIGSTOP).unwrap();
    place.write(&lines(0, 50));
    place.wait_for_log(&lines(0, 50));
    nix::sys::signal::kill(keeper, Signal::SIGCONT).unwrap();
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_keeper_that_is_just_ending_is_waited_for_and_another_one_is_started() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    fs::create_dir(place.path("keep")).unwrap();
    fs::set_permissions(place.path("keep"), fs::Permissions::from_mode(0o700)).unwrap();
    // One that still takes the connection, and answers nothing any more.
    let ending = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let address = SocketAddrUnix::new(place.path("keep/keeper.sock")).unwrap();
    rustix::net::bind(&ending, &address).unwrap();
    rustix::net::listen(&ending, 1).unwrap();
    let ends = std::thread::spawn(move || drop(rustix::net::accept(&ending).unwrap()));
    let logmon = start(&place);
    ends.join().unwrap();
    assert_eq!(listed(&place).lines().count(), 1);
    place.write(&lines(0, 3));
    place.wait_for_log(&lines(0, 3));
    assert_eq!(logmon.stop().0, Some(0));
}
