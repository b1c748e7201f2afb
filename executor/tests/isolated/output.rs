//! What of a task's output arrives, and when it ends (edge).

use std::fs;
use std::time::Duration;

use executor::{Cancel, End, Executor, LaunchError, LogPaths};
use nix::sys::signal::Signal;
use nix::unistd::User;

use crate::root::{Root, is_ignored, isolating, launch, needs_containers, said, script};
use crate::stage::{Stage, all, end, fifos};

#[test]
fn output_arrives_byte_by_byte_and_ends_with_the_task() {
    needs_containers!("output_arrives_byte_by_byte_and_ends_with_the_task");
    let (stage, root) = (Stage::new(), Root::new());
    let spec = script(&stage, &root, "printf 'a\\nb'; printf 'c\\n' >&2; exit 4");
    let (executor, _) = launch(&spec);
    assert_eq!(all(&stage.stdout), "a\nb");
    assert_eq!(all(&stage.stderr), "c\n");
    let status = end(&executor);
    assert_eq!((status.end, status.oom_killed), (End::Code(4), Some(false)));
    executor.shutdown(None, Duration::ZERO).unwrap();
}

#[test]
fn a_flood_loses_nothing() {
    needs_containers!("a_flood_loses_nothing");
    let text = said(|_| {}, "dd if=/dev/zero bs=4096 count=1000 2>/dev/null");
    assert_eq!(text.len(), 4_096_000);
    assert!(text.bytes().all(|byte| byte == 0));
}

#[test]
fn a_disabled_log_is_the_null_device_of_the_task() {
    needs_containers!("a_disabled_log_is_the_null_device_of_the_task");
    let (stage, root) = (Stage::new(), Root::new());
    let check = "for stream in 0 1 2; do test /proc/self/fd/$stream -ef /dev/null || exit 2; done
                 echo x || exit 3; echo x >&2 || exit 4; exit 7";
    let mut spec = script(&stage, &root, check);
    spec.logs = LogPaths::disabled("/");
    let (executor, _) = launch(&spec);
    assert_eq!(end(&executor).end, End::Code(7));
}

#[test]
fn stdin_has_nothing_and_no_other_descriptor_is_open() {
    needs_containers!("stdin_has_nothing_and_no_other_descriptor_is_open");
    // The third one is the folder itself.
    let text = said(|_| {}, "cat; ls /proc/self/fd");
    assert_eq!(text, "0\n1\n2\n3\n");
}

#[test]
fn a_broken_pipe_ends_the_task_as_any_other_program() {
    needs_containers!("a_broken_pipe_ends_the_task_as_any_other_program");
    let text = said(|_| {}, "grep -E 'SigIgn|SigBlk' /proc/self/status");
    assert!(text.contains("SigBlk:\t0000000000000000\n"), "{text}");
    assert!(!is_ignored(&text, Signal::SIGPIPE), "{text}");
    let (stage, root) = (Stage::new(), Root::new());
    let loops = "sh -c 'while :; do echo y; done'; exit $?";
    let (executor, _) = launch(&script(&stage, &root, loops));
    drop(stage);
    // The first process of a namespace is not ended by a signal that it does not catch, its children are.
    assert_eq!(end(&executor).end, End::Code(141));
}

#[test]
fn another_user_may_open_its_stdout_again() {
    needs_containers!("another_user_may_open_its_stdout_again");
    if User::from_name("nobody").unwrap().is_none() {
        return eprintln!("skipped: another_user_may_open_its_stdout_again: there is no nobody");
    }
    let (stage, root) = (Stage::new(), Root::new());
    let again = "echo again >/dev/stdout; echo again >/dev/stderr";
    let mut spec = script(&stage, &root, again);
    spec.user = Some("nobody".into());
    let (executor, _) = launch(&spec);
    assert_eq!(all(&stage.stdout), "again\n");
    assert_eq!(all(&stage.stderr), "again\n");
    assert_eq!(end(&executor).end, End::Code(0));
}

#[test]
fn a_launch_without_a_reader_gives_up_and_leaves_nothing() {
    needs_containers!("a_launch_without_a_reader_gives_up_and_leaves_nothing");
    let (_folder, logs) = fifos();
    let root = Root::new();
    let mut spec = script(&Stage::new(), &root, "exit 0");
    spec.logs = logs;
    spec.open_limit = Duration::from_millis(50);
    let executor = isolating();
    let error = executor.launch(&spec, Cancel::never()).unwrap_err();
    assert!(matches!(error, LaunchError::NoReader { .. }), "{error:?}");
    // Nothing was mounted in the root either.
    let mut names: Vec<_> = fs::read_dir(root.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| ["dev", "proc", "sys"].contains(&name.as_str()));
    assert_eq!(names, [""; 0]);
}
