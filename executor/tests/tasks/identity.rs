//! Who a task is (edge): its user, its groups, and what it may open.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use executor::{
    Cancel, Executor, LaunchError, LaunchSpec, LogPaths, Options, StandardExecutor, UserError,
};
use nix::unistd::{Uid, User, geteuid, getgrouplist};
use rustix::process::{DumpableBehavior, dumpable_behavior};

use crate::stage::{Stage, all, program, sh, skip, status_field};

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
    // The kernel marks the memory of a process that changes its user, and with it all that share it.
    let dumps = dumpable_behavior().unwrap();
    assert_eq!(dumps, DumpableBehavior::Dumpable, "this process");
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
fn a_program_that_is_not_for_the_task_s_user_does_not_hide_one_that_is() {
    let Some(user) = nobody() else {
        skip!(
            "a_program_that_is_not_for_the_task_s_user_does_not_hide_one_that_is",
            "only root can start a task as another user, and there must be a user nobody"
        );
    };
    let stage = Stage::new();
    fs::set_permissions(stage.folder.path(), Permissions::from_mode(0o755)).unwrap();
    let (first, second) = (stage.path("first/tool"), stage.path("second/tool"));
    program(&first, "#!/bin/sh\necho first\n", 0o700);
    program(&second, "#!/bin/sh\necho second\n", 0o755);
    let folders = [&first, &second].map(|path| path.parent().unwrap().to_owned());
    let path = std::env::join_paths(folders).unwrap();
    let executor = new();
    let mut spec = LaunchSpec::new("tool", stage.logs.clone()).env("PATH", path);
    spec.user = Some(user.name);
    executor.launch(&spec, Cancel::never()).unwrap();
    assert_eq!(all(&stage.stdout), "second\n");
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

/// What a launch with this FIFO as stdout says, as the task of nobody if this process is root.
fn refusal(stage: &Stage, stdout: &Path, trusted_root: Option<&Path>) -> LaunchError {
    let logs = LogPaths::of_fifos(stdout, stage.logs.stderr());
    let mut spec = sh("echo secret", logs);
    spec.trusted_root = trusted_root.map(Into::into);
    spec.user = geteuid().is_root().then(|| "nobody".into());
    new().launch(&spec, Cancel::never()).unwrap_err()
}

#[test]
fn a_log_folder_that_is_a_link_is_not_followed_below_a_trusted_root() {
    let stage = Stage::new();
    let root = stage.folder.path();
    symlink(root, stage.path("logs")).unwrap();
    let linked = stage
        .path("logs")
        .join(stage.logs.stdout().file_name().unwrap());
    let error = refusal(&stage, &linked, Some(root));
    let LaunchError::OpenLog { source, .. } = &error else {
        panic!("got {error:?}");
    };
    let link = stage.path("logs").display().to_string();
    let told = std::error::Error::source(source).unwrap().to_string();
    assert!(
        told.starts_with(&format!("open {link}: it is a symbolic link")),
        "got {told}"
    );
    let owner = fs::metadata(stage.logs.stdout()).unwrap().uid();
    assert_eq!(owner, geteuid().as_raw(), "it was given away");
    // The other FIFO has to lie below it, too.
    let stranger = Stage::new();
    let error = refusal(&stage, stage.logs.stdout(), Some(stranger.folder.path()));
    assert!(
        matches!(error, LaunchError::OpenLog { .. }),
        "got {error:?}"
    );

    let executor = new();
    let mut spec = stage.script("echo below");
    spec.trusted_root = Some(root.into());
    executor.launch(&spec, Cancel::never()).unwrap();
    assert_eq!(all(&stage.stdout), "below\n");
}

#[test]
fn a_fifo_with_a_second_name_is_refused_and_not_given_away() {
    let stage = Stage::new();
    let second = stage.path("second");
    fs::hard_link(stage.logs.stdout(), &second).unwrap();
    let error = refusal(&stage, &second, None);
    assert!(
        matches!(error, LaunchError::LinkedLog { .. }),
        "got {error:?}"
    );
    let owner = fs::metadata(&second).unwrap().uid();
    assert_eq!(owner, geteuid().as_raw(), "it was given away");
}

#[test]
fn a_fifo_of_a_stranger_is_refused_and_one_of_the_tasks_user_is_not() {
    if !geteuid().is_root() {
        skip!(
            "a_fifo_of_a_stranger_is_refused_and_one_of_the_tasks_user_is_not",
            "only root can give a file away"
        );
    }
    let Some(user) = nobody() else {
        skip!(
            "a_fifo_of_a_stranger_is_refused_and_one_of_the_tasks_user_is_not",
            "there is no nobody"
        );
    };
    let stage = Stage::new();
    chown(stage.logs.stdout(), Some(12345), None).unwrap();
    let error = refusal(&stage, stage.logs.stdout(), None);
    let path = stage.logs.stdout().display();
    assert_eq!(
        error.to_string(),
        format!(
            "can't use {path}, the FIFO of stdout: it belongs to user 12345, who is neither root, nor the user \
             of this process, nor that of the task; give it to one of them by chown, or name that user as the \
             task's"
        )
    );
    let owner = fs::metadata(stage.logs.stdout()).unwrap().uid();
    assert_eq!(owner, 12345);
    chown(stage.logs.stdout(), Some(user.uid.as_raw()), None).unwrap();
    let executor = new();
    let mut spec = stage.script("echo again >/dev/stdout");
    spec.user = Some("nobody".into());
    executor.launch(&spec, Cancel::never()).unwrap();
    assert_eq!(all(&stage.stdout), "again\n");
}
