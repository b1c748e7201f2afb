//! Launching a task: what it finds when it starts, and what a launch that fails leaves (edge).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use executor::{
    Cancel, CancelSource, CgroupParent, ContainerSpec, End, Executor, Isolation, Kind, LaunchError,
    LaunchSpec, LogPaths, Options, Phase, StandardExecutor, UnsupportedIsolation, WaitError,
};
use fifo::{Readable, Reader};
use nix::sys::signal::{SigSet, Signal};

use crate::stage::{
    self, LONG, Stage, all, cgroup1, end, fifos, line, only, sh, skip, status_field, until,
};

fn new() -> StandardExecutor {
    StandardExecutor::new(Options::default())
}

/// How many descriptors of this process lead to a path.
fn descriptors_of(path: &Path) -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target == path).count()
}

/// Waits until a launch is under way.
fn await_launching(executor: &StandardExecutor) {
    until("the launch waits", || {
        let phase = executor.phase();
        if phase == Phase::Launching {
            Ok(())
        } else {
            Err(format!("{phase:?}"))
        }
    });
}

#[test]
fn what_a_task_writes_arrives_and_it_ends_with_0() {
    let stage = Stage::new();
    let (executor, launched) = stage.launch("echo to the log; echo to the other >&2");
    assert!(launched.pid > 1);
    assert_eq!(all(&stage.stdout), "to the log\n");
    assert_eq!(all(&stage.stderr), "to the other\n");
    assert_eq!(end(&executor).end, End::Code(0));
}

#[test]
fn a_program_that_is_not_there_is_an_error_and_a_shutdown_is_harmless() {
    let stage = Stage::new();
    let executor = new();
    let mut spec = stage.script("true");
    spec.program = "/no/such/program".into();
    let error = executor.launch(&spec, Cancel::never()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no program /no/such/program; looked for it at /no/such/program"
    );
    assert_eq!(executor.phase(), Phase::Idle);
    let report = executor.shutdown(None, Duration::ZERO).unwrap();
    assert_eq!(report.steps(), []);
    assert_eq!(
        stage.stdout.wait_readable(Duration::ZERO).unwrap(),
        Readable::TimedOut
    );
}

#[test]
fn a_program_that_cant_start_leaves_no_process_no_cgroup_and_no_descriptor() {
    let stage = Stage::new();
    let executor = new();
    let program = stage.path("tool");
    stage::program(&program, "#!/no/such/interpreter\n", 0o644);
    let mut spec = stage.script("true");
    spec.task_folder = Some(stage.folder.path().into());
    spec.program = "tool".into();
    let error = executor.launch(&spec, Cancel::never()).unwrap_err();
    assert!(
        error.to_string().starts_with(&format!(
            "can't start {}: it could not become the program; see that",
            program.display()
        )),
        "got {error}"
    );
    assert_eq!(descriptors_of(stage.logs.stdout()), 1, "the reader's own");
    let mode = fs::metadata(&program).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755, "it stays executable");
    // It may be tried again.
    executor
        .launch(&stage.script("echo second"), Cancel::never())
        .unwrap();
    assert_eq!(all(&stage.stdout), "second\n");
}

#[test]
fn without_a_reader_a_launch_fails_at_its_deadline() {
    let (folder, logs) = fifos();
    let limit = Duration::from_millis(300);
    let executor = new();
    let mut spec = sh("true", logs.clone());
    spec.open_limit = limit;
    let start = Instant::now();
    let error = executor.launch(&spec, Cancel::never()).unwrap_err();
    assert!(start.elapsed() >= limit, "after {:?}", start.elapsed());
    let path = logs.stdout().display();
    assert_eq!(
        error.to_string(),
        format!(
            "nobody has opened {path}, the FIFO of stdout, for reading within 300ms; start the log collector \
             first, or wait longer"
        )
    );
    // With a reader for one of the two it is the other that is missing.
    let stdout = Reader::open(logs.stdout()).unwrap();
    let error = executor.launch(&spec, Cancel::never()).unwrap_err();
    assert!(
        error.to_string().contains("the FIFO of stderr"),
        "got {error}"
    );
    assert_eq!(descriptors_of(logs.stdout()), 1, "the reader's own");
    drop((stdout, folder));
}

#[test]
fn a_reader_that_comes_while_a_launch_waits_is_found() {
    let (_folder, logs) = fifos();
    let mut spec = sh("echo late", logs.clone());
    spec.open_limit = LONG;
    let executor = new();
    std::thread::scope(|scope| {
        let launch = scope.spawn(|| executor.launch(&spec, Cancel::never()));
        await_launching(&executor);
        let stdout = Reader::open(logs.stdout()).unwrap();
        let _stderr = Reader::open(logs.stderr()).unwrap();
        launch.join().unwrap().unwrap();
        assert_eq!(all(&stdout), "late\n");
    });
}

#[test]
fn a_launch_that_waits_for_a_reader_can_be_cancelled() {
    let (_folder, logs) = fifos();
    let mut spec = sh("true", logs);
    spec.open_limit = Duration::MAX;
    let executor = new();
    let source = CancelSource::new().unwrap();
    source.cancel();
    let error = executor
        .launch(&spec, Cancel::when_readable(&source))
        .unwrap_err();
    assert!(
        matches!(error, LaunchError::Cancelled { .. }),
        "got {error:?}"
    );
    assert_eq!(executor.phase(), Phase::Idle);
}

#[test]
fn a_shutdown_ends_a_launch_that_waits_for_a_reader() {
    let (_folder, logs) = fifos();
    let mut spec = sh("true", logs);
    spec.open_limit = Duration::MAX;
    let executor = new();
    std::thread::scope(|scope| {
        let launch = scope.spawn(|| executor.launch(&spec, Cancel::never()));
        await_launching(&executor);
        executor.shutdown(None, LONG).unwrap();
        let error = launch.join().unwrap().unwrap_err();
        assert!(matches!(error, LaunchError::ShutDown), "got {error:?}");
    });
    let closed = Phase::Closed {
        was_launched: false,
    };
    assert_eq!(executor.phase(), closed);
}

#[test]
fn after_a_launch_only_the_task_holds_the_write_ends() {
    let stage = Stage::new();
    let (executor, launched) = stage.launch("echo ready; exec sleep 1000");
    for path in [stage.logs.stdout(), stage.logs.stderr()] {
        assert_eq!(
            descriptors_of(path),
            1,
            "{}: the reader's own",
            path.display()
        );
    }
    assert_eq!(line(&stage.stdout), "ready");
    executor.signal("SIGKILL").unwrap();
    assert_eq!(all(&stage.stdout), "");
    assert_eq!(end(&executor).end, End::Signal(9));
    assert!(launched.pid > 1);
}

#[test]
fn the_output_of_a_task_is_blocking_and_its_input_is_the_null_device() {
    let stage = Stage::new();
    let (_executor, launched) = stage.launch("exec sleep 1000");
    for stream in [1, 2] {
        let path = format!("/proc/{}/fdinfo/{stream}", launched.pid);
        let text = fs::read_to_string(&path).unwrap();
        let flags = text
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        assert_eq!(flags & 0o4000, 0, "{path} has O_NONBLOCK in {flags:o}");
        assert_eq!(flags & 0o3, 1, "{path} is not write-only in {flags:o}");
    }
    let input = fs::read_link(format!("/proc/{}/fd/0", launched.pid)).unwrap();
    assert_eq!(input, Path::new("/dev/null"));
}

#[test]
fn a_task_blocks_no_signal_and_does_not_ignore_sigpipe() {
    let stage = Stage::new();
    let executor = new();
    let spec = stage.script("exec sleep 1000");
    // The mask is the thread's that launches.
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGTERM);
    blocked.add(Signal::SIGUSR1);
    let launch = || {
        blocked.thread_block().unwrap();
        executor.launch(&spec, Cancel::never()).unwrap()
    };
    let launched = std::thread::scope(|scope| scope.spawn(launch).join().unwrap());
    let mask = |field: &str| u64::from_str_radix(&status_field(launched.pid, field), 16).unwrap();
    assert_eq!(mask("SigBlk"), 0);
    assert_eq!(
        mask("SigIgn") & (1 << (13 - 1)),
        0,
        "SIGPIPE in {:x}",
        mask("SigIgn")
    );
}

#[test]
fn a_task_leads_a_session_and_a_process_group() {
    let stage = Stage::new();
    let (_executor, launched) = stage.launch("exec sleep 1000");
    let stat = fs::read_to_string(format!("/proc/{}/stat", launched.pid)).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    let pid = launched.pid.to_string();
    assert_eq!(
        (fields[2], fields[3]),
        (pid.as_str(), pid.as_str()),
        "group and session in {stat}"
    );
}

#[test]
fn a_task_has_its_environment_its_arguments_and_its_folder() {
    let stage = Stage::new();
    let executor = new();
    let mut spec = stage
        .script("pwd; echo \"$0-$1-$A-$HOME-\"")
        .args(["zero", "one"])
        .env("A", "a b");
    spec.cwd = Some("/usr".into());
    executor.launch(&spec, Cancel::never()).unwrap();
    assert_eq!(all(&stage.stdout), "/usr\nzero-one-a b--\n");

    let stage = Stage::new();
    let executor = new();
    let mut spec = stage.script("pwd");
    spec.task_folder = Some(stage.folder.path().into());
    executor.launch(&spec, Cancel::never()).unwrap();
    let folder = stage.folder.path().canonicalize().unwrap();
    assert_eq!(all(&stage.stdout), format!("{}\n", folder.display()));
}

#[test]
fn a_folder_that_is_not_there_is_named_as_the_step_that_failed() {
    let stage = Stage::new();
    let mut spec = stage.script("true");
    spec.cwd = Some("/no/such/folder".into());
    let error = new().launch(&spec, Cancel::never()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("it could not enter the folder that it starts in; name another one"),
        "got {text}"
    );
}

#[test]
fn a_path_of_no_length_is_no_folder() {
    let stage = Stage::new();
    let mut spec = stage.script("true");
    spec.task_folder = Some("".into());
    let error = new().launch(&spec, Cancel::never()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "can't make the path \"\" absolute; write it from / on"
    );
}

#[test]
fn an_oom_score_is_visible_in_the_task_and_one_out_of_range_is_refused() {
    let stage = Stage::new();
    let executor = new();
    let mut spec = stage.script("exec sleep 1000");
    spec.oom_score_adj = Some(1001);
    let error = executor.launch(&spec, Cancel::never()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "oom_score_adj 1001 is not within -1000..=1000"
    );
    spec.oom_score_adj = Some(1000);
    let launched = executor.launch(&spec, Cancel::never()).unwrap();
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", launched.pid)).unwrap();
    assert_eq!(score.trim(), "1000");
    // Whoever shares memory shares the score, unless the kernel knows better.
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_ne!(own.trim(), "1000");
}

#[test]
fn a_script_that_names_no_interpreter_is_one_of_the_shell() {
    let stage = Stage::new();
    let program = stage.path("tool");
    stage::program(&program, "echo \"$0-$1\"\n", 0o755);
    let spec = LaunchSpec::new(&program, stage.logs.clone()).args(["one"]);
    let executor = new();
    executor.launch(&spec, Cancel::never()).unwrap();
    assert_eq!(all(&stage.stdout), format!("{}-one\n", program.display()));
    assert_eq!(end(&executor).end, End::Code(0));
}

/// The control groups of a process that were made for a task, by controller; that of version 2 has none.
fn groups_of(pid: i32) -> BTreeMap<String, PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = |controller: &str| {
        let mut mounts = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let is_it = |words: &Vec<&str>| match controller {
            "" => words[2] == "cgroup2",
            _ => words[2] == "cgroup" && words[3].split(',').any(|option| option == controller),
        };
        let found = mounts.find(is_it);
        PathBuf::from(found.unwrap_or_else(|| panic!("no mount of {controller:?}"))[1])
    };
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let groups = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controller, path) = rest.split_once(":/")?;
        let name = Path::new(path).file_name()?.to_string_lossy();
        let is_made = name.starts_with(&format!("executor-{}-", std::process::id()));
        is_made.then(|| (controller.to_owned(), mount(controller).join(path)))
    });
    groups.collect()
}

#[test]
fn each_cgroup_of_a_task_holds_its_process_and_not_the_executor() {
    if cgroup1("freezer").is_none() {
        skip!(
            "each_cgroup_of_a_task_holds_its_process_and_not_the_executor",
            "this process can make no freezer cgroup"
        );
    }
    for (cgroup2, kind) in [(false, Kind::Freezer), (true, Kind::Cgroup2)] {
        if cgroup2 && stage::cgroup2().is_none() {
            continue;
        }
        let stage = Stage::new();
        let executor = only(cgroup2, !cgroup2);
        let script = stage.script("echo ready; exec sleep 1000");
        let launched = executor.launch(&script, Cancel::never()).unwrap();
        assert_eq!(launched.contained_by, kind);
        let groups = groups_of(launched.pid);
        let holding = if cgroup2 { "" } else { "freezer" };
        let mut expected = BTreeSet::from([holding]);
        if cgroup1("memory").is_some() {
            // It counts who is killed for want of memory.
            expected.insert("memory");
        }
        let controllers: BTreeSet<&str> = groups.keys().map(String::as_str).collect();
        assert_eq!(controllers, expected);
        for (controller, group) in groups {
            let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap();
            assert_eq!(procs, format!("{}\n", launched.pid), "of {controller:?}");
        }
        assert_eq!(groups_of(std::process::id().cast_signed()), BTreeMap::new());
    }
}

#[test]
fn a_task_that_gets_no_cgroup_stays_in_those_of_the_executor() {
    let stage = Stage::new();
    let executor = new();
    let mut spec = stage.script("exec sleep 1000");
    spec.cgroup = CgroupParent::Off;
    let launched = executor.launch(&spec, Cancel::never()).unwrap();
    assert_eq!(launched.contained_by, Kind::ProcessGroup);
    let groups = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(groups(&launched.pid.to_string()), groups("self"));
}

#[test]
fn a_parent_cgroup_that_can_be_none_is_an_error_with_its_cause() {
    let stage = Stage::new();
    for (parent, cause) in [
        (
            "/tmp",
            "can't make a cgroup below /tmp: it lies below no cgroup mount",
        ),
        (
            "../up",
            "can't make a cgroup below ../up: it has a `..` in it",
        ),
        ("custom.slice/no.scope", "custom.slice/no.scope"),
    ] {
        let mut spec = stage.script("true");
        spec.cgroup = CgroupParent::Below(parent.into());
        let error = new().launch(&spec, Cancel::never()).unwrap_err();
        assert!(
            matches!(error, LaunchError::Contain(_)),
            "{parent} gave {error:?}"
        );
        assert!(error.to_string().contains(cause), "{parent} gave {error}");
    }
    assert_eq!(
        stage.stdout.wait_readable(Duration::ZERO).unwrap(),
        Readable::TimedOut
    );
}

#[test]
fn a_task_whose_log_is_disabled_writes_to_the_null_device_itself() {
    let executor = new();
    let spec = sh("exec sleep 1000", LogPaths::disabled("/tmp"));
    let launched = executor.launch(&spec, Cancel::never()).unwrap();
    for stream in [1, 2] {
        let path = format!("/proc/{}/fd/{stream}", launched.pid);
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("/dev/null"));
        assert!(fs::metadata(&path).unwrap().file_type().is_char_device());
    }
}

#[test]
fn another_isolation_is_refused_and_not_replaced() {
    let isolating = executor::new(Isolation::Isolated, Options::default()).map(drop);
    let expected = if cfg!(feature = "isolate") {
        Ok(())
    } else {
        Err(UnsupportedIsolation)
    };
    assert_eq!(isolating, expected);
    let executor = executor::new(Isolation::Standard, Options::default()).unwrap();
    assert_eq!(executor.version(), "2.0.0");
    let mut spec = sh("exit 0", LogPaths::disabled("/tmp"));
    spec.container = Some(ContainerSpec::new("/tmp"));
    let error = executor.launch(&spec, Cancel::never()).unwrap_err();
    assert!(matches!(error, LaunchError::Container), "{error:?}");
}

#[test]
fn a_second_launch_is_an_error_and_so_is_one_after_a_shutdown() {
    let stage = Stage::new();
    let (executor, _) = stage.launch("exec sleep 1000");
    let again = || {
        executor
            .launch(&stage.script("true"), Cancel::never())
            .unwrap_err()
    };
    assert!(matches!(again(), LaunchError::LaunchedBefore));
    executor.shutdown(None, LONG).unwrap();
    assert!(matches!(again(), LaunchError::ShutDown));
    let never = new();
    never.shutdown(None, LONG).unwrap();
    let error = never
        .launch(&stage.script("true"), Cancel::never())
        .unwrap_err();
    assert!(matches!(error, LaunchError::ShutDown));
}

#[test]
fn there_is_nothing_to_wait_for_before_a_launch() {
    let executor = new();
    let wait = || executor.wait(Some(LONG), Cancel::never()).unwrap_err();
    assert!(matches!(wait(), WaitError::NotLaunched));
    executor.shutdown(None, LONG).unwrap();
    assert!(matches!(wait(), WaitError::NotLaunched));
}
