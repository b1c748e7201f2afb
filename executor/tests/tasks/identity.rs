//! Who a task is (edge): its user, its groups, and what it may open.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use executor::{Cancel, Executor, LaunchError, LogPaths, Options, StandardExecutor, UserError};
use nix::unistd::{Uid, User, geteuid, getgrouplist};

use crate::stage::{Stage, all, sh, skip, status_field};

/// A user of most machines who is not root.
fn nobody() -> Option<User> {
    User::from_name("nobody").unwrap()
}

fn new() -> StandardExecutor {
    StandardExecutor::new(Options::default())
}

#[test]
fn a_task_of_another_user_has_exactly_the_groups_of_that_user() {
    if !geteuid().is_root() {
        skip!(
            "a_task_of_another_user_has_exactly_the_groups_of_that_user",
            "only root can be another user"
        );
    }
    let Some(user) = nobody() else {
        skip!(
            "a_task_of_another_user_has_exactly_the_groups_of_that_user",
            "there is no nobody"
        );
    };
    let stage = Stage::new();
    let executor = new();
    for name in ["nobody".to_owned(), user.uid.to_string()] {
        let mut spec = stage.script("exec sleep 1000");
        spec.user = Some(name);
        let executor = new();
        let launched = executor.launch(&spec, Cancel::never()).unwrap();
        let ids = |field: &str| -> Vec<u32> {
            let text = status_field(launched.pid, field);
            text.split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect()
        };
        assert_eq!(ids("Uid"), [user.uid.as_raw(); 4]);
        assert_eq!(ids("Gid"), [user.gid.as_raw(); 4]);
        let mut expected: Vec<u32> = getgrouplist(c"nobody", user.gid)
            .unwrap()
            .iter()
            .map(|group| group.as_raw())
            .collect();
        expected.sort_unstable();
        let mut groups = ids("Groups");
        groups.sort_unstable();
        assert_eq!(groups, expected);
        assert!(!groups.contains(&0), "group 0 in {groups:?}");
    }
    drop(executor);
}

#[test]
fn a_task_of_another_user_may_open_its_stdout_again() {
    if !geteuid().is_root() {
        skip!(
            "a_task_of_another_user_may_open_its_stdout_again",
            "only root can be another user"
        );
    }
    let Some(user) = nobody() else {
        skip!(
            "a_task_of_another_user_may_open_its_stdout_again",
            "there is no nobody"
        );
    };
    let stage = Stage::new();
    let executor = new();
    let mut spec = stage.script("echo again >/dev/stdout; echo again >/dev/stderr");
    spec.user = Some("nobody".into());
    executor.launch(&spec, Cancel::never()).unwrap();
    assert_eq!(all(&stage.stdout), "again\n");
    assert_eq!(all(&stage.stderr), "again\n");
    let facts = |path: &Path| {
        let facts = fs::metadata(path).unwrap();
        (facts.uid(), facts.mode() & 0o777)
    };
    assert_eq!(facts(stage.logs.stdout()), (user.uid.as_raw(), 0o600));

    // Whoever may write anyway is given nothing.
    let stage = Stage::new();
    fs::set_permissions(stage.logs.stdout(), Permissions::from_mode(0o602)).unwrap();
    let executor = new();
    let mut spec = stage.script("echo again >/dev/stdout");
    spec.user = Some("nobody".into());
    executor.launch(&spec, Cancel::never()).unwrap();
    assert_eq!(all(&stage.stdout), "again\n");
    assert_eq!(facts(stage.logs.stdout()), (0, 0o602));
}

#[test]
fn the_null_device_is_given_to_nobody() {
    let before = fs::metadata("/dev/null").unwrap().uid();
    let me = User::from_uid(geteuid()).unwrap();
    let user = if geteuid().is_root() { nobody() } else { me };
    let Some(user) = user else {
        skip!(
            "the_null_device_is_given_to_nobody",
            "there is no user to run as"
        );
    };
    let executor = new();
    let mut spec = sh("exec sleep 1000", LogPaths::disabled("/tmp"));
    spec.user = Some(user.name);
    executor.launch(&spec, Cancel::never()).unwrap();
    assert_eq!(fs::metadata("/dev/null").unwrap().uid(), before);
}

#[test]
fn a_task_knows_who_it_is_unless_it_is_told_otherwise() {
    let Some(user) = User::from_uid(geteuid()).unwrap() else {
        skip!(
            "a_task_knows_who_it_is_unless_it_is_told_otherwise",
            "this user has no name"
        );
    };
    let script = "echo \"$USER $LOGNAME $HOME $OWN\"";
    for (home, expected) in [
        (None, user.dir.display().to_string()),
        (Some("/task"), "/task".into()),
    ] {
        let stage = Stage::new();
        let executor = new();
        let mut spec = stage.script(script).env("OWN", "own");
        spec.user = Some(user.name.clone());
        if let Some(home) = home {
            spec = spec.env("HOME", home);
        }
        executor.launch(&spec, Cancel::never()).unwrap();
        let name = &user.name;
        assert_eq!(
            all(&stage.stdout),
            format!("{name} {name} {expected} own\n")
        );
    }
}

#[test]
fn a_user_that_is_none_or_that_this_process_may_not_be_is_refused() {
    let stage = Stage::new();
    let launch = |user: &str| {
        let mut spec = stage.script("true");
        spec.user = Some(user.into());
        new().launch(&spec, Cancel::never()).unwrap_err()
    };
    let error = launch("no-such-user");
    assert_eq!(
        error.to_string(),
        "there is no user \"no-such-user\"; `getent passwd` lists those that there are"
    );
    if geteuid() == Uid::from_raw(0) {
        skip!(
            "a_user_that_is_none_or_that_this_process_may_not_be_is_refused",
            "root may be anybody; the other half was tested"
        );
    }
    let error = launch("root");
    assert!(
        matches!(error, LaunchError::User(UserError::NotRoot { .. })),
        "got {error:?}"
    );
}
