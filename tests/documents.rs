//! Every command in the documents runs. (edge)
//!
//! A command is a line of a block fenced as `sh`. `cargo run --release -- …` becomes the binary that
//! was built for the tests. Commands that play the whole suite are narrowed to one quick case: the
//! gate itself plays them whole, which is checked here too. What stands behind `# exits` is the exit
//! code, and the `text` block below such a command is what it prints, with `…` for what is left out.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use assert_cmd::Command;
use harness::capability::{Capability, Declarer};
use harness::finding::Shape;
use harness::outcome::Ending;

/// The documents with commands in them.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "docs/driver-authors.md",
    "docs/adapters.md",
    "docs/executor.md",
    "docs/mock-driver-plugin.md",
    "docs/nomad.md",
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

/// Commands that the gate runs, with a build of its own, and the words of `.ci/run` that do it.
const RUN_BY_THE_GATE: &[(&str, &str)] = &[
    ("cargo run --release", "\"$harness\" run "),
    ("cargo test --workspace", "cargo test --workspace --locked"),
    ("cargo run --release -- self-test", "\"$harness\" self-test"),
    (".ci/run", "#!/usr/bin/env bash"),
    (
        "cargo build --release --locked",
        "cargo test --workspace --locked --release",
    ),
];

/// How the commands begin that belong into a package of the reader's own; `harness/tests/as_tests.rs`
/// runs them.
const RUN_AS_TESTS: &str = "cargo test -- ";

#[test]
fn the_readme_lists_every_exit_code_of_harness_and_no_other() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("## Exit codes of `harness`").unwrap();
    let (table, _) = rest.split_once("\n## ").unwrap();
    let first = |line: &str| {
        line.strip_prefix("| ")?
            .split(' ')
            .next()?
            .parse::<u8>()
            .ok()
    };
    let listed: Vec<u8> = table.lines().filter_map(first).collect();
    let mut codes: Vec<u8> = Ending::ALL.iter().map(|ending| ending.code()).collect();
    codes.sort_unstable();
    assert_eq!(listed, codes);
}

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

/// A command without what is said of its end, and the exit code that is said of it.
fn exits(command: &str) -> (&str, i32) {
    match command.rsplit_once("# exits ") {
        Some((command, code)) => (command.trim_end(), code.parse().expect("a number")),
        None => (command, 0),
    }
}

/// The `text` block that stands below a command, words only; empty if there is none.
fn shown_below(document: &str, command: &str) -> Vec<String> {
    let below = document.split_once(command).map_or("", |(_, below)| below);
    let block = below.trim_start().strip_prefix("```\n\n```text\n");
    let text = block
        .and_then(|text| text.split_once("```"))
        .map_or("", |(text, _)| text);
    text.split('…').map(words_only).collect()
}

fn words_only(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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
    let programs = tempfile::tempdir().expect("a folder for the program");
    std::os::unix::fs::symlink(
        env!("CARGO_BIN_EXE_harness"),
        programs.path().join("harness"),
    )
    .expect("a link to the program");
    let path = std::env::var("PATH").expect("a PATH");
    let path = format!("{}:{path}", programs.path().display());
    // Two at once: none looks at what the commands of another one left, and more would wait for the processor.
    let rest = Mutex::new(DOCUMENTS.iter());
    let next = || rest.lock().expect("no panic while it is held").next();
    let work = || {
        let mut number = 0;
        while let Some(document) = next() {
            number += run_the_commands_of(document, &path);
        }
        number
    };
    let number: usize = std::thread::scope(|scope| {
        let both = [scope.spawn(work), scope.spawn(work)];
        let counts = both.map(std::thread::ScopedJoinHandle::join);
        let failed = counts.iter().filter(|count| count.is_err()).count();
        assert_eq!(failed, 0, "documents with a command that failed, see above");
        counts.into_iter().flatten().sum()
    });
    assert!(
        number >= 10,
        "only {number} commands were found: are the blocks fenced as sh?"
    );
}

/// Runs the commands of a document one after the other, with this `PATH`, and says how many there were.
fn run_the_commands_of(document: &str, path: &str) -> usize {
    // One for all commands: what one of them leaves is what the next one looks at.
    let folder = tempfile::tempdir().expect("a folder for the reports");
    let out = folder.path().join("out");
    std::fs::create_dir(&out).expect("a folder in it");
    let text = read(document);
    let mut number = 0;
    for line in commands(&text) {
        let (command, told) = exits(&line);
        let is_run_elsewhere = RUN_BY_THE_GATE.iter().any(|(whole, _)| *whole == command);
        if is_run_elsewhere || command.starts_with(RUN_AS_TESTS) {
            continue;
        }
        let arguments = harness_arguments(command).unwrap_or_else(|| {
            panic!("{document}: this test does not know how to run `{command}`")
        });
        number += 1;
        let code = if told == 0 {
            code(document, command)
        } else {
            told
        };
        let ended = Command::new(env!("CARGO_BIN_EXE_harness"))
            .current_dir(root())
            .env("PATH", path)
            .args(narrowed(arguments, &out))
            .timeout(Duration::from_secs(120))
            .assert()
            .code(code);
        if told != 0 {
            shows(&ended, &shown_below(&text, &line), document);
        }
    }
    number
}

/// Everything that a document shows of a command was printed, in this order.
fn shows(ended: &assert_cmd::assert::Assert, parts: &[String], document: &str) {
    let output = ended.get_output();
    let printed = [output.stdout.as_slice(), &output.stderr].concat();
    let printed = words_only(&String::from_utf8_lossy(&printed));
    let mut rest = printed.as_str();
    for part in parts {
        match rest.split_once(part.as_str()) {
            Some((_, after)) => rest = after,
            None => panic!("{document} shows `{part}`, which is not in\n{printed}"),
        }
    }
}

#[test]
fn the_first_run_in_the_readme_has_as_many_cases_as_there_are() {
    let list = assert_cmd::Command::new(env!("CARGO_BIN_EXE_harness"))
        .args(["list", "--json"])
        .output()
        .expect("the list of cases");
    let all: Vec<serde_json::Value> =
        serde_json::from_slice(&list.stdout).expect("the list is JSON");
    // The bundled pair are commands: what only those can play that can be asked does not apply.
    let is_not_its = |case: &&serde_json::Value| {
        let why = case["why_skipped"].as_str();
        why.is_some_and(|why| why.starts_with("the driver") || why.starts_with("logmon"))
    };
    let left_out = all.iter().filter(is_not_its).count();
    let count = all.len() - left_out;
    let wanted = format!(
        "{count} pass ran {count} of {count} applicable, 11 of them with a keeper beside logmon; \
         {left_out} not applicable"
    );
    let readme = words_only(&read("README.md"));
    assert!(
        readme.contains(&wanted),
        "README.md does not show `{wanted}`"
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

#[test]
fn what_a_document_says_of_a_commands_end_is_found() {
    let document = "```sh\na b  # exits 3\n```\n\n```text\nc\n  d … e\n```\nf";
    let line = &commands(document)[0];
    assert_eq!(exits(line), ("a b", 3));
    assert_eq!(shown_below(document, line), ["c d", "e"]);
}

/// The names in the first column of the table with this heading, in the order of the document.
fn column(document: &str, heading: &str) -> Vec<String> {
    let text = read(document);
    let table = text
        .lines()
        .skip_while(|line| !line.starts_with(&format!("| {heading} |")));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| {
        let cell = row.split('|').nth(1).unwrap_or_default();
        let names = cell.split('`').skip(1).step_by(2).map(str::to_owned);
        names.collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn the_tables_for_authors_of_drivers_name_what_there_is() {
    let document = "docs/driver-authors.md";
    let usual = Capability::of_any_command();
    let declared = Capability::ALL
        .iter()
        .filter(|one| one.declarer() == Declarer::Driver && !usual.contains(one));
    let mut declared: Vec<&str> = declared.map(|one| one.as_str()).collect();
    declared.sort_unstable();
    let mut told = column(document, "capability");
    told.sort();
    assert_eq!(told, declared);
    let shapes = column(document, "shape");
    assert!(shapes.len() > 5, "{shapes:?}");
    for shape in shapes {
        let known = serde_json::from_value::<Shape>(shape.clone().into());
        assert!(known.is_ok(), "{document}: there is no shape {shape}");
    }
    for (heading, file) in [
        ("input", "ci/github/action.yml"),
        ("variable", "ci/gitlab/harness.gitlab-ci.yml"),
    ] {
        let text = read(file);
        let names = column(document, heading);
        assert!(names.len() >= 7, "{names:?}");
        for name in names {
            // Of all that is declared there only these stand alone on a line, or are given a text.
            let is_declared = text
                .lines()
                .any(|line| line.trim_start().starts_with(&format!("{name}:")));
            assert!(is_declared, "{file} has no {name}");
        }
    }
}
