//! The job of `ci/nomad/`, its task run as an agent runs it: files, variables, folders. (edge)

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::{TempDir, tempdir};

use crate::program::{copy_program, json, path};

fn text() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join("ci/nomad/suite.nomad.hcl")).unwrap()
}

/// What stands between two texts, the first place of each.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("{start}"));
    rest.split_once(end).unwrap().0
}

/// The file that a `template` block makes at this place.
fn template(text: &str, destination: &str) -> String {
    let from = format!("destination = \"local/{destination}\"");
    let (_, rest) = text.split_once(&from).unwrap();
    let data = between(rest, "<<EOF\n", "EOF\n");
    // An agent and a job file give them a meaning of their own.
    for sign in ["${", "%{", "{{"] {
        assert!(!data.contains(sign), "{sign} in\n{data}");
    }
    data.to_owned()
}

/// The variables that the task gets, by what the job file takes them from.
fn variables(text: &str) -> BTreeSet<(String, String)> {
    let block = between(text, "      env {\n", "      }\n");
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').unwrap();
        let value = value.trim().strip_prefix("var.").unwrap();
        (name.trim().to_owned(), value.to_owned())
    };
    block.lines().map(pair).collect()
}

/// An allocation: the task's folder and the one that is shared.
struct Allocation(TempDir);

impl Allocation {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let text = text();
        fs::create_dir_all(folder.path().join("task/local")).unwrap();
        fs::create_dir(folder.path().join("alloc")).unwrap();
        let one = Self(folder);
        for name in ["task.toml", "suite.sh"] {
            fs::write(one.local(name), template(&text, name)).unwrap();
        }
        copy_program(Path::new(path()), &one.local("harness"));
        one
    }

    fn local(&self, name: &str) -> PathBuf {
        self.0.path().join("task/local").join(name)
    }

    fn shared(&self, name: &str) -> PathBuf {
        self.0.path().join("alloc").join(name)
    }

    /// Runs the task with these values of the job's variables.
    fn run(&self, given: &[(&str, &str)]) -> Output {
        let text = text();
        assert!(text.contains("args    = [\"local/suite.sh\"]"));
        let mut command = Command::new("sh");
        command
            .arg("local/suite.sh")
            .current_dir(self.0.path().join("task"));
        for (name, variable) in variables(&text) {
            assert!(
                text.contains(&format!("variable \"{variable}\"")),
                "{variable}"
            );
            let value = given.iter().find(|(name, _)| *name == variable);
            let default = if variable == "shards" { "1" } else { "" };
            command.env(name, value.map_or(default, |(_, value)| value));
        }
        command
            .env("NOMAD_TASK_DIR", self.0.path().join("task/local"))
            .env("NOMAD_ALLOC_DIR", self.0.path().join("alloc"))
            .env("NOMAD_ALLOC_INDEX", "1")
            .output()
            .unwrap()
    }
}

/// The mock driver as the plugin of the node, and what is declared of it.
fn mock(capability: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("plugin", path()),
        ("plugin_args", "mock-driver plugin"),
        ("capability", capability),
    ]
}

#[test]
fn the_job_runs_the_suite_against_the_plugin_of_the_node() {
    let allocation = Allocation::new();
    let filter = ("filter", "data/smoke,life/recover-crashed");
    let ended = allocation.run(&[&mock("checks-paths")[..], &[filter]].concat());
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(
        json(&allocation.shared("report.json"))["counts"]["by_status"]["pass"],
        2
    );
    assert!(allocation.shared("junit.xml").exists() && allocation.shared("report.txt").exists());
}

#[test]
fn the_job_fails_with_the_code_of_the_suite_and_keeps_what_failed() {
    let allocation = Allocation::new();
    let task = "command = \"{program}\"\nargs = [\"{arguments}\"]\nfault = \"crlf\"\n";
    fs::write(allocation.local("task.toml"), task).unwrap();
    let filter = ("filter", "data/smoke");
    // A fault is one of forwarding.
    let ended = allocation.run(&[&mock("forwards")[..], &[filter]].concat());
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(allocation.shared("data-smoke.bundle/trace.jsonl").exists());
}

#[test]
fn an_allocation_of_several_plays_its_shard() {
    let allocation = Allocation::new();
    let rest = [
        ("filter", "data/smoke,data/binary,data/no-final-newline"),
        ("shards", "2"),
    ];
    let ended = allocation.run(&[&mock("")[..], &rest].concat());
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let report = json(&allocation.shared("report.json"));
    assert_eq!(report["shard"]["number"], 2, "{}", report["shard"]);
}
