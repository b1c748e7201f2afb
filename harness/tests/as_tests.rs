//! The suite as the tests of a driver: what such a test prints, plays and leaves behind. (edge)
//!
//! This program is both sides. With [`DRIVER`] in its environment it is the test of that driver;
//! without it, it starts itself so, and looks.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use harness::scenario::Scenario;
use harness::suite::{self, Choice, Filter, Subject};
use harness::testing::{Conformance, Profile, started_again};
use libtest_mimic::{Arguments, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

/// The driver's command, as a shell's words.
const DRIVER: &str = "AS_TESTS_DRIVER";
/// Methods and arguments: `filter=data,seed=7`.
const OPTIONS: &str = "AS_TESTS_OPTIONS";

const SHELL: &str = "sh -c 'exec {task} >{stdout} 2>{stderr}'";

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    (
        "a_test_is_a_case_and_passes_as_one",
        a_test_is_a_case_and_passes_as_one,
    ),
    (
        "a_filter_exact_and_skip_are_those_of_every_test",
        a_filter_exact_and_skip_are_those_of_every_test,
    ),
    (
        "a_list_names_every_case_and_plays_none",
        a_list_names_every_case_and_plays_none,
    ),
    (
        "a_list_of_ignored_cases_is_what_a_run_ignores",
        a_list_of_ignored_cases_is_what_a_run_ignores,
    ),
    (
        "a_case_that_does_not_apply_is_ignored_with_the_reason",
        a_case_that_does_not_apply_is_ignored_with_the_reason,
    ),
    (
        "what_the_methods_leave_out_is_ignored_with_the_reason",
        what_the_methods_leave_out_is_ignored_with_the_reason,
    ),
    (
        "a_failure_is_told_as_the_suite_tells_it_and_kept",
        a_failure_is_told_as_the_suite_tells_it_and_kept,
    ),
    (
        "a_case_that_passes_only_again_fails_as_flaky",
        a_case_that_passes_only_again_fails_as_flaky,
    ),
    (
        "a_dishonest_driver_fails_every_test_with_the_reason",
        a_dishonest_driver_fails_every_test_with_the_reason,
    ),
    (
        "a_driver_that_blinds_the_suite_fails_every_test",
        a_driver_that_blinds_the_suite_fails_every_test,
    ),
    (
        "a_folder_of_ones_own_holds_what_failed",
        a_folder_of_ones_own_holds_what_failed,
    ),
    (
        "a_folder_that_cannot_be_used_fails_every_test",
        a_folder_that_cannot_be_used_fails_every_test,
    ),
    (
        "what_cannot_be_asked_for_is_refused_before_any_test",
        what_cannot_be_asked_for_is_refused_before_any_test,
    ),
    (
        "an_interrupt_ends_the_cases_and_leaves_nothing",
        an_interrupt_ends_the_cases_and_leaves_nothing,
    ),
    (
        "the_commands_for_authors_of_drivers_work",
        the_commands_for_authors_of_drivers_work,
    ),
    (
        "the_word_of_a_second_start_is_no_command_line",
        the_word_of_a_second_start_is_no_command_line,
    ),
];

fn main() -> ExitCode {
    if let Some(code) = started_again(logmon::main_with_args) {
        return code;
    }
    if let Ok(driver) = env::var(DRIVER) {
        return conformance(&driver, &env::var(OPTIONS).unwrap_or_default()).main();
    }
    let trial = |(name, test): &Test| {
        let test = *test;
        Trial::test(*name, move || {
            test();
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), TESTS.iter().map(trial).collect()).exit_code()
}

fn conformance(driver: &str, options: &str) -> Conformance {
    let words = shell_words::split(driver).unwrap();
    let mut asked = Conformance::driver(words, logmon::main_with_args);
    for option in options.split_terminator(',') {
        asked = match option.split_once('=').unwrap() {
            ("capability", name) => asked.capability(name.parse().unwrap()),
            ("filter", glob) => asked.filter(glob),
            ("exclude", glob) => asked.exclude(glob),
            ("profile", _) => asked.profile(Profile::Base),
            ("seed", seed) => asked.seed(seed.parse().unwrap()),
            ("out", folder) => asked.out(folder),
            (name, _) => panic!("{name}"),
        };
    }
    asked
}

/// The test of a driver in a folder of its own for temporary files.
struct Fixture {
    temporary: TempDir,
    command: Command,
}

impl Fixture {
    fn new(driver: &str, options: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .env(DRIVER, driver)
            .env(OPTIONS, options)
            .env("TMPDIR", temporary.path())
            .env("CARGO_PKG_NAME", "mydriver")
            .timeout(Duration::from_secs(120));
        Self { temporary, command }
    }

    fn run(&mut self, arguments: &[&str]) -> Assert {
        self.command.args(arguments).assert()
    }

    /// What is left in the folder for temporary files.
    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.temporary.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// The bundled mock driver with a fault; it is inside of this program too.
fn faulty(fault: &str) -> String {
    format!(
        "{{self}} mock-driver run --fault {fault} --stdout {{stdout}} --stderr {{stderr}} -- {{task}}"
    )
}

fn a_test_is_a_case_and_passes_as_one() {
    let mut fixture = Fixture::new(SHELL, "");
    fixture
        .run(&["data/smoke"])
        .code(0)
        .stdout(contains("running 1 test\n").and(contains("test data/smoke ... ok")))
        .stdout(contains("1 passed; 0 failed; 0 ignored; 0 measured; "));
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
}

fn a_filter_exact_and_skip_are_those_of_every_test() {
    Fixture::new(SHELL, "")
        .run(&["life/exit", "--skip", "in-gap"])
        .code(0)
        .stdout(contains("test life/exit-code ... ok").and(contains("running 1 test\n")));
    Fixture::new(SHELL, "")
        .run(&["--exact", "life/exit"])
        .code(0)
        .stdout(contains("running 0 tests\n"));
}

fn a_list_names_every_case_and_plays_none() {
    let mut fixture = Fixture::new("/nonexistent {task}", "");
    let told = stdout(&fixture.run(&["--list"]).code(0));
    let listed: Vec<&str> = told.lines().collect();
    let shipped = suite::shipped_scenarios().unwrap();
    let wanted: Vec<String> = shipped
        .iter()
        .map(|one| format!("{}: test", one.id))
        .collect();
    assert_eq!(listed, wanted);
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
}

fn a_list_of_ignored_cases_is_what_a_run_ignores() {
    let options = "filter=data/smoke,filter=mon/two-kills-*";
    let list = Fixture::new(SHELL, options).run(&["--list", "--ignored"]);
    let listed: BTreeSet<String> = stdout(&list)
        .lines()
        .map(|line| line.trim_end_matches(": test").to_owned())
        .collect();
    assert!(!listed.contains("data/smoke") && !listed.contains("mon/two-kills-spare"));
    assert!(listed.contains("mon/two-kills-bare") && listed.contains("data/prompt"));
    let run = Fixture::new(SHELL, options).run(&[]).code(0);
    let told = stdout(&run);
    let ignored: BTreeSet<String> = told
        .lines()
        .filter(|line| line.contains(" ... ignored"))
        .map(|line| line.split_ascii_whitespace().nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(listed, ignored, "{told}");
}

fn a_case_that_does_not_apply_is_ignored_with_the_reason() {
    let ignored = |name: &str, why: &str| contains(format!("test {name} ... ignored ({why})"));
    for arguments in [
        &["mon/kill-full-pipe-bare", "--exact"][..],
        &["--include-ignored", "mon/kill-full-pipe-bare"],
    ] {
        let mut fixture = Fixture::new(SHELL, "");
        fixture.run(arguments).code(0).stdout(ignored(
            "mon/kill-full-pipe-bare",
            "the driver does not declare forwards",
        ));
    }
    Fixture::new(SHELL, "")
        .run(&["mon/drains"])
        .code(0)
        .stdout(ignored("mon/drains", "it judges only the logmon"));
}

fn what_the_methods_leave_out_is_ignored_with_the_reason() {
    let subject = Subject::from_templates(Some(SHELL), None, &BTreeSet::new()).unwrap();
    let shipped = suite::shipped_scenarios().unwrap();
    let applies = |one: &&Scenario| suite::choose(one, &subject, &Filter::default()) == Choice::Run;
    let applicable: Vec<_> = shipped.iter().filter(applies).collect();
    let resilient = applicable
        .iter()
        .find(|one| one.profile == Profile::Resilient)
        .unwrap();
    for (options, name, why) in [
        ("filter=life", "data/smoke", "no --filter matches it"),
        ("exclude=data", "data/smoke", "--exclude data matches it"),
        ("profile=base", &resilient.id, "its profile is resilient"),
    ] {
        Fixture::new(&faulty("crlf"), options)
            .run(&["--exact", name])
            .code(0)
            .stdout(contains("ignored (").and(contains(why)));
    }
}

fn a_failure_is_told_as_the_suite_tells_it_and_kept() {
    let driver = faulty("truncates-at-nul");
    let mut fixture = Fixture::new(
        &driver,
        "capability=forwards,seed=5,filter=data/binary,filter=data/smoke",
    );
    let assert = fixture.command.env("HARNESS_SEED", "7").assert();
    let told = stdout(&assert.code(101));
    assert!(told.contains("1 passed; 1 failed"), "{told}");
    for words in [
        "FAIL  data/binary",
        "3/3 runs",
        "[lost-",
        "Likely cause",
        "harness explain DATA-",
        "As a test      HARNESS_SEED=7 cargo test -p mydriver -- --exact data/binary",
    ] {
        assert!(told.contains(words), "no {words:?} in\n{told}");
    }
    let folders = fixture.left();
    let [folder] = folders.as_slice() else {
        panic!("{folders:?}")
    };
    let bundle = folder.join("data-binary.bundle");
    assert!(bundle.join("trace.jsonl").exists());
    assert!(told.contains(bundle.to_str().unwrap()), "{told}");
    assert!(!folder.join("running").exists());
}

fn a_case_that_passes_only_again_fails_as_flaky() {
    let marker = tempfile::tempdir().unwrap();
    let mark = marker.path().join("seen");
    let driver = format!(
        "sh -c 'if [ $HARNESS_ID = data/smoke ] && mkdir {0} 2>/dev/null; \
         then exec {{task}} >/dev/null 2>{{stderr}}; else exec {{task}} >{{stdout}} 2>{{stderr}}; fi'",
        mark.display()
    );
    Fixture::new(&driver, "")
        .run(&["--exact", "data/smoke"])
        .code(101)
        .stdout(contains("FLAKY  data/smoke").and(contains("1/2 runs")));
}

/// No case is played, and each test of three says why.
fn all_fail(driver: &str, options: &str, why: &str) -> Fixture {
    let three = "filter=data/smoke,filter=data/prompt,filter=life/exit-code";
    let mut fixture = Fixture::new(driver, &format!("{three},{options}"));
    let assert = fixture.run(&[]);
    let told = stdout(&assert.code(101));
    assert!(told.contains("0 passed; 3 failed"), "{told}");
    assert_eq!(told.matches(why).count(), 3, "{told}");
    for folder in fixture.left() {
        let results = fs::read_to_string(folder.join("results.jsonl")).unwrap();
        assert_eq!(results, "");
    }
    fixture
}

fn a_dishonest_driver_fails_every_test_with_the_reason() {
    let driver = "sh -c '{task} >{stdout} 2>{stderr}; exit 0'";
    let fixture = all_fail(driver, "", "the task exited 42, and the driver exited 0");
    let folders = fixture.left();
    assert!(folders[0].join("probe-exit.bundle").exists(), "{folders:?}");
}

fn a_driver_that_blinds_the_suite_fails_every_test() {
    let why = "the suite can't see a missing line through this subject";
    let driver = "sh -c 'if [ $HARNESS_ID = data/probe-smoke ]; then exec {task} >/dev/null 2>{stderr}; \
                  else exec {task} >{stdout} 2>{stderr}; fi'";
    all_fail(driver, "", why);
}

fn a_folder_of_ones_own_holds_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let options = format!("capability=forwards,out={}", out.display());
    let mut fixture = Fixture::new(&faulty("truncates-at-nul"), &options);
    fixture.run(&["data/binary"]).code(101);
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
    assert!(out.join("data-binary.bundle").exists());
    let results = fs::read_to_string(out.join("results.jsonl")).unwrap();
    assert!(results.contains(r#""status":"fail""#), "{results}");
}

fn a_folder_that_cannot_be_used_fails_every_test() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(75));
    all_fail(SHELL, &format!("out={}", long.display()), "at most 75");
}

fn what_cannot_be_asked_for_is_refused_before_any_test() {
    for (driver, options, code, why) in [
        ("sh -c true", "", 64, "{task}"),
        (
            "sh -c '{task} {nonsense}'",
            "",
            64,
            "unknown placeholder `{nonsense}`",
        ),
        ("", "", 64, "--driver is empty"),
        (SHELL, "filter=[", 64, "`[` is not a glob"),
        (
            SHELL,
            "capability=storage-faults",
            64,
            "the suite asks the machine",
        ),
        (SHELL, "filter=dta/*", 4, "no case is left"),
        (SHELL, "filter=mon/drains", 4, "no case is left"),
    ] {
        Fixture::new(driver, options)
            .run(&[])
            .code(code)
            .stdout("")
            .stderr(contains(why));
    }
    let mut fixture = Fixture::new(SHELL, "");
    fixture.command.env("HARNESS_SEED", "one");
    fixture
        .run(&[])
        .code(64)
        .stderr(contains("HARNESS_SEED is \"one\""));
}

fn an_interrupt_ends_the_cases_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let started = std::process::Command::new(env::current_exe().unwrap())
        .env(DRIVER, SHELL)
        .env(OPTIONS, "filter=life/restarts-100,filter=data/*")
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let is_playing = || {
        fs::read_dir(temporary.path())
            .unwrap()
            .flatten()
            .any(|folder| {
                let running = fs::read_dir(folder.path().join("running"));
                running.is_ok_and(|mut all| {
                    all.any(|case| {
                        let text = fs::read_to_string(case.unwrap().path().join("case.json"));
                        text.is_ok_and(|text| text.contains("life/restarts-100"))
                    })
                })
            })
    };
    wait_until("the case is played", is_playing);
    kill(
        Pid::from_raw(started.id().try_into().unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let ended = started.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(
        told.contains("interrupted") && !told.contains("FAIL "),
        "{told}"
    );
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "{told}");
    assert_eq!(living(temporary.path()), Vec::<String>::new());
}

/// Processes that have this folder in their command line or environment.
fn living(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let names = |pid: &str, file: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(folder)
    };
    fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| names(pid, "cmdline") || names(pid, "environ"))
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "a poller with a limit")]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{what}: not in 60 s"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn the_word_of_a_second_start_is_no_command_line() {
    for arguments in [&["__harness"][..], &["__harness", "run"]] {
        Fixture::new(SHELL, "")
            .run(arguments)
            .code(64)
            .stderr(contains("leave it out"));
    }
}

fn the_commands_for_authors_of_drivers_work() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/driver-authors.md");
    let text = fs::read_to_string(document).unwrap();
    let commands = text
        .lines()
        .filter_map(|line| line.strip_prefix("cargo test -- "));
    let commands: Vec<_> = commands.collect();
    assert!(commands.len() >= 3, "{commands:?}");
    for command in commands {
        let arguments = shell_words::split(command).unwrap();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let told = stdout(&Fixture::new(SHELL, "").run(&arguments).code(0));
        assert!(told.contains("data/smoke"), "{command}: {told}");
    }
}
