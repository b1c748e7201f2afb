//! Signals to `executor run` before its task is there (edge).

use std::fs;
use std::time::{Duration, Instant};

use fifo::Reader;
use nix::sys::signal::Signal;

use crate::command::{Running, run};
use crate::stage::{all, fifos, has_ended_within, status_field, until};

/// Starts one that waits for its readers, so long at most.
fn waiting(logs: &executor::LogPaths, open_ms: &str) -> Running {
    let (stdout, stderr) = (logs.stdout(), logs.stderr());
    let mut command = run(&["--open-ms", open_ms, "--stdout"]);
    command.arg(stdout).arg("--stderr").arg(stderr);
    command.args(["--", "/bin/sh", "-c", "echo started; exit 3"]);
    let running = Running::start(command);
    until("it takes its signals itself", || {
        let blocked = status_field(running.pid(), "SigBlk");
        let mask = u64::from_str_radix(&blocked, 16).unwrap();
        let usr1 = 1 << (Signal::SIGUSR1 as i32 - 1);
        if mask & usr1 == 0 {
            Err(blocked)
        } else {
            Ok(())
        }
    });
    running
}

#[test]
fn what_is_for_the_task_and_comes_before_it_stops_nothing() {
    let (_folder, logs) = fifos();
    let running = waiting(&logs, "60000");
    running.signal(Signal::SIGUSR1);
    running.signal(Signal::SIGUSR2);
    let pending = || u64::from_str_radix(&status_field(running.pid(), "ShdPnd"), 16).unwrap();
    until("it has taken them", || match pending() {
        0 => Ok(()),
        mask => Err(format!("{mask:x}")),
    });
    let stdout = Reader::open(logs.stdout()).unwrap();
    let _stderr = Reader::open(logs.stderr()).unwrap();
    assert_eq!(all(&stdout), "started\n");
    assert_eq!(running.end(), (Some(3), String::new()));
}

#[test]
fn signals_that_mean_nothing_give_a_launch_no_more_time() {
    let (_folder, logs) = fifos();
    let began = Instant::now();
    let running = waiting(&logs, "500");
    let pid = running.pid();
    // One more before each time could be over, if each began it anew.
    while !has_ended_within(pid, Duration::from_millis(50)) {
        assert!(began.elapsed() < Duration::from_secs(20), "it still waits");
        running.signal(Signal::SIGCHLD);
    }
    let (code, text) = running.end();
    assert_eq!(code, Some(125));
    assert!(text.contains("500ms"), "{text}");
    assert!(fs::exists(logs.stdout()).unwrap());
}
