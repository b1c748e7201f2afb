//! Which file becomes the task's program, and what happens to its mode (edge).

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use executor::{
    Cancel, Executor, LaunchError, LaunchSpec, Options, ProgramError, StandardExecutor,
};
use nix::unistd::geteuid;

use crate::stage::{Stage, all, program, skip};

fn write(path: &Path, says: &str, mode: u32) {
    program(
        path,
        &format!(
            "#!/bin/sh
echo {says}
"
        ),
        mode,
    );
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Launches a program by this name, with the stage's folder as the task's; gives what it says.
fn said(stage: &Stage, program: &str) -> Result<String, LaunchError> {
    let mut spec = LaunchSpec::new(program, stage.logs.clone());
    let host = stage.path("host");
    spec.env = vec![("PATH".into(), host.into())];
    spec.task_folder = Some(stage.path("task"));
    let executor = StandardExecutor::new(Options::default());
    executor.launch(&spec, Cancel::never())?;
    Ok(all(&stage.stdout).trim_end().to_owned())
}

#[test]
fn local_wins_over_the_task_folder_and_that_over_the_host() {
    let stage = Stage::new();
    fs::create_dir(stage.path("task")).unwrap();
    write(&stage.path("host/tool"), "host", 0o755);
    assert_eq!(said(&stage, "tool").unwrap(), "host");
    let absolute = stage.path("host/tool");
    assert_eq!(said(&stage, absolute.to_str().unwrap()).unwrap(), "host");
    write(&stage.path("task/tool"), "root", 0o755);
    assert_eq!(said(&stage, "tool").unwrap(), "root");
    write(&stage.path("task/local/tool"), "local", 0o755);
    assert_eq!(said(&stage, "tool").unwrap(), "local");
    assert_eq!(
        said(&stage, "/tool").unwrap(),
        "local",
        "a path of the task"
    );
}

#[test]
fn a_script_of_the_task_is_made_executable() {
    let stage = Stage::new();
    let script = stage.path("task/tool");
    for (before, after) in [(0o644, 0o755), (0o610, 0o755), (0o700, 0o755)] {
        write(&script, "runs", before);
        assert_eq!(said(&stage, "tool").unwrap(), "runs");
        assert_eq!(mode(&script), after, "was {before:o}");
    }
}

#[test]
fn a_file_of_the_host_keeps_its_mode_and_is_not_executed() {
    let stage = Stage::new();
    fs::create_dir(stage.path("task")).unwrap();
    let script = stage.path("host/tool");
    write(&script, "no", 0o644);
    let error = said(&stage, "tool").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("can't execute {}; use chmod +x on it", script.display())
    );
    assert_eq!(mode(&script), 0o644);
}

#[test]
fn a_link_out_of_the_task_folder_changes_no_mode() {
    let stage = Stage::new();
    let secret = stage.path("host/secret");
    write(&secret, "no", 0o600);
    fs::create_dir(stage.path("task")).unwrap();
    symlink(&secret, stage.path("task/tool")).unwrap();
    let error = said(&stage, "tool").unwrap_err();
    assert!(
        matches!(
            error,
            LaunchError::Program(ProgramError::NotExecutable { .. })
        ),
        "got {error:?}"
    );
    assert_eq!(mode(&secret), 0o600);
    // What it leads to may be executed if it is a program already.
    write(&secret, "yes", 0o755);
    assert_eq!(said(&stage, "tool").unwrap(), "yes");
}

#[test]
fn a_file_with_a_second_name_keeps_its_mode() {
    let stage = Stage::new();
    let host = stage.path("host/secret");
    write(&host, "runs", 0o600);
    fs::create_dir(stage.path("task")).unwrap();
    fs::hard_link(&host, stage.path("task/tool")).unwrap();
    let error = said(&stage, "tool").unwrap_err();
    assert!(
        matches!(
            error,
            LaunchError::Program(ProgramError::NotExecutable { .. })
        ),
        "got {error:?}"
    );
    assert_eq!(mode(&host), 0o600);
    // What its owner may execute is executed as it is.
    fs::set_permissions(&host, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(said(&stage, "tool").unwrap(), "runs");
    assert_eq!(mode(&host), 0o700);
}

#[test]
fn a_file_of_a_stranger_keeps_its_mode() {
    if !geteuid().is_root() {
        skip!(
            "a_file_of_a_stranger_keeps_its_mode",
            "only root can give a file away"
        );
    }
    let stage = Stage::new();
    let script = stage.path("task/tool");
    write(&script, "runs", 0o644);
    chown(&script, Some(12345), None).unwrap();
    let error = said(&stage, "tool").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("can't execute {}; use chmod +x on it", script.display())
    );
    assert_eq!(mode(&script), 0o644);
}

#[test]
fn a_name_that_is_nowhere_is_told_with_all_places() {
    let stage = Stage::new();
    fs::create_dir(stage.path("task")).unwrap();
    // A folder of that name is no program.
    fs::create_dir_all(stage.path("host/tool")).unwrap();
    let error = said(&stage, "tool").unwrap_err();
    let place = |path: &str| stage.path(path).display().to_string();
    assert_eq!(
        error.to_string(),
        format!(
            "there is no program tool; looked for it at {}, {}, {}",
            place("task/local/tool"),
            place("task/tool"),
            place("host/tool")
        )
    );
}

#[test]
fn a_folder_that_stands_twice_on_the_path_is_told_once() {
    let stage = Stage::new();
    let host = stage.path("host").display().to_string();
    let mut spec = LaunchSpec::new("tool", stage.logs.clone());
    spec.env = vec![("PATH".into(), format!("{host}:{host}/:{host}").into())];
    let executor = StandardExecutor::new(Options::default());
    let error = executor.launch(&spec, Cancel::never()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("there is no program tool; looked for it at {host}/tool")
    );
}
