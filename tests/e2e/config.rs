//! Tests of the configuration file and of `init`, which writes the first one.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{TempDir, tempdir};

use crate::program::{SHELL_DRIVER, harness, json};

fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).unwrap();
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

fn shell_driver() -> String {
    format!("[driver]\ncommand = \"{SHELL_DRIVER}\"\n")
}

#[test]
fn a_file_in_the_current_folder_says_what_runs() {
    let folder = tempdir().unwrap();
    let run = "[run]\nfilter = [\"data/smoke\"]\nout = \"there\"\njobs = 1\nreport = { junit = \"there/j.xml\" }\n";
    write(&folder, "harness.toml", &(shell_driver() + run));
    harness(&folder)
        .arg("run")
        .assert()
        .code(0)
        .stdout(contains("subject: driver `sh -c").and(contains("ran 1 of")))
        .stdout(contains("configured by harness.toml"));
    let report = json(&folder.path().join("there/report.json"));
    assert_eq!(report["config"], "harness.toml");
    assert!(read(&folder, "there/j.xml").contains("data/smoke"));
    assert!(!folder.path().join("out").exists());
    harness(&folder)
        .arg("list")
        .assert()
        .code(0)
        .stdout(contains("driver `sh -c"));
}

#[test]
fn flags_win_over_the_file_and_another_file_over_the_one_that_is_there() {
    let folder = tempdir().unwrap();
    let run = "[run]\nfilter = [\"no-such\"]\nout = \"there\"\n";
    write(&folder, "harness.toml", &(shell_driver() + run));
    harness(&folder)
        .args(["run", "--filter", "data/smoke", "--out", "here"])
        .args(["--driver", "/nonexistent/driver {task}"])
        .assert()
        .code(69)
        .stderr(contains("/nonexistent/driver"));
    assert!(folder.path().join("here/report.json").exists());
    assert!(!folder.path().join("there").exists());
    harness(&folder)
        .args(["run", "--config", "/dev/null", "--filter", "data/smoke"])
        .assert()
        .code(0)
        .stdout(contains("subject: the bundled mock driver"));
}

#[test]
fn paths_in_a_file_are_relative_to_its_folder() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("ci")).unwrap();
    let run = "[run]\nfilter = [\"data/smoke\"]\nexpected = \"expected.toml\"\nout = \"out\"\n";
    write(&folder, "ci/harness.toml", run);
    let dry_run = ["run", "--config", "ci/harness.toml", "--dry-run"];
    harness(&folder)
        .args(dry_run)
        .assert()
        .code(65)
        .stderr(contains("ci/expected.toml"));
    write(&folder, "ci/expected.toml", "");
    harness(&folder).args(&dry_run[..3]).assert().code(0);
    assert!(folder.path().join("ci/out/report.json").exists());
}

#[test]
fn what_can_not_stand_in_a_file_is_refused_with_its_place() {
    let folder = tempdir().unwrap();
    let cases: [(&str, &[&str]); 9] = [
        ("[drivr]\n", &["harness.toml:1", "drivr", "`driver`"]),
        (
            "[run]\nprofile = []\n",
            &["harness.toml:2", "`profile`", "`profiles`"],
        ),
        (
            "[run]\nlevel = \"may\"\n",
            &["harness.toml:2", "`may`", "`should`"],
        ),
        ("[run]\njobs = 0\n", &["harness.toml:2", "1 to 1024"]),
        (
            "[run]\nreport = { xml = \"x\" }\n",
            &["report of [run]", "`xml`", "junit"],
        ),
        ("[run]\nexclude = [\"[\"]\n", &["exclude of [run]", "glob"]),
        (
            "[driver]\ncommand = \"./mine\"\n",
            &["{task}", "`command` of [driver]"],
        ),
        (
            "[logmon]\ncommand = \"m\"\nserve = \"s\"\n",
            &["--logmon-start", "`start`"],
        ),
        (
            "[driver]\ncapabilities = [\"keeps-descriptors\"]\n",
            &["belongs to [logmon]"],
        ),
    ];
    for (text, words) in cases {
        write(&folder, "harness.toml", text);
        let refused = harness(&folder).arg("run").assert().code(65).stdout("");
        let told = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("harness.toml"), "{told}");
        for word in words {
            assert!(told.contains(word), "no `{word}` in {told}");
        }
        assert!(!folder.path().join("out").exists());
    }
    harness(&folder)
        .args(["run", "--config", "missing.toml"])
        .assert()
        .code(65)
        .stderr(contains("missing.toml").and(contains("No such file")));
}

#[test]
fn what_init_writes_is_accepted_and_runs() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["init", "--driver", SHELL_DRIVER, "--ci", "github"])
        .assert()
        .code(0)
        .stdout(contains("wrote harness.toml").and(contains("wrote expected.toml")))
        .stdout(contains("Next:").and(contains("harness run --filter data/smoke")))
        .stdout(predicate::function(|text: &str| {
            text.lines().all(|line| line.chars().count() <= 80)
        }));
    harness(&folder)
        .args(["run", "--filter", "data/smoke"])
        .assert()
        .code(0)
        .stdout(contains("subject: driver `sh -c"));
    harness(&folder)
        .args(["xfail", "check", "expected.toml"])
        .assert()
        .code(0)
        .stdout(contains("0 entries"));
    let workflow = read(&folder, ".github/workflows/harness.yml");
    let command = workflow
        .lines()
        .find_map(|line| line.trim().strip_prefix("- run: harness "))
        .unwrap();
    harness(&folder)
        .args(command.split(' '))
        .args(["--filter", "data/smoke"])
        .assert()
        .code(0);
    assert!(folder.path().join("out/junit.xml").exists());
}

#[test]
fn init_without_a_terminal_asks_nothing_and_writes_for_the_bundled_pair() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .arg("init")
        .write_stdin("github\n")
        .assert()
        .code(0)
        .stdout(contains("Enter:").not());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    harness(&folder)
        .args(["run", "--filter", "data/smoke"])
        .assert()
        .code(0)
        .stdout(contains("subject: the bundled mock driver"));
    let gitlab = tempdir().unwrap();
    harness(&gitlab)
        .args(["init", "--ci", "gitlab"])
        .assert()
        .code(64)
        .stderr(contains("--driver or --logmon"));
    assert_eq!(fs::read_dir(gitlab.path()).unwrap().count(), 0);
    harness(&gitlab)
        .args(["init", "--ci", "gitlab", "--driver", SHELL_DRIVER])
        .assert()
        .code(0)
        .stdout(contains(".gitlab-ci.yml"));
    assert!(read(&gitlab, "harness.gitlab-ci.yml").contains("- harness run --report junit="));
}

#[test]
fn init_overwrites_nothing_unless_it_is_told_to() {
    for there in [
        "harness.toml",
        "expected.toml",
        ".github/workflows/harness.yml",
    ] {
        let folder = tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".github/workflows")).unwrap();
        write(&folder, there, "mine");
        let init = |more: &[&str]| {
            harness(&folder)
                .args(["init", "--ci", "github", "--driver", SHELL_DRIVER])
                .args(more)
                .assert()
        };
        init(&[])
            .code(65)
            .stderr(contains(there).and(contains("--force")));
        assert_eq!(read(&folder, there), "mine");
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert!(files <= 2, "nothing was written beside it");
        init(&["--force"]).code(0);
        assert_ne!(read(&folder, there), "mine");
    }
}

#[test]
fn init_that_can_not_write_one_file_writes_none() {
    let folder = tempdir().unwrap();
    write(&folder, ".github", "no folder");
    let init = || {
        harness(&folder)
            .args(["init", "--ci", "github", "--driver", SHELL_DRIVER])
            .assert()
    };
    init().code(65).stderr(contains(".github/workflows"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    fs::remove_file(folder.path().join(".github")).unwrap();
    init().code(0);
}

#[test]
fn a_template_that_a_run_would_refuse_is_not_written() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["init", "--driver", "./mine"])
        .assert()
        .code(64)
        .stderr(contains("{task}"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
