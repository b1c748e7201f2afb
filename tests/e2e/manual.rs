//! Tests of the completions and the manual pages.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::tempdir;

use crate::program::harness;

#[test]
fn each_shell_has_its_completions_without_the_hidden_commands() {
    let folder = tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish"] {
        harness(&folder)
            .args(["completions", shell])
            .assert()
            .code(0)
            .stdout(contains("self-test").and(contains("shard")))
            .stdout(contains("__case").not());
    }
    harness(&folder)
        .args(["completions", "csh"])
        .assert()
        .code(64);
}

#[test]
fn the_completions_are_bash_and_complete_a_command() {
    let folder = tempdir().unwrap();
    let script = harness(&folder)
        .args(["completions", "bash"])
        .output()
        .unwrap();
    let path = folder.path().join("harness.bash");
    fs::write(&path, &script.stdout).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&path).output().unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    let asked = "source \"$1\"; COMP_WORDS=(harness expl); COMP_CWORD=1; \
                 _harness harness expl harness; echo \"${COMPREPLY[@]}\"";
    let completed = Command::new("bash")
        .args(["-c", asked, "bash"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout), "explain\n");
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args(["man", "--out", "man/man1"])
        .assert()
        .code(0);
    let entries = fs::read_dir(folder.path().join("man/man1")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for command in [
        "",
        "-run",
        "-list",
        "-explain",
        "-self-test",
        "-report-merge",
        "-man",
    ] {
        let name = format!("harness{command}.1");
        assert!(names.contains(&name), "no {name} in {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("__")), "{names:?}");
    for name in names {
        let page = fs::read(folder.path().join("man/man1").join(&name)).unwrap();
        let text = String::from_utf8_lossy(&page);
        assert!(
            text.contains(".TH") && text.contains(".SH SYNOPSIS"),
            "{name}: {text}"
        );
        assert_renders(&name, &page);
    }
    harness(&folder)
        .arg("man")
        .assert()
        .code(0)
        .stdout(contains(".SH NAME"));
}

/// Lets groff read a page, where there is one.
fn assert_renders(name: &str, page: &[u8]) {
    let started = Command::new("groff")
        .args(["-man", "-Tutf8", "-wall"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut groff) = started else { return };
    groff.stdin.take().unwrap().write_all(page).unwrap();
    let output = groff.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
}

#[test]
fn a_folder_for_the_pages_that_can_not_be_made_exits_65() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    harness(&folder)
        .args(["man", "--out", "file/man"])
        .assert()
        .code(65)
        .stderr(contains("can't write file/man").and(contains("--out")));
}
