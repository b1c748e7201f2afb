//! The payload writes what its script and the expectation say, and journals it.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and looks for one event among many"
)]

mod support;

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use mock_driver::journal::{Event, FileKind, Line, Role};
use mock_driver::record::{Item, RunId, scan};
use mock_driver::script::{Expected, Script};
use mock_driver::stream::Stream;
use support::{Folder, wait_until};

const RUN: RunId = RunId(0x00c0_ffee);

fn run(folder: &Folder, script: &str) -> (Script, Output) {
    let parsed = folder.script(script);
    let output = task(folder).output().unwrap();
    (parsed, output)
}

fn task(folder: &Folder) -> Command {
    let mut command = support::mock_driver();
    command
        .args(["task", "--run", "00c0ffee", "--generation", "3"])
        .arg("--script")
        .arg(folder.path("script.toml"))
        .arg("--journal")
        .arg(folder.path("journal"))
        .arg("--gates")
        .arg(folder.path(""))
        .stdin(Stdio::null());
    command
}

fn exact(script: &Script, stream: Stream) -> Vec<u8> {
    match script.expected(RUN, 3, stream) {
        Expected::Exact(exact) => exact.render(),
        other @ (Expected::Unordered { .. } | Expected::Unknown) => panic!("{other:?}"),
    }
}

/// The complete writes: where each ends, how many bytes it has, and the last record that it completes.
fn writes(journal: &[Line]) -> Vec<(u64, u64, Option<u32>)> {
    let wrote = |line: &Line| match line.event {
        Event::Wrote {
            end, bytes, seq, ..
        } => Some((end, bytes, seq)),
        _ => None,
    };
    journal.iter().filter_map(wrote).collect()
}

#[test]
fn every_kind_of_output_arrives_as_expected_byte_for_byte() {
    let folder = Folder::new();
    let (script, output) = run(
        &folder,
        r#"
        seed = 99
        exit_code = 7
        [[step]]
        do = "records"
        stream = "stdout"
        count = 300
        together = 7
        [[step]]
        do = "records"
        stream = "stderr"
        count = 20
        bytes = 777
        binary = true
        pieces = 50
        [[step]]
        do = "raw"
        stream = "stdout"
        bytes = 200001
        [[step]]
        do = "lines"
        stream = "stderr"
        lengths = [1, 2, 1048576, 80]
        [[step]]
        do = "text"
        stream = "stdout"
        text = "käse\u0000\r\n"
        [[step]]
        do = "records"
        stream = "stdout"
        count = 5
        last_unterminated = true
        "#,
    );
    assert_eq!(output.status.code(), Some(7));
    assert!(
        output.stdout == exact(&script, Stream::Stdout),
        "stdout differs"
    );
    assert!(
        output.stderr == exact(&script, Stream::Stderr),
        "stderr differs"
    );
}

#[test]
fn several_records_can_go_into_one_write() {
    let folder = Folder::new();
    let step = "[[step]]\ndo='records'\nstream='stdout'\ncount=5\ntogether=2";
    let (_, output) = run(&folder, step);
    assert_eq!(output.stdout.len(), 500);
    assert_eq!(
        writes(&folder.journal()),
        [
            (200, 200, Some(1)),
            (400, 200, Some(3)),
            (500, 100, Some(4)),
        ]
    );
}

#[test]
fn the_journal_has_a_line_for_every_complete_write() {
    let folder = Folder::new();
    let (_, output) = run(
        &folder,
        "[[step]]\ndo='records'\nstream='stdout'\ncount=3\npieces=60\n[[step]]\ndo='mark'\nname='m'",
    );
    assert_eq!(output.stdout.len(), 300);
    let lines = folder.journal();
    assert_eq!(
        writes(&lines),
        [
            (60, 60, None),
            (100, 40, Some(0)),
            (160, 60, Some(0)),
            (200, 40, Some(1)),
            (260, 60, Some(1)),
            (300, 40, Some(2)),
        ]
    );
    match &lines[0].event {
        Event::Hello {
            role,
            fd1,
            sig_ignored,
            sig_blocked,
            ..
        } => {
            assert_eq!((*role, fd1.kind), (Role::Task, FileKind::Fifo));
            assert!(fd1.ino > 0);
            assert!(!sig_ignored.contains(&13), "std's Command restores SIGPIPE");
            assert!(sig_blocked.is_empty());
        }
        other => panic!("{other:?}"),
    }
    assert!(
        lines
            .iter()
            .any(|line| matches!(&line.event, Event::Mark { name } if name == "m"))
    );
    assert!(matches!(
        lines.last().unwrap().event,
        Event::Exit {
            code: 0,
            signal: None
        }
    ));
    assert!(lines.windows(2).all(|pair| pair[0].at_us <= pair[1].at_us));
}

#[test]
fn an_ignored_sigpipe_is_inherited_and_journaled() {
    let folder = Folder::new();
    folder.script("");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' PIPE; exec \"$@\"", "sh"]);
    shell.arg(env!("CARGO_BIN_EXE_mock_driver"));
    shell.args(task(&folder).get_args());
    assert!(shell.status().unwrap().success());
    match &folder.journal()[0].event {
        Event::Hello { sig_ignored, .. } => assert!(sig_ignored.contains(&13), "{sig_ignored:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_without_a_reader_dies_of_sigpipe() {
    let folder = Folder::new();
    folder.script(
        "[[step]]\ndo='gate'\nname='go'\n\
         [[step]]\ndo='raw'\nstream='stdout'\nbytes=1000000",
    );
    let mut child = task(&folder).stdout(Stdio::piped()).spawn().unwrap();
    // A program that another test is just starting holds a copy for a moment; what is written is
    // more than a pipe holds, so that it cannot end by then.
    drop(child.stdout.take());
    fs::write(folder.path("go"), "").unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(13));
}

#[test]
fn a_gate_holds_the_task_until_its_file_exists() {
    let folder = Folder::new();
    folder.script(
        "[[step]]\ndo='mark'\nname='before'\n[[step]]\ndo='gate'\nname='go'\n\
         [[step]]\ndo='mark'\nname='after'",
    );
    let mut child = task(&folder).spawn().unwrap();
    let marks = |name: &str| {
        let is = |event: &Event| matches!(event, Event::Mark { name: mark } if mark == name);
        folder.journal().iter().any(|line| is(&line.event))
    };
    wait_until("the first mark", || marks("before"));
    assert!(child.try_wait().unwrap().is_none());
    assert!(!marks("after"));
    fs::write(folder.path("go"), "").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(marks("after"));
}

#[test]
fn a_script_ends_by_its_signal_with_the_default_disposition() {
    for (script, signal) in [
        ("exit_signal = 'SIGTERM'", 15),
        (
            "[[step]]\ndo='ignore'\nsignal='TERM'\n[[step]]\ndo='die'\nsignal='TERM'",
            15,
        ),
        ("exit_signal = 9", 9),
    ] {
        let folder = Folder::new();
        let (_, output) = run(&folder, script);
        assert_eq!(output.status.signal(), Some(signal), "{script}");
        let end = folder.journal().pop().unwrap().event;
        assert_eq!(
            end,
            Event::Exit {
                code: 128 + signal,
                signal: Some(signal)
            }
        );
    }
}

#[test]
fn concurrent_writers_write_whole_records_each_in_its_order() {
    let folder = Folder::new();
    let (script, output) = run(
        &folder,
        "[[step]]\ndo='records'\nstream='stdout'\ncount=200\nwriters=3\nbytes=4096",
    );
    let mut found: Vec<_> = scan(&output.stdout)
        .map(|item| match item {
            Item::Record { header, .. } => header.id,
            other @ (Item::Torn { .. } | Item::Foreign { .. }) => panic!("{other:?}"),
        })
        .collect();
    for writer in 1..=3 {
        let seqs: Vec<_> = found
            .iter()
            .filter(|id| id.writer == writer)
            .map(|id| id.seq)
            .collect();
        assert!(seqs.is_sorted(), "writer {writer} out of order");
    }
    found.sort();
    match script.expected(RUN, 3, Stream::Stdout) {
        Expected::Unordered { records, .. } => assert_eq!(found, records),
        other @ (Expected::Exact(_) | Expected::Unknown) => panic!("{other:?}"),
    }
}

#[test]
fn a_child_keeps_only_its_streams_and_writes_its_text_at_the_end() {
    let folder = Folder::new();
    folder.script(
        "[[step]]\ndo='text'\nstream='stdout'\ntext='a'\n\
         [[step]]\ndo='child'\nstreams=['stdout']\nuntil_gate='go'\ntext='late'",
    );
    let mut child = task(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    // stderr is at its end although the child lives; stdout only once it is gone.
    let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(stderr, "");
    fs::write(folder.path("go"), "").unwrap();
    let stdout = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    assert_eq!(stdout, "alate");
}

#[test]
fn a_closed_stream_ends_while_the_task_goes_on() {
    let folder = Folder::new();
    folder.script("[[step]]\ndo='close'\nstream='stdout'\n[[step]]\ndo='gate'\nname='go'");
    let mut child = task(&folder).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    assert_eq!(stdout, "");
    assert!(child.try_wait().unwrap().is_none());
    fs::write(folder.path("go"), "").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_real_program_writes_to_the_same_streams() {
    let folder = Folder::new();
    let (_, output) = run(
        &folder,
        "[[step]]\ndo='text'\nstream='stdout'\ntext='a'\n\
         [[step]]\ndo='exec'\nargv=['sh','-c','printf b; printf c >&2']\n\
         [[step]]\ndo='text'\nstream='stdout'\ntext='d'",
    );
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b"abd"[..], &b"c"[..])
    );
}

#[test]
fn a_bad_script_is_refused_by_path_and_key() {
    let folder = Folder::new();
    fs::write(folder.path("script.toml"), "sead = 3").unwrap();
    let output = task(&folder).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(65), "{message}");
    assert!(
        message.contains("script.toml") && message.contains("sead"),
        "{message}"
    );
}

#[test]
fn a_wrong_command_line_exits_64() {
    let status = support::mock_driver()
        .arg("tusk")
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(64));
}

#[test]
fn a_stream_that_is_opened_again_by_its_path_goes_on_where_it_was() {
    let folder = Folder::new();
    let text = "seed = 1\n[[step]]\ndo='records'\nstream='stdout'\ncount=3\n\
                [[step]]\ndo='reopen'\nstream='stdout'\n\
                [[step]]\ndo='records'\nstream='stdout'\ncount=3\n";
    let (script, output) = run(&folder, text);
    assert_eq!(output.stdout, exact(&script, Stream::Stdout));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_stream_that_cannot_be_opened_by_its_path_is_journalled_and_kept() {
    let folder = Folder::new();
    let text = "seed = 1\n[[step]]\ndo='reopen'\nstream='stdout'\n\
                [[step]]\ndo='text'\nstream='stdout'\ntext='through a socket'\n";
    folder.script(text);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = task(&folder).stdout(OwnedFd::from(theirs)).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert_eq!(said, "through a socket");
    let errors: Vec<String> = folder
        .journal()
        .into_iter()
        .filter_map(|line| match line.event {
            Event::Error { name, .. } => Some(name),
            _ => None,
        })
        .collect();
    assert_eq!(errors, ["ENXIO"]);
}
