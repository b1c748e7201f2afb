//! Tests of the commands that work on the kept folder of a played case.

use std::fs;
use std::path::PathBuf;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{TempDir, tempdir};

use crate::program::{harness, json};

/// A driver that never delivers the end of the output.
const LOSES_TAIL: &str = "{self} mock-driver run --fault loses-unterminated-tail \
                          --stdout {stdout} --stderr {stderr} --journal {driver_journal} -- {task}";

/// Its bundle, as it is named from the folder of the test.
const LOST: &str = "out/data-no-final-newline.bundle";

/// Plays a case with a driver that loses something, in a folder of its own.
fn failed_case() -> TempDir {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver", LOSES_TAIL, "--capability", "forwards"])
        .args(["--filter", "data/no-final-newline", "--seed", "11"])
        .assert()
        .code(1)
        .stdout(contains(format!("harness repro {LOST}\n")))
        .stdout(contains(format!("harness show {LOST} --html\n")))
        .stdout(contains(
            "harness run --filter data/no-final-newline --driver ",
        ));
    folder
}

/// Plays a case with the bundled pair, and keeps its folder.
fn passed_case(id: &str) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--keep", "all", "--filter", id])
        .assert()
        .code(0);
    let bundle = PathBuf::from(format!("out/{}.bundle", id.replace('/', "-")));
    (folder, bundle)
}

fn every_line_fits(text: &str) -> bool {
    // But for the commands, which are to be copied.
    let mut lines = text.lines().filter(|line| !line.contains(" harness "));
    lines.all(|line| line.chars().count() <= 80)
}

#[test]
fn a_failed_case_is_judged_again_from_its_folder_alone() {
    let folder = failed_case();
    let elsewhere = folder.path().join("moved");
    fs::rename(folder.path().join(LOST), &elsewhere).unwrap();
    harness(&folder)
        .args(["recheck", "moved"])
        .assert()
        .code(1)
        .stdout(contains("FAIL  data/no-final-newline"))
        .stdout(contains("harness repro moved\n").and(contains("Likely cause")))
        .stdout(contains(
            "fail (lost-all, lost-tail); the same as when it was played",
        ))
        .stdout(predicate::function(every_line_fits));
}

#[test]
fn what_has_changed_in_a_folder_since_is_judged_as_it_is_now() {
    let (folder, bundle) = passed_case("data/smoke");
    let recheck = || {
        let mut command = harness(&folder);
        command.arg("recheck").arg(&bundle);
        command.assert()
    };
    recheck()
        .code(0)
        .stdout(contains("PASS  data/smoke").and(contains("the same as when it was played")));
    let log = folder.path().join(&bundle).join("log/demo.stdout.0");
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() / 2]).unwrap();
    recheck()
        .code(1)
        .stdout(contains("FAIL  data/smoke").and(contains("lost-tail")))
        .stdout(contains("when it was played: pass"));
}

#[test]
fn a_log_folder_behind_a_link_is_found_again_in_a_folder_that_was_moved() {
    let (folder, bundle) = passed_case("sec/linked-log-folder");
    harness(&folder)
        .arg("recheck")
        .arg(&bundle)
        .assert()
        .code(0)
        .stdout(contains("the same as when it was played"));
}

#[test]
fn a_folder_that_can_not_be_read_is_refused_by_the_name_of_the_file() {
    let (folder, bundle) = passed_case("data/smoke");
    let whole = folder.path().join(&bundle);
    let refused = |command: &str, what: &str| {
        harness(&folder)
            .arg(command)
            .arg(&bundle)
            .assert()
            .code(65)
            .stdout("")
            .stderr(contains(bundle.display().to_string()).and(contains(what)));
    };
    let trace = whole.join("trace.jsonl");
    let text = fs::read_to_string(&trace).unwrap();
    fs::write(&trace, format!("{{\"at_us\":1}}\n{text}")).unwrap();
    refused("recheck", "trace.jsonl as a trace: read line 1");
    refused("show", "trace.jsonl");
    fs::remove_file(&trace).unwrap();
    refused("recheck", "trace.jsonl");
    let case = whole.join("case.json");
    let mut value = json(&case);
    value["surprise"] = 1.into();
    fs::write(&case, value.to_string()).unwrap();
    refused("show", "case.json as a case: unknown field `surprise`");
    value["version"] = 7.into();
    fs::write(&case, value.to_string()).unwrap();
    refused(
        "recheck",
        "is of version 7, and this harness reads version 1",
    );
    refused("repro", "is of version 7, and this harness reads version 1");
    value.as_object_mut().unwrap().remove("version");
    fs::write(&case, value.to_string()).unwrap();
    refused("show", "before bundles had versions");
    fs::remove_file(&case).unwrap();
    refused("show", "is no bundle: there is no case.json in it");
}

#[test]
fn the_whole_timeline_is_shown_as_text_on_a_terminal_or_in_a_file() {
    let folder = failed_case();
    let shown = |arguments: &[&str]| {
        let mut command = harness(&folder);
        command.args(["show", LOST]).args(arguments);
        command.assert().code(0)
    };
    shown(&[])
        .stdout(contains("FAIL  data/no-final-newline").and(contains("[lost-all, DATA-1]")))
        .stdout(contains("What happened").and(contains("task 0 runs, pid")))
        .stdout(contains(" more)").not())
        .stdout(predicate::function(every_line_fits));
    shown(&["-o", "shown.txt"]).stdout("shown.txt\n");
    let text = fs::read_to_string(folder.path().join("shown.txt")).unwrap();
    assert!(text.contains("Likely cause"), "{text}");
    harness(&folder)
        .args(["show", LOST, "-o", "no/such/folder.txt"])
        .assert()
        .code(65)
        .stderr(contains("no/such/folder.txt").and(contains("--output")));
}

#[test]
fn a_page_with_the_picture_is_written_into_the_folder_and_its_path_is_told() {
    let folder = failed_case();
    let shown = |arguments: &[&str]| {
        let mut command = harness(&folder);
        command.args(["show", LOST]).args(arguments);
        command.assert().code(0)
    };
    shown(&["--html"]).stdout(format!("{LOST}/timeline.html\n"));
    let text = fs::read_to_string(folder.path().join(LOST).join("timeline.html")).unwrap();
    shown(&["--format", "html", "-o", "page.html"]).stdout("page.html\n");
    assert_eq!(
        fs::read_to_string(folder.path().join("page.html")).unwrap(),
        text
    );
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    let document = roxmltree::Document::parse_with_options(&text, options).unwrap();
    let classes = |class: &str| {
        let nodes = document.descendants();
        let of = |node: &roxmltree::Node<'_, '_>| {
            let classes = node.attribute("class").unwrap_or_default();
            classes.split(' ').any(|one| one == class)
        };
        nodes.filter(of).collect::<Vec<_>>()
    };
    let lanes: Vec<_> = classes("lane")
        .iter()
        .map(|lane| lane.attribute("data-kind").unwrap())
        .collect();
    let expected = ["task", "driver", "pipe", "pipe", "logmon", "files", "files"];
    assert_eq!(lanes, expected);
    // The driver had taken the last bytes from the task, and its journal says so.
    let red = classes("lost").into_iter();
    let red: Vec<_> = red.filter(|node| node.has_tag_name("rect")).collect();
    let lanes = red.iter().map(|piece| {
        let mut around = piece.ancestors();
        around.find_map(|node| node.attribute("data-kind")).unwrap()
    });
    // The end of stdout and all of stderr.
    assert_eq!(lanes.collect::<Vec<_>>(), ["driver", "driver"]);
    harness(&folder)
        .args(["show", LOST, "--html", "--format", "text"])
        .assert()
        .code(64);
}

#[test]
fn the_trace_events_of_a_case_are_json() {
    let (folder, bundle) = passed_case("data/smoke");
    let shown = harness(&folder)
        .arg("show")
        .arg(&bundle)
        .args(["--format", "perfetto"])
        .assert()
        .code(0);
    let whole: serde_json::Value = serde_json::from_slice(&shown.get_output().stdout).unwrap();
    let events = whole["traceEvents"].as_array().unwrap();
    let lives = events
        .iter()
        .filter(|event| event["ph"] == "X" && event["cat"] == "life");
    assert_eq!(lives.count(), 3, "of task, driver and logmon: {whole:#}");
}

#[test]
fn a_failed_case_is_played_again_exactly_as_it_was() {
    let folder = failed_case();
    harness(&folder)
        .args(["repro", LOST])
        .assert()
        .code(1)
        .stdout(contains("FAIL  data/no-final-newline"))
        .stdout(contains(
            "harness repro out-repro/data-no-final-newline.bundle\n",
        ))
        .stdout(contains("seed 11, attempt 1").and(contains("Compared       reproduced; in")))
        .stdout(predicate::function(every_line_fits));
    let case = |bundle: &str| json(&folder.path().join(bundle).join("case.json"));
    assert_eq!(case(LOST), case("out-repro/data-no-final-newline.bundle"));
}

#[test]
fn a_mended_subject_passes_now_and_that_is_told_of_every_attempt() {
    let folder = failed_case();
    let path = folder.path().join(LOST).join("case.json");
    let mut case = json(&path);
    let words = case["driver"].as_array().unwrap().iter();
    let mended: Vec<_> = words
        .filter(|word| *word != "--fault" && *word != "loses-unterminated-tail")
        .cloned()
        .collect();
    case["driver"] = mended.into();
    fs::write(&path, case.to_string()).unwrap();
    harness(&folder)
        .args(["repro", LOST, "--times", "2", "--out", "again"])
        .assert()
        .code(0)
        .stdout(contains("1/2 ").and(contains("2/2 ")))
        .stdout(contains("passes now (2 of 2)").and(contains("lost-tail)")));
    let kept = folder.path().join("again/data-no-final-newline.bundle");
    assert!(kept.join("trace.jsonl").exists());
}

#[test]
fn a_case_of_the_users_own_is_played_again_when_its_file_is_gone() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(
        &file,
        "id = \"data/mine\"\ntitle = \"It arrives.\"\nrules = [\"DATA-1\"]\n[tasks.main]\n\
         step = [{ do = \"records\", stream = \"stdout\", count = 10 }]\n\
         [[plan]]\ndo = \"start-logmon\"\n[[plan]]\ndo = \"start-task\"\n\
         [[plan]]\ndo = \"await-exit\"\nwithin_ms = 8000\n",
    )
    .unwrap();
    harness(&folder)
        .args(["run", "--scenario", "mine.toml", "--keep", "all"])
        .assert()
        .code(0);
    fs::remove_file(file).unwrap();
    harness(&folder)
        .args(["repro", "out/data-mine.bundle"])
        .assert()
        .code(0)
        .stdout(contains("PASS  data/mine").and(contains("it is: pass")));
}

/// A run knows it only by its file, which is not in the command.
#[test]
fn a_case_of_ones_own_that_failed_is_played_again_from_its_bundle_alone() {
    let folder = tempdir().unwrap();
    fs::write(
        folder.path().join("mine.toml"),
        "id = \"data/mine\"\ntitle = \"It arrives.\"\nrules = [\"DATA-1\"]\n[tasks.main]\n\
         step = [{ do = \"records\", stream = \"stdout\", count = 2 }, { do = \"text\", stream = \"stdout\", text = \"no end\" }]\n\
         [[plan]]\ndo = \"start-logmon\"\n[[plan]]\ndo = \"start-task\"\n\
         [[plan]]\ndo = \"await-exit\"\nwithin_ms = 8000\n",
    )
    .unwrap();
    harness(&folder)
        .args(["run", "--scenario", "mine.toml", "--driver", LOSES_TAIL])
        .args(["--capability", "forwards", "--report", "junit=junit.xml"])
        .assert()
        .code(1)
        .stdout(contains("harness repro out/data-mine.bundle\n"))
        .stdout(contains("As a run").not());
    let sweeps = ["--sweep", "kill-logmon"];
    let bundle = "harness repro out/data-mine-kill-logmon-after-1.bundle\n";
    for (more, words) in [
        (
            &["--keep", "none"][..],
            "harness run --filter data/mine --scenario FILE ",
        ),
        (&sweeps, bundle),
    ] {
        harness(&folder)
            .args(["run", "--scenario", "mine.toml", "--driver", LOSES_TAIL])
            .args(["--capability", "forwards", "--out", "out"])
            .args(more)
            .assert()
            .code(1)
            .stdout(contains(words));
    }
    let junit = fs::read_to_string(folder.path().join("junit.xml")).unwrap();
    let mut lines = junit.lines().filter(|line| line.contains("\"re-run\""));
    let line = lines.next().unwrap();
    assert!(
        line.contains("value=\"harness repro ") && line.contains("/data-mine.bundle\""),
        "{line}"
    );
}

#[test]
fn a_case_is_played_with_the_subject_of_the_configuration_and_a_bundle_with_its_own() {
    let folder = failed_case();
    let config = format!("[driver]\ncommand = '{LOSES_TAIL}'\ncapabilities = [\"forwards\"]\n");
    fs::write(folder.path().join("harness.toml"), config).unwrap();
    let repro = |arguments: &[&str]| {
        let mut command = harness(&folder);
        command.arg("repro").args(arguments).assert()
    };
    repro(&["data/no-final-newline"])
        .code(1)
        .stdout(contains("lost-tail").and(contains("driver `{self} mock-driver")));
    repro(&["data/no-final-newline", "--config", "/dev/null"]).code(0);
    for more in [["--driver-stdio", "./mine"], ["--config", "harness.toml"]] {
        repro(&[&[LOST], &more[..]].concat())
            .code(64)
            .stderr(contains("brings its own subject"));
    }
}

#[test]
fn a_case_is_played_by_its_id_with_a_subject_of_the_command_line() {
    let folder = tempdir().unwrap();
    let repro = |arguments: &[&str]| {
        let mut command = harness(&folder);
        command.arg("repro").args(arguments);
        command.assert()
    };
    repro(&["data/no-final-newline", "--seed", "5"])
        .code(0)
        .stdout(contains("PASS  data/no-final-newline").and(contains("seed 5, attempt 1")));
    let lossy = ["--driver", LOSES_TAIL, "--capability", "forwards"];
    repro(&[&["data/no-final-newline"], &lossy[..]].concat())
        .code(1)
        .stdout(contains("FAIL  data/no-final-newline"));
    repro(&[
        "mon/kill-full-pipe-bare",
        "--driver",
        "sh -c 'exec {task} >{stdout}'",
    ])
    .code(4)
    .stderr(contains("does not apply").and(contains("forwards")));
}

#[test]
fn what_can_not_be_played_again_is_refused_before_anything_is_removed() {
    let folder = failed_case();
    let refused = |code: i32, arguments: &[&str], what: &str| {
        harness(&folder)
            .arg("repro")
            .args(arguments)
            .assert()
            .code(code)
            .stdout("")
            .stderr(contains(what));
    };
    refused(
        64,
        &["data/no-final"],
        "did you mean data/no-final-newline?",
    );
    refused(64, &["x/y"], "neither a bundle nor the id of a case");
    refused(
        64,
        &[LOST, "--driver", "x {task}"],
        "brings its own subject",
    );
    refused(64, &[LOST, "--seed", "5"], "brings its own subject");
    refused(
        64,
        &[LOST, "--out", "out"],
        "give another folder with --out",
    );
    refused(65, &["out/none.bundle"], "out/none.bundle is no bundle");
    assert!(folder.path().join(LOST).exists());
    harness(&folder)
        .args(["repro", LOST, "--strace"])
        .env("PATH", folder.path())
        .assert()
        .code(69)
        .stderr(contains("--strace: strace is no program"));
}

/// Whether this machine has a strace(1) that may trace.
fn can_trace() -> bool {
    let traced = std::process::Command::new("strace")
        .args(["-D", "-o", "/dev/null", "true"])
        .status();
    traced.is_ok_and(|status| status.success())
}

#[test]
fn system_calls_are_written_into_the_folder_where_the_machine_can_trace() {
    if !can_trace() {
        return;
    }
    let (folder, bundle) = passed_case("life/exit-code");
    harness(&folder)
        .arg("repro")
        .arg(&bundle)
        .arg("--strace")
        .assert()
        .code(0)
        .stdout(contains(
            "System calls   out-repro/life-exit-code.bundle/strace.*",
        ));
    for (program, call) in [("driver.0", "execve("), ("logmon.1", "openat(")] {
        let file = format!("out-repro/life-exit-code.bundle/strace.{program}");
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(text.contains(call), "{text}");
    }
}
