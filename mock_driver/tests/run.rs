//! What the good driver promises, over real FIFOs.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and looks for one event among many"
)]

mod support;

use std::fs;
use std::io::BufRead;
use std::time::{Duration, Instant};

use mock_driver::journal::Event;
use mock_driver::stream::Stream;
use support::{Drain, Fifos, Folder, mock_driver, terminate, wait_until, wait_within};

const SEQ: &str = "i=0; while [ $i -lt 2000 ]; do echo line-$i; i=$((i+1)); done";

fn lines(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|i| format!("line-{i}\n").into_bytes())
        .collect()
}

#[test]
fn both_streams_arrive_byte_for_byte() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let script = "printf 'a\\0b\\r\\n'; printf c >&2; printf unterminated; exit 3";
    let status = fifos.run(&["sh", "-c", script]).status().unwrap();
    assert_eq!(status.code(), Some(3));
    let [stdout, stderr] = drains.map(Drain::until_writers_are_gone);
    assert_eq!(stdout, b"a\0b\r\nunterminated");
    assert_eq!(stderr, b"c");
}

#[test]
fn a_script_arrives_as_the_judge_expects_it() {
    let fifos = Fifos::new();
    let script = fifos.folder.script(
        "exit_code=5\n[[step]]\ndo='records'\nstream='stdout'\ncount=5000\n\
         [[step]]\ndo='raw'\nstream='stderr'\nbytes=300000\n\
         [[step]]\ndo='mark'\nname='end'",
    );
    let drains = fifos.drains();
    let status = fifos.play(&[]).status().unwrap();
    assert_eq!(status.code(), Some(5));
    for (stream, drain) in Stream::BOTH.into_iter().zip(drains) {
        let expected = support::exact(&script, stream);
        let got = drain.until_writers_are_gone();
        assert!(
            got == expected,
            "{stream}: {} of {} bytes",
            got.len(),
            expected.len()
        );
        let ends: Vec<_> = fifos
            .folder
            .journal()
            .into_iter()
            .filter_map(|line| match line.event {
                Event::Wrote {
                    stream: of, end, ..
                } if of == stream => Some(end),
                _ => None,
            })
            .collect();
        assert!(ends.is_sorted());
        assert_eq!(
            ends.last(),
            Some(&(expected.len() as u64)),
            "the journal of {stream}"
        );
    }
    let events: Vec<_> = fifos
        .folder
        .journal()
        .into_iter()
        .map(|line| line.event)
        .collect();
    assert!(events.contains(&Event::Mark {
        name: "end".to_owned()
    }));
    assert!(matches!(events.last(), Some(Event::Exit { code: 5, .. })));
    let opened = events
        .iter()
        .filter(|event| matches!(event, Event::Opened { .. }))
        .count();
    let closed = events
        .iter()
        .filter(|event| matches!(event, Event::Closed { .. }))
        .count();
    assert_eq!((opened, closed), (2, 2));
}

#[test]
fn the_task_starts_before_anybody_reads_and_nothing_is_lost() {
    let fifos = Fifos::new();
    let started = fifos.folder.path("started");
    let script = format!("touch {}; {SEQ}", started.display());
    let mut driver = fifos.run(&["sh", "-c", &script]).spawn().unwrap();
    wait_until("the task's start", || started.exists());
    let drains = fifos.drains();
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(0));
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert!(stdout == lines(2000));
}

#[test]
fn a_task_that_ends_before_anybody_reads_is_delivered_in_full() {
    let fifos = Fifos::new();
    let pid = fifos.folder.path("ended");
    let script = format!("echo short; touch {}", pid.display());
    let mut driver = fifos.run(&["sh", "-c", &script]).spawn().unwrap();
    wait_until("the task's end", || pid.exists());
    assert!(
        driver.try_wait().unwrap().is_none(),
        "the driver must wait for a reader"
    );
    let drains = fifos.drains();
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(0));
    assert_eq!(drains.map(Drain::until_writers_are_gone)[0], b"short\n");
}

#[test]
fn a_silent_stream_is_opened_too() {
    let fifos = Fifos::new();
    let [stdout, stderr] = fifos.readers();
    let mut driver = fifos
        .run(&["sh", "-c", "read x; exit 0"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    for reader in [&stdout, &stderr] {
        wait_until("a writer", || support::has_writer(reader));
    }
    drop(driver.stdin.take());
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(0));
    for reader in [&stdout, &stderr] {
        assert!(
            !support::has_writer(reader),
            "a write end outlives the driver"
        );
    }
}

#[test]
fn a_full_pipe_of_4_kib_is_waited_for() {
    let fifos = Fifos::new();
    let [stdout, stderr] = fifos.readers();
    stdout.set_capacity(4096).unwrap();
    let mut driver = fifos.run(&["sh", "-c", SEQ]).spawn().unwrap();
    let blocked = || {
        let journal = fifos.folder.journal();
        journal
            .iter()
            .any(|line| matches!(line.event, Event::Blocked { .. }))
    };
    wait_until("the blocked delivery", blocked);
    let drain = Drain::of(stdout);
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(0));
    assert!(drain.until_writers_are_gone() == lines(2000));
    drop(stderr);
}

#[test]
fn a_new_reader_goes_on_with_the_very_next_byte() {
    let fifos = Fifos::new();
    let [first, stderr] = fifos.readers();
    let go = fifos.folder.path("go");
    let script = format!("echo one; {} {SEQ}", support::shell_gate(&go));
    let mut driver = fifos.run(&["sh", "-c", &script]).spawn().unwrap();
    let mut got = support::read_bytes(&first, 4);
    assert_eq!(got, b"one\n");
    drop(first);
    support::until_nobody_reads(&fifos.path(Stream::Stdout));
    fs::write(&go, "").unwrap();
    let refused = || {
        let journal = fifos.folder.journal();
        journal
            .iter()
            .any(|line| matches!(&line.event, Event::Error { name, .. } if name == "EPIPE"))
    };
    wait_until("EPIPE", refused);
    let [second, _] = fifos.readers();
    let drain = Drain::of(second);
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(0));
    got.extend(drain.until_writers_are_gone());
    assert!(got == [&b"one\n"[..], &lines(2000)].concat());
    let opened = |line: &mock_driver::journal::Line| {
        matches!(
            line.event,
            Event::Opened {
                stream: Stream::Stdout,
                ..
            }
        )
    };
    assert_eq!(
        fifos
            .folder
            .journal()
            .iter()
            .filter(|line| opened(line))
            .count(),
        1
    );
    drop(stderr);
}

#[test]
fn the_exit_is_reported_while_a_child_still_holds_the_pipes() {
    let fifos = Fifos::new();
    fifos.folder.script(
        "[[step]]\ndo='records'\nstream='stdout'\ncount=600\n\
         [[step]]\ndo='child'\nstreams=['stdout','stderr']\nuntil_gate='go'",
    );
    let drains = fifos.drains();
    let begun = Instant::now();
    let mut driver = fifos.play(&[]).spawn().unwrap();
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert_eq!(stdout.len(), 60_000);
    fs::write(fifos.folder.path("go"), "").unwrap();
}

#[test]
fn a_task_that_dies_of_a_signal_is_reported_as_128_and_its_number() {
    let fifos = Fifos::new();
    let _drains = fifos.drains();
    let status = fifos.run(&["sh", "-c", "kill -USR1 $$"]).status().unwrap();
    assert_eq!(status.code(), Some(138));
}

#[test]
fn a_task_ignores_no_signal_that_whoever_started_the_driver_ignores() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let driver = fifos.run(&["grep", "SigIgn", "/proc/self/status"]);
    let mut shell = std::process::Command::new("sh");
    let script = "trap '' HUP INT QUIT USR1 PIPE; exec \"$0\" \"$@\"";
    shell.args(["-c", script]).arg(driver.get_program());
    assert!(shell.args(driver.get_args()).status().unwrap().success());
    let told = drains.map(Drain::until_writers_are_gone)[0].clone();
    let told = String::from_utf8(told).unwrap();
    let ignored = u64::from_str_radix(told.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    // Those of real time belong to the C library.
    assert_eq!(ignored & 0x7fff_ffff, 0, "{told}");
}

#[test]
fn a_command_that_does_not_exist_is_reported_as_127() {
    let fifos = Fifos::new();
    let output = fifos.run(&["/nonexistent/program"]).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("/nonexistent/program"), "{message}");
}

#[test]
fn what_is_no_fifo_is_refused_and_left_as_it_is() {
    let fifos = Fifos::new();
    fs::remove_file(fifos.path(Stream::Stderr)).unwrap();
    fs::write(fifos.path(Stream::Stderr), "mine").unwrap();
    let output = fifos
        .run(&["touch", "started"])
        .current_dir(fifos.folder.path(""))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(66));
    assert_eq!(fs::read(fifos.path(Stream::Stderr)).unwrap(), b"mine");
    assert!(!fifos.folder.path("started").exists());
}

#[test]
fn sigterm_reaches_the_task_and_its_last_words_arrive() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let script = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.01; done";
    let mut driver = fifos.run(&["sh", "-c", script]).spawn().unwrap();
    wait_until("the task", || drains[0].has(b"up\n"));
    terminate(&driver);
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(9));
    assert_eq!(drains.map(Drain::until_writers_are_gone)[0], b"up\nbye\n");
}

#[test]
fn a_task_that_ignores_sigterm_is_killed() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let script = "trap '' TERM; echo up; while :; do sleep 0.01; done";
    let mut driver = fifos.run(&["sh", "-c", script]).spawn().unwrap();
    wait_until("the task", || drains[0].has(b"up\n"));
    let begun = Instant::now();
    terminate(&driver);
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(137));
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[test]
fn a_stop_ends_in_time_while_nobody_drains_the_pipe() {
    let fifos = Fifos::new();
    let _frozen = fifos.readers();
    let mut driver = fifos.run(&["sh", "-c", "while :; do echo xxxxxxxxxxxxxxx; done"]);
    let mut driver = driver.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let blocked = || {
        let journal = fifos.folder.journal();
        journal
            .iter()
            .any(|line| matches!(line.event, Event::Blocked { .. }))
    };
    wait_until("the blocked delivery", blocked);
    let begun = Instant::now();
    terminate(&driver);
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(143));
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    let message = std::io::read_to_string(driver.stderr.take().unwrap()).unwrap();
    assert!(
        message.contains("lost") && message.contains("bytes of stdout"),
        "{message}"
    );
}

#[test]
fn output_that_nobody_ever_reads_is_never_a_success() {
    let fifos = Fifos::new();
    let output = fifos.run(&["sh", "-c", "printf 12345"]).output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("lost 5 bytes of stdout"), "{message}");
}

#[test]
fn a_silent_task_without_a_reader_ends_at_once() {
    let fifos = Fifos::new();
    let begun = Instant::now();
    assert_eq!(fifos.run(&["true"]).status().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[test]
fn the_null_device_is_given_to_the_task_itself() {
    let fifos = Fifos::new();
    let mut command = mock_driver();
    command.args([
        "run",
        "--stdout",
        "/dev/null",
        "--stderr",
        "/dev/null",
        "--",
    ]);
    command.args([
        "sh",
        "-c",
        "l=$(readlink /proc/$$/fd/1 /proc/$$/fd/2); echo \"$l\" > \"$0\"",
    ]);
    let out = fifos.folder.path("links");
    assert!(command.arg(&out).status().unwrap().success());
    assert_eq!(fs::read_to_string(out).unwrap(), "/dev/null\n/dev/null\n");
}

#[test]
fn the_task_starts_with_no_signal_ignored_or_blocked_and_no_fifo_open() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let script = "grep -E 'Sig(Blk|Ign)' /proc/self/status; ls -l /proc/$$/fd | grep -c fifo- >&2";
    assert!(fifos.run(&["sh", "-c", script]).status().is_ok());
    let [status, links] = drains.map(Drain::until_writers_are_gone);
    let status = String::from_utf8(status).unwrap();
    let mask = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk:"), 0, "{status}");
    // Who started the test may have ignored others.
    let sigpipe = 1 << 12;
    assert_eq!(mask("SigIgn:") & sigpipe, 0, "{status}");
    assert_eq!(links, b"0\n");
}

#[test]
fn writes_of_concurrent_processes_stay_whole() {
    let fifos = Fifos::new();
    let script = fifos
        .folder
        .script("[[step]]\ndo='records'\nstream='stdout'\ncount=300\nwriters=4\nbytes=1000");
    let drains = fifos.drains();
    assert!(fifos.play(&[]).status().unwrap().success());
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    assert_eq!(
        support::records(&stdout),
        support::unordered(&script, Stream::Stdout)
    );
}

#[test]
fn a_hundred_generations_on_the_same_fifos_lose_nothing() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let script = fifos
        .folder
        .script("[[step]]\ndo='records'\nstream='stdout'\ncount=30");
    for generation in 0..100 {
        let generation = generation.to_string();
        let status = fifos.play(&["--generation", &generation]).status().unwrap();
        assert_eq!(status.code(), Some(0));
    }
    let [stdout, _] = drains.map(Drain::until_writers_are_gone);
    let expected: Vec<_> = (0..100)
        .flat_map(|generation| support::exact_of(&script, Stream::Stdout, generation))
        .collect();
    assert!(
        stdout == expected,
        "{} of {} bytes",
        stdout.len(),
        expected.len()
    );
}

#[test]
fn gates_and_marks_pass_through_a_played_script() {
    let fifos = Fifos::new();
    fifos.folder.script(
        "[[step]]\ndo='mark'\nname='m'\n[[step]]\ndo='gate'\nname='go'\n\
         [[step]]\ndo='text'\nstream='stdout'\ntext='x'",
    );
    let drains = fifos.drains();
    let mut driver = fifos.play(&[]).spawn().unwrap();
    let marked = |line: &mock_driver::journal::Line| matches!(line.event, Event::Mark { .. });
    wait_until("the mark", || fifos.folder.journal().iter().any(marked));
    assert!(!drains[0].has(b"x"));
    fs::write(fifos.folder.path("go"), "").unwrap();
    assert!(wait_within(&mut driver, "the driver").success());
    assert_eq!(drains.map(Drain::until_writers_are_gone)[0], b"x");
}

#[test]
fn a_bad_script_is_refused_before_anything_starts() {
    let folder = Folder::new();
    let fifos = Fifos::in_folder(folder);
    fs::write(fifos.folder.path("script.toml"), "[[step]]\ndo='nap'").unwrap();
    let output = fifos.play(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("script.toml")
    );
}

#[test]
fn a_start_error_is_said_and_no_fifo_is_opened() {
    for (more, status) in [("", 125), ("start_error_recoverable = true", 124)] {
        let fifos = Fifos::new();
        let text = format!("start_error = 'no such image'\nstdout_string = 'x'\n{more}");
        fifos.folder.script(&text);
        let [stdout, _stderr] = fifos.readers();
        let output = fifos.play(&[]).output().unwrap();
        assert_eq!(output.status.code(), Some(status));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("no such image"), "{message}");
        assert_eq!(stdout.fill_level().unwrap(), 0);
        assert!(fifos.folder.journal().is_empty());
    }
}

#[test]
fn kill_after_delays_the_end_after_a_stop() {
    let fifos = Fifos::new();
    fifos
        .folder
        .script("kill_after = '500ms'\nrun_for = '1m'\nstdout_string = 'up'");
    let drains = fifos.drains();
    let mut driver = fifos.play(&[]).spawn().unwrap();
    wait_until("the task", || drains[0].has(b"up"));
    let begun = Instant::now();
    terminate(&driver);
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(143));
    assert!(begun.elapsed() >= Duration::from_millis(500));
}

#[test]
fn signal_error_answers_a_stop_that_has_no_other_effect_and_exit_err_msg_comes_last() {
    let fifos = Fifos::new();
    fifos.folder.script(
        "signal_error = 'not now'\nexit_err_msg = 'broke'\nexit_code = 4\n\
         [[step]]\ndo = 'text'\nstream = 'stdout'\ntext = 'up'\n\
         [[step]]\ndo = 'gate'\nname = 'go'",
    );
    let drains = fifos.drains();
    let mut driver = fifos.play(&[]);
    let mut driver = driver.stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_until("the task", || drains[0].has(b"up"));
    terminate(&driver);
    let mut messages = std::io::BufReader::new(driver.stderr.take().unwrap()).lines();
    let answer = messages.next().unwrap().unwrap();
    assert!(answer.contains("not now"), "{answer}");
    fs::write(fifos.folder.path("go"), "").unwrap();
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(4));
    let last = messages.last().unwrap().unwrap();
    assert!(last.contains("broke"), "{last}");
}
