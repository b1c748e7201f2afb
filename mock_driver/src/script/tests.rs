//! Tests of the script core.

use std::path::Path;

use super::*;
use crate::record::{Item, RunId, scan};

const RUN: RunId = RunId(0x1234_abcd);

fn parse(text: &str) -> Result<Script, ScriptError> {
    Script::parse(text, Path::new("s.toml"))
}

fn full_message(error: &ScriptError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn exact(script: &Script, stream: Stream) -> ExactStream {
    match script.expected(RUN, 0, stream) {
        Expected::Exact(exact) => exact,
        other @ (Expected::Unordered { .. } | Expected::Unknown) => panic!("{other:?}"),
    }
}

#[test]
fn toml_and_json_say_the_same() {
    let toml =
        parse("seed = 7\nexit_code = 3\n[[step]]\ndo = 'records'\nstream = 'stdout'\ncount = 5\n")
            .unwrap();
    let json = Script::parse(
        r#"{"seed":7,"exit_code":3,"step":[{"do":"records","stream":"stdout","count":5}]}"#,
        Path::new("s.json"),
    )
    .unwrap();
    assert_eq!(toml, json);
    assert_eq!(toml.ending(), End::Exit(3));
}

#[test]
fn every_step_is_read() {
    let script = parse(
        r#"
        [[step]]
        do = "records"
        stream = "stderr"
        count = 3
        bytes = 200
        binary = true
        pieces = 7
        pause_us = 10
        last_unterminated = true
        [[step]]
        do = "text"
        stream = "stdout"
        text = "hello"
        [[step]]
        do = "raw"
        stream = "stdout"
        bytes = 100000
        [[step]]
        do = "lines"
        stream = "stdout"
        lengths = [1, 2, 80]
        pieces = 3
        [[step]]
        do = "sleep"
        ms = 5
        [[step]]
        do = "gate"
        name = "go"
        [[step]]
        do = "mark"
        name = "here"
        [[step]]
        do = "child"
        hold_ms = 100
        streams = ["stdout"]
        [[step]]
        do = "exec"
        argv = ["seq", "3"]
        [[step]]
        do = "ignore"
        signal = "SIGTERM"
        [[step]]
        do = "close"
        stream = "stdout"
        [[step]]
        do = "die"
        signal = 9
        [[step]]
        do = "exit"
        code = 4
        "#,
    )
    .unwrap();
    assert_eq!(script.steps.len(), 13);
    assert_eq!(script.ending().status(), 137);
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    for text in [
        "sead = 7",
        "[[step]]\ndo = 'sleep'\nms = 5\nsecs = 3",
        "[[step]]\ndo = 'nap'\nms = 5",
    ] {
        let error = full_message(&parse(text).unwrap_err());
        assert!(
            ["sead", "secs", "nap"]
                .iter()
                .any(|key| error.contains(key)),
            "{error}"
        );
    }
}

#[test]
fn a_step_that_makes_no_sense_is_refused_with_its_number() {
    for (text, expected) in [
        (
            "do = 'records'\nstream = 'stdout'\ncount = 1\nbytes = 49",
            "50",
        ),
        (
            "do = 'records'\nstream = 'stdout'\ncount = 1\nwriters = 0",
            "writers",
        ),
        (
            "do = 'records'\nstream = 'stdout'\ncount = 1\nwriters = 2\npieces = 9",
            "pieces",
        ),
        (
            "do = 'records'\nstream = 'stdout'\ncount = 100000000",
            "99999999",
        ),
        ("do = 'text'\nstream = 'stderr'\ntext = 'x'", "closed"),
        ("do = 'child'\nstreams = []", "hold_ms"),
        ("do = 'exec'\nargv = []", "argv"),
        ("do = 'gate'\nname = '../x'", "../x"),
    ] {
        let script = format!("[[step]]\ndo = 'close'\nstream = 'stderr'\n[[step]]\n{text}\n");
        let error = full_message(&parse(&script).unwrap_err());
        assert!(
            error.contains("step 2") && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn records_are_numbered_across_steps_and_per_stream() {
    let script = parse(
        "[[step]]\ndo='records'\nstream='stdout'\ncount=2\n\
         [[step]]\ndo='records'\nstream='stderr'\ncount=1\n\
         [[step]]\ndo='records'\nstream='stdout'\ncount=2\nbytes=60",
    )
    .unwrap();
    let stdout = exact(&script, Stream::Stdout);
    let seqs: Vec<_> = stdout
        .chunks()
        .iter()
        .map(|chunk| (chunk.offset, chunk.len, chunk.kind))
        .collect();
    assert_eq!(
        seqs,
        [
            (0, 100, ChunkKind::Record { seq: 0 }),
            (100, 100, ChunkKind::Record { seq: 1 }),
            (200, 60, ChunkKind::Record { seq: 2 }),
            (260, 60, ChunkKind::Record { seq: 3 }),
        ]
    );
    assert_eq!(stdout.len(), 320);
    assert_eq!(exact(&script, Stream::Stderr).len(), 100);
}

#[test]
fn chunks_have_the_rendered_bytes_at_their_offsets() {
    let script = parse(
        "[[step]]\ndo='text'\nstream='stdout'\ntext='a~b'\n\
         [[step]]\ndo='raw'\nstream='stdout'\nbytes=1000\nchunk=300\n\
         [[step]]\ndo='lines'\nstream='stdout'\nlengths=[1,2,80]\n\
         [[step]]\ndo='records'\nstream='stdout'\ncount=1\nlast_unterminated=true",
    )
    .unwrap();
    let stdout = exact(&script, Stream::Stdout);
    let all = stdout.render();
    assert_eq!(all.len() as u64, stdout.len());
    assert_eq!(stdout.len(), 3 + 1000 + 83 + 100);
    for (index, chunk) in stdout.chunks().iter().enumerate() {
        let mut one = Vec::new();
        stdout.render_into(index, &mut one);
        let range = chunk.offset as usize..(chunk.offset + chunk.len) as usize;
        assert_eq!(all[range], one, "{chunk:?}");
    }
    assert!(all.starts_with(b"a~b"));
    assert_eq!(all[1003], b'\n');
    assert_ne!(all.last(), Some(&b'\n'));
}

#[test]
fn generations_and_runs_differ_in_their_bytes() {
    let script = parse("[[step]]\ndo='raw'\nstream='stdout'\nbytes=64").unwrap();
    let render = |run, generation| match script.expected(run, generation, Stream::Stdout) {
        Expected::Exact(exact) => exact.render(),
        other @ (Expected::Unordered { .. } | Expected::Unknown) => panic!("{other:?}"),
    };
    assert_ne!(render(RUN, 0), render(RUN, 1));
    assert_ne!(render(RUN, 0), render(RunId(1), 0));
    assert_eq!(render(RUN, 1), render(RUN, 1));
}

#[test]
fn what_stands_behind_an_exit_is_not_expected() {
    let script = parse(
        "[[step]]\ndo='text'\nstream='stdout'\ntext='a'\n[[step]]\ndo='exit'\ncode=2\n\
         [[step]]\ndo='text'\nstream='stdout'\ntext='b'",
    )
    .unwrap();
    assert_eq!(exact(&script, Stream::Stdout).render(), b"a");
}

#[test]
fn several_writers_leave_the_order_open() {
    let script = parse("[[step]]\ndo='records'\nstream='stdout'\ncount=2\nwriters=3").unwrap();
    match script.expected(RUN, 0, Stream::Stdout) {
        Expected::Unordered { records, bytes } => {
            let ids: Vec<_> = records.iter().map(|id| (id.writer, id.seq)).collect();
            assert_eq!(ids, [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]);
            assert_eq!(bytes, 600);
        }
        other @ (Expected::Exact(_) | Expected::Unknown) => panic!("{other:?}"),
    }
    assert!(exact(&script, Stream::Stderr).is_empty());
}

#[test]
fn a_childs_text_is_expected_last_or_not_at_all() {
    let child = "[[step]]\ndo='child'\nhold_ms=5\nstreams=['stdout']\ntext='late'\n";
    let after = "[[step]]\ndo='text'\nstream='stdout'\ntext='x'\n";
    let script = parse(&format!("{after}{child}")).unwrap();
    assert_eq!(exact(&script, Stream::Stdout).render(), b"xlate");
    let script = parse(&format!("{child}{after}")).unwrap();
    assert_eq!(script.expected(RUN, 0, Stream::Stdout), Expected::Unknown);
}

#[test]
fn a_foreign_program_makes_the_output_unknown() {
    let script = parse("[[step]]\ndo='exec'\nargv=['true']").unwrap();
    assert_eq!(script.expected(RUN, 0, Stream::Stdout), Expected::Unknown);
}

#[test]
fn the_expected_records_scan_as_whole_records() {
    let script =
        parse("[[step]]\ndo='records'\nstream='stdout'\ncount=50\nbinary=true\nbytes=333").unwrap();
    let bytes = exact(&script, Stream::Stdout).render();
    let seqs: Vec<_> = scan(&bytes)
        .map(|item| match item {
            Item::Record { header, .. } => header.id.seq,
            other @ (Item::Torn { .. } | Item::Foreign { .. }) => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seqs, (0..50).collect::<Vec<_>>());
}

#[test]
fn nomads_fields_become_steps_on_one_timeline() {
    let script = parse(
        "run_for='1s'\nexit_code=2\nstart_block_for='10ms'\nstdout_string='o'\nstdout_repeat=2\n\
         stdout_repeat_duration='400ms'\nstderr_string='e'\nstderr_repeat=9\n\
         stderr_repeat_duration='600ms'",
    )
    .unwrap();
    let text = |stream, text: &str| Step::Text {
        stream,
        text: text.to_owned(),
    };
    let sleep = |ms| Step::Sleep { ms };
    assert_eq!(
        script.steps,
        [
            sleep(10),
            text(Stream::Stdout, "o"),
            text(Stream::Stderr, "e"),
            sleep(400),
            text(Stream::Stdout, "o"),
            sleep(200),
            text(Stream::Stderr, "e"),
            sleep(200),
            text(Stream::Stdout, "o"),
            sleep(200),
        ]
    );
    assert_eq!(script.ending(), End::Exit(2));
}

#[test]
fn fields_that_need_the_plugin_protocol_are_refused_by_name() {
    for (field, value) in [
        ("exec_command", "{ run_for = '1s' }"),
        ("plugin_exit_after", "'1s'"),
    ] {
        let error = full_message(&parse(&format!("{field} = {value}")).unwrap_err());
        assert!(
            error.contains(field) && error.contains("protocol"),
            "{error}"
        );
    }
}

#[test]
fn a_start_that_fails_expects_nothing_and_survives_being_written_down() {
    for (more, status) in [("", 125), ("start_error_recoverable = true\n", 124)] {
        let text =
            format!("start_error = 'no'\n{more}start_block_for = '5ms'\nstdout_string = 'x'");
        let script = parse(&text).unwrap();
        assert_eq!(script.ending(), End::Exit(status));
        assert_eq!(script.steps, [Step::Sleep { ms: 5 }]);
        let json = serde_json::to_string(&script).unwrap();
        assert_eq!(Script::parse(&json, Path::new("a.json")).unwrap(), script);
    }
}

#[test]
fn answers_survive_being_written_down() {
    for text in [
        "kill_after = '1m'\nexit_err_msg = 'm'\nrun_for = '1s'",
        "signal_error = 's'\n[[step]]\ndo = 'sleep'\nms = 1",
    ] {
        let script = parse(text).unwrap();
        let json = serde_json::to_string(&script).unwrap();
        assert_eq!(Script::parse(&json, Path::new("a.json")).unwrap(), script);
        let toml = toml::to_string(&script).unwrap();
        assert_eq!(parse(&toml).unwrap(), script);
    }
}

#[test]
fn answers_that_contradict_the_script_are_refused_by_name() {
    for (text, field) in [
        ("start_error_recoverable = true", "start_error_recoverable"),
        ("kill_after = '1s'\nsignal_error = 'x'", "kill_after"),
        ("kill_after = 'soon'", "kill_after"),
        (
            "signal_error = 'x'\n[[step]]\ndo = 'exec'\nargv = ['true']",
            "signal_error",
        ),
    ] {
        let error = full_message(&parse(text).unwrap_err());
        assert!(error.contains(&format!("`{field}`")), "{error}");
    }
}

#[test]
fn a_text_to_repeat_must_exist() {
    let error = full_message(&parse("stderr_repeat = 3").unwrap_err());
    assert!(error.contains("stderr_repeat"), "{error}");
}

#[test]
fn exit_signal_wins_over_exit_code() {
    let script = parse("exit_code = 3\nexit_signal = 'TERM'").unwrap();
    assert_eq!(script.ending().status(), 143);
}

#[test]
fn a_script_serialises_in_the_form_that_is_parsed() {
    let text =
        "seed = 3\nexit_signal = 'TERM'\n[[step]]\ndo = 'records'\nstream = 'stderr'\ncount = 2\n";
    let script = parse(text).unwrap();
    let json = serde_json::to_string(&script).unwrap();
    assert_eq!(Script::parse(&json, Path::new("a.json")).unwrap(), script);
    let read: Script = toml::from_str(text).unwrap();
    assert_eq!(read, script);
    let error = toml::from_str::<Script>("steps = []").unwrap_err();
    assert!(
        error.to_string().contains("unknown field `steps`"),
        "{error}"
    );
}

#[test]
fn a_record_that_is_left_out_is_expected_all_the_same() {
    let text = "seed = 1\nleave_out = { stream = \"stdout\", seq = 1 }\n\
                [[step]]\ndo = \"records\"\nstream = \"stdout\"\ncount = 3\n";
    let script = Script::parse(text, Path::new("x.toml")).unwrap();
    let mut numbering = Numbering::new(script.seed, RUN, 0).leaving_out(script.leave_out);
    let batch = numbering.take(&script.steps[0]).unwrap();
    let written: Vec<Unit> = batch.parts[0].units().collect();
    let seqs: Vec<u32> = written
        .iter()
        .map(|unit| match unit {
            Unit::Record(record) => record.id.seq,
            Unit::Text { .. } | Unit::Raw { .. } | Unit::Line { .. } => panic!("{unit:?}"),
        })
        .collect();
    assert_eq!(seqs, [0, 2]);
    let Expected::Exact(exact) = script.expected(RUN, 0, Stream::Stdout) else {
        panic!("not exact");
    };
    assert_eq!(exact.chunks().len(), 3);
    let again: Script = serde_json::from_str(&serde_json::to_string(&script).unwrap()).unwrap();
    assert_eq!(again.leave_out, None);
}
