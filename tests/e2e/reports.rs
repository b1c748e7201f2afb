//! Tests of the reports, each read back by a parser that is not ours.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::tempdir;

use crate::program::{LOSES_TAIL, fifos_below, harness, json, processes_of};

#[test]
fn the_json_report_says_what_ran_and_what_did_not() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args([
            "run",
            "--filter",
            "data/smoke",
            "--seed",
            "7",
            "--keep",
            "all",
        ])
        .assert()
        .code(0)
        .stdout(contains("data/smoke").and(contains("seed 7")));
    let report = json(&folder.path().join("out/report.json"));
    assert_eq!(report["version"], 1);
    assert_eq!(report["complete"], true);
    assert_eq!(report["exit_code"], 0);
    assert_eq!(report["seed"], 7);
    assert_eq!(report["counts"]["by_status"]["pass"], 1);
    assert!(
        report["counts"]["by_status"]["skipped:filter"]
            .as_u64()
            .unwrap()
            > 10
    );
    assert!(
        folder
            .path()
            .join("out/data-smoke.bundle/trace.jsonl")
            .exists()
    );
    let lines = fs::read_to_string(folder.path().join("out/results.jsonl")).unwrap();
    for line in lines.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert!(!folder.path().join("out/running").exists());
    assert_eq!(fifos_below(folder.path()), Vec::<String>::new());
}

#[test]
fn a_failure_is_told_in_text_json_and_junit_with_its_bundle() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("reports")).unwrap();
    harness(&folder)
        .args(["run", "--driver", LOSES_TAIL, "--capability", "forwards"])
        .args(["--filter", "data/no-final-newline,data/smoke"])
        .args(["--report", "junit=reports/junit.xml,text=reports/run.txt"])
        .assert()
        .code(1)
        .stdout(contains("FAIL  data/no-final-newline"))
        .stdout(contains("What happened").and(contains("Likely cause")))
        .stdout(contains("3/3 runs").and(contains("harness explain DATA-1")));

    let report = json(&folder.path().join("out/report.json"));
    let cases = report["cases"].as_array().unwrap();
    let failed = cases.iter().find(|one| one["status"] == "fail").unwrap();
    assert_eq!(failed["id"], "data/no-final-newline");
    let shape = failed["verdict"]["findings"][0]["shape"].as_str().unwrap();
    assert!(shape.starts_with("lost-"), "{shape}");
    let bundle = std::path::PathBuf::from(failed["bundle"].as_str().unwrap());
    assert!(bundle.join("trace.jsonl").exists() && bundle.join("verdict.json").exists());
    assert_eq!(fifos_below(&bundle), Vec::<String>::new());

    let text = fs::read_to_string(folder.path().join("reports/run.txt")).unwrap();
    assert!(
        text.contains("FAIL  data/no-final-newline") && !text.contains('\u{1b}'),
        "{text}"
    );

    let xml = fs::read_to_string(folder.path().join("reports/junit.xml")).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let case = |name: &str| {
        document
            .descendants()
            .find(|node| node.has_tag_name("testcase") && node.attribute("name") == Some(name))
            .unwrap_or_else(|| panic!("no test case {name} in\n{xml}"))
    };
    let failure = case("data/no-final-newline");
    let failure = failure
        .children()
        .find(|node| node.has_tag_name("failure"))
        .unwrap();
    assert_eq!(failure.attribute("type"), Some(shape));
    assert!(failure.text().unwrap().contains("What happened"));
    assert!(
        !case("data/smoke")
            .children()
            .any(|node| node.has_tag_name("failure"))
    );
    let skipped = case("fifo/tiny-pipe");
    assert!(skipped.children().any(|node| node.has_tag_name("skipped")));
}

#[test]
fn stress_plays_a_case_again_and_again() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", "life/exit-code", "--stress", "5"])
        .assert()
        .code(0)
        .stdout(contains("ran 1 of"));
    let report = json(&folder.path().join("out/report.json"));
    let case = report["cases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["status"] == "pass")
        .unwrap();
    assert_eq!(case["attempts"], 5);
    assert_eq!(case["passed"], 5);
}

#[test]
fn the_kills_of_all_attempts_are_added_up_and_the_keeper_is_named() {
    let folder = tempdir().unwrap();
    let case = "mon/kill-random-in-turn-blocks";
    harness(&folder)
        .args(["run", "--filter", case, "--stress", "2"])
        .assert()
        .code(0)
        .stdout(contains("40 kills, ").and(contains("nothing lost or repeated")))
        .stdout(contains("1 of them with a keeper beside logmon"));
    let report = json(&folder.path().join("out/report.json"));
    let kept = report["subject"]["kept_logmon"].as_array().unwrap();
    assert_eq!(kept.last().unwrap(), "{keep_dir}/keeper.sock");
    let cases = report["cases"].as_array().unwrap();
    let played = cases.iter().find(|one| one["id"] == case).unwrap();
    assert_eq!(played["tally"]["kills"], 40);
    assert!(played["tally"]["bytes"].as_u64().unwrap() > 10_000_000);
    assert_eq!(played["played_kept"], true);
    assert_eq!(processes_of(folder.path()), Vec::<String>::new());
}

#[test]
fn a_later_run_removes_only_what_an_earlier_one_left() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let run = || {
        harness(&folder)
            .args(["run", "--filter", "data/smoke", "--keep", "all"])
            .assert()
            .code(0);
    };
    run();
    fs::write(out.join("mine.txt"), "keep").unwrap();
    fs::write(out.join("data-smoke.bundle/of-the-first-run"), "").unwrap();
    run();
    assert_eq!(fs::read_to_string(out.join("mine.txt")).unwrap(), "keep");
    assert!(out.join("data-smoke.bundle").exists());
    assert!(!out.join("data-smoke.bundle/of-the-first-run").exists());
}

#[test]
fn output_on_a_pipe_has_a_line_per_case_and_no_escape_sequence() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", "data/smoke,life/exit-code"])
        .assert()
        .code(0)
        .stdout(predicate::function(|text: &str| {
            text.lines()
                .filter(|line| line.starts_with("pass "))
                .count()
                == 2
                && !text.contains('\u{1b}')
        }));
}

#[test]
fn a_report_that_can_not_be_written_is_refused_before_the_run() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args([
            "run",
            "--filter",
            "data/smoke",
            "--report",
            "junit=no/such/r.xml",
        ])
        .assert()
        .code(65)
        .stdout(contains("data/smoke").not())
        .stderr(contains("no/such/r.xml").and(contains("there is no folder no/such")));
    assert!(!folder.path().join("no").exists(), "no folder is made");
    fs::create_dir(folder.path().join("taken")).unwrap();
    harness(&folder)
        .args(["run", "--filter", "data/smoke", "--report", "text=taken"])
        .assert()
        .code(65)
        .stdout(contains("data/smoke").not())
        .stderr(contains("can't write the report taken"));
}

#[test]
fn further_reports_can_stand_in_the_runs_own_folder() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    for _ in 0..2 {
        harness(&folder)
            .args(["run", "--filter", "data/smoke"])
            .args(["--report", "junit=out/junit.xml,json=out/report.json"])
            .assert()
            .code(0);
        let xml = fs::read_to_string(out.join("junit.xml")).unwrap();
        roxmltree::Document::parse(&xml).unwrap();
        assert_eq!(json(&out.join("report.json"))["complete"], true);
    }
}

#[test]
fn the_end_of_a_run_fits_in_80_columns() {
    let folder = tempdir().unwrap();
    let driver = "sh -c 'exec {task} >{stdout} 2>{stderr}' a-name-that-is-long and some more words";
    harness(&folder)
        .args(["run", "--filter", "data/smoke", "--driver", driver])
        .assert()
        .code(0)
        .stdout(contains("subject: ").and(contains("a filtered run says nothing")))
        .stdout(predicate::function(|text: &str| {
            text.lines().all(|line| line.chars().count() <= 80)
        }));
}

#[test]
fn a_failure_is_told_in_tap_markdown_and_html_as_the_report_has_it() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver", LOSES_TAIL, "--capability", "forwards"])
        .args(["--filter", "data/no-final-newline,data/smoke"])
        .args([
            "--report",
            "tap=run.tap,md=run.md",
            "--report",
            "html=run.html",
        ])
        .assert()
        .code(1);
    let report = json(&folder.path().join("out/report.json"));
    let cases = report["cases"].as_array().unwrap();
    let failed = cases.iter().find(|one| one["status"] == "fail").unwrap();
    let cause = failed["cause"]["text"].as_str().unwrap();
    let headline = failed["verdict"]["findings"][0]["headline"]
        .as_str()
        .unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();

    let tap = read("run.tap");
    let points = |start: &str| tap.lines().filter(|line| line.starts_with(start)).count();
    assert!(tap.starts_with(&format!("TAP version 14\n1..{}\n", cases.len())));
    assert_eq!(points("ok ") + points("not ok "), cases.len());
    assert_eq!(points("not ok "), 1);
    let skipped = tap.lines().filter(|line| line.contains(" # SKIP "));
    assert_eq!(skipped.count(), cases.len() - 2);
    let yaml = |name: &str| -> String {
        let line = tap
            .lines()
            .find_map(|line| line.strip_prefix(&format!("  {name}: ")));
        serde_json::from_str(line.unwrap()).unwrap()
    };
    assert_eq!(
        (yaml("message"), yaml("likely_cause")),
        (headline.into(), cause.into())
    );

    let markdown = read("run.md");
    assert!(
        markdown.contains("| data/no-final-newline | fail | MUST | DATA-1 |"),
        "{markdown}"
    );
    assert!(markdown.contains("harness run --filter data/no-final-newline --driver"));

    let page = read("run.html");
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..roxmltree::ParsingOptions::default()
    };
    let page = roxmltree::Document::parse_with_options(&page, options).unwrap();
    let all = |status: &str| {
        let fits = |node: &roxmltree::Node<'_, '_>| node.attribute("data-status") == Some(status);
        page.descendants().filter(fits).count()
    };
    assert_eq!((all("fail"), all("pass")), (1, 1));
    assert_eq!(
        all("fail") + all("pass") + all("skipped:filter") + all("skipped:capability"),
        cases.len()
    );
}

#[test]
fn the_command_that_a_report_gives_plays_the_case_again() {
    let folder = tempdir().unwrap();
    let failed = |folder: &std::path::Path| {
        let xml = fs::read_to_string(folder.join("junit.xml")).unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap();
        let failed = document
            .descendants()
            .find(|one| one.has_tag_name("failure"));
        let case = failed.unwrap().parent().unwrap();
        let property = case
            .descendants()
            .find(|one| one.attribute("name") == Some("re-run"))
            .unwrap();
        let kind = failed.unwrap().attribute("type").unwrap().to_owned();
        (kind, property.attribute("value").unwrap().to_owned())
    };
    harness(&folder)
        .args(["run", "--driver", LOSES_TAIL, "--capability", "forwards"])
        .args([
            "--filter",
            "data/no-final-newline",
            "--report",
            "junit=junit.xml",
        ])
        .assert()
        .code(1);
    let (kind, command) = failed(folder.path());
    let words = shell_words::split(&command).unwrap();
    assert_eq!(words[0], "harness");
    harness(&folder)
        .args(&words[1..])
        .args(["--report", "junit=junit.xml"])
        .assert()
        .code(1);
    assert_eq!(failed(folder.path()), (kind, command));
}
