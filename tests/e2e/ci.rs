//! What `ci/` holds for other people's pipelines, run as those run it. (edge)
//!
//! The YAML is read, expressions are filled in as the service does it, and each script is given to
//! the shell that the service would start, in an empty folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::{TempDir, tempdir};
use yaml_rust2::{Yaml, YamlLoader};

use crate::program::{SHELL_DRIVER, copy_program, json, path};

/// A driver that loses stdout in one case only, so that the probes find nothing.
const LOSES_SMOKE: &str = "sh -c 'if [ $HARNESS_ID = data/smoke ]; then exec {task} >/dev/null 2>{stderr}; \
                           else exec {task} >{stdout} 2>{stderr}; fi'";
/// A driver that says 0 whatever the task's status is.
const DISHONEST: &str = "sh -c '{task} >{stdout} 2>{stderr}; exit 0'";

const ACTION: &str = "ci/github/action.yml";
const JOB: &str = "ci/gitlab/harness.gitlab-ci.yml";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn yaml(file: &str) -> Yaml {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let mut documents = YamlLoader::load_from_str(&text).unwrap();
    assert_eq!(documents.len(), 1, "{file}");
    documents.remove(0)
}

fn strings(map: &Yaml) -> BTreeMap<String, String> {
    let Some(map) = map.as_hash() else {
        return BTreeMap::new();
    };
    map.iter()
        .map(|(key, value)| {
            let value = value
                .as_str()
                .unwrap_or_else(|| panic!("{key:?}: {value:?} is no string"));
            (key.as_str().unwrap().to_owned(), value.to_owned())
        })
        .collect()
}

/// A machine of a service: an empty folder with the programs that a script may use.
struct Machine {
    folder: TempDir,
    bin: TempDir,
}

impl Machine {
    /// With the suite on PATH, as `harness`.
    fn with_harness() -> Self {
        let machine = Self::bare();
        symlink(path(), machine.bin.path().join("harness")).unwrap();
        machine
    }

    fn bare() -> Self {
        Self {
            folder: tempdir().unwrap(),
            bin: tempdir().unwrap(),
        }
    }

    /// Adds a program to PATH.
    fn program(&self, name: &str, script: &str) {
        let path = self.bin.path().join(name);
        let draft = self.bin.path().join("draft");
        fs::write(&draft, format!("#!/bin/sh\n{script}\n")).unwrap();
        copy_program(&draft, &path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a script as the service does.
    fn run(&self, shell: &[&str], script: &str, env: &BTreeMap<String, String>) -> Output {
        let scratch = tempdir().unwrap();
        let file = scratch.path().join("script");
        fs::write(&file, script).unwrap();
        Command::new(shell[0])
            .args(&shell[1..])
            .arg(&file)
            .current_dir(self.folder.path())
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.bin.path().display()),
            )
            .envs(env)
            .output()
            .unwrap()
    }

    fn report(&self, name: &str) -> PathBuf {
        self.folder.path().join("harness-reports").join(name)
    }

    /// The three reports are there, and tell so many cases as played and as failed.
    fn has_reports(&self, ran: usize, failed: usize) {
        let report = json(&self.report("report.json"));
        let statuses = report["cases"].as_array().unwrap();
        let count = |wanted: &str| {
            let has = |one: &&serde_json::Value| one["status"].as_str().unwrap() == wanted;
            statuses.iter().filter(has).count()
        };
        assert_eq!(
            (count("pass") + count("fail"), count("fail")),
            (ran, failed)
        );
        let junit = fs::read_to_string(self.report("junit.xml")).unwrap();
        let junit = roxmltree::Document::parse(&junit).unwrap();
        let failures = junit
            .descendants()
            .filter(|node| node.has_tag_name("failure"));
        assert_eq!(failures.count(), failed);
        let text = fs::read_to_string(self.report("report.txt")).unwrap();
        assert!(text.contains(&format!("ran {ran} of")), "{text}");
    }
}

/// How the action ended, and what it printed.
struct Ended {
    code: i32,
    outputs: BTreeMap<String, String>,
    printed: String,
}

/// Runs the action's steps with these inputs, as GitHub does; stops at the first that fails.
fn action(machine: &Machine, given: &[(&str, &str)]) -> Ended {
    let action = yaml(ACTION);
    assert_eq!(action["runs"]["using"].as_str(), Some("composite"));
    let inputs = action["inputs"].as_hash().unwrap();
    let temporary = tempdir().unwrap();
    let mut known: BTreeMap<String, String> = inputs
        .iter()
        .map(|(name, facts)| {
            let default = facts["default"].as_str().unwrap_or_default();
            (
                format!("inputs.{}", name.as_str().unwrap()),
                default.to_owned(),
            )
        })
        .collect();
    for (name, value) in given {
        let before = known.insert(format!("inputs.{name}"), (*value).to_owned());
        assert!(before.is_some(), "the action has no input {name}");
    }
    known.insert("runner.temp".into(), temporary.path().display().to_string());
    let place = root().join(ACTION).parent().unwrap().display().to_string();
    known.insert("github.action_path".into(), place);
    let mut printed = String::new();
    let mut code = 0;
    for step in action["runs"]["steps"].as_vec().unwrap() {
        assert_eq!(step["shell"].as_str(), Some("bash"));
        let mut env: BTreeMap<_, _> = strings(&step["env"])
            .into_iter()
            .map(|(name, value)| (name, filled(&value, &known)))
            .collect();
        let output = temporary.path().join("output");
        fs::write(&output, "").unwrap();
        env.insert("GITHUB_OUTPUT".into(), output.display().to_string());
        let shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail"];
        let ended = machine.run(&shell, step["run"].as_str().unwrap(), &env);
        printed += &String::from_utf8_lossy(&ended.stdout);
        printed += &String::from_utf8_lossy(&ended.stderr);
        for line in fs::read_to_string(&output).unwrap().lines() {
            let (name, value) = line.split_once('=').unwrap();
            let id = step["id"].as_str().unwrap();
            known.insert(format!("steps.{id}.outputs.{name}"), value.to_owned());
        }
        code = ended.status.code().unwrap();
        if code != 0 {
            break;
        }
    }
    let outputs = action["outputs"].as_hash().unwrap().iter();
    let outputs = outputs
        .filter_map(|(name, facts)| {
            let value = facts["value"].as_str().unwrap();
            let key = value.trim_start_matches("${{ ").trim_end_matches(" }}");
            Some((name.as_str().unwrap().to_owned(), known.get(key)?.clone()))
        })
        .collect();
    Ended {
        code,
        outputs,
        printed,
    }
}

/// A text with its expressions replaced by what they stand for.
fn filled(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut parts = text.split("${{ ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" }}").unwrap();
        out += known
            .get(name)
            .unwrap_or_else(|| panic!("nothing is known of {name}"));
        out += rest;
    }
    out
}

/// Runs the job's script with these variables, as GitLab does.
fn job(machine: &Machine, shell: &[&str], given: &[(&str, &str)]) -> Output {
    let job = &yaml(JOB)[".harness"];
    let mut env = strings(&job["variables"]);
    for (name, value) in given {
        let before = env.insert((*name).to_owned(), (*value).to_owned());
        assert!(before.is_some(), "the job has no variable {name}");
    }
    let lines = job["script"].as_vec().unwrap();
    let script: Vec<&str> = lines.iter().map(|line| line.as_str().unwrap()).collect();
    machine.run(shell, &script.join("\n"), &env)
}

#[test]
fn the_action_passes_a_good_driver_and_leaves_the_reports() {
    let machine = Machine::with_harness();
    let inputs = [
        ("driver", SHELL_DRIVER),
        ("path", "harness"),
        ("filter", "data/smoke,life/exit-code"),
        ("args", "--jobs 2\n--exclude life/*"),
    ];
    let ended = action(&machine, &inputs);
    assert_eq!(ended.code, 0, "{}", ended.printed);
    assert_eq!(ended.outputs["exit-code"], "0");
    machine.has_reports(1, 0);
}

#[test]
fn the_action_fails_with_a_faulty_driver_and_keeps_what_failed() {
    let machine = Machine::with_harness();
    let inputs = [
        ("driver", LOSES_SMOKE),
        ("path", "harness"),
        ("filter", "data/smoke,data/no-final-newline"),
    ];
    let ended = action(&machine, &inputs);
    assert_eq!(ended.code, 1, "{}", ended.printed);
    assert_eq!(ended.outputs["exit-code"], "1");
    machine.has_reports(2, 1);
    assert!(machine.report("data-smoke.bundle/trace.jsonl").exists());
}

#[test]
fn the_action_ends_with_the_exit_code_of_the_suite() {
    for (driver, filter, code) in [(DISHONEST, "data/smoke", 69), (SHELL_DRIVER, "no/such", 4)] {
        let machine = Machine::with_harness();
        let inputs = [("driver", driver), ("path", "harness"), ("filter", filter)];
        let ended = action(&machine, &inputs);
        assert_eq!(ended.code, code, "{}", ended.printed);
    }
}

#[test]
fn the_action_judges_a_driver_and_a_logmon_as_they_are_given() {
    let logmon = "harness logmon run --log-dir {log_dir} --stdout {stdout_fifo}={stdout_name} \
                  --stderr {stderr_fifo}={stderr_name} --max-files {max_files} \
                  --max-file-size {max_file_bytes} --line-guard {line_guard}";
    let machine = Machine::with_harness();
    let inputs = [
        ("logmon", logmon),
        ("capability", "keeps-descriptors"),
        ("path", "harness"),
        ("filter", "data/smoke"),
        ("reports", "harness-reports"),
    ];
    let ended = action(&machine, &inputs);
    assert_eq!(ended.code, 0, "{}", ended.printed);
    let report = json(&machine.report("report.json"));
    assert_eq!(
        report["subject"]["under_test"],
        serde_json::json!(["logmon"])
    );
    let capabilities = report["subject"]["capabilities"].as_array().unwrap();
    assert!(
        capabilities.contains(&"keeps-descriptors".into()),
        "{capabilities:?}"
    );
}

#[test]
fn neither_service_is_green_if_no_subject_is_given() {
    let machine = Machine::with_harness();
    let ended = action(&machine, &[("path", "harness")]);
    assert_eq!(ended.code, 64, "{}", ended.printed);
    let ended = job(&machine, &["sh", "-e"], &[("HARNESS_PATH", "harness")]);
    assert_eq!(ended.status.code(), Some(64), "{ended:?}");
    assert!(!machine.report("report.json").exists());
}

#[test]
fn the_action_builds_the_suite_from_its_own_sources_if_no_path_is_given() {
    let machine = Machine::bare();
    let told = machine.folder.path().join("told");
    machine.program(
        "cargo",
        &format!(
            r#"printf '%s\n' "$@" > {told}
while [ "$1" != --target-dir ]; do shift; done
mkdir -p "$2/release" && ln -s {harness} "$2/release/harness""#,
            told = told.display(),
            harness = path()
        ),
    );
    let ended = action(
        &machine,
        &[("driver", SHELL_DRIVER), ("filter", "data/smoke")],
    );
    assert_eq!(ended.code, 0, "{}", ended.printed);
    let words = fs::read_to_string(&told).unwrap();
    let words: Vec<&str> = words.lines().collect();
    assert_eq!(
        words[..4],
        ["build", "--release", "--locked", "--manifest-path"]
    );
    let manifest = Path::new(words[4]).canonicalize().unwrap();
    assert_eq!(manifest, root().join("Cargo.toml"));
    machine.has_reports(1, 0);
}

#[test]
fn no_input_is_a_part_of_a_script_and_each_is_used() {
    let action = yaml(ACTION);
    let mut used = BTreeSet::new();
    for step in action["runs"]["steps"].as_vec().unwrap() {
        let script = step["run"].as_str().unwrap();
        assert!(!script.contains("${{"), "{script}");
        for (name, value) in strings(&step["env"]) {
            assert!(script.contains(&format!("${name}")), "{name} is not used");
            used.extend(
                value
                    .split("inputs.")
                    .nth(1)
                    .map(|rest| rest.replace(" }}", "")),
            );
        }
    }
    let inputs = action["inputs"].as_hash().unwrap();
    let declared: BTreeSet<String> = inputs
        .keys()
        .map(|key| key.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(used, declared);
}

#[test]
fn the_gitlab_job_passes_a_good_driver_in_either_shell() {
    for shell in [&["bash", "-eo", "pipefail"][..], &["sh", "-e"]] {
        let machine = Machine::with_harness();
        let variables = [
            ("HARNESS_DRIVER", SHELL_DRIVER),
            ("HARNESS_PATH", "harness"),
            ("HARNESS_FILTER", "data/smoke,life/exit-code"),
            ("HARNESS_ARGS", "--jobs 2 --exclude life/*"),
        ];
        let ended = job(&machine, shell, &variables);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        machine.has_reports(1, 0);
    }
}

#[test]
fn the_gitlab_job_fails_with_a_faulty_driver_and_keeps_what_failed() {
    let machine = Machine::with_harness();
    let variables = [
        ("HARNESS_DRIVER", LOSES_SMOKE),
        ("HARNESS_PATH", "harness"),
        ("HARNESS_FILTER", "data/smoke,data/no-final-newline"),
    ];
    let ended = job(&machine, &["sh", "-e"], &variables);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    machine.has_reports(2, 1);
    assert!(machine.report("data-smoke.bundle/trace.jsonl").exists());
    let artifacts = &yaml(JOB)[".harness"]["artifacts"];
    assert_eq!(artifacts["when"].as_str(), Some("always"));
    assert_eq!(artifacts["paths"][0].as_str(), Some("harness-reports/"));
    assert_eq!(
        artifacts["reports"]["junit"].as_str(),
        Some("harness-reports/junit.xml")
    );
}

#[test]
fn the_gitlab_job_installs_the_named_version_if_no_path_is_given() {
    let machine = Machine::bare();
    let told = machine.folder.path().join("told");
    machine.program(
        "cargo",
        &format!(
            r#"printf '%s\n' "$@" > {told}
while [ "$1" != --root ]; do shift; done
mkdir -p "$2/bin" && ln -s {harness} "$2/bin/harness""#,
            told = told.display(),
            harness = path()
        ),
    );
    let driver = ("HARNESS_DRIVER", SHELL_DRIVER);
    let ended = job(&machine, &["sh", "-e"], &[driver]);
    assert_eq!(ended.status.code(), Some(64), "{ended:?}");
    let variables = [
        driver,
        ("HARNESS_REPOSITORY", "https://example.org/it"),
        ("HARNESS_VERSION", "v1"),
        ("HARNESS_FILTER", "data/smoke"),
    ];
    let ended = job(&machine, &["sh", "-e"], &variables);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let words = fs::read_to_string(&told).unwrap();
    assert!(
        words.starts_with("install\n--locked\n--git\nhttps://example.org/it\n--rev\nv1\n"),
        "{words}"
    );
    machine.has_reports(1, 0);
}

/// Runs `ci/build-static.sh` with a cargo that takes the program of these tests for the one it built,
/// and with this answer of ldd.
fn build_static(machine: &Machine, ldd: &str) -> Output {
    let target = machine.folder.path().join("target");
    let place = target.join("x86_64-unknown-linux-gnu/release");
    let told = machine.folder.path().join("told");
    machine.program(
        "cargo",
        &format!(
            r#"echo "$RUSTFLAGS" "$@" > {told}; mkdir -p {place}; ln -sf {harness} {place}/harness"#,
            told = told.display(),
            place = place.display(),
            harness = path()
        ),
    );
    machine.program("ldd", ldd);
    let script = fs::read_to_string(root().join("ci/build-static.sh")).unwrap();
    // The script finds the sources by its own place.
    let script = script.replace("$(dirname \"$0\")", root().join("ci").to_str().unwrap());
    let env = BTreeMap::from([("CARGO_TARGET_DIR".to_owned(), target.display().to_string())]);
    machine.run(&["bash"], &script, &env)
}

#[test]
fn a_static_build_says_where_it_is_and_is_refused_if_it_needs_a_library() {
    let harness = format!("{}\n", Path::new(path()).canonicalize().unwrap().display());
    for ldd in [
        "echo '\tstatically linked'",
        "echo '\tnot a dynamic executable' >&2; exit 1",
    ] {
        let machine = Machine::bare();
        let ended = build_static(&machine, ldd);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stdout), harness);
        let told = fs::read_to_string(machine.folder.path().join("told")).unwrap();
        assert!(
            told.contains("target-feature=+crt-static") && told.contains("--locked"),
            "{told}"
        );
    }
    let machine = Machine::bare();
    let ended = build_static(&machine, "exec /usr/bin/ldd \"$@\"");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stdout.is_empty());
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(
        told.contains("needs libraries of this machine") && told.contains("libc.so"),
        "{told}"
    );
}
