//! The rules of this repository that a program can check.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use harness::rule::Spec;
use harness::scenario;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && !name.starts_with("out") {
                walk(&path, files);
            }
        } else {
            files.push(path);
        }
    }
}

/// Every file of the workspace whose name ends so, relative to its root.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    walk(root(), &mut all);
    let mut found: Vec<_> = all
        .into_iter()
        .filter(|path| path.extension().is_some_and(|one| one == extension))
        .map(|path| path.strip_prefix(root()).unwrap().to_owned())
        .collect();
    found.sort();
    assert!(
        !found.is_empty(),
        "no *.{extension} found below {}",
        root().display()
    );
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The members of this workspace that a crate's manifest names under `section`.
fn rooms_used_by(room: &str, section: &str) -> BTreeSet<String> {
    let manifest: toml::Table = toml::from_str(&read(&Path::new(room).join("Cargo.toml"))).unwrap();
    let workspace: toml::Table = toml::from_str(&read(Path::new("Cargo.toml"))).unwrap();
    let members: BTreeSet<String> = workspace["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member.as_str().unwrap().to_owned())
        .collect();
    let used: BTreeSet<String> = manifest
        .get(section)
        .and_then(toml::Value::as_table)
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default();
    used.intersection(&members).cloned().collect()
}

#[test]
fn the_arrows_between_the_rooms_point_one_way() {
    let allowed: [(&str, &[&str]); 8] = [
        ("fifo", &[]),
        ("executor", &["fifo"]),
        ("plugin", &[]),
        ("logmon", &["fifo", "plugin"]),
        // Its plugin runs real commands by the library that `executor serve` is made of.
        ("mock_driver", &["executor", "fifo", "plugin"]),
        (
            "harness",
            &["executor", "fifo", "logmon", "mock_driver", "plugin"],
        ),
        ("benches", &["executor", "fifo", "logmon"]),
        // A driver of somebody else, which happens to lie here.
        ("examples/rust-driver", &["harness", "logmon"]),
    ];
    let workspace: toml::Table = toml::from_str(&read(Path::new("Cargo.toml"))).unwrap();
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        let member = member.as_str().unwrap();
        assert!(
            allowed.iter().any(|(room, _)| *room == member),
            "{member} is not in this list of rooms and their arrows"
        );
    }
    for (room, arrows) in allowed {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for used in rooms_used_by(room, section) {
                assert!(
                    arrows.contains(&used.as_str()),
                    "{room} must not depend on {used}"
                );
            }
        }
    }
}

#[test]
fn the_harness_library_never_names_logmon_as_a_crate() {
    for path in files("rs") {
        let is_library = path.starts_with("harness/src")
            && path != Path::new("harness/src/main.rs")
            && path != Path::new("harness/src/bundled.rs");
        if !is_library {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let code = code.trim_start().trim_start_matches("pub ");
            let names_it = ["use logmon::", "use logmon;", "extern crate logmon"]
                .iter()
                .any(|start| code.starts_with(start));
            let calls_it = code.match_indices("logmon::").any(|(at, _)| {
                // `faulty_logmon::`, `self::logmon::` and `super::logmon::` are modules of its own.
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            });
            let own_module = root().join("harness/src/runner/logmon.rs").exists()
                && path.starts_with("harness/src/runner");
            assert!(
                !names_it && (!calls_it || own_module),
                "{}:{} names logmon: {line}",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn a_version_stands_in_the_root_manifest_only() {
    let rooms = [
        "fifo",
        "executor",
        "logmon",
        "mock_driver",
        "plugin",
        "harness",
        "benches",
        "examples/rust-driver",
    ];
    for room in rooms {
        let manifest: toml::Table =
            toml::from_str(&read(&Path::new(room).join("Cargo.toml"))).unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest
                .get(section)
                .and_then(toml::Value::as_table)
                .into_iter()
                .flatten()
            {
                let inherits = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherits, "{room}: {name} must be `{name}.workspace = true`");
            }
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for path in files("rs") {
        let text = read(&path);
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//! "),
            "{}: the first line is no module doc",
            path.display()
        );
        let is_source = path.components().any(|part| part.as_os_str() == "src");
        let is_test = path
            .file_stem()
            .is_some_and(|stem| stem.to_string_lossy().contains("test"));
        let is_crate = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
        let docs: String = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase();
        let says = ["core", "edge", "re-export", "test", "law"]
            .iter()
            .any(|word| docs.contains(word));
        assert!(
            !is_source || is_test || is_crate || says,
            "{}: the module doc does not say core or edge",
            path.display()
        );
    }
}

#[test]
fn no_file_is_called_after_nothing() {
    let banned = [
        "util", "utils", "common", "helper", "helpers", "manager", "misc",
    ];
    for path in files("rs") {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !banned.contains(&stem.as_str()),
            "{}: name it after what it does",
            path.display()
        );
    }
}

#[test]
fn no_source_file_is_longer_than_600_lines() {
    for path in files("rs") {
        let lines = read(&path).lines().count();
        assert!(
            lines <= 600,
            "{} has {lines} lines; split it by reason to change",
            path.display()
        );
    }
}

#[test]
fn a_main_is_at_most_15_lines() {
    for path in files("rs")
        .iter()
        .filter(|path| path.ends_with("src/main.rs"))
    {
        assert!(read(path).lines().count() <= 15, "{}", path.display());
    }
}

#[test]
fn every_scenario_file_is_shipped() {
    let shipped: BTreeSet<String> = scenario::shipped()
        .into_iter()
        .map(|(path, _)| path.to_owned())
        .collect();
    let folder = Path::new("harness/scenarios");
    let present: BTreeSet<String> = files("toml")
        .iter()
        .filter_map(|path| path.strip_prefix(folder).ok())
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(shipped, present);
}

#[test]
fn every_shipped_scenario_names_known_rules_and_has_its_own_id() {
    let mut ids = BTreeSet::new();
    for (path, text) in scenario::shipped() {
        let all = scenario::expand(text, path).unwrap_or_else(|error| panic!("{path}: {error:?}"));
        for one in all {
            for rule in &one.rules {
                assert!(
                    Spec::shipped().rule(rule).is_some(),
                    "{path}: unknown rule {rule}"
                );
            }
            assert!(
                ids.insert(one.id.clone()),
                "{path}: {} stands twice",
                one.id
            );
        }
    }
    assert!(ids.len() > 20, "only {} cases", ids.len());
}

/// What a run leaves in this folder would be committed with the next change.
#[test]
fn git_ignores_every_folder_that_a_command_writes_unless_told_otherwise() {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    for (command, folder, said) in [
        ("run", "out", "`out` if left out"),
        ("repro", "out-repro", "[default: out-repro]"),
        ("self-test", "out-self-test", "[default: out-self-test]"),
    ] {
        let help = assert_cmd::Command::new(env!("CARGO_BIN_EXE_harness"))
            .args([command, "--help"])
            .output()
            .unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(help.contains(said), "{help}");
        let line = format!("/{folder}");
        assert!(ignored.lines().any(|one| one == line), "{line}: {ignored}");
    }
}
