//! Tests of plugins of Nomad: the bundled mock driver as one, and programs that are none or bad ones.

use std::fs;
use std::time::{Duration, Instant};

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{TempDir, tempdir};

use crate::program::{harness, path, processes_of, sockets_below};

/// The configuration of a task of the mock driver's.
pub(crate) const TASK: &str = "command = \"{program}\"\nargs = [\"{arguments}\"]\n";

pub(crate) fn doctor(folder: &TempDir, words: &[&str]) -> Assert {
    harness(folder)
        .args(["nomad", "doctor", "--within", "2s"])
        .args(words)
        .assert()
}

/// What the suite is told of a driver whose tasks hold the FIFOs themselves.
pub(crate) const DECLARED: &str = "no-log-collection,checks-paths";

/// The suite with the mock driver as a plugin, in a folder with the configuration of its tasks.
pub(crate) fn run(folder: &TempDir, task: &str, more: &[&str]) -> Assert {
    run_declaring(folder, task, DECLARED, more)
}

pub(crate) fn run_declaring(folder: &TempDir, task: &str, declared: &str, more: &[&str]) -> Assert {
    fs::write(folder.path().join("task.toml"), task).unwrap();
    harness(folder)
        .env("TMPDIR", folder.path())
        .args([
            "run",
            "--nomad-plugin",
            path(),
            "--task-config",
            "task.toml",
        ])
        .args(["--capability", declared])
        .args(more)
        .assert()
}

#[test]
fn a_driver_plugin_passes_and_is_found_again_after_its_crash() {
    let folder = tempdir().unwrap();
    let cases =
        "data/smoke,life/exit-code,life/stop,life/recover-crashed,life/recover-detached,life/storm";
    run(
        &folder,
        TASK,
        &["--plugin-args", "mock-driver plugin", "--filter", cases],
    )
    .code(0)
    .stdout(contains("6 pass").and(contains("canary seen")));
    let left = processes_of(folder.path());
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(sockets_below(folder.path()), [""; 0]);
}

#[test]
fn a_faulty_driver_is_caught_through_its_plugin_and_its_case_can_be_played_again() {
    let folder = tempdir().unwrap();
    let fault = "fault = \"loses-unterminated-tail\"\n";
    let more = [
        "--plugin-args",
        "mock-driver plugin",
        "--filter",
        "data/no-final-newline",
    ];
    let task = folder.path().join("task.toml");
    let declared = format!("forwards,{DECLARED}");
    run_declaring(&folder, &format!("{TASK}{fault}"), &declared, &more)
        .code(1)
        .stdout(contains(
            "shape of faulty subject `loses-unterminated-tail`",
        ))
        .stdout(contains(format!(
            "--nomad-plugin {} --plugin-args 'mock-driver plugin' --task-config {} \
             --capability forwards,no-log-collection,checks-paths --seed ",
            path(),
            task.display()
        )))
        .stdout(contains("subject: driver plugin `"));
    harness(&folder)
        .args(["repro", "out/data-no-final-newline.bundle"])
        .assert()
        .code(1);
}

#[test]
fn what_is_wrong_about_a_tasks_configuration_is_told_before_a_case_is_played() {
    let of = |task: &str| {
        let folder = tempdir().unwrap();
        run(
            &folder,
            task,
            &[
                "--plugin-args",
                "mock-driver plugin",
                "--filter",
                "data/smoke",
            ],
        )
    };
    of("comand = \"{task}\"\n")
        .code(69)
        .stderr(contains("comand").and(contains("did you mean command?")));
    of("command = \"sh\"\n")
        .code(69)
        .stderr(contains("nothing in it tells the driver what to run"));
    of("command = \"x {arguments}\"\n")
        .code(69)
        .stderr(contains("command: {arguments} is a list"));
    of("command = \n").code(65).stderr(contains("task.toml"));
    let folder = tempdir().unwrap();
    run(&folder, TASK, &["--plugin-args", "mock-driver 'plugin"])
        .code(64)
        .stderr(contains("--plugin-args"));
    harness(&folder)
        .args(["run", "--nomad-plugin", path()])
        .assert()
        .code(64)
        .stderr(contains("--task-config"));
}

#[test]
fn a_program_that_is_no_plugin_is_no_driver() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("task.toml"), TASK).unwrap();
    harness(&folder)
        .args([
            "run",
            "--nomad-plugin",
            "true",
            "--task-config",
            "task.toml",
        ])
        .assert()
        .code(69)
        .stderr(contains("handshake"));
}

#[test]
fn a_log_collector_that_is_a_plugin_is_killed_and_stopped_itself_and_not_its_host() {
    let folder = tempdir().unwrap();
    let cases =
        "data/smoke,mon/kill-full-pipe-bare,mon/stop-drains,mon/second-logmon,rot/limits-refused-*";
    harness(&folder)
        .env("TMPDIR", folder.path())
        .args([
            "run",
            "--nomad-logmon",
            "{self} logmon plugin",
            "--filter",
            cases,
        ])
        .assert()
        .code(0)
        .stdout(contains("logmon does not declare byte-limits"));
    let left = processes_of(folder.path());
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(sockets_below(folder.path()), [""; 0]);
}

#[test]
fn a_keeper_of_a_plugin_is_told_by_its_folder() {
    let folder = tempdir().unwrap();
    harness(&folder)
        .args([
            "run",
            "--nomad-logmon",
            "{self} logmon plugin --keeper {keep_dir}/keeper.sock",
        ])
        .args([
            "--capability",
            "keeps-descriptors",
            "--filter",
            "mon/kill-kept-full",
        ])
        .assert()
        .code(0)
        .stdout(contains("1 pass"));
}

#[test]
fn what_is_no_log_collector_is_told_by_the_step() {
    let run = |logmon: &str| {
        let folder = tempdir().unwrap();
        harness(&folder)
            .args(["run", "--filter", "data/smoke", "--nomad-logmon", logmon])
            .assert()
    };
    run("true").code(69).stderr(contains("handshake"));
    // A driver has no such service.
    run("{self} mock-driver plugin")
        .code(69)
        .stderr(contains("call Start"));
}

#[test]
fn a_driver_and_a_log_collector_are_plugins_at_once() {
    let folder = tempdir().unwrap();
    let cases = "data/smoke,life/exit-code,life/recover-both-killed,mon/kill-full-pipe-spare,mon/stop-drains";
    let more = [
        "--plugin-args",
        "mock-driver plugin",
        "--nomad-logmon",
        "{self} logmon plugin",
        "--filter",
        cases,
    ];
    run(&folder, TASK, &more)
        .code(0)
        .stdout(contains("5 pass").and(contains("canary seen")));
    let left = processes_of(folder.path());
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_log_collector_that_is_a_plugin_is_asked_for_another_start() {
    let folder = tempdir().unwrap();
    let cases = "mon/start-again,mon/other-limits,mon/second-logmon";
    harness(&folder)
        .args(["run", "--nomad-logmon", "{self} logmon plugin"])
        .args(["--filter", cases, "--keep", "all"])
        .assert()
        .code(0)
        .stdout(contains("3 pass"));
    for (case, told) in [
        ("mon-start-again", "another start is done"),
        ("mon-other-limits", "another start is done"),
        ("mon-second-logmon", "#2 gave way"),
    ] {
        harness(&folder)
            .args(["show", &format!("out/{case}.bundle")])
            .assert()
            .code(0)
            .stdout(contains(told));
    }
    assert!(processes_of(folder.path()).is_empty());
}

#[test]
fn another_start_that_is_refused_is_told() {
    let folder = tempdir().unwrap();
    // Whoever asks is refused whatever the limits are.
    let logmon = "sh -c 'test {start} = first || { echo it runs already >&2; exit 3; }; \
        exec {self} logmon run --log-dir {log_dir} --stdout {stdout_fifo}={stdout_name} \
        --stderr {stderr_fifo}={stderr_name} --max-files {max_files} --max-file-size {max_file_bytes} \
        --line-guard {line_guard}'";
    harness(&folder)
        .args([
            "run",
            "--logmon",
            logmon,
            "--filter",
            "mon/start-again,mon/other-limits",
        ])
        .assert()
        .code(1)
        .stdout(contains("[died, MON-4]").and(contains("another start is REFUSED")))
        .stdout(
            contains("another start was refused: the command that asked ended with 3")
                .and(contains("it runs already")),
        )
        .stdout(contains("1 pass, 1 fail"));
}

#[test]
fn a_file_instead_of_flags_names_plugins() {
    let folder = tempdir().unwrap();
    let text = format!(
        "[driver]\nnomad_plugin = \"{0}\"\nplugin_args = \"mock-driver plugin\"\n\
         task_config = \"task.toml\"\ncapabilities = [\"no-log-collection\"]\n\
         [logmon]\nnomad_plugin = \"{0} logmon plugin\"\n",
        path()
    );
    // The file is not in the current folder: what it names is beside it.
    let beside = folder.path().join("beside");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("harness.toml"), text).unwrap();
    fs::write(beside.join("task.toml"), TASK).unwrap();
    harness(&folder)
        .args(["run", "--config", "beside/harness.toml", "--filter"])
        .arg("data/smoke,life/recover-crashed")
        .assert()
        .code(0)
        .stdout(contains("2 pass"));
}

#[test]
fn a_self_test_plays_faulty_drivers_as_plugins_if_they_are_named() {
    let folder = tempdir().unwrap();
    let some =
        "plugin-dies-of-sigpipe,plugin-hangs-in-recover,plugin-swaps-streams,plugin-reads-own-fifo";
    harness(&folder)
        .args(["self-test", "--filter", some])
        .assert()
        .code(0)
        .stdout(contains("caught 4 of 4 faulty subjects"));
}

/// A mistake of a plugin in one call, and what is told of it.
fn mistaken(mistake: &str, said: &str) {
    let folder = tempdir().unwrap();
    let began = Instant::now();
    let arguments = format!("mock-driver plugin --mistake {mistake}");
    run(
        &folder,
        TASK,
        &["--plugin-args", &arguments, "--filter", "data/smoke"],
    )
    .code(69)
    .stderr(contains(said));
    // The longest are the 8 s that a probe waits for its task, and the machine may be busy.
    assert!(began.elapsed() < Duration::from_secs(40), "{mistake}");
    let left = processes_of(folder.path());
    assert!(left.is_empty(), "{mistake}: {left:?}");
}

#[test]
fn a_mistake_in_a_call_is_told_by_the_call_in_bounded_time() {
    let each: [(&str, &str); 11] = [
        ("leaves-out:PluginInfo", "call PluginInfo: "),
        (
            "hangs:TaskConfigSchema",
            "call TaskConfigSchema: no answer within 3.5s",
        ),
        (
            "dies:SetConfig",
            "call SetConfig: the plugin ended by signal 9",
        ),
        (
            "leaves-out:TaskConfigSchema",
            "call TaskConfigSchema: the answer has no spec",
        ),
        (
            "dies:Fingerprint",
            "call Fingerprint: the plugin ended by signal 9",
        ),
        (
            "dies:StartTask",
            "call StartTask: the plugin ended by signal 9",
        ),
        (
            "leaves-out:StartTask",
            "call StartTask: the answer has no handle",
        ),
        (
            "hangs:StartTask",
            "has not answered `start` of task 0 (call StartTask)",
        ),
        (
            "dies:WaitTask",
            "call WaitTask: the plugin ended by signal 9",
        ),
        (
            "leaves-out:WaitTask",
            "call WaitTask: the answer has no result",
        ),
        (
            "hangs:WaitTask",
            "has not answered `wait` for task 0 (call WaitTask)",
        ),
    ];
    std::thread::scope(|scope| {
        for some in each.chunks(3) {
            scope.spawn(move || {
                some.iter()
                    .for_each(|(mistake, said)| mistaken(mistake, said))
            });
        }
    });
}

#[test]
fn what_an_agent_goes_without_is_no_mistake() {
    for call in ["ConfigSchema", "Capabilities"] {
        let folder = tempdir().unwrap();
        let arguments = format!("mock-driver plugin --mistake leaves-out:{call}");
        run(
            &folder,
            TASK,
            &["--plugin-args", &arguments, "--filter", "data/smoke"],
        )
        .code(0)
        .stdout(contains("1 pass"));
    }
}

#[test]
fn a_plugin_that_floods_stderr_in_a_call_is_judged_all_the_same() {
    let folder = tempdir().unwrap();
    let words = "mock-driver plugin --mistake floods:StartTask";
    run(
        &folder,
        TASK,
        &["--plugin-args", words, "--filter", "data/smoke"],
    )
    .code(0)
    .stdout(contains("1 pass"));
    let words = [
        path(),
        "mock-driver",
        "plugin",
        "--mistake",
        "floods:Fingerprint",
    ];
    doctor(&folder, &words)
        .code(0)
        .stdout(contains("Nomad would load this plugin\n"));
}

#[test]
fn a_plugin_that_never_answers_shutdown_is_killed_and_told_of() {
    let folder = tempdir().unwrap();
    let words = [
        path(),
        "mock-driver",
        "plugin",
        "--mistake",
        "hangs:Shutdown",
    ];
    doctor(&folder, &words)
        .code(69)
        .stdout(contains("WRONG  end ").and(contains("ms of Shutdown, and was")));
    // A log is no worse for that, so there is a verdict.
    let words = "mock-driver plugin --mistake hangs:Shutdown";
    run(
        &folder,
        TASK,
        &[
            "--plugin-args",
            words,
            "--filter",
            "data/smoke",
            "--keep",
            "all",
        ],
    )
    .code(0);
    let said = fs::read_to_string(folder.path().join("out/data-smoke.bundle/driver.0.stderr"));
    let said = said.unwrap();
    assert!(
        said.contains("call Shutdown: the plugin lived on for"),
        "{said}"
    );
    assert!(processes_of(folder.path()).is_empty());
}

#[test]
fn a_driver_plugin_that_does_not_start_a_task_is_told_with_its_reason() {
    let folder = tempdir().unwrap();
    let task = format!("{TASK}start_error = \"no room for it\"\n");
    let more = ["--plugin-args", "mock-driver plugin"];
    run(&folder, &task, &more)
        .code(69)
        .stderr(
            contains("the driver did not start the task: call StartTask:")
                .and(contains("no room for it")),
        )
        .stderr(contains("`harness nomad doctor` tries it alone"));
    assert!(processes_of(folder.path()).is_empty());
}

#[test]
fn a_driver_plugin_that_dies_in_the_middle_of_a_call_is_told_by_the_call() {
    let folder = tempdir().unwrap();
    // The task outlives the plugin on a busy machine too.
    let task = "command = \"sh\"\n\
                args = ['-c', 'sleep 1; exec \"$0\" \"$@\"', '{program}', '{arguments}']\n\
                plugin_exit_after = \"1ms\"\n";
    let more = [
        "--plugin-args",
        "mock-driver plugin",
        "--filter",
        "data/smoke",
    ];
    run(&folder, task, &more)
        .code(69)
        // A machine that is busy may not be able to answer the start before that.
        .stderr(
            contains("call WaitTask: the plugin ended by signal 9")
                .or(contains("call StartTask: the plugin ended by signal 9")),
        )
        .stderr(contains("`harness nomad doctor` tries it alone"));
    let left = processes_of(folder.path());
    assert!(left.is_empty(), "{left:?}");
}
