//! Tests of drivers that are spoken to: good ones pass, and each mistake of a wrong one is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::tempdir;

use crate::program::{harness, processes_of, wait_until_nothing};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn example(name: &str) -> String {
    let path = root().join("harness/examples").join(name);
    path.canonicalize().unwrap().display().to_string()
}

/// The good drivers, by the programs that they need.
fn good() -> Vec<(&'static str, String)> {
    vec![
        ("python3", format!("python3 {}", example("stdio_driver.py"))),
        ("bash", format!("bash {}", example("stdio_driver.sh"))),
        // It needs no other program.
        ("true", "{self} mock-driver stdio".to_owned()),
    ]
}

/// A driver that makes this mistake.
pub(crate) fn wrong(mistake: &str) -> String {
    let script = root().join("tests/e2e/wrong_adapter.py");
    let script = script.canonicalize().unwrap();
    format!(
        "python3 {} {mistake} {}",
        script.display(),
        example("stdio_driver.py")
    )
}

pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

#[test]
fn a_good_adapter_is_found_good_and_leaves_nothing_behind() {
    for (program, driver) in good() {
        if !has(program) {
            continue;
        }
        let folder = tempdir().unwrap();
        harness(&folder)
            .env("TMPDIR", folder.path())
            .args(["adapter", "check", "--driver-stdio", &driver])
            .assert()
            .code(0)
            .stdout(contains("looked at, all as the protocol wants").and(contains("WRONG").not()))
            .stdout(contains("ok     wait of the second of two tasks"))
            .stderr("");
        wait_until_nothing(Duration::from_secs(5), || processes_of(folder.path()));
    }
}

/// Each mistake, and what must be said of it.
const MISTAKES: &[(&str, &[&str])] = &[
    (
        "no-json",
        &[
            "answer:  hello to you",
            "one JSON object on one line",
            "not tried",
        ],
    ),
    ("no-seq", &["`seq` is missing", "not tried"]),
    ("other-seq", &["waits for an answer", "\"exit\": 42"]),
    (
        "no-version",
        &["`version` is missing; it must be a text that is not empty"],
    ),
    (
        "capabilities-as-text",
        &["`capabilities` must be a list of texts, and is \"signals,recover\""],
    ),
    (
        "never-answers",
        &[
            "`hello` was not answered within 5000 ms",
            "\"op\":\"hello\"",
        ],
    ),
    (
        "knows-everything",
        &[
            "WRONG  an operation that nobody knows",
            "\"op\":\"x-",
            "`unsupported` true",
        ],
    ),
    (
        "exit-as-text",
        &["`exit` must be a whole number of 0 to 255, or null, and is \"42\""],
    ),
    (
        "exit-and-signal",
        &["exactly one of `exit` and `signal` must be a number"],
    ),
    ("always-0", &["wanted is `exit` 42", "\"exit\": 0"]),
    (
        "no-handle",
        &["`handle` is missing; it must be any value but null"],
    ),
    (
        "a-field-too-many",
        &["`status` does not belong there; known is nothing beside `seq`"],
    ),
    (
        "forgets-nothing",
        &[
            "WRONG  wait of what was destroyed",
            "`error` with the reason",
        ],
    ),
    (
        "stop-does-nothing",
        &["WRONG  the task has ended when stop is answered"],
    ),
    (
        "in-order",
        &[
            "WRONG  wait of the second of two tasks",
            "did not come in time",
        ],
    ),
    ("no-handles", &["WRONG  detach", "`handles` with one entry"]),
    (
        "outlives-detach",
        &["WRONG  its process ends after detach", "within 2 s"],
    ),
    (
        "forgets-one",
        &["WRONG  recover", "stands in neither", "\"ok\": []"],
    ),
    (
        "loses-everything",
        &["WRONG  recover", "`ok` with \"check-", "for the task lives"],
    ),
    (
        "outlives-its-stdin",
        &["WRONG  its process ends when its stdin is closed"],
    ),
];

#[test]
fn each_mistake_of_an_adapter_is_named() {
    if !has("python3") {
        return;
    }
    std::thread::scope(|scope| {
        let half = MISTAKES.len().div_ceil(4);
        for some in MISTAKES.chunks(half) {
            scope.spawn(move || some.iter().for_each(|(mistake, said)| named(mistake, said)));
        }
    });
}

fn named(mistake: &str, said: &[&str]) {
    let folder = tempdir().unwrap();
    let run = harness(&folder)
        .env("TMPDIR", folder.path())
        .args(["adapter", "check", "--driver-stdio", &wrong(mistake)])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.status.code(), Some(69), "{mistake}: {told}");
    for text in said {
        assert!(told.contains(text), "{mistake}: no `{text}` in\n{told}");
    }
    wait_until_nothing(Duration::from_secs(5), || processes_of(folder.path()));
}

#[test]
fn a_start_that_is_refused_is_told_with_its_reason_and_stands_in_the_history() {
    let folder = tempdir().unwrap();
    let driver = r#"sh -c 'while read -r line; do seq=${line#*\"seq\":}; seq=${seq%%[,\}]*}
        case $line in
        *\"hello\"*) echo "{\"seq\":$seq,\"driver\":\"none\",\"version\":\"1\",\"capabilities\":[]}" ;;
        *\"start\"*) echo "{\"seq\":$seq,\"error\":\"no room for it\"}" ;;
        *) echo "{\"seq\":$seq}" ;;
        esac; done'"#;
    harness(&folder)
        .args(["run", "--driver-stdio", driver])
        .assert()
        .code(69)
        .stderr(contains(
            "the driver did not start the task: no room for it\n\
             `harness adapter check` tries it alone",
        ));
    harness(&folder)
        .args(["show", "out/probe-exit.bundle"])
        .assert()
        .code(0)
        .stdout(contains("driver refuses task 0: no room for it"));
}

#[test]
fn what_a_driver_holds_for_tasks_that_it_is_about_to_forget_is_no_growth() {
    if !has("python3") {
        return;
    }
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver-stdio", &wrong("forgets-late")])
        .args(["--filter", "life/restarts-100"])
        .assert()
        .code(0)
        .stdout(contains("1 pass"));
}

#[test]
fn what_a_driver_says_does_nothing_to_the_terminal_of_the_reader() {
    let driver =
        r#"sh -c 'read hello; printf "\033[2J\033]0;mine\007 no answer\n"; cat >/dev/null'"#;
    for command in [
        &["adapter", "check", "--driver-stdio", driver][..],
        &["run", "--driver-stdio", driver],
    ] {
        let folder = tempdir().unwrap();
        let output = harness(&folder).args(command).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(
            told.contains("\u{fffd}[2J\u{fffd}]0;mine\u{fffd} no answer"),
            "{told}"
        );
        assert!(!told.contains(['\u{1b}', '\u{7}']), "{told}");
    }
}

#[test]
fn a_driver_that_breaks_the_protocol_exits_69_and_both_lines_are_shown() {
    if !has("python3") {
        return;
    }
    let refused = |mistake: &str, said: &[&str]| {
        let folder = tempdir().unwrap();
        let run = harness(&folder)
            .args(["run", "--driver-stdio", &wrong(mistake)])
            .args(["--filter", "data/smoke"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(69), "{mistake}: {told}");
        for text in said {
            assert!(told.contains(text), "{mistake}: no `{text}` in\n{told}");
        }
    };
    // Told before anything is played …
    refused("no-json", &["answer:  hello to you", "\"op\":\"hello\""]);
    refused("never-answers", &["not answered within 5000 ms"]);
    refused("outlives-its-stdin", &["did not end within 2000 ms"]);
    // … and by the probes.
    refused(
        "exit-as-text",
        &[
            "wrong answer to `wait`",
            "\"op\":\"wait\"",
            "\"exit\": \"42\"",
        ],
    );
    refused("other-seq", &["waits for an answer", "\"exit\": 42"]);
    refused("always-0", &["the task exited 42, and the driver exited 0"]);
}

#[test]
fn a_program_that_is_none_exits_69_and_names_the_option() {
    let folder = tempdir().unwrap();
    for command in [
        &["run", "--driver-stdio"][..],
        &["adapter", "check", "--driver-stdio"],
    ] {
        harness(&folder)
            .args(command)
            .arg("/nonexistent/driver --x")
            .assert()
            .code(69)
            .stderr(contains("/nonexistent/driver").and(contains("--driver-stdio")));
        harness(&folder)
            .args(command)
            .arg("sh -c 'echo no such host >&2; exit 3'")
            .assert()
            .code(69);
    }
    harness(&folder)
        .args([
            "run",
            "--driver-stdio",
            "sh -c 'echo no such host >&2; exit 3'",
        ])
        .assert()
        .code(69)
        .stderr(contains("exit status: 3").and(contains("`no such host`")));
}

#[test]
fn what_an_adapter_declares_can_not_be_declared_for_it() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver-stdio", "true", "--capability", "forwards"])
        .assert()
        .code(64)
        .stderr(contains("--capability forwards").and(contains("`hello`")));
    harness(&folder)
        .args(["run", "--driver-stdio", "true {task}"])
        .assert()
        .code(64)
        .stderr(contains("{task}"));
    harness(&folder)
        .args(["run", "--driver-stdio", "true", "--driver", "true {task}"])
        .assert()
        .code(64);
}

#[test]
fn capabilities_decide_what_runs_and_an_unknown_one_is_told() {
    if !has("python3") {
        return;
    }
    let folder = tempdir().unwrap();
    let run = harness(&folder)
        .args(["run", "--driver-stdio", &wrong("declares-the-unknown")])
        .args(["--filter", "data/smoke,life/stop,life/exit-code"])
        .output()
        .unwrap();
    let (told, said) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert_eq!(run.status.code(), Some(0), "{told}{said}");
    assert!(said.contains("ignored: `time-travel`"), "{said}");
    assert!(told.contains("ran 3 of"), "{told}");
    let words: Vec<&str> = told.split_whitespace().collect();
    let reason = "the driver does not declare contains (2), forwards (10)";
    assert!(words.join(" ").contains(reason), "{told}");
    assert_eq!(processes_of(folder.path()), Vec::<String>::new());
}

/// A definition of the schema as a validator.
fn validator(schema: &Value, name: &str) -> jsonschema::Validator {
    let mut one = schema.clone();
    one["$ref"] = format!("#/$defs/{name}").into();
    jsonschema::validator_for(&one).unwrap()
}

/// Every line of a conversation: requests, and answers with the operation that they answer.
fn conversation(requests: &str, answers: &str) -> Vec<(String, Value)> {
    let mut asked = std::collections::BTreeMap::new();
    let mut all = Vec::new();
    for line in requests.lines().chain(answers.lines()) {
        let value: Value = serde_json::from_str(line).unwrap();
        let seq = value["seq"].as_u64().unwrap();
        match value["op"].as_str() {
            Some(op) => {
                asked.insert(seq, op.to_owned());
                all.push(("request".to_owned(), value));
            }
            None => {
                let op = &asked[&seq];
                let known = if op.starts_with("x-") { "order" } else { op };
                all.push((format!("{known}_answer"), value));
            }
        }
    }
    all
}

#[test]
fn what_suite_and_examples_say_is_valid_by_the_schema() {
    let text = fs::read_to_string(root().join("docs/adapter.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let mut seen = BTreeSet::new();
    for (program, driver) in good() {
        if !has(program) {
            continue;
        }
        let folder = tempdir().unwrap();
        // A file for each side: a line may be written in pieces, and the two sides at the same time.
        let [requests, answers] = ["requests", "answers"].map(|name| folder.path().join(name));
        let script = format!(
            "tee -a {} | {driver} | tee -a {}",
            requests.display(),
            answers.display()
        );
        let watched = shell_words::join(["sh", "-c", &script]);
        // How the pipeline ends is not the driver's affair, so only its lines are looked at.
        harness(&folder)
            .args(["adapter", "check", "--driver-stdio", &watched])
            .output()
            .unwrap();
        let [requests, answers] = [requests, answers].map(|path| fs::read_to_string(path).unwrap());
        for (name, value) in conversation(&requests, &answers) {
            let valid = validator(&schema, &name);
            let wrong: Vec<String> = valid
                .iter_errors(&value)
                .map(|one| one.to_string())
                .collect();
            assert!(wrong.is_empty(), "{name}: {value}: {wrong:#?}");
            seen.insert(name);
        }
    }
    for name in ["hello", "start", "wait", "stop", "signal", "destroy"] {
        assert!(seen.contains(&format!("{name}_answer")), "{seen:?}");
    }
}

#[test]
fn the_schema_refuses_what_the_suite_refuses() {
    let text = fs::read_to_string(root().join("docs/adapter.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    for (name, line) in [
        (
            "hello_answer",
            r#"{"seq":1,"driver":"d","capabilities":[]}"#,
        ),
        (
            "hello_answer",
            r#"{"seq":1,"driver":"","version":"1","capabilities":[]}"#,
        ),
        ("wait_answer", r#"{"seq":1,"exit":0,"signal":9}"#),
        ("wait_answer", r#"{"seq":1,"exit":null,"signal":null}"#),
        ("wait_answer", r#"{"seq":1,"exit":256}"#),
        ("wait_answer", r#"{"exit":0}"#),
        ("start_answer", r#"{"seq":1,"handle":null}"#),
        ("start_answer", r#"{"seq":1,"handle":1,"error":"no"}"#),
        ("destroy_answer", r#"{"seq":1,"ok":true}"#),
        ("destroy_answer", r#"{"seq":1,"unsupported":false}"#),
        ("recover_answer", r#"{"seq":1,"ok":["a"]}"#),
        ("detach_answer", r#"{"seq":1,"handles":[{"id":"a"}]}"#),
    ] {
        let value: Value = serde_json::from_str(line).unwrap();
        assert!(!validator(&schema, name).is_valid(&value), "{name}: {line}");
    }
}
