//! Tests of expected failures: what excuses, what does not, and how the file is kept.

use std::fs;

use assert_cmd::assert::Assert;
use chrono::{Days, Utc};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::program::{KINDS, harness, json};

/// A driver that never delivers the end of the output: `data/no-final-newline` fails.
const LOSES_TAIL: &str = "{self} mock-driver run --fault loses-unterminated-tail \
                          --stdout {stdout} --stderr {stderr} --journal {driver_journal} -- {task}";

const CASE: &str = "data/no-final-newline";

/// What that driver does to it: all of one stream, which is one line, and the end of the other.
const DAMAGE: &str = "[\"lost-all\", \"lost-tail\"]";

fn entry(case: &str, outcome: &str, shape: &str) -> String {
    format!(
        "[[expect]]\ncase = \"{case}\"\noutcome = \"{outcome}\"\nshape = {shape}\nreason = \"known since 1.0\"\n"
    )
}

/// Plays two cases, of which one fails, with this file of expected failures.
fn run(folder: &TempDir, expected: &str, more: &[&str]) -> Assert {
    fs::write(folder.path().join("expected.toml"), expected).unwrap();
    harness(folder)
        .args(["run", "--driver", LOSES_TAIL, "--capability", "forwards"])
        .args(["--filter", &format!("{CASE},data/smoke")])
        .args(["--expected", "expected.toml"])
        .args(more)
        .assert()
}

fn case_of(folder: &TempDir, case: &str) -> Value {
    let report = json(&folder.path().join("out/report.json"));
    let cases = report["cases"].as_array().unwrap();
    cases.iter().find(|one| one["id"] == case).unwrap().clone()
}

#[test]
fn a_known_failure_is_excused_and_told_in_all_reports_with_its_reason() {
    let folder = tempdir().unwrap();
    let reports = KINDS.map(|kind| format!("{kind}=out/run.{kind}"));
    let more = ["--report", &reports.join(",")];
    let expected = format!(
        "{}issue = \"https://example.org/17\"\n",
        entry(CASE, "fail", DAMAGE)
    );
    run(&folder, &expected, &more)
        .code(0)
        .stdout(contains("FAIL").not().and(contains("1 pass, 1 xfail")))
        .stdout(contains("expected [lost-all, lost-tail]: known since 1.0"))
        .stdout(contains("https://example.org/17"))
        .stdout(contains(
            "everything that ran passed but for 1 expected failure (exit 0)",
        ));
    let case = case_of(&folder, CASE);
    assert_eq!(case["status"], "xfail");
    assert_eq!(case["expected"]["reason"], "known since 1.0");
    assert_eq!(
        case["failed_as"],
        serde_json::json!([["lost-all", "lost-tail"]])
    );
    for kind in KINDS {
        let text = fs::read_to_string(folder.path().join(format!("out/run.{kind}"))).unwrap();
        for told in ["known since 1.0", "https://example.org/17"] {
            assert!(text.contains(told), "no `{told}` in {kind}:\n{text}");
        }
    }
    let xml = fs::read_to_string(folder.path().join("out/run.junit")).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let skipped = document
        .descendants()
        .find(|node| node.has_tag_name("skipped") && node.attribute("type") == Some("xfail"))
        .unwrap_or_else(|| panic!("no xfail in\n{xml}"));
    assert!(
        skipped
            .attribute("message")
            .unwrap()
            .contains("known since 1.0")
    );
    assert_eq!(skipped.parent().unwrap().attribute("name"), Some(CASE));
}

#[test]
fn a_known_failure_is_no_reason_to_end_a_run_early() {
    let folder = tempdir().unwrap();
    // One at a time: if the first attempt ended the run, there would be no second one.
    let more = ["--fail-fast", "-j", "1", "--stress", "2"];
    run(&folder, &entry(CASE, "fail", DAMAGE), &more).code(0);
    assert_eq!(case_of(&folder, CASE)["attempts"], 2);
    assert_eq!(case_of(&folder, "data/smoke")["attempts"], 2);
}

#[test]
fn another_shape_than_the_one_listed_is_a_failure_and_both_are_told() {
    let folder = tempdir().unwrap();
    run(&folder, &entry(CASE, "fail", "\"lost-head\""), &[])
        .code(1)
        .stdout(contains("FAIL  data/no-final-newline"))
        .stdout(contains(
            "expected with [lost-head], failed with [lost-all, lost-tail]",
        ));
    assert_eq!(case_of(&folder, CASE)["status"], "fail");
    // Flaky excuses no other shape either.
    run(&folder, &entry(CASE, "flaky", "\"lost-head\""), &[]).code(1);
}

#[test]
fn a_flaky_entry_excuses_the_failure_and_the_pass() {
    let folder = tempdir().unwrap();
    let both = entry(CASE, "flaky", DAMAGE) + &entry("data/smoke", "flaky", "\"torn\"");
    run(&folder, &both, &[]).code(0);
    assert_eq!(case_of(&folder, CASE)["status"], "xfail");
    assert_eq!(case_of(&folder, "data/smoke")["status"], "pass");
}

#[test]
fn a_pass_that_was_to_fail_makes_the_expectations_out_of_date() {
    let folder = tempdir().unwrap();
    let both = entry(CASE, "fail", DAMAGE) + &entry("data/smoke", "fail", "\"torn\"");
    run(&folder, &both, &["--report", "junit=out/junit.xml"])
        .code(2)
        .stdout(contains("XPASS  data/smoke").and(contains("known since 1.0")))
        .stdout(contains(
            "it passes; remove the entry: harness xfail update",
        ))
        .stdout(contains(
            "a run that leaves nothing out, and then\n              \
             harness xfail update expected.toml --from out/report.json",
        ))
        .stdout(contains("expectations are out of date (exit 2)"));
    let xml = fs::read_to_string(folder.path().join("out/junit.xml")).unwrap();
    assert!(xml.contains("type=\"xpass\""), "{xml}");
}

#[test]
fn what_can_not_stand_is_refused_before_anything_runs() {
    let folder = tempdir().unwrap();
    let good = entry(CASE, "fail", DAMAGE);
    let cases: [(String, &[&str]); 8] = [
        (
            entry("data/no-such", "fail", "\"torn\""),
            &["expected.toml:1", "data/no-such", "harness list"],
        ),
        (
            entry("*", "fail", "\"torn\""),
            &["expected.toml:1", "at most 20"],
        ),
        (
            good.replace("reason", "resaon"),
            &["expected.toml:5", "resaon", "`reason`"],
        ),
        (
            good.replace("reason = \"known since 1.0\"\n", ""),
            &["no `reason`"],
        ),
        (good.replace("lost-tail", "lost"), &["unknown shape `lost`"]),
        (
            format!("{good}{good}"),
            &["expected.toml:6", "entry 2", "covered by entry 1"],
        ),
        (
            format!("{good}until = 2001-02-03\n"),
            &["expected.toml:1", CASE, "2001-02-03"],
        ),
        ("[[expect]\n".to_owned(), &["expected.toml:1"]),
    ];
    for (text, words) in cases {
        let refused = run(&folder, &text, &[]).code(65).stdout("");
        let told = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
        assert!(
            told.lines().all(|line| line.chars().count() <= 80),
            "{told}"
        );
        let told = told.replace("\n  ", " ");
        for word in words {
            assert!(told.contains(word), "no `{word}` in {told}");
        }
        assert!(!folder.path().join("out").exists());
    }
    harness(&folder)
        .args(["run", "--expected", "missing.toml"])
        .assert()
        .code(65)
        .stderr(contains("missing.toml").and(contains("No such file")));
}

#[test]
fn an_entry_that_counts_until_today_still_counts() {
    let folder = tempdir().unwrap();
    // Tomorrow, as the day may end while this runs.
    let until = Utc::now().date_naive() + Days::new(1);
    let text = format!("{}until = {until}\n", entry(CASE, "fail", DAMAGE));
    run(&folder, &text, &["--dry-run"]).code(0);
    harness(&folder)
        .args(["xfail", "check", "expected.toml"])
        .assert()
        .code(0)
        .stdout(
            contains(CASE)
                .and(contains("ends soon"))
                .and(contains("1 entry for 1 case")),
        );
}

#[test]
fn a_file_is_checked_and_what_it_holds_is_told() {
    let folder = tempdir().unwrap();
    let far = Utc::now().date_naive() + Days::new(32);
    let text = format!(
        "{}until = {far}\n",
        entry("mon/kill-full-*", "flaky", "\"late\"")
    );
    fs::write(folder.path().join("expected.toml"), text).unwrap();
    harness(&folder)
        .args(["xfail", "check", "expected.toml"])
        .assert()
        .code(0)
        .stdout(contains("flaky         mon/kill-full-*").and(contains("ends soon").not()))
        .stdout(contains("covers mon/kill-full-").and(contains("[late] until")));
    fs::write(folder.path().join("expected.toml"), "[[expect]]\n").unwrap();
    harness(&folder)
        .args(["xfail", "check", "expected.toml"])
        .assert()
        .code(65)
        .stderr(contains("expected.toml:1").and(contains("no `reason`")));
}

/// A report of a whole run in which one case failed, made from that of a small one.
fn whole_report(folder: &TempDir) {
    let mut report = json(&folder.path().join("out/report.json"));
    report["filtered"] = false.into();
    let cases = report["cases"].as_array_mut().unwrap();
    cases.retain(|one| one["status"] != "skipped:filter");
    fs::write(folder.path().join("whole.json"), report.to_string()).unwrap();
}

#[test]
fn the_file_is_renewed_from_a_report_and_then_holds() {
    let folder = tempdir().unwrap();
    let old = format!(
        "# mine\n\n# passes\n{}",
        entry("data/smoke", "fail", "\"torn\"")
    );
    run(&folder, &old, &[]).code(1);
    whole_report(&folder);
    let file = folder.path().join("expected.toml");
    let update = |more: &[&str]| {
        harness(&folder)
            .args(["xfail", "update", "expected.toml", "--from", "whole.json"])
            .args(more)
            .assert()
    };
    update(&[])
        .code(64)
        .stderr(contains(CASE).and(contains("--reason")));
    update(&["--reason", "new", "--dry-run"])
        .code(0)
        .stdout(contains("- data/smoke: passes"))
        .stdout(contains(format!("+ {CASE} [lost-all, lost-tail]")).and(contains("not written")));
    assert_eq!(fs::read_to_string(&file).unwrap(), old);
    update(&["--reason", "new"])
        .code(0)
        .stdout(contains("2 changes, written"));
    let new = fs::read_to_string(&file).unwrap();
    let wanted = entry(CASE, "fail", DAMAGE).replace("known since 1.0", "new");
    assert_eq!(new, format!("# mine\n\n{wanted}"));
    update(&[])
        .code(0)
        .stdout(contains("expected.toml agrees with whole.json"));
    run(&folder, &new, &[]).code(0);
}

#[test]
fn a_report_that_does_not_tell_all_renews_nothing() {
    let folder = tempdir().unwrap();
    run(&folder, "", &[]).code(1);
    let update = |from: &str| {
        harness(&folder)
            .args([
                "xfail",
                "update",
                "expected.toml",
                "--reason",
                "r",
                "--from",
                from,
            ])
            .assert()
            .code(65)
    };
    update("out/report.json").stderr(contains("cases were left out"));
    update("expected.toml").stderr(contains("can't use the report expected.toml"));
    update("missing.json").stderr(contains("missing.json").and(contains("No such file")));
    assert_eq!(
        fs::read_to_string(folder.path().join("expected.toml")).unwrap(),
        ""
    );
}

#[test]
fn a_case_that_ran_before_and_not_now_fails_the_run_by_name() {
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
    // The report of the run before may be the one that is about to be replaced.
    play(
        "data/smoke,life/exit-code",
        &["--no-fewer", "out/report.json"],
    )
    .code(0);
    play("data/smoke", &["--no-fewer", "before.json"])
        .code(1)
        .stdout(contains("fewer         life/exit-code").and(contains("no --filter matches it")));
    let report = json(&folder.path().join("out/report.json"));
    assert_eq!(report["fewer"][0]["case"], "life/exit-code");
    assert_eq!(report["exit_code"], 1);
}

#[test]
fn a_report_that_is_none_or_of_a_run_cut_short_is_no_measure() {
    let folder = tempdir().unwrap();
    let refused = |words: &str| {
        harness(&folder)
            .args(["run", "--filter", "data/smoke", "--no-fewer", "before.json"])
            .assert()
            .code(65)
            .stdout("")
            .stderr(contains("before.json").and(contains(words)));
    };
    refused("No such file");
    fs::write(folder.path().join("before.json"), "{}").unwrap();
    refused("missing field");
    harness(&folder)
        .args([
            "run",
            "--filter",
            "data/smoke",
            "--budget",
            "1ms",
            "--report",
            "json=before.json",
        ])
        .assert()
        .code(6);
    refused("did not come to its end");
    // A run that gave no verdict holds nobody to anything.
    harness(&folder)
        .args(["run", "--filter", "data/smoke", "--driver", "false {task}"])
        .args(["--report", "json=before.json"])
        .assert()
        .code(69);
    refused("the run gave no verdict");
    harness(&folder)
        .args(["run", "--filter", "no/such", "--report", "json=before.json"])
        .assert()
        .code(4);
    refused("no case was played");
    harness(&folder)
        .args(["run", "--filter", "data/smoke,life/exit-code"])
        .args(["--report", "json=before.json"])
        .assert()
        .code(0);
    let mut report = json(&folder.path().join("before.json"));
    for case in report["cases"].as_array_mut().unwrap() {
        if case["id"] == "life/exit-code" {
            case["status"] = "skipped:filter".into();
            case["skipped"] = serde_json::json!({"why": "--fail-fast ended the run"});
        }
    }
    fs::write(folder.path().join("before.json"), report.to_string()).unwrap();
    refused("--fail-fast");
}

#[test]
fn a_failure_counts_more_than_a_budget_that_is_used_up() {
    let folder = tempdir().unwrap();
    // The time is up before everything is played, and not before the first attempt has begun.
    harness(&folder)
        .args(["run", "--driver", LOSES_TAIL, "--capability", "forwards"])
        .args(["--filter", CASE, "--stress", "100000", "--budget", "10s"])
        .assert()
        .code(1)
        .stdout(contains("not conformant (exit 1)"))
        .stderr(contains("--budget: the time was used up"));
    let report = json(&folder.path().join("out/report.json"));
    assert_eq!(report["complete"], false);
    assert_eq!(case_of(&folder, CASE)["status"], "fail");
}

#[test]
fn no_case_is_begun_when_the_time_is_used_up_and_those_are_named() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args([
            "run",
            "--filter",
            "data/smoke,life/exit-code",
            "--budget",
            "1ms",
        ])
        .assert()
        .code(6)
        .stdout(contains("not begun     life/exit-code, data/smoke"))
        .stdout(contains("the time budget was used up (exit 6)").and(contains("; 2 not begun")));
    let report = json(&folder.path().join("out/report.json"));
    assert_eq!(report["complete"], false);
    assert_eq!(
        report["not_begun"],
        serde_json::json!(["life/exit-code", "data/smoke"])
    );
    harness(&folder)
        .args(["run", "--filter", "data/smoke", "--budget", "1h"])
        .assert()
        .code(0);
    harness(&folder)
        .args(["run", "--budget", "10"])
        .assert()
        .code(64)
        .stderr(contains("90s, 10m or 2h"));
}

#[test]
fn a_case_that_has_begun_is_played_to_its_end() {
    let folder = tempdir().unwrap();
    // The time is up before the second case can begin, and not before the first one has.
    harness(&folder)
        .args(["run", "--filter", "life/restarts-100,data/smoke", "-j", "1"])
        .args(["--stress", "100000", "--budget", "10s"])
        .assert()
        .code(6);
    let report = json(&folder.path().join("out/report.json"));
    let played: Vec<_> = report["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["attempts"].as_u64() > Some(0))
        .collect();
    assert!(!played.is_empty(), "{report}");
    for case in played {
        assert_eq!(case["status"], "pass", "{case}");
    }
}
