//! Tests of a run that several machines share, and of its parts put together.

use std::collections::BTreeSet;
use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{TempDir, tempdir};

use crate::program::{LOSES_TAIL, SHELL_DRIVER, harness, json};

/// Quick cases that fall into all three of three shards.
const QUICK: &str = "life/exit-code,data/smoke,data/no-final-newline,life/restarts-100";

/// Plays one of three shards and keeps its report as `K.json`.
fn play(folder: &TempDir, number: u32, more: &[&str]) -> serde_json::Value {
    let out = format!("out-{number}");
    let seeded = more.contains(&"--seed");
    let seed: &[&str] = if seeded { &[] } else { &["--seed", "7"] };
    let assert = harness(folder)
        .args(["run", "--filter", QUICK, "--shard", &format!("{number}/3")])
        .args(["--out", &out])
        .args(seed)
        .args(more)
        .assert();
    let output = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    assert!(!output.contains("\nconformant"), "{output}");
    let from = folder.path().join(out).join("report.json");
    fs::copy(&from, folder.path().join(format!("{number}.json"))).unwrap();
    json(&from)
}

fn merged(folder: &TempDir, files: &[&str]) -> assert_cmd::assert::Assert {
    harness(folder)
        .args(["report", "merge"])
        .args(files)
        .args(["--report", "json=whole.json,tap=whole.tap"])
        .assert()
}

fn ran(report: &serde_json::Value) -> BTreeSet<String> {
    let cases = report["cases"].as_array().unwrap().iter();
    let ran = cases.filter(|one| one["attempts"].as_u64().unwrap() > 0);
    ran.map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Makes the shards by hand into those of the whole suite, of which nothing else applies.
fn make_whole(folder: &TempDir) {
    for number in 1..=3 {
        let path = folder.path().join(format!("{number}.json"));
        let mut report = json(&path);
        report["shard"]["whole"] = true.into();
        for case in report["cases"].as_array_mut().unwrap() {
            if case["status"] == "skipped:filter" && case["skipped"]["why"] != "another shard" {
                case["status"] = "skipped:capability".into();
            }
        }
        fs::write(&path, report.to_string()).unwrap();
    }
}

#[test]
fn shards_play_each_case_once_and_are_one_report_together() {
    let folder = tempdir().unwrap();
    let mut all = BTreeSet::new();
    let mut count = 0;
    for number in 1..=3 {
        let report = play(&folder, number, &[]);
        assert_eq!(report["shard"]["number"], number);
        assert_eq!(report["shard"]["of"], 3);
        assert_eq!(
            (&report["shard"]["whole"], &report["filtered"]),
            (&false.into(), &true.into())
        );
        let ran = ran(&report);
        assert!(!ran.is_empty(), "shard {number} plays nothing");
        count += ran.len();
        all.extend(ran);
    }
    assert_eq!((all.len(), count), (4, 4));
    merged(&folder, &["3.json", "1.json", "2.json"])
        .code(0)
        .stdout(contains("4 pass").and(contains("ran 4 of")))
        .stdout(contains("a filtered run says nothing about conformance"));
    let whole = json(&folder.path().join("whole.json"));
    assert_eq!(ran(&whole), all);
    assert_eq!(
        (&whole["merged_shards"], &whole["complete"]),
        (&3.into(), &true.into())
    );
    assert_eq!(whole["counts"]["by_status"]["pass"], 4);
    assert_eq!(whole.get("shard"), None);
    let tap = fs::read_to_string(folder.path().join("whole.tap")).unwrap();
    assert!(!tap.contains("another shard"), "{tap}");

    // Only a run of the whole suite may say it.
    make_whole(&folder);
    merged(&folder, &["1.json", "2.json", "3.json"])
        .code(0)
        .stdout(predicate::str::ends_with("\nconformant (exit 0)\n"));
}

#[test]
fn a_failure_in_one_shard_is_told_and_decides() {
    let folder = tempdir().unwrap();
    for number in 1..=3 {
        play(
            &folder,
            number,
            &["--driver", LOSES_TAIL, "--capability", "forwards"],
        );
    }
    merged(&folder, &["1.json", "2.json", "3.json"])
        .code(1)
        .stdout(contains("FAIL  data/no-final-newline").and(contains("What happened")))
        .stdout(contains("2 fail").and(contains("not conformant (exit 1)")));
}

#[test]
fn what_is_not_the_whole_of_one_run_is_refused_with_65_and_says_why() {
    let folder = tempdir().unwrap();
    for number in 1..=2 {
        play(&folder, number, &[]);
    }
    play(&folder, 3, &["--seed", "8"]);
    let refused = |files: &[&str], why: &str| {
        merged(&folder, files)
            .code(65)
            .stdout("")
            .stderr(contains(why));
    };
    refused(&["1.json", "2.json"], "of 3 shards, these are missing: 3");
    refused(&["1.json", "2.json", "2.json"], "shard 2 is there twice");
    refused(&["1.json", "2.json", "3.json"], "the seeds were 7 and 8");
    refused(&["1.json", "none.json"], "can't read the shard none.json");
    let path = folder.path().join("2.json");
    fs::write(folder.path().join("bad.json"), "{\"version\": 1}").unwrap();
    refused(
        &["1.json", "bad.json"],
        "bad.json: it is no report.json of `harness run`",
    );
    let mut report = json(&path);
    report["complete"] = false.into();
    fs::write(&path, report.to_string()).unwrap();
    refused(&["1.json", "2.json"], "shard 2 is incomplete: 2.json");
    assert!(!folder.path().join("whole.json").exists());
    // What is read is not written.
    let before = fs::read_to_string(&path).unwrap();
    harness(&folder)
        .args(["report", "merge", "1.json", "2.json"])
        .args(["--report", "md=./2.json"])
        .assert()
        .code(64)
        .stderr(contains("2.json and ./2.json are one file"));
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn a_list_of_a_shard_has_its_cases_only_and_all_shards_have_all() {
    let folder = tempdir().unwrap();
    let ids = |more: &[&str]| -> Vec<String> {
        let output = harness(&folder)
            .args(["list", "--json"])
            .args(more)
            .output()
            .unwrap();
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let list = list.as_array().unwrap().iter();
        list.map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut all = ids(&[]);
    let parts = ["1/3", "2/3", "3/3"].map(|shard| ids(&["--shard", shard]));
    assert!(
        parts.iter().all(|part| part.len() > all.len() / 6),
        "{parts:?}"
    );
    let mut together = parts.concat();
    together.sort();
    all.sort();
    assert_eq!(together, all);
}

#[test]
fn a_shard_that_is_none_is_wrong_usage() {
    let folder = tempdir().unwrap();
    for shard in ["0/3", "4/3", "3", "x/y"] {
        harness(&folder)
            .args(["run", "--shard", shard])
            .assert()
            .code(64)
            .stderr(contains("write K/N with 1 <= K <= N"));
    }
}

/// An entry on a case that does not apply to a driver which hands the FIFO to the task.
const STANDS_FOR_NOTHING: &str = "# mine\n\n[[expect]]\ncase = \"mon/kill-full-pipe-bare\"\n\
                                  outcome = \"fail\"\nshape = \"lost-pipe-content\"\nreason = \"r\"\n";

#[test]
fn an_entry_that_stands_for_no_case_of_any_shard_makes_the_whole_end_with_2() {
    let folder = tempdir().unwrap();
    let expected = folder.path().join("expected.toml");
    fs::write(&expected, STANDS_FOR_NOTHING).unwrap();
    let more = ["--driver", SHELL_DRIVER, "--expected", "expected.toml"];
    for number in 1..=3 {
        let report = play(&folder, number, &more);
        assert_eq!(report["exit_code"], 0, "{report}");
    }
    make_whole(&folder);
    let all = ["1.json", "2.json", "3.json"];
    merged(&folder, &all)
        .code(2)
        .stdout(contains("stale         mon/kill-full-pipe-bare, line 3"))
        .stdout(contains("expectations are out of date (exit 2)"))
        .stdout(contains("expected.toml --from whole.json"));
    let renew = json(&folder.path().join("whole.json"))["expectations"]["renew"].clone();
    let words = shell_words::split(renew.as_str().unwrap()).unwrap();
    harness(&folder)
        .args(&words[1..])
        .assert()
        .code(0)
        .stdout(contains("- mon/kill-full-pipe-bare: does not apply"));
    assert_eq!(fs::read_to_string(&expected).unwrap().trim(), "# mine");
    // Where the merged report is written nowhere, the command for that comes first.
    harness(&folder)
        .args(["report", "merge"])
        .args(all)
        .assert()
        .code(2)
        .stdout(contains(
            "harness report merge 1.json 2.json 3.json --report",
        ))
        .stdout(contains("json=merged.json && harness xfail update"));

    // A shard that was held to another file.
    fs::write(
        &expected,
        STANDS_FOR_NOTHING.replace("lost-pipe-content", "torn"),
    )
    .unwrap();
    play(&folder, 2, &more);
    merged(&folder, &all)
        .code(65)
        .stdout("")
        .stderr(contains("1.json and 2.json").and(contains("expected failures")));
}

#[test]
fn a_case_that_was_played_before_and_in_no_shard_now_fails_the_whole() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", QUICK, "--report", "json=before.json"])
        .assert()
        .code(0);
    let all = ["1.json", "2.json", "3.json"];
    for number in 1..=3 {
        let report = play(&folder, number, &["--no-fewer", "before.json"]);
        assert_eq!(report["exit_code"], 0, "shard {number}: {report}");
    }
    merged(&folder, &all).code(0);
    let mut codes = Vec::new();
    for number in 1..=3 {
        let more = ["--no-fewer", "before.json", "--exclude", "data/smoke"];
        codes.push(play(&folder, number, &more)["exit_code"].clone());
    }
    // The shard that the case belongs to says so, even if it has no other one.
    assert_eq!(
        codes.iter().filter(|code| **code == 0).count(),
        2,
        "{codes:?}"
    );
    merged(&folder, &all)
        .code(1)
        .stdout(contains("fewer         data/smoke").and(contains("not conformant (exit 1)")));
}

#[test]
fn a_number_of_shards_that_no_run_can_have_is_refused() {
    let folder = tempdir().unwrap();
    let mut report = play(&folder, 1, &[]);
    for (number, of) in [(1_u32, u32::MAX), (1, 10_001), (0, 3), (4, 3)] {
        report["shard"]["number"] = number.into();
        report["shard"]["of"] = of.into();
        fs::write(folder.path().join("1.json"), report.to_string()).unwrap();
        merged(&folder, &["1.json"])
            .code(65)
            .stdout("")
            .stderr(contains("1.json").and(contains("1 <= K <= N <= 10000")));
    }
}
