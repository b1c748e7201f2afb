//! What a signal means to `executor run` and to its task (edge).

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::command::{Running, outcome, run, with};
use crate::stage::{Stage, all, has_ended_within, line, status_field, until};

/// Starts it with these signals ignored.
fn with_ignored(command: &mut Command, signals: &'static [Signal]) {
    let ignore = move || {
        for signal in signals {
            let action = nix::sys::signal::SigHandler::SigIgn;
            #[expect(
                unsafe_code,
                reason = "only the child may ignore the signal, the tests wait for theirs"
            )]
            // SAFETY: signal(2) is async-signal-safe, and ignoring runs no code.
            unsafe { nix::sys::signal::signal(*signal, action) }?;
        }
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "nothing else runs between fork(2) and execve(2)"
    )]
    // SAFETY: the closure makes system calls and allocates nothing.
    unsafe {
        command.pre_exec(ignore);
    }
}

#[test]
fn whoever_ignores_sigchld_may_start_an_executor() {
    let mut command = run(&["--log-disabled", "--", "sh", "-c", "exit 9"]);
    with_ignored(&mut command, &[Signal::SIGCHLD]);
    assert_eq!(
        outcome(&command.output().unwrap()),
        (Some(9), String::new())
    );
}

#[test]
fn a_signal_that_whoever_started_the_executor_ignores_stops_no_task() {
    let stage = Stage::new();
    let go = stage.path("go");
    fifo::create(&go, 0o600).unwrap();
    let script = format!("echo ready; read go <{}; exit 5", go.display());
    let mut command = with(&stage, &["--grace-ms", "0"], &script);
    with_ignored(&mut command, &[Signal::SIGHUP]);
    let running = Running::start(command);
    assert_eq!(line(&stage.stdout), "ready");
    running.signal(Signal::SIGHUP);
    until("the signal is taken", || {
        let pending = status_field(running.pid(), "ShdPnd");
        let bits = u64::from_str_radix(&pending, 16).unwrap();
        if bits & 1 == 0 { Ok(()) } else { Err(pending) }
    });
    fs::write(&go, "now\n").unwrap();
    assert_eq!(running.end(), (Some(5), String::new()));
}

#[test]
fn what_would_end_the_executor_ends_its_task_first() {
    // The number of each, and of the one that the task got.
    for (number, got) in [
        (14, 14),
        (16, 16),
        (24, 24),
        (26, 26),
        (27, 27),
        (29, 29),
        (30, 30),
        (40, 15),
    ] {
        let stage = Stage::new();
        let script = "setsid sleep 1000 >/dev/null 2>&1 & echo $!; exec sleep 1000";
        let running = Running::start(with(&stage, &[], script));
        let child: i32 = line(&stage.stdout).parse().unwrap();
        let kill = format!("kill -{number} {}", running.pid());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success(), "{number}");
        assert_eq!(running.end(), (Some(128 + got), String::new()), "{number}");
        assert!(has_ended_within(child, Duration::ZERO), "{number}");
    }
}

#[test]
fn a_signal_that_means_what_a_program_makes_of_it_is_handed_on() {
    let stage = Stage::new();
    let script = "trap 'echo usr1' USR1; trap 'echo usr2; exit 6' USR2; echo ready
while :; do sleep 0.05; done";
    let running = Running::start(with(&stage, &[], script));
    assert_eq!(line(&stage.stdout), "ready");
    running.signal(Signal::SIGUSR1);
    assert_eq!(line(&stage.stdout), "usr1");
    running.signal(Signal::SIGUSR2);
    assert_eq!(all(&stage.stdout), "usr2\n");
    assert_eq!(running.end(), (Some(6), String::new()));
}

#[test]
fn a_task_ignores_and_blocks_no_signal() {
    let stage = Stage::new();
    let mut command = with(
        &stage,
        &[],
        "exec grep -E '^Sig(Ign|Blk)' /proc/self/status",
    );
    with_ignored(
        &mut command,
        &[
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGPIPE,
            Signal::SIGCHLD,
        ],
    );
    let running = Running::start(command);
    let text = all(&stage.stdout);
    assert_eq!(text.lines().count(), 2, "{text}");
    for line in text.lines() {
        let (_, mask) = line.split_once(":\t").unwrap();
        assert_eq!(u64::from_str_radix(mask, 16).unwrap(), 0, "{text}");
    }
    assert_eq!(running.end(), (Some(0), String::new()));
}
