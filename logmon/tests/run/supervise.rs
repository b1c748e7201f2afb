//! Edge: a supervisor keeps logmon alive, once, and leaves nothing behind (contract MON-9, MON-13).

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kin::{LeftOvers, another, kill_9, process, processes};
use crate::subject::{let_pass, refusal};
use crate::support::{Place, lines, wait_until, write_all};

fn command(place: &Place) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
    command
        .arg("supervise")
        .arg("--state")
        .arg(place.path("state"))
        .arg("--");
    place.add_options(&mut command, "1000", "1MiB");
    command
}

/// A supervisor; killed when it is dropped.
struct Supervisor(Child);

impl Supervisor {
    fn start(place: &Place) -> Supervisor {
        Supervisor(place.start_until_ready(command(place)))
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        assert_eq!(self.0.wait().unwrap().signal(), Some(9));
    }

    fn stop(mut self) -> Option<i32> {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[track_caller]
fn assert_nothing_is_left(place: &Place) {
    assert_eq!(processes("run", place.root()), Vec::<i32>::new());
    wait_until("the keeper is gone", || {
        processes("keeper", place.root()).is_empty()
    });
    let left: Vec<_> = fs::read_dir(place.path("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn a_stop_drains_gives_logmons_code_and_leaves_nothing() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let supervisor = Supervisor::start(&place);
    place.write(&lines(0, 40));
    assert_eq!(supervisor.stop(), Some(0));
    assert_eq!(place.log(), lines(0, 40));
    assert_nothing_is_left(&place);
}

#[test]
fn a_killed_logmon_comes_back_and_the_writer_sees_nothing() {
    let mut gaps = Vec::new();
    for _ in 0..5 {
        let place = Place::new();
        let _left = LeftOvers(place.root());
        let supervisor = Supervisor::start(&place);
        let writer = place.writer();
        write_all(&writer, &lines(0, 1));
        place.wait_for_log(&lines(0, 1));
        for life in 1..4 {
            let logmon = process("run", place.root());
            kill_9(logmon);
            let killed = Instant::now();
            write_all(&writer, &lines(life, 1));
            let whole = (life + 1) * 100;
            let file = place.log_file("demo.stdout.0");
            while fs::metadata(&file).unwrap().len() < whole as u64 {
                assert!(killed.elapsed() < Duration::from_secs(20));
                std::thread::yield_now();
            }
            gaps.push(killed.elapsed());
            assert_ne!(process("run", place.root()), logmon);
        }
        assert_eq!(supervisor.stop(), Some(0));
        assert_eq!(place.log(), lines(0, 4));
        assert_nothing_is_left(&place);
    }
    gaps.sort();
    println!(
        "kill to first byte read again: median {:?}, longest {:?} of {}",
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1],
        gaps.len()
    );
}

#[test]
fn logmon_and_keeper_in_turn() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let supervisor = Supervisor::start(&place);
    let writer = place.writer();
    let mut expected = Vec::new();
    for turn in 0..4 {
        write_all(&writer, &lines(turn, 1));
        expected.extend(lines(turn, 1));
        place.wait_for_log(&expected);
        if turn % 2 == 0 {
            let keeper = process("keeper", place.root());
            kill_9(keeper);
            another("keeper", place.root(), &[keeper]);
            wait_until("the stream is held again", || {
                let held = Command::new(env!("CARGO_BIN_EXE_logmon"))
                    .args(["keeper", "--list", "--socket"])
                    .arg(place.path("state/keeper.sock"))
                    .output()
                    .unwrap();
                held.stdout.contains(&b'\n')
            });
        } else {
            kill_9(process("run", place.root()));
        }
    }
    assert_eq!(supervisor.stop(), Some(0));
    assert_eq!(place.log(), expected);
    assert_nothing_is_left(&place);
}

#[test]
fn a_new_supervisor_finds_the_running_logmon() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    Supervisor::start(&place).kill();
    let logmon = process("run", place.root());
    place.write(&lines(0, 2));
    place.wait_for_log(&lines(0, 2));
    let supervisor = Supervisor::start(&place);
    assert_eq!(process("run", place.root()), logmon);
    // It is not the parent of this one, and still sees its end.
    kill_9(logmon);
    let next = another("run", place.root(), &[logmon]);
    place.write(&lines(2, 2));
    place.wait_for_log(&lines(0, 4));
    supervisor.kill();
    let supervisor = Supervisor::start(&place);
    assert_eq!(process("run", place.root()), next);
    assert_eq!(supervisor.stop(), Some(0));
    assert_nothing_is_left(&place);
}

#[test]
fn a_garbled_state_does_not_hide_the_running_logmon() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    for garbage in [
        &b""[..],
        b"\xff\x00garbage",
        b"logmon-supervise 1\nboot x\ncomm",
    ] {
        Supervisor::start(&place).kill();
        let logmon = process("run", place.root());
        fs::write(place.path("state/state"), garbage).unwrap();
        let supervisor = Supervisor::start(&place);
        assert_eq!(process("run", place.root()), logmon);
        assert_eq!(supervisor.stop(), Some(0));
        assert_nothing_is_left(&place);
    }
}

#[test]
fn a_recorded_pid_that_another_process_has_now_is_not_taken_for_logmon() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    Supervisor::start(&place).kill();
    let logmon = process("run", place.root());
    let keeper = process("keeper", place.root());
    let state = fs::read_to_string(place.path("state/state")).unwrap();
    kill_9(logmon);
    kill_9(keeper);
    wait_until("both are gone", || {
        processes("run", place.root()).is_empty() && processes("keeper", place.root()).is_empty()
    });
    // This test's own pid with logmon's start time; the checksum is that of no other text.
    let forged = state.replace(
        &format!("logmon {logmon} "),
        &format!("logmon {} ", std::process::id()),
    );
    assert_ne!(forged, state);
    fs::write(place.path("state/state"), forged).unwrap();
    let supervisor = Supervisor::start(&place);
    assert_eq!(supervisor.stop(), Some(0));
    assert_nothing_is_left(&place);
}

#[test]
fn a_second_supervisor_is_refused() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let supervisor = Supervisor::start(&place);
    let (code, told) = refusal(command(&place));
    assert_eq!(code, Some(75), "{told}");
    assert!(told.contains("another supervisor"), "{told}");
    assert_eq!(supervisor.stop(), Some(0));
}

#[test]
fn other_options_are_refused_while_a_logmon_runs() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    Supervisor::start(&place).kill();
    let mut other = command(&place);
    other.args(["--line-guard", "1KiB"]);
    let (code, told) = refusal(other);
    assert_eq!(code, Some(65), "{told}");
    let supervisor = Supervisor::start(&place);
    assert_eq!(supervisor.stop(), Some(0));
}

#[test]
fn what_logmon_refuses_at_its_first_start_is_the_supervisors_end() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    for (option, value, expected) in [
        ("--line-guard", "0", 65),
        ("--fifo-mode", "0666", 65),
        ("--nonsense", "1", 64),
    ] {
        let mut command = command(&place);
        command.args([option, value]);
        let (code, told) = refusal(command);
        assert_eq!(code, Some(expected), "{told}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmon"));
    command
        .args(["supervise", "--state"])
        .arg(place.path("state"));
    command.args(["--", "keeper", "--socket", "x"]);
    assert_eq!(refusal(command).0, Some(64));
}

#[test]
fn without_supervisor_and_task_logmon_drains_and_ends() {
    let place = Place::new();
    let _left = LeftOvers(place.root());
    let supervisor = Supervisor::start(&place);
    let writer = place.writer();
    supervisor.kill();
    let_pass(Duration::from_secs(2));
    write_all(&writer, &lines(0, 7));
    drop(writer);
    let deserted = Instant::now();
    wait_until("logmon has ended", || {
        processes("run", place.root()).is_empty()
    });
    let took = deserted.elapsed();
    assert!(took >= Duration::from_secs(9), "{took:?}");
    assert_eq!(place.log(), lines(0, 7));
    wait_until("the keeper is gone", || {
        processes("keeper", place.root()).is_empty()
    });
}
