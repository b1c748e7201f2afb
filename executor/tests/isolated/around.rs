//! What a task sees of the host and of itself (edge).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use executor::{
    Cancel, End, Executor, IsolateError, LaunchError, Mount, NamespaceMode, ProgramError,
};

use crate::root::{Root, isolating, launch, needs_containers, said, script};
use crate::stage::{LONG, Stage, all, end};

use NamespaceMode::{Host, Private};

#[test]
fn a_task_has_the_namespaces_that_were_asked_for_and_no_others() {
    needs_containers!("a_task_has_the_namespaces_that_were_asked_for_and_no_others");
    let of_host = |kind: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        link.to_str().unwrap().to_owned()
    };
    for (pid, ipc) in [
        (Private, Private),
        (Private, Host),
        (Host, Private),
        (Host, Host),
    ] {
        let text = said(
            |spec| {
                let around = spec.container.as_mut().unwrap();
                (around.pid, around.ipc) = (Some(pid), Some(ipc));
            },
            "cd /proc/self/ns; for kind in mnt pid ipc net uts; do readlink $kind; done",
        );
        let own: Vec<&str> = text.lines().collect();
        let is_of_host: Vec<bool> = ["mnt", "pid", "ipc", "net", "uts"]
            .iter()
            .zip(own)
            .map(|(kind, own)| own == of_host(kind))
            .collect();
        let expected = [false, pid == Host, ipc == Host, true, true];
        assert_eq!(is_of_host, expected, "{pid:?} {ipc:?}");
    }
}

#[test]
fn a_task_sees_its_own_processes_alone() {
    needs_containers!("a_task_sees_its_own_processes_alone");
    assert_eq!(said(|_| {}, "echo $$; echo /proc/[0-9]*"), "1\n/proc/1\n");
}

#[test]
fn a_root_has_what_was_put_there_and_the_mount_points() {
    needs_containers!("a_root_has_what_was_put_there_and_the_mount_points");
    let (stage, root) = (Stage::new(), Root::new());
    let list = || -> BTreeSet<String> {
        let entries = fs::read_dir(root.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let mut expected = list();
    expected.extend(["dev", "proc", "sys"].map(str::to_owned));
    let (executor, _) = launch(&script(&stage, &root, "ls /"));
    let seen: BTreeSet<String> = all(&stage.stdout).lines().map(str::to_owned).collect();
    assert_eq!(seen, expected);
    executor.shutdown(None, Duration::ZERO).unwrap();
    assert_eq!(list(), expected);
    for folder in ["dev", "proc", "sys"] {
        let left = fs::read_dir(root.path().join(folder)).unwrap().count();
        assert_eq!(left, 0, "{folder} is mounted for the task alone");
    }
}

#[test]
fn the_kernel_s_switches_can_t_be_reached() {
    needs_containers!("the_kernel_s_switches_can_t_be_reached");
    let text = said(
        |_| {},
        "for path in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/profiling; do
             (echo x >$path) 2>/dev/null && echo \"$path was written\"
         done
         ls /sys/firmware; cat /proc/keys; echo end",
    );
    assert_eq!(text, "end\n");
}

#[test]
fn a_mount_shows_the_host_and_is_written_only_if_it_may_be() {
    needs_containers!("a_mount_shows_the_host_and_is_written_only_if_it_may_be");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("there"), "of the host\n").unwrap();
    let mount = |task: &str, is_read_only| Mount {
        host: folder.path().into(),
        task: task.into(),
        is_read_only,
    };
    let text = said(
        |spec| {
            let around = spec.container.as_mut().unwrap();
            around.mounts = vec![mount("/deep/data", false), mount("/closed", true)];
        },
        "cat /closed/there; echo of the task >/deep/data/new
         (echo x >/closed/no) 2>/dev/null || echo refused",
    );
    assert_eq!(text, "of the host\nrefused\n");
    let new = fs::read_to_string(folder.path().join("new")).unwrap();
    assert_eq!(new, "of the task\n");
    assert!(!folder.path().join("no").exists());
}

#[test]
fn a_program_is_looked_for_in_the_root_alone() {
    needs_containers!("a_program_is_looked_for_in_the_root_alone");
    let (stage, root) = (Stage::new(), Root::new());
    let try_it = |program: &str| {
        let mut spec = script(&stage, &root, "");
        (spec.program, spec.args) = (program.into(), vec!["found".into()]);
        let executor = isolating();
        let launched = executor.launch(&spec, Cancel::never());
        launched.map(|_| end(&executor).end)
    };
    assert_eq!(try_it("echo").unwrap(), End::Code(0));
    assert_eq!(try_it("/bin/echo").unwrap(), End::Code(0));
    for (program, places) in [
        ("/usr/bin/env", "/usr/bin/env"),
        (
            "env",
            "/local/env, /env, /usr/local/bin/env, /usr/bin/env, /bin/env",
        ),
        ("bin/env", "/local/bin/env, /bin/env"),
    ] {
        let error = try_it(program).unwrap_err();
        let is_right = matches!(&error, LaunchError::Program(ProgramError::NotFound { .. }));
        assert!(is_right, "{error:?}");
        let expected = format!("there is no program {program}; looked for it at {places}");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn local_wins_and_links_and_mounts_lead_where_they_lead_for_the_task() {
    needs_containers!("local_wins_and_links_and_mounts_lead_where_they_lead_for_the_task");
    let (stage, root) = (Stage::new(), Root::new());
    let folder = tempfile::tempdir().unwrap();
    let shell = |name: &Path, text: &str| {
        crate::stage::program(name, &format!("#!/bin/sh\necho {text}\n"), 0o755);
    };
    shell(&folder.path().join("tool"), "of the mount");
    shell(&root.path().join("local/echo"), "of local");
    std::os::unix::fs::symlink("/tools/tool", root.path().join("tool")).unwrap();
    for (program, expected) in [
        ("echo", "of local\n"),
        ("/tools/tool", "of the mount\n"),
        ("tool", "of the mount\n"),
    ] {
        let mut spec = script(&stage, &root, "");
        (spec.program, spec.args) = (program.into(), Vec::new());
        spec.container.as_mut().unwrap().mounts = vec![Mount {
            host: folder.path().into(),
            task: "/tools".into(),
            is_read_only: true,
        }];
        let (executor, _) = launch(&spec);
        assert_eq!(all(&stage.stdout), expected, "{program}");
        executor.shutdown(None, Duration::ZERO).unwrap();
    }
}

#[test]
fn a_program_that_can_t_be_executed_is_named() {
    needs_containers!("a_program_that_can_t_be_executed_is_named");
    let (stage, root) = (Stage::new(), Root::new());
    root.closed();
    crate::stage::program(&root.path().join("local/lost"), "#!/no/shell\n", 0o755);
    let error = |program: &str| {
        let mut spec = script(&stage, &root, "");
        spec.program = program.into();
        let executor = isolating();
        executor.launch(&spec, Cancel::never()).unwrap_err()
    };
    assert_eq!(
        error("closed").to_string(),
        "can't execute /local/closed; use chmod +x on it"
    );
    let lost = error("lost").to_string();
    assert!(
        lost.starts_with("can't start /local/lost: it could not become the program"),
        "{lost}"
    );
}

#[test]
fn what_can_t_be_used_is_named_and_nothing_is_left() {
    needs_containers!("what_can_t_be_used_is_named_and_nothing_is_left");
    let (stage, root) = (Stage::new(), Root::new());
    let mut spec = script(&stage, &root, "exit 0");
    spec.cwd = Some("/no/such".into());
    let executor = isolating();
    let error = executor.launch(&spec, Cancel::never()).unwrap_err();
    let LaunchError::Isolate(IsolateError::Birth(error)) = error else {
        panic!("{error:?}");
    };
    let text = error.to_string();
    assert!(
        text.contains("failed to chdir") && text.contains("ENOENT"),
        "{text}"
    );
    spec.cwd = None;
    spec.container.as_mut().unwrap().root = "/no/such".into();
    let error = executor.launch(&spec, Cancel::never()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "can't use /no/such as the root of the task"
    );
    // A launch that failed may be tried again.
    spec.container = Some(root.container());
    executor.launch(&spec, Cancel::never()).unwrap();
    assert_eq!(end(&executor).end, End::Code(0));
}

#[test]
fn a_task_can_t_get_at_the_file_of_the_executor() {
    needs_containers!("a_task_can_t_get_at_the_file_of_the_executor");
    let (stage, root) = (Stage::new(), Root::new());
    root.add(
        Path::new(env!("CARGO_BIN_EXE_executor")),
        Path::new("/unused"),
    );
    let mut spec = script(&stage, &root, "");
    // The new process is this executor until it is the program, and so becomes itself.
    let inner = "readlink /proc/1/exe; (: >>/proc/1/exe) 2>/dev/null || echo refused";
    spec.program = "/proc/self/exe".into();
    spec.args = [
        "run",
        "--log-disabled",
        "--no-cgroup",
        "--",
        "/bin/sh",
        "-c",
    ]
    .map(Into::into)
    .to_vec();
    spec.args.push(format!("({inner}) >/tmp/seen").into());
    let (executor, _) = launch(&spec);
    assert_eq!(end(&executor).end, End::Code(0), "{}", all(&stage.stderr));
    let seen = fs::read_to_string(root.path().join("tmp/seen")).unwrap();
    assert_eq!(seen, "/memfd:executor (deleted)\nrefused\n");
}

#[test]
fn a_program_of_the_task_is_made_executable_and_runs() {
    needs_containers!("a_program_of_the_task_is_made_executable_and_runs");
    let (stage, root) = (Stage::new(), Root::new());
    let path = root.path().join("local/script");
    crate::stage::program(&path, "#!/bin/sh\necho ran; exec sleep 1000\n", 0o610);
    let mut spec = script(&stage, &root, "");
    (spec.program, spec.args) = ("script".into(), Vec::new());
    spec.user = Some("nobody".into());
    let (executor, _) = launch(&spec);
    assert_eq!(crate::stage::line(&stage.stdout), "ran");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o755);
    let path = root.path().join("local/command");
    crate::stage::program(&path, "#!/bin/sh\nexit 4\n", 0o600);
    let done = executor.exec(LONG, Path::new("command"), &[]).unwrap();
    assert_eq!((done.code(), mode(&path)), (4, 0o755));
}
