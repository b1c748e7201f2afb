//! Tests of what is wrong with a run itself: who reads one report only must see it, and trouble with one
//! report costs no other.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{TempDir, tempdir};

use crate::program::{KINDS, LOSES_TAIL, harness, json};

/// One report of each kind, `run.KIND`.
fn of_every_kind() -> String {
    KINDS.map(|kind| format!("{kind}=run.{kind}")).join(",")
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

#[test]
fn every_kind_of_report_is_known() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--report", "no-such=x"])
        .assert()
        .code(64)
        .stderr(contains(format!("known are {}\n", KINDS.join(", "))));
}

/// Each report for programs shows that the run is no pass, and what was wrong with it.
fn is_told_by_all(folder: &TempDir, words: &[&str]) {
    for kind in KINDS {
        let text = read(folder, &format!("run.{kind}"));
        // However its lines are cut.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(text.contains(word), "no `{word}` in {kind}:\n{text}");
        }
    }
    let xml = read(folder, "run.junit");
    let document = roxmltree::Document::parse(&xml).unwrap();
    let case = document
        .descendants()
        .find(|one| one.attribute("name") == Some("harness/run"))
        .unwrap_or_else(|| panic!("no case for the run in\n{xml}"));
    assert!(
        case.children().any(|one| one.has_tag_name("error")),
        "{xml}"
    );
    let suite = document
        .descendants()
        .find(|one| one.has_tag_name("testsuite"));
    assert_eq!(suite.unwrap().attribute("errors"), Some("1"), "{xml}");
    let tap = read(folder, "run.tap");
    let last = tap.lines().last().unwrap();
    assert!(last.starts_with("Bail out! "), "{tap}");
}

#[test]
fn a_case_that_is_missing_is_told_by_every_report() {
    let folder = tempdir().unwrap();
    let play = |filter: &str, more: &[&str]| {
        harness(&folder)
            .args(["run", "--filter", filter])
            .args(more)
            .assert()
    };
    play(
        "data/smoke,life/exit-code",
        &["--report", "json=before.json"],
    )
    .code(0);
    let reports = of_every_kind();
    let more = ["--no-fewer", "before.json", "--report", &reports];
    play(
        "data/smoke",
        &[&more[..], &["--annotations", "github"]].concat(),
    )
    .code(1)
    .stdout(contains("\n::error title=harness%3A fewer::life/exit-code"));
    is_told_by_all(&folder, &["life/exit-code", "no --filter matches it"]);
}

#[test]
fn cases_for_which_there_was_no_time_are_told_by_every_report() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", "data/smoke,life/exit-code"])
        .args(["--budget", "1ms", "--report", &of_every_kind()])
        .assert()
        .code(6);
    is_told_by_all(&folder, &["life/exit-code", "data/smoke", "time"]);
}

#[test]
fn a_subject_that_can_not_be_started_is_told_by_every_report() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", "data/smoke", "--driver", "false {task}"])
        .args(["--report", &of_every_kind(), "--annotations", "github"])
        .assert()
        .code(69)
        .stdout(contains("::error title=harness%3A bad-subject::"));
    is_told_by_all(&folder, &["without starting the task"]);
}

#[test]
fn a_report_that_can_not_be_written_costs_no_other_one_and_not_the_verdict() {
    let folder = tempdir().unwrap();
    let play = |driver: &[&str]| {
        fs::write(folder.path().join("ok.md"), "old").unwrap();
        let assert = harness(&folder)
            .args(["run", "--filter", "data/no-final-newline"])
            .args(driver)
            .args(["--report", "junit=/dev/full,md=ok.md,tap=ok.tap"])
            .assert()
            .stderr(contains("can't write the report /dev/full"));
        assert!(read(&folder, "ok.md").starts_with("## harness: "));
        assert!(read(&folder, "ok.tap").starts_with("TAP version 14\n"));
        assert_eq!(
            json(&folder.path().join("out/report.json"))["complete"],
            true
        );
        assert!(!folder.path().join("out/running").exists());
        assert
    };
    play(&["--driver", LOSES_TAIL, "--capability", "forwards"])
        .code(1)
        .stdout(predicate::str::ends_with("not conformant (exit 1)\n"));
    play(&[])
        .code(65)
        .stdout(contains("everything that ran passed (exit 0)"));
}

#[test]
fn a_report_json_that_can_not_be_written_costs_neither_the_verdict_nor_the_others() {
    let folder = tempdir().unwrap();
    let own = folder.path().join("out/report.json");
    let own = own.display();
    // Nothing can be renamed onto a folder with something in it.
    let driver =
        format!("sh -c 'rm -f {own}; mkdir -p {own}/x; exec {{task}} >{{stdout}} 2>{{stderr}}'");
    harness(&folder)
        .args(["run", "--filter", "life/exit-code", "--driver", &driver])
        .args(["--report", "md=ok.md"])
        .assert()
        .code(65)
        .stdout(contains("everything that ran passed (exit 0)"))
        .stderr(contains("out/report.json"));
    assert!(read(&folder, "ok.md").contains("everything that ran passed"));
}

#[test]
fn two_reports_in_one_file_are_wrong_usage() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("here.txt"), "old").unwrap();
    std::os::unix::fs::symlink("here.txt", folder.path().join("link.txt")).unwrap();
    let refused = |reports: &str| {
        harness(&folder)
            .args(["run", "--filter", "data/smoke", "--report", reports])
            .assert()
            .code(64)
            .stdout("")
            .stderr(contains("--report").and(contains("one file")));
    };
    refused("junit=r,md=r");
    refused("junit=r,md=./sub/../r");
    refused("junit=here.txt,md=link.txt");
    // These are written by every run.
    refused("md=out/report.json");
    refused("json=out/results.jsonl");
    // Also where a folder is still to be made.
    refused("text=out/../out/results.jsonl");
    assert!(!folder.path().join("r").exists() && !folder.path().join("out").exists());
    assert_eq!(read(&folder, "here.txt"), "old");
    harness(&folder)
        .args(["report", "merge", "x.json", "--report", "junit=r,md=r"])
        .assert()
        .code(64);
}

#[test]
fn a_run_that_can_not_begin_leaves_what_an_earlier_one_left() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("dir")).unwrap();
    let run = |reports: &str| {
        let mut command = harness(&folder);
        command.args(["run", "--filter", "data/smoke", "--keep", "all"]);
        command.args(["--report", reports]).assert()
    };
    run("md=out/r.md").code(0);
    let before = read(&folder, "out/report.json");
    for wrong in ["html=/nonexistent/x.html", "md=dir", "tap=out/none/r.tap"] {
        run(wrong).code(65).stdout("");
        assert_eq!(read(&folder, "out/report.json"), before, "{wrong}");
        assert!(folder.path().join("out/data-smoke.bundle").exists());
    }
    // A folder of a run that is still to be made takes a report too.
    fs::remove_dir_all(folder.path().join("out")).unwrap();
    run("md=out/r.md").code(0);
}

#[test]
fn a_folder_whose_path_is_no_utf_8_is_refused_before_anything_runs() {
    let folder = tempdir().unwrap();
    let name = OsStr::from_bytes(b"nu\xff");
    for command in ["run", "self-test"] {
        harness(&folder)
            .arg(command)
            .arg("--out")
            .arg(name)
            .assert()
            .code(65)
            .stdout("")
            .stderr(contains("UTF-8").and(contains("--out")));
        assert!(!folder.path().join(name).exists());
    }
    // A path is named from the folder in which the program is.
    let inside = folder.path().join(name);
    fs::create_dir(&inside).unwrap();
    harness(&folder)
        .current_dir(&inside)
        .args(["run", "--filter", "data/smoke"])
        .assert()
        .code(65)
        .stderr(contains("UTF-8"));
    assert!(!inside.join("out").exists());
}
