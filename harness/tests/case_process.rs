//! The case process as its parent sees it: real processes, killed in every way. (edge)

#![expect(clippy::unwrap_used, reason = "a test fails where it is wrong")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks the events that it is about"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::adapter::AdapterKind;
use harness::case::{BUNDLE_VERSION, Case, CaseDir, ReadySign};
use harness::history::History;
use harness::observe::Snapshot;
use harness::trace::{Event, Exit};
use harness::{runner, scenario, template};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const HARNESS: &str = env!("CARGO_BIN_EXE_harness");
const DRIVER: &str = "sh -c 'exec {task} >{stdout} 2>{stderr}'";
const LOGMON: &str = "{self} logmon run --log-dir {log_dir} --stdout {stdout_fifo}={stdout_name} \
     --stderr {stderr_fifo}={stderr_name} --max-files {max_files} --max-file-size {max_file_bytes}";
const HEAD: &str = "id = \"fifo/plain\"\ntitle = \"Plain.\"\nrules = [\"FIFO-1\"]\n[tasks.main]\nexit_code = 3\n\
     [[tasks.main.step]]\ndo = \"records\"\nstream = \"stdout\"\ncount = 10\n\
     [[tasks.main.step]]\ndo = \"gate\"\nname = \"go\"\n";
const START: &str = "[[plan]]\ndo = \"start-logmon\"\n[[plan]]\ndo = \"start-task\"\n\
     [[plan]]\ndo = \"await\"\nuntil = \"at-gate\"\ngate = \"go\"\n";

fn case(plan: &str, driver: &str) -> Case {
    let text = format!("{HEAD}{plan}");
    Case {
        version: BUNDLE_VERSION,
        scenario: scenario::expand(&text, "x.toml").unwrap().remove(0),
        run: "0000abcd".into(),
        seed: 9,
        attempt: 1,
        driver: template::split(driver).unwrap(),
        adapter: AdapterKind::Command,
        instead_of_task: None,
        logmon: template::split(LOGMON).unwrap(),
        ready_sign: ReadySign::Unknown,
        serving: None,
        reexec: vec![HARNESS.into()],
        driver_capabilities: BTreeSet::new(),
        leave_out: None,
        strace: false,
    }
}

fn with_logmon(mut case: Case, logmon: &str) -> Case {
    case.logmon = template::split(logmon).unwrap();
    case
}

/// Names of FIFOs and sockets in the folders where a case makes them.
fn fifos(dir: &CaseDir) -> Vec<std::path::PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    ["fifo", "elsewhere"]
        .into_iter()
        .filter_map(|name| std::fs::read_dir(dir.path().join(name)).ok())
        .flatten()
        .map(Result::unwrap)
        .filter(|entry| {
            let kind = entry.file_type().unwrap();
            kind.is_fifo() || kind.is_socket()
        })
        .map(|entry| entry.path())
        .collect()
}

fn play(case: &Case, folder: &Path, limit: Duration) -> History {
    let dir = CaseDir::new(folder.join("case"));
    runner::play(case, &dir, limit).unwrap();
    let history = runner::load(&CaseDir::new(dir.path().canonicalize().unwrap())).unwrap();
    assert_eq!(left(folder), Vec::<String>::new());
    history
}

/// Command lines of living processes that have this folder in their environment or arguments.
fn left(folder: &Path) -> Vec<String> {
    let folder = folder.canonicalize().unwrap();
    let names = |pid: i32, file: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(folder.to_str().unwrap())
    };
    let me = i32::try_from(std::process::id()).unwrap();
    Snapshot::take()
        .all()
        .filter(|stat| stat.lives() && stat.pid != me)
        .filter(|stat| names(stat.pid, "environ") || names(stat.pid, "cmdline"))
        .map(|stat| format!("{} {}", stat.pid, stat.comm))
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "polls for a condition with a deadline"
)]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "not in time: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn has(history: &History, wanted: impl Fn(&Event) -> bool) -> bool {
    history.entries.iter().any(|entry| wanted(&entry.event))
}

#[test]
fn a_plain_case_is_recorded_from_begin_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let plan = format!(
        "{START}[[plan]]\ndo = \"release\"\ngate = \"go\"\n[[plan]]\ndo = \"await-exit\"\n"
    );
    let history = play(&case(&plan, DRIVER), folder.path(), Duration::from_secs(30));
    assert!(matches!(
        history.entries.first().unwrap().event,
        Event::Begun { .. }
    ));
    assert!(matches!(
        history.entries.last().unwrap().event,
        Event::Ended
    ));
    assert!(has(&history, |event| matches!(
        event,
        Event::DriverExited {
            exit: Exit::Code(3),
            ..
        }
    )));
    assert!(has(&history, |event| matches!(
        event,
        Event::LogmonExited {
            exit: Exit::Code(0),
            asked: true,
            ..
        }
    )));
    assert!(has(&history, |event| matches!(
        event,
        Event::WriteEndsReleased {
            after_ms: Some(_),
            ..
        }
    )));
    // At the gate the task itself holds the write ends, as it was started by `exec`.
    assert!(has(&history, |event| match event {
        Event::Holders { when, holders, .. } =>
            when == "at gate go" && holders.iter().any(|one| one.writes && one.role == "task"),
        _ => false,
    }));
    assert!(!has(&history, |event| matches!(
        event,
        Event::LeftBehind { .. } | Event::SuiteError { .. }
    )));
    assert_eq!(
        history.joined(mock_driver::stream::Stream::Stdout).len(),
        1_000
    );
    // Started by a process that blocks signals, the task has none blocked and SIGPIPE not ignored.
    // (The system's library leaves signals of its own ignored: 32 and 33.)
    let hello = history.task[&0].iter().find_map(|line| match &line.event {
        mock_driver::journal::Event::Hello {
            sig_ignored,
            sig_blocked,
            ..
        } => Some((sig_ignored, sig_blocked)),
        _ => None,
    });
    let (ignored, blocked) = hello.unwrap();
    assert_eq!(*blocked, Vec::<u8>::new());
    assert!(!ignored.contains(&13), "{ignored:?}");
}

#[test]
fn a_condition_that_is_not_met_says_who_waits_and_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    let plan = format!("{START}[[plan]]\ndo = \"await\"\nuntil = \"task-gone\"\nwithin_ms = 100\n");
    let history = play(&case(&plan, DRIVER), folder.path(), Duration::from_secs(30));
    let last = history.entries.iter().find_map(|entry| match &entry.event {
        Event::Unmet { last, .. } => Some(last.join("\n")),
        _ => None,
    });
    let last = last.unwrap();
    assert!(
        last.contains("task ") && last.contains("logmon ") && last.contains("stdout.fifo: "),
        "{last}"
    );
    assert!(!has(&history, |event| matches!(
        event,
        Event::LeftBehind { .. }
    )));
}

#[test]
fn what_a_driver_leaves_behind_is_named_and_killed() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "[[plan]]\ndo = \"start-task\"\n[[plan]]\ndo = \"await-exit\"\n";
    let driver = "sh -c 'sleep 1000 & true' {task}";
    let history = play(&case(plan, driver), folder.path(), Duration::from_secs(30));
    assert!(has(
        &history,
        |event| matches!(event, Event::LeftBehind { command, .. } if command == "sleep 1000")
    ));
}

#[test]
fn a_case_process_that_is_killed_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    let case = case(&format!("{START}[[plan]]\ndo = \"await-exit\"\n"), DRIVER);
    let dir = CaseDir::new(folder.path().join("case"));
    let result = std::thread::scope(|scope| {
        let played = scope.spawn(|| runner::play(&case, &dir, Duration::from_secs(30)));
        let trace = || std::fs::read_to_string(dir.trace()).unwrap_or_default();
        until("the task waits at its gate", || {
            trace().contains("waits at gate") && trace().contains("\"met\"")
        });
        let wanted = dir.path().canonicalize().unwrap();
        let process = Snapshot::take()
            .all()
            .find(|stat| {
                let words =
                    std::fs::read(format!("/proc/{}/cmdline", stat.pid)).unwrap_or_default();
                words.ends_with(format!("__case\0{}\0", wanted.display()).as_bytes())
            })
            .map(|stat| stat.pid);
        kill(Pid::from_raw(process.unwrap()), Signal::SIGKILL).unwrap();
        played.join().unwrap()
    });
    assert!(
        matches!(result, Err(runner::RunnerError::Failed { .. })),
        "{result:?}"
    );
    assert_eq!(left(folder.path()), Vec::<String>::new());
    assert_eq!(fifos(&dir), Vec::<std::path::PathBuf>::new());
}

/// Waits for the number that somebody writes into a file.
fn number_in(file: &Path) -> i32 {
    let read = || std::fs::read_to_string(file).unwrap_or_default();
    until("a number is written", || read().ends_with('\n'));
    read().trim().parse().unwrap()
}

#[test]
fn what_nobody_knows_for_the_case_s_own_does_not_outlive_it_and_is_told() {
    if let Err(error) = executor::Enclosure::make() {
        let name = "what_nobody_knows_for_the_case_s_own_does_not_outlive_it_and_is_told";
        return eprintln!("skipped: {name}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("number");
    // Neither the session of the case nor anything in the environment.
    let daemon = format!("echo $$ >{}; exec sleep 10000", file.display());
    let driver = format!(
        "sh -c \"env -i setsid sh -c '{daemon}' & exec {{task}} >{{stdout}} 2>{{stderr}}\""
    );
    let driver = driver.replace("$$", "\\$\\$");
    let case = case(&format!("{START}[[plan]]\ndo = \"await-exit\"\n"), &driver);
    let dir = CaseDir::new(folder.path().canonicalize().unwrap().join("case"));
    let (result, daemon) = std::thread::scope(|scope| {
        let played = scope.spawn(|| runner::play(&case, &dir, Duration::from_secs(30)));
        let daemon = number_in(&file);
        let process = Snapshot::take()
            .all()
            .find(|stat| {
                let words =
                    std::fs::read(format!("/proc/{}/cmdline", stat.pid)).unwrap_or_default();
                words.ends_with(format!("__case\0{}\0", dir.path().display()).as_bytes())
            })
            .map(|stat| stat.pid);
        kill(Pid::from_raw(process.unwrap()), Signal::SIGKILL).unwrap();
        (played.join().unwrap(), daemon)
    });
    assert!(
        matches!(result, Err(runner::RunnerError::Failed { .. })),
        "{result:?}"
    );
    assert!(!harness::observe::lives(daemon));
    let trace = std::fs::read_to_string(dir.trace()).unwrap();
    let told = format!("was killed: {daemon} `sleep 10000`");
    assert!(trace.contains(&told), "{trace}");
}

#[test]
fn a_case_process_that_has_just_begun_is_ended_by_no_signal_that_it_takes_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("status");
    let mut case = case(&format!("{START}[[plan]]\ndo = \"await-exit\"\n"), DRIVER);
    // What it is to be told follows as two more files to read.
    let copy = format!("w {}", file.display());
    case.reexec = ["sed", "-n", &copy, "/proc/self/status"]
        .map(str::to_owned)
        .to_vec();
    let dir = CaseDir::new(folder.path().join("case"));
    let error = runner::play(&case, &dir, Duration::from_secs(30)).unwrap_err();
    assert!(
        matches!(error, runner::RunnerError::Failed { .. }),
        "{error:?}"
    );
    // SIGHUP, SIGINT, SIGUSR1 and SIGTERM.
    let status = std::fs::read_to_string(file).unwrap();
    for line in ["SigBlk:\t0000000000004203\n", "SigIgn:\t0000000000000000\n"] {
        assert!(status.contains(line), "no {line:?} in {status}");
    }
}

#[test]
fn a_driver_ignores_no_signal_though_the_suite_does() {
    let folder = tempfile::tempdir().unwrap();
    let dir = CaseDir::new(folder.path().canonicalize().unwrap().join("case"));
    std::fs::create_dir(dir.path()).unwrap();
    let file = dir.path().join("ignored");
    let driver = format!("sh -c 'grep SigIgn /proc/self/status >{}'", file.display());
    let case = case(&format!("{START}[[plan]]\ndo = \"await-exit\"\n"), &driver);
    std::fs::write(dir.case(), serde_json::to_string(&case).unwrap()).unwrap();
    // As a shell does to what it starts in the background.
    let script = format!(
        "trap '' INT QUIT ALRM; exec {HARNESS} __case {}",
        dir.path().display()
    );
    let status = Command::new("sh").arg("-c").arg(script).status().unwrap();
    assert!(status.success(), "{status}");
    let ignored = std::fs::read_to_string(file).unwrap();
    assert_eq!(ignored, "SigIgn:\t0000000000000000\n");
}

#[test]
fn a_driver_that_is_in_the_middle_of_something_is_measured_when_it_rests() {
    let folder = tempfile::tempdir().unwrap();
    // It takes its time to let go of what it needs for a start, and the task is quicker.
    let many =
        "3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null 8</dev/null 9</dev/null";
    let none = "3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-";
    let driver = format!(
        "sh -c 'exec {many}; {{task}} >{{stdout}} 2>{{stderr}} {none} & i=0; \
         while [ $i -lt 150000 ]; do i=$((i+1)); done; exec {none}; wait $!'"
    );
    let plan = format!(
        "{START}[[plan]]\ndo = \"measure\"\nof = \"driver\"\n[[plan]]\ndo = \"release\"\ngate = \"go\"\n\
         [[plan]]\ndo = \"await-exit\"\n"
    );
    let history = play(
        &case(&plan, &driver),
        folder.path(),
        Duration::from_secs(30),
    );
    let fds = history.entries.iter().find_map(|entry| match &entry.event {
        Event::Measured { fds, .. } => Some(*fds),
        _ => None,
    });
    // Three of the shell, which has one more by which it reads its terminal if it has one, and those of the task.
    let fds = fds.unwrap();
    assert!(fds <= 10, "{fds} descriptors");
}

#[test]
fn a_logmon_that_hangs_instead_of_refusing_is_neither_ready_nor_late_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "[[plan]]\ndo = \"start-logmon\"\nexpect = \"refused\"\n";
    let case = with_logmon(case(plan, DRIVER), "sleep 1000");
    let history = play(&case, folder.path(), Duration::from_secs(30));
    assert!(has(&history, |event| matches!(
        event,
        Event::LogmonNotReady { life: 1, .. }
    )));
    assert!(!has(&history, |event| matches!(
        event,
        Event::LogmonOverdue { .. }
    )));
}

#[test]
fn a_logmon_that_a_shell_started_is_ready_when_it_reads() {
    let folder = tempfile::tempdir().unwrap();
    let plan = format!(
        "{START}[[plan]]\ndo = \"release\"\ngate = \"go\"\n[[plan]]\ndo = \"await-exit\"\n"
    );
    let wrapped = format!("sh -c '{LOGMON} >/dev/null; true'");
    let case = with_logmon(case(&plan, DRIVER), &wrapped);
    let history = play(&case, folder.path(), Duration::from_secs(30));
    assert!(has(&history, |event| matches!(
        event,
        Event::LogmonReady { life: 1, .. }
    )));
}

#[test]
fn a_gate_that_no_task_can_reach_any_more_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let case = case(START, "true {task}");
    let history = play(&case, folder.path(), Duration::from_secs(30));
    let waited = history.entries.iter().find_map(|entry| match &entry.event {
        Event::Unmet { within_ms, .. } => Some(*within_ms),
        _ => None,
    });
    assert!(waited.unwrap() < 5_000, "{waited:?}");
}

#[test]
fn a_write_end_that_a_stranger_holds_is_not_released() {
    let folder = tempfile::tempdir().unwrap();
    let case = case(&format!("{START}[[plan]]\ndo = \"await-exit\"\n"), DRIVER);
    let dir = CaseDir::new(folder.path().join("case"));
    std::thread::scope(|scope| {
        let played = scope.spawn(|| runner::play(&case, &dir, Duration::from_secs(30)));
        until("the task waits at its gate", || {
            std::fs::read_to_string(dir.trace())
                .unwrap_or_default()
                .contains("\"met\"")
        });
        let held = std::fs::OpenOptions::new()
            .write(true)
            .open(dir.fifo(mock_driver::stream::Stream::Stdout))
            .unwrap();
        std::fs::write(dir.gates().join("go"), "").unwrap();
        played.join().unwrap().unwrap();
        drop(held);
    });
    let history = runner::load(&CaseDir::new(dir.path().canonicalize().unwrap())).unwrap();
    let me = i32::try_from(std::process::id()).unwrap();
    let released: Vec<&Event> = history
        .entries
        .iter()
        .map(|entry| &entry.event)
        .filter(|event| matches!(event, Event::WriteEndsReleased { .. }))
        .collect();
    assert!(
        matches!(
            released[..],
            [Event::WriteEndsReleased { after_ms: None, holders, .. }]
                if holders.iter().any(|holder| holder.pid == me)
        ),
        "{released:?}"
    );
}

#[test]
fn a_case_whose_parent_is_killed_ends_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let dir = CaseDir::new(folder.path().canonicalize().unwrap().join("case"));
    std::fs::create_dir(dir.path()).unwrap();
    let case = case(&format!("{START}[[plan]]\ndo = \"await-exit\"\n"), DRIVER);
    std::fs::write(dir.case(), serde_json::to_string(&case).unwrap()).unwrap();
    let script = format!("{HARNESS} __case {} & wait", dir.path().display());
    let mut parent = Command::new("sh")
        .arg("-c")
        .arg(script)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let trace = || std::fs::read_to_string(dir.trace()).unwrap_or_default();
    until("the task waits at its gate", || trace().contains("\"met\""));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("nothing is left", || left(folder.path()).is_empty());
    assert!(
        trace().contains("interrupted") && trace().contains("\"ended\""),
        "{}",
        trace()
    );
}

#[test]
fn a_case_process_whose_parent_has_gone_before_it_began_plays_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = CaseDir::new(folder.path().canonicalize().unwrap().join("case"));
    std::fs::create_dir(dir.path()).unwrap();
    let case = case(&format!("{START}[[plan]]\ndo = \"await-exit\"\n"), DRIVER);
    std::fs::write(dir.case(), serde_json::to_string(&case).unwrap()).unwrap();
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let status = Command::new(HARNESS)
        .arg("__case")
        .arg(dir.path())
        .env("HARNESS_CASE_PARENT", gone.id().to_string())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    assert!(!dir.trace().exists());
    assert_eq!(fifos(&dir), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_driver_that_never_stops_printing_does_not_fill_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let dir = CaseDir::new(folder.path().canonicalize().unwrap().join("case"));
    let case = case(
        &format!("{START}[[plan]]\ndo = \"await-exit\"\n"),
        "sh -c 'yes garbage; {task}'",
    );
    let most = std::cell::Cell::new(0);
    std::thread::scope(|scope| {
        let played = scope.spawn(|| runner::play(&case, &dir, Duration::from_secs(2)));
        let output = dir.output("driver", 0, mock_driver::stream::Stream::Stdout);
        until("the case is over", || {
            most.set(
                most.get()
                    .max(std::fs::metadata(&output).map_or(0, |file| file.len())),
            );
            played.is_finished()
        });
        played.join().unwrap().unwrap();
    });
    assert!(most.get() > 64 << 10, "it printed {} bytes", most.get());
    let output = dir.output("driver", 0, mock_driver::stream::Stream::Stdout);
    let text = std::fs::read_to_string(output).unwrap();
    assert!(text.starts_with("garbage\n"));
    assert!(text.len() <= 4 << 20, "{} bytes are left", text.len());
    assert!(text.contains("cut off"));
}
