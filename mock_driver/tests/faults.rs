//! Each fault does its own damage, seen from the reading end, and no other driver does it.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and looks for one event among many"
)]

mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mock_driver::journal::Event;
use mock_driver::stream::Stream;
use support::{
    Descendants, Drain, Fifos, mock_driver, read_bytes, terminate, wait_until, wait_within,
};

/// What arrives of a command's output.
fn arrives(fault: &str, script: &str) -> [Vec<u8>; 2] {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let mut driver = fifos.faulty(fault, &["sh", "-c", script]).spawn().unwrap();
    assert!(wait_within(&mut driver, fault).success());
    drains.map(Drain::until_writers_are_gone)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn saw_error(fifos: &Fifos, expected: &str) -> bool {
    let is = |event: &Event| matches!(event, Event::Error { name, .. } if name == expected);
    fifos.folder.journal().iter().any(|line| is(&line.event))
}

fn is_blocked(fifos: &Fifos) -> bool {
    let is = |event: &Event| matches!(event, Event::Blocked { .. });
    fifos.folder.journal().iter().any(|line| is(&line.event))
}

/// How often the driver has begun.
fn lives(fifos: &Fifos) -> usize {
    let is = |event: &Event| matches!(event, Event::Hello { .. });
    let journal = fifos.folder.journal();
    journal.iter().filter(|line| is(&line.event)).count()
}

/// Fails if the driver ends within the time.
fn still_runs_after(driver: &mut Child, time: Duration) {
    let begun = Instant::now();
    wait_until("the time", || {
        assert!(driver.try_wait().unwrap().is_none(), "it has ended");
        begun.elapsed() > time
    });
}

/// The reader takes `one`, two lines stay in the pipe, the reader leaves, `three` is written while
/// there is none, and a second reader comes for it and `four`. Gives all that was read.
fn across_a_gap(fault: &str) -> (String, Child) {
    let fifos = Fifos::new();
    let [first, stderr] = fifos.readers();
    let gate = |name: &str| support::shell_gate(&fifos.folder.path(name));
    let script = format!(
        "echo one; echo two; {} echo three; {} echo four",
        gate("gone"),
        gate("back")
    );
    let mut command = fifos.faulty(fault, &["sh", "-c", &script]);
    let descendants = Descendants::of(&mut command);
    let mut driver = command.spawn().unwrap();
    drop(command);
    let mut got = read_bytes(&first, 4);
    wait_until("two in the pipe", || first.fill_level().unwrap() == 4);
    drop(first);
    support::until_nobody_reads(&fifos.path(Stream::Stdout));
    fs::write(fifos.folder.path("gone"), "").unwrap();
    wait_until("EPIPE", || {
        saw_error(&fifos, "EPIPE") || driver.try_wait().unwrap().is_some()
    });
    if fault == "restarts-task-on-epipe" {
        // Its next life has begun without the pipe; a reader that comes before would keep what is in it.
        wait_until("the driver's next life", || lives(&fifos) == 2);
    }
    let [second, _] = fifos.readers();
    let drain = Drain::of(second);
    fs::write(fifos.folder.path("back"), "").unwrap();
    wait_within(&mut driver, fault);
    got.extend(drain.until_writers_are_gone());
    // A driver that dies leaves its task behind, which needs the folder to end.
    descendants.until_gone();
    drop(stderr);
    (String::from_utf8(got).unwrap(), driver)
}

#[test]
fn dies_of_sigpipe() {
    let (_, mut driver) = across_a_gap("dies-of-sigpipe");
    assert_eq!(driver.wait().unwrap().signal(), Some(13));
}

#[test]
fn drops_on_epipe() {
    assert_eq!(across_a_gap("drops-on-epipe").0, "one\ntwo\nfour\n");
}

#[test]
fn close_then_reopen() {
    assert_eq!(across_a_gap("close-then-reopen").0, "one\nthree\nfour\n");
}

#[test]
fn resends_last_record() {
    assert_eq!(
        across_a_gap("resends-last-record").0,
        "one\ntwo\ntwo\nthree\nfour\n"
    );
}

#[test]
fn restarts_task_on_epipe() {
    let (got, mut driver) = across_a_gap("restarts-task-on-epipe");
    assert_eq!(got, "one\none\ntwo\nthree\nfour\n");
    assert_eq!(driver.wait().unwrap().code(), Some(0));
}

#[test]
fn drops_on_eagain() {
    let fifos = Fifos::new();
    let [stdout, _stderr] = fifos.readers();
    let task = ["sh", "-c", "yes | head -c 300000"];
    assert!(
        fifos
            .faulty("drops-on-eagain", &task)
            .status()
            .unwrap()
            .success()
    );
    let got = Drain::of(stdout).until_writers_are_gone();
    assert!(got.len() < 300_000 && got.len() >= 4096, "{}", got.len());
}

#[test]
fn resends_after_short_write() {
    let fifos = Fifos::new();
    let [stdout, _stderr] = fifos.readers();
    stdout.set_capacity(4096).unwrap();
    // One write of 9,000 bytes, of which the pipe takes 4,096 at first.
    let task = ["dd", "if=/dev/zero", "bs=9000", "count=1"];
    let mut command = fifos.faulty("resends-after-short-write", &task);
    let drain = Drain::of(stdout);
    assert!(command.status().unwrap().success());
    let got = drain.until_writers_are_gone();
    assert_eq!(got.len(), 9000 + 4096);
}

#[test]
fn gives_up_on_enxio() {
    let fifos = Fifos::new();
    let go = fifos.folder.path("go");
    let script = format!("{} yes | head -c 200000", support::shell_gate(&go));
    let mut driver = fifos
        .faulty("gives-up-on-enxio", &["sh", "-c", &script])
        .spawn()
        .unwrap();
    // Each stream is opened by a thread of its own.
    wait_until("ENXIO of both streams", || {
        let is = |event: &Event| matches!(event, Event::Error { name, .. } if name == "ENXIO");
        let journal = fifos.folder.journal();
        journal.iter().filter(|line| is(&line.event)).count() == 2
    });
    let drains = fifos.drains();
    fs::write(go, "").unwrap();
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(0));
    assert_eq!(drains.map(Drain::until_writers_are_gone)[0], b"");
}

#[test]
fn gives_up_after_1s() {
    let [faulty, good] = [Fifos::new(), Fifos::new()];
    let mut driver = faulty
        .faulty("gives-up-after-1s", &["echo", "x"])
        .spawn()
        .unwrap();
    let mut patient = good.run(&["echo", "x"]).spawn().unwrap();
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(75));
    assert!(patient.try_wait().unwrap().is_none(), "it gives up as soon");
    let drains = good.drains();
    assert!(wait_within(&mut patient, "the good driver").success());
    assert_eq!(drains.map(Drain::until_writers_are_gone)[0], b"x\n");
}

#[test]
fn creates_plain_file() {
    let fifos = Fifos::new();
    let _readers = fifos.readers();
    assert!(
        fifos
            .faulty("creates-plain-file", &["echo", "x"])
            .status()
            .unwrap()
            .success()
    );
    let path = fifos.path(Stream::Stdout);
    assert!(path.symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read(path).unwrap(), b"x\n");
}

#[test]
fn replaces_fifo() {
    let fifos = Fifos::new();
    let _readers = fifos.readers();
    // Held by the reader, so the number is not used again.
    let before = fs::metadata(fifos.path(Stream::Stdout)).unwrap();
    let mut driver = fifos.faulty("replaces-fifo", &["echo", "x"]);
    assert_eq!(
        driver.stderr(Stdio::null()).status().unwrap().code(),
        Some(75)
    );
    let after = fs::metadata(fifos.path(Stream::Stdout)).unwrap();
    assert!(after.file_type().is_fifo());
    assert_ne!(before.ino(), after.ino());
}

#[test]
fn opens_read_write_and_exits_first() {
    let fifos = Fifos::new();
    let task = ["echo", "x"];
    let status = fifos
        .faulty("opens-read-write-and-exits-first", &task)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0), "success, though nobody reads");
    assert_eq!(fifos.drains().map(Drain::until_writers_are_gone)[0], b"");
}

#[test]
fn loses_unterminated_tail() {
    let [stdout, _] = arrives("loses-unterminated-tail", "printf 'a\\nb\\ntail'");
    assert_eq!(text(&stdout), "a\nb\n");
}

#[test]
fn child_keeps_fifo() {
    let fifos = Fifos::new();
    let [stdout, _stderr] = fifos.readers();
    assert!(
        fifos
            .faulty("child-keeps-fifo", &["echo", "x"])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(read_bytes(&stdout, 2), b"x\n");
    assert!(
        support::has_writer(&stdout),
        "the driver is gone, its end is not"
    );
    drop(fifos);
    // It goes with the folder.
    wait_until("the holder's end", || !support::has_writer(&stdout));
}

#[test]
fn torn_writers() {
    let lines = "i=0; while [ $i -lt 3000 ]; do echo line-$i; i=$((i+1)); done";
    let good = arrives("wrong-exit-code", &format!("x=$({lines}); echo \"$x\""));
    let torn = arrives("torn-writers", &format!("x=$({lines}); echo \"$x\""));
    assert_ne!(good[0], torn[0]);
    let sorted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(
        sorted(&good[0]),
        sorted(&torn[0]),
        "reordered, nothing lost"
    );
}

#[test]
fn block_buffers() {
    let fifos = Fifos::new();
    let [stdout, _stderr] = fifos.readers();
    let go = fifos.folder.path("go");
    let script = format!("yes | head -c 65537; {} echo x", support::shell_gate(&go));
    let mut driver = fifos
        .faulty("block-buffers", &["sh", "-c", &script])
        .spawn()
        .unwrap();
    read_bytes(&stdout, 65_536);
    assert_eq!(stdout.fill_level().unwrap(), 0);
    fs::write(go, "").unwrap();
    wait_within(&mut driver, "the driver");
    assert_eq!(read_bytes(&stdout, 3), b"yx\n");
    let wrote: Vec<_> = fifos
        .folder
        .journal()
        .into_iter()
        .filter_map(|line| match line.event {
            Event::Wrote { bytes, .. } => Some(bytes),
            _ => None,
        })
        .collect();
    assert_eq!(wrote.iter().sum::<u64>(), 65_539);
    assert_eq!(wrote.last(), Some(&3));
}

#[test]
fn merges_streams() {
    let [stdout, stderr] = arrives("merges-streams", "echo a; echo b >&2; echo c");
    assert_eq!((text(&stdout), text(&stderr)), ("a\nb\nc\n", ""));
}

#[test]
fn swaps_streams() {
    let [stdout, stderr] = arrives("swaps-streams", "echo a; echo b >&2");
    assert_eq!((text(&stdout), text(&stderr)), ("b\n", "a\n"));
}

#[test]
fn adds_prefix() {
    let [stdout, _] = arrives("adds-prefix", "printf 'a\\nb'");
    let prefix = "2024-01-01T00:00:00Z stdout F ";
    assert_eq!(text(&stdout), format!("{prefix}a\n{prefix}b"));
}

#[test]
fn crlf() {
    assert_eq!(text(&arrives("crlf", "printf 'a\\nb\\n'")[0]), "a\r\nb\r\n");
}

#[test]
fn skips_silent_stream() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    assert!(
        fifos
            .faulty("skips-silent-stream", &["echo", "x"])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(drains.map(Drain::until_writers_are_gone)[0], b"x\n");
    let opened: Vec<_> = fifos
        .folder
        .journal()
        .into_iter()
        .filter_map(|line| match line.event {
            Event::Opened { stream, .. } => Some(stream),
            _ => None,
        })
        .collect();
    assert_eq!(opened, [Stream::Stdout]);
}

#[test]
fn blocks_start_without_reader() {
    let fifos = Fifos::new();
    let started = fifos.folder.path("started");
    let task = ["touch", started.to_str().unwrap()];
    let mut driver = fifos
        .faulty("blocks-start-without-reader", &task)
        .spawn()
        .unwrap();
    // A good driver starts the task at once, and ends at once when it is stopped.
    still_runs_after(&mut driver, Duration::from_secs(1));
    terminate(&driver);
    still_runs_after(&mut driver, Duration::from_millis(500));
    assert!(!started.exists());
    let drains = fifos.drains();
    wait_within(&mut driver, "the driver");
    let [stdout, stderr] = drains.map(Drain::until_writers_are_gone);
    assert_eq!((text(&stdout), text(&stderr)), ("", ""));
}

#[test]
fn leaks_fd_per_restart() {
    let fifos = Fifos::new();
    let _readers = fifos.readers();
    let folder = fifos.folder.path("").canonicalize().unwrap();
    assert!(
        fifos
            .faulty("leaks-fd-per-restart", &["true"])
            .status()
            .unwrap()
            .success()
    );
    let holders = || {
        let links = |pid: &fs::DirEntry| fs::read_link(pid.path().join("fd/0"));
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|pid| links(pid).is_ok_and(|link| link == folder))
            .count()
    };
    wait_until("a process with the folder", || holders() == 1);
    drop(fifos);
    let gone = || {
        let deleted = format!("{} (deleted)", folder.display());
        let links = |pid: &fs::DirEntry| fs::read_link(pid.path().join("fd/0"));
        let mut processes = fs::read_dir("/proc").unwrap().flatten();
        !processes.any(|pid| links(&pid).is_ok_and(|link| link.as_os_str() == deleted.as_str()))
    };
    wait_until("its end with the folder", || holders() == 0 && gone());
}

#[test]
fn closes_early() {
    let [stdout, _] = arrives(
        "closes-early",
        "echo early; sleep 0.5; echo late; echo late >&2",
    );
    assert_eq!(text(&stdout), "early\n");
}

#[test]
fn truncates_at_nul() {
    let [stdout, _] = arrives("truncates-at-nul", "printf 'ab\\0cd\\0ef\\n'");
    assert_eq!(text(&stdout), "ab");
}

#[test]
fn wrong_exit_code() {
    let fifos = Fifos::new();
    let _drains = fifos.drains();
    for (script, reported) in [("exit 7", 0), ("kill -KILL $$", 1), ("exit 0", 0)] {
        let status = fifos
            .faulty("wrong-exit-code", &["sh", "-c", script])
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(reported), "{script}");
    }
}

#[test]
fn reports_0_on_stop() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let mut driver = fifos
        .faulty("reports-0-on-stop", &["sh", "-c", "exec yes"])
        .spawn()
        .unwrap();
    wait_until("the first bytes", || {
        fifos
            .folder
            .journal()
            .iter()
            .any(|line| matches!(line.event, Event::Wrote { .. }))
    });
    terminate(&driver);
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(0));
    assert!(drains.map(Drain::until_writers_are_gone)[1].is_empty());
    // Nobody asked for a stop: the status is the task's own.
    let _drains = fifos.drains();
    let killed = ["sh", "-c", "kill -TERM $$"];
    let mut command = fifos.faulty("reports-0-on-stop", &killed);
    assert_eq!(command.status().unwrap().code(), Some(143));
}

#[test]
fn reads_own_fifo() {
    let fifos = Fifos::new();
    let [stdout, _stderr] = fifos.readers();
    let script = "for i in 1 2 3 4 5 6; do echo line-$i; sleep 0.02; done";
    assert!(
        fifos
            .faulty("reads-own-fifo", &["sh", "-c", script])
            .status()
            .unwrap()
            .success()
    );
    let got = Drain::of(stdout).until_writers_are_gone();
    assert!(
        !text(&got).contains("line-1") && text(&got).ends_with("line-6\n"),
        "{}",
        text(&got)
    );
}

#[test]
fn leaks_fifo_into_task() {
    let [stdout, _] = arrives(
        "leaks-fifo-into-task",
        "ls -l /proc/$$/fd | grep -c fifo-stdout; :",
    );
    assert_eq!(text(&stdout), "1\n");
}

#[test]
fn ignores_sigpipe_for_task() {
    let script =
        "while read key mask; do [ $key = SigIgn: ] && echo $mask; done < /proc/$$/status; :";
    let mask = |fault| {
        let [stdout, _] = arrives(fault, script);
        u64::from_str_radix(text(&stdout).trim(), 16).unwrap()
    };
    assert_eq!(mask("ignores-sigpipe-for-task") & (1 << 12), 1 << 12);
    assert_eq!(mask("wrong-exit-code") & (1 << 12), 0);
}

#[test]
fn deaf_to_stop() {
    let fifos = Fifos::new();
    let [stdout, _stderr] = fifos.readers();
    let mut driver = fifos
        .faulty("deaf-to-stop", &["sh", "-c", "exec yes"])
        .spawn()
        .unwrap();
    wait_until("the blocked delivery", || is_blocked(&fifos));
    terminate(&driver);
    // Longer than a good driver needs for a stop.
    still_runs_after(&mut driver, Duration::from_secs(5));
    let drain = Drain::of(stdout);
    assert_eq!(wait_within(&mut driver, "the driver").code(), Some(143));
    drain.until_writers_are_gone();
}

#[test]
fn waits_for_children() {
    let fifos = Fifos::new();
    let drains = fifos.drains();
    let (go, ended) = (fifos.folder.path("go"), fifos.folder.path("ended"));
    let script = format!(
        "sh -c '{} echo late' & touch {}",
        support::shell_gate(&go),
        ended.display()
    );
    let mut driver = fifos
        .faulty("waits-for-children", &["sh", "-c", &script])
        .spawn()
        .unwrap();
    wait_until("the task's end", || ended.exists());
    still_runs_after(&mut driver, Duration::from_secs(1));
    fs::write(go, "").unwrap();
    assert!(wait_within(&mut driver, "the driver").success());
    assert_eq!(drains.map(Drain::until_writers_are_gone)[0], b"late\n");
}

#[test]
fn disabled_through_pipe() {
    let fifos = Fifos::new();
    let mut command = mock_driver();
    command.args(["run", "--fault", "disabled-through-pipe"]);
    command.args(["--stdout", "/dev/null", "--stderr", "/dev/null", "--"]);
    command.args([
        "sh",
        "-c",
        "yes | head -c 200000; l=$(readlink /proc/$$/fd/1); echo \"$l\" > \"$0\"",
    ]);
    let out = fifos.folder.path("link");
    assert!(command.arg(&out).status().unwrap().success());
    assert!(fs::read_to_string(out).unwrap().starts_with("pipe:"));
}

#[test]
fn every_fault_is_listed_with_a_line_and_has_a_test_here() {
    let output = mock_driver().arg("faults").output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    assert_eq!(list.lines().count(), 49);
    for line in list.lines() {
        let (name, description) = line.split_once(' ').unwrap();
        assert!(!description.trim().is_empty());
        let test = format!("fn {}()", name.replace('-', "_"));
        assert!(
            [
                include_str!("faults.rs"),
                include_str!("guests.rs"),
                include_str!("stdio.rs")
            ]
            .iter()
            .any(|tests| tests.contains(&test)),
            "{name} has no test"
        );
    }
}

#[test]
fn an_unknown_fault_is_a_wrong_command_line() {
    let fifos = Fifos::new();
    let mut command = fifos.faulty("writes-poetry", &["true"]);
    assert_eq!(
        command.stderr(Stdio::null()).status().unwrap().code(),
        Some(64)
    );
}
