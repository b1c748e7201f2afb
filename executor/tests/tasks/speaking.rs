//! Commands that are spoken with while they run (edge).

use std::io::ErrorKind;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use executor::{
    Cancel, CancelSource, CommandEnd, ExecError, ExecMessage, ExecOutput, ExecRequest, ExecStream,
    Executor, StandardExecutor, WindowSize,
};

use crate::hearing::{Watchdog, all, code, hear, texts};
use crate::stage::{LONG, Stage, has_ended_within, skip, until, words};

const WINDOW: WindowSize = WindowSize {
    rows: 24,
    columns: 80,
};

fn request(script: &str, terminal: Option<WindowSize>) -> ExecRequest {
    ExecRequest {
        program: "sh".into(),
        args: words(&["-c", script]),
        terminal,
        limit: None,
    }
}

/// A task, and a command in it.
fn speak(script: &str, terminal: Option<WindowSize>) -> (Stage, StandardExecutor, ExecStream) {
    let stage = Stage::new();
    let (executor, _) = stage.launch("exec sleep 1000");
    let stream = executor.exec_streaming(&request(script, terminal)).unwrap();
    (stage, executor, stream)
}

#[test]
fn a_command_hears_its_input_while_it_speaks_and_its_code_comes_last() {
    let script = "read name; echo hello $name; cat; echo end >&2; exit 3";
    let (_stage, _executor, mut stream) = speak(script, None);
    stream.input.write(b"you\n").unwrap();
    assert_eq!(
        hear(&mut stream.output, |heard| heard.ends_with('\n')),
        "hello you\n"
    );
    stream.input.write(b"more\n").unwrap();
    stream.input.write(b"last").unwrap();
    stream.input.close().unwrap();
    stream.input.close().unwrap();
    let late = stream.input.write(b"x").unwrap_err();
    assert_eq!(late.kind(), ErrorKind::BrokenPipe);
    assert_eq!(
        texts(&mut stream.output),
        ("more\nlast".into(), "end\n".into(), code(3))
    );
}

#[test]
fn what_is_written_and_what_is_read_do_not_wait_for_each_other() {
    let (_stage, _executor, stream) = speak("cat; exit 4", None);
    let ExecStream {
        mut input,
        mut output,
    } = stream;
    let long: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let sent = long.clone();
    let writer = thread::spawn(move || input.write(&sent));
    let (out, _, end) = all(&mut output);
    writer.join().unwrap().unwrap();
    assert!(out == long, "{} bytes", out.len());
    assert_eq!(end, code(4));
}

#[test]
fn whoever_listens_late_gets_all_that_a_command_said() {
    let script = "head -c 60000 /dev/zero; head -c 60000 /dev/zero >&2";
    let (_stage, executor, mut stream) = speak(script, None);
    // Both pipes hold it, so the command ends before anybody reads.
    until("the command ends", || {
        let pids = executor.contained().unwrap().pids().unwrap();
        (pids.len() == 1).then_some(()).ok_or(format!("{pids:?}"))
    });
    let (out, err, end) = all(&mut stream.output);
    assert_eq!((out.len(), err.len(), end), (60_000, 60_000, code(0)));
}

#[test]
fn two_streams_that_never_stop_are_both_heard() {
    let (_stage, _executor, mut stream) = speak("yes out & yes err >&2", None);
    let watchdog = Watchdog::new();
    let (mut out, mut err) = (0, 0);
    while out < 1_000_000 || err < 1_000_000 {
        match stream.output.next(watchdog.cancel()).unwrap() {
            Some(ExecMessage::Stdout(bytes)) => out += bytes.len(),
            Some(ExecMessage::Stderr(bytes)) => err += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_terminal_is_all_three_and_controls_its_command() {
    let script = "test -t 0 && test -t 1 && test -t 2 && stty size && echo err >&2 && \
                  echo tty >/dev/tty && read -r stat </proc/$$/stat && set -- ${stat##*) } && \
                  test $6 -eq $$ && exit 5";
    let (_stage, _executor, mut stream) = speak(script, Some(WINDOW));
    assert_eq!(
        texts(&mut stream.output),
        ("24 80\r\nerr\r\ntty\r\n".into(), String::new(), code(5))
    );
}

#[test]
fn the_window_of_a_terminal_changes_its_size() {
    let script = "trap 'stty size; exit 6' WINCH; echo ready; while :; do sleep 0.01; done";
    let (_stage, _executor, mut stream) = speak(script, Some(WINDOW));
    hear(&mut stream.output, |heard| heard == "ready\r\n");
    let size = WindowSize {
        rows: 50,
        columns: 132,
    };
    stream.input.resize(size).unwrap();
    assert_eq!(
        texts(&mut stream.output),
        ("50 132\r\n".into(), String::new(), code(6))
    );
    let (_stage, _executor, stream) = speak("exec sleep 1000", None);
    let refused = stream.input.resize(size).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

#[test]
fn the_end_of_a_terminal_s_input_is_seen_by_whoever_reads_lines() {
    for (typed, heard) in [
        ("", "|"),
        ("line\n", "line\r\nline\r\n|"),
        ("part", "partpart|"),
    ] {
        let (_stage, _executor, mut stream) = speak("cat; printf '|'", Some(WINDOW));
        stream.input.write(typed.as_bytes()).unwrap();
        stream.input.close().unwrap();
        let (out, _, end) = texts(&mut stream.output);
        assert_eq!((out.as_str(), end), (heard, code(0)), "{typed:?}");
    }
    // In raw mode the character would be one like any other.
    let script = "stty raw -echo; echo ready; head -c 1";
    let (_stage, _executor, mut stream) = speak(script, Some(WINDOW));
    hear(&mut stream.output, |heard| heard == "ready\n");
    stream.input.close().unwrap();
    stream.input.write(b"x").unwrap();
    assert_eq!(
        texts(&mut stream.output),
        ("x".into(), String::new(), code(0))
    );
}

#[test]
fn a_terminal_that_somebody_else_still_holds_is_no_reason_to_wait() {
    let script = "setsid sleep 1000 & echo said; exit 3";
    let (_stage, executor, mut stream) = speak(script, Some(WINDOW));
    assert_eq!(
        texts(&mut stream.output),
        ("said\r\n".into(), String::new(), code(3))
    );
    executor.shutdown(None, LONG).unwrap();
}

#[test]
fn a_terminal_s_end_is_the_end_of_its_stream_and_not_of_its_command() {
    // From then on the master says EIO.
    let script = "echo said; exec <&- >&- 2>&-; sleep 0.3; exit 7";
    let (_stage, _executor, mut stream) = speak(script, Some(WINDOW));
    assert_eq!(
        texts(&mut stream.output),
        ("said\r\n".into(), String::new(), code(7))
    );
}

#[test]
fn a_terminal_is_its_user_s() {
    if !rustix::process::geteuid().is_root() {
        skip!(
            "a_terminal_is_its_user_s",
            "only root can run a task as somebody else"
        );
    }
    let stage = Stage::new();
    let executor = StandardExecutor::new(executor::Options::default());
    let mut spec = stage.script("exec sleep 1000");
    spec.user = Some("nobody".into());
    executor.launch(&spec, Cancel::never()).unwrap();
    let script = "id -un; echo again >\"$(tty)\"";
    let mut stream = executor
        .exec_streaming(&request(script, Some(WINDOW)))
        .unwrap();
    let (out, _, end) = texts(&mut stream.output);
    assert_eq!((out.as_str(), end), ("nobody\r\nagain\r\n", code(0)));
}

/// The pid of a child that the command has started, which it has told.
fn child(output: &mut ExecOutput) -> i32 {
    let told = hear(output, |heard| heard.ends_with('\n'));
    told.trim().parse().unwrap()
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_its_group_though_nobody_listens() {
    for terminal in [None, Some(WINDOW)] {
        let stage = Stage::new();
        let (executor, _) = stage.launch("exec sleep 1000");
        let mut request = request("sleep 1000 & echo $!; wait", terminal);
        let limit = Duration::from_millis(500);
        request.limit = Some(limit);
        let start = Instant::now();
        let mut stream = executor.exec_streaming(&request).unwrap();
        let child = child(&mut stream.output);
        // Nobody asks for the next message meanwhile.
        assert!(has_ended_within(child, LONG));
        assert!(start.elapsed() >= limit, "after {:?}", start.elapsed());
        let (_, _, end) = all(&mut stream.output);
        assert_eq!(end, CommandEnd::Deadline);
    }
}

#[test]
fn whoever_cancels_or_does_not_listen_any_more_ends_a_command_with_its_group() {
    for terminal in [None, Some(WINDOW)] {
        let script = "sleep 1000 & echo $!; wait";
        let (_stage, _executor, mut stream) = speak(script, terminal);
        let pid = child(&mut stream.output);
        let source = CancelSource::new().unwrap();
        source.cancel();
        let said = stream.output.next(Cancel::when_readable(&source)).unwrap();
        assert_eq!(said, Some(ExecMessage::Ended(CommandEnd::Cancelled)));
        assert!(has_ended_within(pid, LONG));

        let (_stage, _executor, mut stream) = speak(script, terminal);
        let pid = child(&mut stream.output);
        drop(stream.output);
        assert!(has_ended_within(pid, LONG));
        let late = stream.input.write(b"x").unwrap_err();
        assert_eq!(late.kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_shutdown_ends_the_conversation_and_says_so() {
    let (_stage, executor, mut stream) = speak("echo ready; exec sleep 1000", None);
    hear(&mut stream.output, |heard| heard == "ready\n");
    executor.shutdown(None, LONG).unwrap();
    assert_eq!(all(&mut stream.output).2, CommandEnd::Stopped);
    let refused = executor.exec_streaming(&request("true", None)).unwrap_err();
    assert!(matches!(refused, ExecError::NotRunning), "{refused:?}");
}

#[test]
fn whoever_writes_to_a_command_that_does_not_read_is_told_of_its_end() {
    for terminal in [None, Some(WINDOW)] {
        // In raw mode a terminal keeps what is typed; else it drops what has no room.
        let script = "test -t 0 && stty raw -echo; echo ready; exec sleep 1000";
        let (_stage, executor, stream) = speak(script, terminal);
        let ExecStream {
            mut input,
            mut output,
        } = stream;
        hear(&mut output, |heard| heard == "ready\n");
        let (tell, told) = channel();
        let writer = thread::spawn(move || {
            loop {
                match input.write(&[b'x'; 1024]) {
                    Ok(()) => tell.send(()).unwrap(),
                    Err(error) => return error.kind(),
                }
            }
        });
        // It writes until there is no more room.
        while told.recv_timeout(Duration::from_millis(100)).is_ok() {}
        assert!(!writer.is_finished());
        thread::scope(|scope| {
            let end = scope.spawn(|| all(&mut output).2);
            executor.shutdown(None, LONG).unwrap();
            assert_eq!(end.join().unwrap(), CommandEnd::Stopped);
        });
        assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_command_to_speak_with_that_is_not_there_is_told() {
    let stage = Stage::new();
    let (executor, _) = stage.launch("exec sleep 1000");
    let mut request = request("true", None);
    request.program = "/no/such/command".into();
    let error = executor.exec_streaming(&request).unwrap_err();
    assert!(matches!(error, ExecError::Program(_)), "got {error:?}");
}
