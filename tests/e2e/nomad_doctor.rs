//! Tests of `harness nomad doctor`: good plugins, programs that are none, and what an agent goes without.

use std::fs;
use std::time::{Duration, Instant};

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{TempDir, tempdir};

use crate::nomad::doctor;
use crate::program::{harness, path};

/// A plugin that is a line of a shell's.
fn doctor_of_shell(script: &str) -> Assert {
    doctor(&tempdir().unwrap(), &["sh", "-c", script])
}

#[test]
fn a_doctor_asks_a_driver_what_nomad_asks_and_nothing_is_left() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .env("TMPDIR", folder.path())
        .args(["nomad", "doctor", path(), "mock-driver", "plugin"])
        .assert()
        .code(0)
        .stdout(contains("ok     PluginInfo        driver `mock_driver`"))
        .stdout(contains("ok     TaskConfigSchema  "))
        .stdout(contains("ok     Fingerprint       healthy"))
        .stdout(contains("Nomad would load this plugin\n"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_doctor_that_asks_for_tls_says_whether_it_is_spoken() {
    for face in ["mock-driver", "logmon"] {
        let folder = tempdir().unwrap();
        harness(&folder)
            .env("TMPDIR", folder.path())
            .args(["nomad", "doctor", "--tls", path(), face, "plugin"])
            .assert()
            .code(0)
            .stdout(contains("ok     health            it is serving\n"))
            .stdout(contains("ok     encryption        it speaks mTLS"))
            .stdout(contains("A host with TLS would load this plugin\n"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    let plain = "echo '1|2|unix|/nonexistent/socket|grpc|'; exec sleep 1000";
    doctor(&tempdir().unwrap(), &["--tls", "sh", "-c", plain])
        .code(69)
        .stdout(contains("WRONG  handshake").and(contains("without a")))
        .stdout(contains("A host with TLS would not get along"));
}

#[test]
fn a_doctor_names_the_key_of_a_configuration_that_the_schema_does_not_have() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("plugin.toml"), "enabeld = true\n").unwrap();
    harness(&folder)
        .args(["nomad", "doctor", "--plugin-config", "plugin.toml", path()])
        .args(["mock-driver", "plugin"])
        .assert()
        .code(69)
        .stdout(contains("WRONG  SetConfig").and(contains("enabeld")));
    harness(&folder)
        .args(["nomad", "doctor", "--plugin-config", "plugin.hcl", path()])
        .assert()
        .code(65)
        .stderr(contains("plugin.hcl"));
}

#[test]
fn programs_that_are_no_plugins_are_told_by_the_step_in_bounded_time() {
    let began = Instant::now();
    doctor_of_shell("exit 3")
        .code(69)
        .stdout(contains("WRONG  handshake").and(contains("ended with code 3 before its")));
    doctor_of_shell("echo 'no plugin' >&2; exit 1")
        .code(69)
        .stdout(contains("no plugin"));
    doctor_of_shell("exec yes")
        .code(69)
        .stdout(contains("\"y\""));
    doctor_of_shell("exec sleep 1000")
        .code(69)
        .stdout(contains("no line came on standard output within 2s"));
    doctor_of_shell("echo '1|1|unix|/tmp/x|grpc|'; exec sleep 1000")
        .code(69)
        .stdout(contains("WRONG  handshake").and(contains("1")));
    doctor_of_shell("echo '1|2|unix|/nonexistent/socket|grpc|'; exec sleep 1000")
        .code(69)
        .stdout(contains("/nonexistent/socket"));
    doctor(&tempdir().unwrap(), &["/nonexistent/plugin"])
        .code(69)
        .stdout(contains("start /nonexistent/plugin"));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// The doctor, which waits for each step for as long as it does unasked.
fn patient_doctor(folder: &TempDir, words: &[&str]) -> Assert {
    harness(folder)
        .args(["nomad", "doctor"])
        .args(words)
        .assert()
}

/// The doctor of a mock driver that leaves everything out of one answer.
fn doctor_without(call: &str, more: &[&str]) -> Assert {
    let mistake = format!("leaves-out:{call}");
    let plugin = [path(), "mock-driver", "plugin", "--mistake", &mistake];
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("plugin.toml"), "enabled = true\n").unwrap();
    patient_doctor(&folder, &[more, &plugin].concat())
}

#[test]
fn a_doctor_finds_nothing_wrong_about_what_an_agent_goes_without() {
    doctor_without("ConfigSchema", &[])
        .code(0)
        .stdout(contains("ok     ConfigSchema      there is none"))
        .stdout(contains("ok     SetConfig         it takes none\n"));
    doctor_without("Capabilities", &[])
        .code(0)
        .stdout(contains("ok     Capabilities      takes no signals"));
    // As for an agent, a configuration has to have a schema, and so has a task.
    doctor_without("ConfigSchema", &["--plugin-config", "plugin.toml"])
        .code(69)
        .stdout(contains("WRONG  SetConfig         it has no schema"));
    doctor_without("TaskConfigSchema", &[])
        .code(69)
        .stdout(contains("WRONG  TaskConfigSchema"));
}

#[test]
fn a_driver_that_is_not_there_is_told_in_the_time_of_a_step() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("plugin.toml"), "enabled = false\n").unwrap();
    let began = Instant::now();
    let words = [
        "--plugin-config",
        "plugin.toml",
        path(),
        "mock-driver",
        "plugin",
    ];
    doctor(&folder, &words)
        .code(69)
        .stdout(contains("WRONG  Fingerprint       undetected"))
        .stdout(contains("nothing better came within"));
    // Without --within it is waited for 10 s.
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}
