//! What is refused, by which words, and what happens without a Start.

use nix::sys::signal::Signal;

use crate::Named;
use crate::stage::{Stage, send};
use crate::support::wait_until;

pub(crate) fn tests() -> Vec<Named> {
    vec![
        ("a_program_that_is_no_plugin_is_named", no_plugin),
        ("a_plugin_that_collects_nothing_is_named", collects_nothing),
        ("a_plugin_that_refuses_is_sent_no_stop", refuses),
        (
            "a_stop_before_the_handshake_is_in_time",
            stop_without_a_start,
        ),
        ("what_a_plugin_can_not_be_told_is_refused", unsayable),
        ("a_wrong_command_is_wrong_usage", usage),
        (
            "without_log_collection_nothing_is_started",
            no_log_collection,
        ),
        (
            "without_log_collection_wrong_options_are_wrong",
            no_log_collection_usage,
        ),
    ]
}

#[track_caller]
fn refused(stage: &Stage, options: &[&str], more: &[&str]) -> (Option<i32>, String) {
    let mut command = stage.supervise(options);
    command.args(more);
    let (code, told) = stage.spawn(command).end();
    assert!(!told.contains("ready\n"), "{told}");
    (code, told)
}

fn no_plugin() {
    let stage = Stage::new();
    for (program, words) in [
        ("true", "the plugin ended with code 0 before its handshake"),
        ("/nowhere/at/all", "No such file or directory"),
        ("sh -c 'echo hello; exec sleep 100'", "shake hands"),
        (
            "sh -c 'echo no licence >&2; exit 3'",
            "ended with code 3 before its handshake; it said: no licence",
        ),
    ] {
        let (code, told) = refused(&stage, &["--plugin", program], &[]);
        assert_eq!(code, Some(69), "{told}");
        let first = program.split(' ').next().unwrap();
        assert!(
            told.contains(&format!("logmon: can't supervise: \"{first}")),
            "{told}"
        );
        assert!(told.contains(words), "{told}");
        wait_until("nothing runs", || stage.processes().is_empty());
    }
    assert!(!stage.fifo("stdout").exists());
}

fn collects_nothing() {
    let stage = Stage::new();
    let plugin = stage.played("collects-nothing");
    let (code, told) = refused(&stage, &["--plugin", &plugin], &[]);
    assert_eq!(code, Some(69), "{told}");
    assert!(told.contains("does not collect: call Start"), "{told}");
}

fn refuses() {
    let stage = Stage::new();
    let plugin = stage.played("refuses");
    let (code, told) = refused(&stage, &["--plugin", &plugin], &[]);
    assert_eq!(code, Some(65), "{told}");
    assert!(told.contains("not today"), "{told}");
    assert_eq!(stage.notes(), ["start web.stdout"]);
    assert!(stage.processes().is_empty());
}

fn stop_without_a_start() {
    let stage = Stage::new();
    let plugin = stage.played("hangs");
    let supervisor = stage.spawn(stage.supervise(&["--plugin", &plugin]));
    wait_until("the plugin runs", || stage.notes() == ["hangs"]);
    send(supervisor.pid(), Signal::SIGTERM);
    assert_eq!(supervisor.code(), Some(71));
    assert!(stage.processes().is_empty());
}

fn unsayable() {
    let stage = Stage::new();
    let alone = stage.alone();
    for (more, words) in [
        (
            &["--line-guard", "1KiB"][..],
            "option --line-guard: a plugin can't be told this",
        ),
        (&["--on-full", "drop"], "option --on-full:"),
        (&["--fifo-mode", "0620"], "option --fifo-mode:"),
        (&["--trusted-root", "/"], "option --trusted-root:"),
        (
            &["--keeper", "x"],
            "option --keeper: a plugin can't be told this; write it into --plugin",
        ),
        (&["--log-level", "debug"], "option --log-level:"),
    ] {
        let (code, told) = refused(&stage, &["--plugin", &alone], more);
        assert_eq!(code, Some(65), "{told}");
        assert!(
            told.starts_with(&format!("logmon: can't supervise: {words}")),
            "{told}"
        );
    }
    let mut command = stage.supervise(&["--plugin", &alone]);
    replace_last(&mut command, "100KB");
    let (code, told) = stage.spawn(command).end();
    assert_eq!(code, Some(65), "{told}");
    assert_eq!(
        told,
        "logmon: can't supervise: option --max-file-size: 100000 bytes are no whole number of MiB, in which a \
         plugin is told it; use 1MiB, or leave out --plugin\n"
    );
    assert!(!stage.path("state").exists(), "something was begun");
}

/// Takes another value for the last option, which is the size.
fn replace_last(command: &mut std::process::Command, value: &str) {
    let mut words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    words.pop();
    words.push(value.into());
    let mut other = std::process::Command::new(command.get_program());
    other.args(words);
    *command = other;
}

fn usage() {
    let stage = Stage::new();
    for plugin in ["", " ", "'logmon plugin"] {
        let (code, told) = refused(&stage, &["--plugin", plugin], &[]);
        assert_eq!(code, Some(64), "{told}");
        assert!(told.contains("option --plugin"), "{told}");
    }
    let alone = stage.alone();
    let (code, told) = refused(&stage, &["--plugin", &alone], &["--nonsense"]);
    assert_eq!(code, Some(64), "{told}");
    assert!(told.contains("--nonsense"), "{told}");
    let mut other = std::process::Command::new(env!("CARGO_BIN_EXE_logmon"));
    other
        .args(["supervise", "--state"])
        .arg(stage.path("state"));
    other.args(["--plugin", &alone, "--", "serve", "--control", "x"]);
    let (code, told) = stage.spawn(other).end();
    assert_eq!(code, Some(64), "{told}");
    assert!(told.contains("\"serve\" can't be supervised"), "{told}");
    assert!(!stage.path("state").exists(), "something was begun");
}

fn no_log_collection() {
    let stage = Stage::new();
    let alone = stage.alone();
    let command = stage.supervise(&["--plugin", &alone, "--no-log-collection"]);
    let child = stage.place.start_until_ready(command);
    let supervisor = crate::stage::Supervisor::of(child);
    assert_eq!(stage.processes().len(), 1, "{:?}", stage.processes());
    assert_eq!(supervisor.stop(), Some(0));
    let diagnostics = stage.place.diagnostics();
    assert!(diagnostics.contains("/dev/null"), "{diagnostics}");
    for path in ["state", "run/.web.stdout.fifo", "run/.web.stderr.fifo"] {
        assert!(!stage.path(path).exists(), "{path}");
    }
    assert_eq!(stage.log(), b"");
}

fn no_log_collection_usage() {
    let stage = Stage::new();
    let (code, told) = refused(&stage, &["--no-log-collection"], &["--line-guard", "0"]);
    assert_eq!(code, Some(65), "{told}");
    let mut bare = std::process::Command::new(env!("CARGO_BIN_EXE_logmon"));
    bare.args(["supervise", "--state"]).arg(stage.path("state"));
    let (code, told) = stage.spawn(bare).end();
    assert_eq!(code, Some(64), "{told}");
}
