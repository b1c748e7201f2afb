//! Tests of arguments, exit codes and messages.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::tempdir;

use crate::program::harness;

#[test]
fn a_flag_typo_exits_64_and_names_the_flag() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--fitler", "x"])
        .assert()
        .code(64)
        .stderr(contains("--fitler").and(contains("--filter")));
}

#[test]
fn help_exits_0_and_lists_the_exit_codes() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .arg("--help")
        .assert()
        .code(0)
        .stdout(contains("Exit codes"));
}

#[test]
fn an_unknown_capability_exits_64_and_names_the_known_ones() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--capability", "forward"])
        .assert()
        .code(64)
        .stderr(
            contains("forward")
                .and(contains("forwards, merged"))
                .and(contains("recover").not())
                .and(contains("many-tasks").not()),
        );
}

#[test]
fn what_only_the_answer_to_hello_can_declare_is_refused_with_that_reason() {
    let folder = tempdir().unwrap();
    let refused = |more: &[&str]| {
        let mut command = harness(&folder);
        command.args(["run", "--dry-run", "--capability", "recover"]);
        let refused = command.args(more).assert().code(64);
        let text = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("such a driver says so in its answer to `hello`"),
            "{text}"
        );
        assert!(!text.contains("give the driver by"), "{text}");
    };
    refused(&[]);
    refused(&["--driver-stdio", "no-such-driver"]);
}

#[test]
fn an_unknown_placeholder_exits_64_and_names_it() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver", "x {task} {stdot}"])
        .assert()
        .code(64)
        .stderr(contains("{stdot}").and(contains("{stdout}")));
}

#[test]
fn a_driver_template_without_the_task_exits_64_and_says_where_it_goes() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver", "./mine"])
        .assert()
        .code(64)
        .stderr(contains("{task}"));
}

#[test]
fn a_filter_that_matches_nothing_exits_4_and_leaves_a_report() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--filter", "no-such-case"])
        .assert()
        .code(4)
        .stdout(contains("ran 0 of"))
        .stderr(contains("no case is left"));
    let report = crate::program::json(&folder.path().join("out/report.json"));
    assert_eq!(report["exit_code"], 4);
    assert_eq!(report["complete"], true);
}

#[test]
fn an_unknown_key_in_a_scenario_exits_65_and_names_file_and_key() {
    let folder = tempdir().unwrap();
    fs::write(
        folder.path().join("mine.toml"),
        "id = \"data/mine\"\ntilte = \"x\"\nrules = [\"DATA-1\"]\n[[plan]]\ndo = \"start-logmon\"\n",
    )
    .unwrap();
    harness(&folder)
        .args(["run", "--scenario", "mine.toml"])
        .assert()
        .code(65)
        .stderr(contains("mine.toml").and(contains("tilte")));
}

#[test]
fn a_scenario_that_is_not_there_exits_65_and_names_it() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--scenario", "missing.toml"])
        .assert()
        .code(65)
        .stderr(contains("missing.toml").and(contains("No such file")));
}

#[test]
fn a_folder_without_scenarios_exits_65() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    harness(&folder)
        .args(["run", "--scenario", "empty"])
        .assert()
        .code(65)
        .stderr(contains("no *.toml file"));
}

#[test]
fn an_out_that_can_not_be_written_exits_65_and_names_the_flag() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    harness(&folder)
        .args(["run", "--out", "file/out", "--filter", "data/smoke"])
        .assert()
        .code(65)
        .stderr(contains("--out"));
}

#[test]
fn list_json_is_json_and_knows_why_a_case_is_skipped() {
    let folder = tempdir().unwrap();
    let output = harness(&folder)
        .args(["list", "--json", "--driver", crate::program::SHELL_DRIVER])
        .output()
        .unwrap();
    assert!(output.status.success());
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = list.as_array().unwrap();
    let smoke = list.iter().find(|one| one["id"] == "data/smoke").unwrap();
    assert_eq!(smoke["applicable"], true);
    let skipped: Vec<_> = list
        .iter()
        .filter(|one| one["applicable"] == false)
        .collect();
    assert!(
        skipped
            .iter()
            .any(|one| one["why_skipped"].as_str().unwrap().contains("logmon"))
    );
}

#[test]
fn a_rule_and_a_case_can_be_explained_and_anything_else_exits_64() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["explain", "FIFO-10"])
        .assert()
        .code(0)
        .stdout(contains("Why").and(contains("Checked by")));
    harness(&folder)
        .args(["explain", "data/smoke"])
        .assert()
        .code(0)
        .stdout(contains("Plan").and(contains("1. start logmon")));
    harness(&folder)
        .args(["explain", "FIFO-99"])
        .assert()
        .code(64)
        .stderr(contains("FIFO-99"));
}

#[test]
fn doctor_says_whether_the_machine_is_fit() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .arg("doctor")
        .assert()
        .code(0)
        .stdout(contains("this machine is fit"));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "doctor leaves nothing behind"
    );
}

#[test]
fn a_dry_run_plays_nothing_and_writes_nothing() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--dry-run", "--filter", "data/smoke"])
        .assert()
        .code(0)
        .stdout(contains("run   data/smoke").and(contains("1 would run, ")))
        .stdout(contains("skip").not().and(contains(" filtered out, ")));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_is_listed_and_found_fits_in_80_columns() {
    let folder = tempdir().unwrap();
    let shell = ["--driver", crate::program::SHELL_DRIVER];
    let commands: [&[&str]; 5] = [
        &["doctor"],
        &["list"],
        &["list", "--why-skipped", shell[0], shell[1]],
        &["run", "--dry-run"],
        &["run", "--dry-run", shell[0], shell[1]],
    ];
    for command in commands {
        harness(&folder)
            .args(command)
            .assert()
            .code(0)
            .stdout(predicate::function(|text: &str| {
                text.lines().all(|line| line.chars().count() <= 80)
            }));
    }
}
