//! Commands in a container that are spoken with while they run (edge).

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use executor::{
    Cancel, CancelSource, CommandEnd, ExecError, ExecMessage, ExecRequest, ExecStream, Executor,
    IsolatedExecutor, LaunchSpec, ProgramError, WindowSize,
};

use crate::hearing::{all, code, hear, texts};
use crate::root::{Root, launch, needs_containers, script, which};
use crate::stage::{LONG, Stage, line, until, words};

const WINDOW: WindowSize = WindowSize {
    rows: 24,
    columns: 80,
};

/// A container that waits, and a command in it.
struct Talk {
    _stage: Stage,
    _root: Root,
    executor: IsolatedExecutor,
    stream: ExecStream,
}

fn talk(text: &str, terminal: Option<WindowSize>) -> Talk {
    talk_as(|_| {}, &request(text, terminal))
}

fn talk_as(change: impl FnOnce(&mut LaunchSpec), request: &ExecRequest) -> Talk {
    let (stage, root) = (Stage::new(), Root::new());
    root.add(&which("stty"), Path::new("/bin/stty"));
    let mut spec = script(&stage, &root, "echo up; exec sleep 1000");
    change(&mut spec);
    let (executor, _) = launch(&spec);
    assert_eq!(line(&stage.stdout), "up");
    let stream = executor.exec_streaming(request).unwrap();
    Talk {
        _stage: stage,
        _root: root,
        executor,
        stream,
    }
}

fn request(text: &str, terminal: Option<WindowSize>) -> ExecRequest {
    ExecRequest {
        program: "sh".into(),
        args: words(&["-c", text]),
        terminal,
        limit: None,
    }
}

/// Waits until the main process is alone.
fn until_alone(executor: &IsolatedExecutor) {
    until("the command is gone with all that it has started", || {
        let pids = executor.contained().unwrap().pids().unwrap();
        (pids.len() == 1).then_some(()).ok_or(format!("{pids:?}"))
    });
}

#[test]
fn a_command_in_a_container_hears_its_input_while_it_speaks() {
    needs_containers!("a_command_in_a_container_hears_its_input_while_it_speaks");
    let text =
        "read name; echo hello $name; cat; readlink /proc/1/ns/mnt /proc/self/ns/mnt >&2; exit 3";
    let mut talk = talk(text, None);
    let (input, output) = (&mut talk.stream.input, &mut talk.stream.output);
    input.write(b"you\n").unwrap();
    assert_eq!(hear(output, |heard| heard.ends_with('\n')), "hello you\n");
    input.write(b"last").unwrap();
    input.close().unwrap();
    let (out, err, end) = texts(output);
    assert_eq!((out.as_str(), end), ("last", code(3)));
    let spaces: Vec<&str> = err.lines().collect();
    let leader = talk.executor.contained().unwrap().leader();
    let own = fs::read_link(format!("/proc/{leader}/ns/mnt")).unwrap();
    assert_eq!(spaces, [own.to_str().unwrap(); 2]);
}

#[test]
fn whoever_writes_to_a_command_in_a_container_that_has_closed_its_input_is_told() {
    needs_containers!(
        "whoever_writes_to_a_command_in_a_container_that_has_closed_its_input_is_told"
    );
    let mut talk = talk("exec <&-; echo closed; exec sleep 1000", None);
    let (input, output) = (&mut talk.stream.input, &mut talk.stream.output);
    assert_eq!(hear(output, |heard| heard.ends_with('\n')), "closed\n");
    // No process that has built the command holds the other end.
    let late = input.write(b"x").unwrap_err();
    assert_eq!(late.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_terminal_controls_its_command_in_a_container() {
    needs_containers!("a_terminal_controls_its_command_in_a_container");
    let text = "test -t 0 && test -t 1 && test -t 2 && stty size && echo err >&2 && echo tty >/dev/tty && \
                read -r stat </proc/$$/stat && set -- ${stat##*) } && test $6 -eq $$ && \
                trap 'exit 7' INT && echo ready && while :; do sleep 0.01; done";
    for user in [None, Some("nobody")] {
        let change = |spec: &mut LaunchSpec| spec.user = user.map(Into::into);
        let mut talk = talk_as(change, &request(text, Some(WINDOW)));
        let output = &mut talk.stream.output;
        let heard = hear(output, |heard| heard.ends_with("ready\r\n"));
        assert_eq!(heard, "24 80\r\nerr\r\ntty\r\nready\r\n", "{user:?}");
        // The terminal makes a SIGINT of what is typed, for those in its foreground.
        talk.stream.input.write(&[3]).unwrap();
        let (out, _, end) = texts(output);
        assert_eq!((out.as_str(), end), ("^C", code(7)), "{user:?}");
    }
}

#[test]
fn the_window_of_a_terminal_of_a_container_changes_its_size() {
    needs_containers!("the_window_of_a_terminal_of_a_container_changes_its_size");
    let text = "trap 'stty size; exit 6' WINCH; echo ready; while :; do sleep 0.01; done";
    let mut talk = talk(text, Some(WINDOW));
    let output = &mut talk.stream.output;
    hear(output, |heard| heard == "ready\r\n");
    let size = WindowSize {
        rows: 50,
        columns: 132,
    };
    talk.stream.input.resize(size).unwrap();
    let expected = ("50 132\r\n".into(), String::new(), code(6));
    assert_eq!(texts(output), expected);
}

#[test]
fn a_command_in_a_container_ends_with_its_group_when_nobody_wants_it_any_more() {
    needs_containers!("a_command_in_a_container_ends_with_its_group_when_nobody_wants_it_any_more");
    let text = "sleep 1000 & echo ready; wait";
    for terminal in [None, Some(WINDOW)] {
        let mut late = request(text, terminal);
        let limit = Duration::from_secs(2);
        late.limit = Some(limit);
        let start = Instant::now();
        let mut talk = talk_as(|_| {}, &late);
        assert_eq!(all(&mut talk.stream.output).2, CommandEnd::Deadline);
        assert!(start.elapsed() >= limit);
        until_alone(&talk.executor);

        let mut stream = talk
            .executor
            .exec_streaming(&request(text, terminal))
            .unwrap();
        hear(&mut stream.output, |heard| heard.ends_with('\n'));
        let source = CancelSource::new().unwrap();
        source.cancel();
        let said = stream.output.next(Cancel::when_readable(&source)).unwrap();
        assert_eq!(said, Some(ExecMessage::Ended(CommandEnd::Cancelled)));
        until_alone(&talk.executor);

        let mut stream = talk
            .executor
            .exec_streaming(&request(text, terminal))
            .unwrap();
        hear(&mut stream.output, |heard| heard.ends_with('\n'));
        drop(stream);
        until_alone(&talk.executor);
    }
}

#[test]
fn a_shutdown_of_a_container_ends_the_conversation_and_says_so() {
    needs_containers!("a_shutdown_of_a_container_ends_the_conversation_and_says_so");
    let mut talk = talk("echo ready; exec sleep 1000", None);
    hear(&mut talk.stream.output, |heard| heard == "ready\n");
    talk.executor.shutdown(None, LONG).unwrap();
    assert_eq!(all(&mut talk.stream.output).2, CommandEnd::Stopped);
    let refused = talk.executor.exec_streaming(&request("true", None));
    assert!(matches!(refused, Err(ExecError::NotRunning)), "{refused:?}");
}

#[test]
fn a_command_to_speak_with_that_is_not_in_the_container_is_told() {
    needs_containers!("a_command_to_speak_with_that_is_not_in_the_container_is_told");
    let talk = talk("exec sleep 1000", None);
    for terminal in [None, Some(WINDOW)] {
        let mut elsewhere = request("true", terminal);
        elsewhere.program = "env".into();
        let error = talk.executor.exec_streaming(&elsewhere).unwrap_err();
        let is_right = matches!(&error, ExecError::Program(ProgramError::NotFound { .. }));
        assert!(is_right, "{error:?}");
    }
}
