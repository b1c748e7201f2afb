//! Tests of what is said about the good subjects that pass where another one fails.

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::tempdir;

use crate::program::{LOSES_TAIL, harness, json};

#[test]
fn a_failure_names_who_passes_and_its_command_does_pass() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["run", "--driver", LOSES_TAIL, "--capability", "forwards"])
        .args(["--filter", "data/no-final-newline"])
        .args(["--report", "md=out/report.md,html=out/report.html"])
        .assert()
        .code(1)
        .stdout(contains(
            "  Passes here    the drivers mock-run, mock-play, executor, shell, bash and\n                 python\n",
        ));
    let report = json(&folder.path().join("out/report.json"));
    let passes = &report["cases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|case| case["status"] == "fail")
        .unwrap()["passes_here"];
    assert_eq!(passes["part"], "driver");
    let command = passes["command"].as_str().unwrap();
    for file in ["report.md", "report.html"] {
        let text = std::fs::read_to_string(folder.path().join("out").join(file)).unwrap();
        assert!(
            text.contains("Passes here") && text.contains(command),
            "{text}"
        );
    }
    let words: Vec<&str> = command.split(' ').collect();
    harness(&folder).args(&words[1..]).assert().code(0);
    assert!(folder.path().join("out/report.json").exists());
    harness(&folder)
        .args(["recheck", "out/data-no-final-newline.bundle"])
        .assert()
        .code(1)
        .stdout(contains("Passes here").and(contains(command)));
    harness(&folder)
        .args(["show", "out/data-no-final-newline.bundle", "--html"])
        .assert()
        .code(0);
    let page = folder
        .path()
        .join("out/data-no-final-newline.bundle/timeline.html");
    let page = std::fs::read_to_string(page).unwrap();
    let row = format!(
        "<dt>Passes here</dt><dd>the drivers mock-run, mock-play, executor, shell, bash and python; {command}</dd>"
    );
    assert!(page.contains(&row), "{page}");
}

#[test]
fn a_case_is_explained_with_who_passes_it() {
    let folder = tempdir().unwrap();
    let explained = |id: &str| harness(&folder).args(["explain", id]).assert().code(0);
    explained("mon/kill-full-pipe-bare").stdout(contains(
        "\nPassed by the good subjects\n  driver `mock-run`, driver `mock-play`, driver `python`, driver `mock-stdio`,\n  driver `plugin-mock`, logmon `logmon`, logmon `plain`\n",
    ));
    // Its variants need different things: only who passes all of them is named.
    explained("mon/kill-full-pipe")
        .stdout(contains("driver `mock-run`").and(contains("shell").not()));
}
