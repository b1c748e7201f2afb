//! Every command in the documents runs. (edge)
//!
//! A command is a line of a block fenced as `sh`. `cargo run --release -- …` becomes the binary that
//! was built for the tests. Commands that play the whole suite are narrowed to one quick case: the
//! gate itself plays them whole, which is checked here too.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;

/// The documents with commands in them.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "docs/reading-a-failure.md",
    "harness/examples/README.md",
];

/// The beginnings of commands that show a failure, and so end with 1: this page is about one.
const SHOW_A_FAILURE: &[(&str, &[&str])] = &[(
    "docs/reading-a-failure.md",
    &[
        "cargo run --release -- run ",
        "cargo run --release -- recheck ",
        "cargo run --release -- repro out/",
    ],
)];

/// Commands that the gate runs as they stand, and the words of `.ci/run` that do it.
const RUN_BY_THE_GATE: &[(&str, &str)] = &[
    ("cargo run --release", "cargo run --release --locked"),
    ("cargo test --workspace", "cargo test --workspace --locked"),
    ("cargo run --release -- self-test", "-- self-test"),
    (".ci/run", "#!/usr/bin/env bash"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The commands of a document: the lines of its `sh` blocks, continued lines joined.
fn commands(document: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut is_inside = false;
    let mut continued = String::new();
    for line in document.lines() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            is_inside = !is_inside && fence == "sh";
        } else if is_inside && !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            match line.trim().strip_suffix('\\') {
                Some(start) => continued.push_str(start),
                None => commands.push(std::mem::take(&mut continued) + line.trim()),
            }
        }
    }
    commands
}

/// The arguments after `cargo run --release --` or `harness`; none if it is another command.
fn harness_arguments(command: &str) -> Option<Vec<String>> {
    let rest = command
        .strip_prefix("cargo run --release -- ")
        .or_else(|| command.strip_prefix("harness "))
        .or_else(|| command.strip_prefix("target/release/harness "))?;
    let binary = env!("CARGO_BIN_EXE_harness");
    let words = shell_words::split(rest).expect("the command can be split into words");
    Some(
        words
            .into_iter()
            .map(|word| word.replace("target/release/harness", binary))
            .collect(),
    )
}

/// The code that a command of a document ends with.
fn code(document: &str, command: &str) -> i32 {
    let shows_a_failure = SHOW_A_FAILURE
        .iter()
        .filter(|(of, _)| *of == document)
        .flat_map(|(_, commands)| *commands)
        .any(|beginning| command.starts_with(beginning));
    i32::from(shows_a_failure)
}

/// Narrows a run to one quick case, and every command to the folder of its document.
fn narrowed(mut arguments: Vec<String>, out: &Path) -> Vec<String> {
    for argument in &mut arguments {
        *argument = argument.replace("=out/", &format!("={}/", out.display()));
        if let Some(rest) = argument.strip_prefix("out/") {
            *argument = out.join(rest).display().to_string();
        }
    }
    if arguments.first().is_some_and(|first| first == "repro") {
        let again = out.with_extension("again").display().to_string();
        arguments.extend(["--out".into(), again]);
    }
    if arguments.first().is_some_and(|first| first == "run") {
        if !arguments.iter().any(|argument| argument == "--filter") {
            arguments.extend(["--filter".into(), "data/smoke".into()]);
        }
        arguments.extend(["--out".into(), out.display().to_string()]);
    }
    arguments
}

#[test]
fn every_command_in_the_documents_runs() {
    let mut number = 0;
    for document in DOCUMENTS {
        // One for all commands: what one of them leaves is what the next one looks at.
        let folder = tempfile::tempdir().expect("a folder for the reports");
        let out = folder.path().join("out");
        std::fs::create_dir(&out).expect("a folder in it");
        for command in commands(&read(document)) {
            if RUN_BY_THE_GATE.iter().any(|(whole, _)| *whole == command) {
                continue;
            }
            let arguments = harness_arguments(&command).unwrap_or_else(|| {
                panic!("{document}: this test does not know how to run `{command}`")
            });
            number += 1;
            Command::new(env!("CARGO_BIN_EXE_harness"))
                .current_dir(root())
                .args(narrowed(arguments, &out))
                .timeout(Duration::from_secs(120))
                .assert()
                .code(code(document, &command));
        }
    }
    assert!(
        number >= 10,
        "only {number} commands were found: are the blocks fenced as sh?"
    );
}

#[test]
fn no_document_has_a_gap_that_was_to_be_filled() {
    for document in DOCUMENTS {
        for (number, line) in read(document).lines().enumerate() {
            let is_gap = line.len() > 2
                && line.starts_with('@')
                && line.ends_with('@')
                && line.chars().all(|c| c == '@' || c.is_ascii_uppercase());
            assert!(!is_gap, "{document}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn the_gate_runs_what_this_test_leaves_out() {
    let gate = read(".ci/run");
    for (command, words) in RUN_BY_THE_GATE {
        assert!(
            gate.contains(words),
            ".ci/run does not run `{command}`: no `{words}` in it"
        );
    }
}

#[test]
fn the_commands_of_a_document_are_its_sh_lines() {
    let document = "text\n```sh\na b\n# no\nc \\\n  d\n```\n```text\ne\n```\n";
    assert_eq!(commands(document), ["a b", "c d"]);
}
