//! Many launches at once, and what a launch does to the process that makes it (edge). Each test counts what this process
//! has or sets what becomes of its signals, so they take turns.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor::{
    Allowed, Cancel, End, Executor, LaunchSpec, LogPaths, Options, StandardExecutor, Waited,
};
use fifo::{ReadOutcome, Readable, Reader};
use nix::libc::{self, c_int};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::{Pid, getpgrp, getpid, setpgid};

const THREADS: u32 = 8;
const LAUNCHES_OF_EACH: u32 = 25;

/// Far longer than anything takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A subreaper is one for all tasks of a process.
fn new() -> StandardExecutor {
    StandardExecutor::new(Options {
        allowed: Allowed {
            subreaper: false,
            ..Allowed::default()
        },
    })
}

/// Launches a program that does nothing, and says how it has ended.
fn launch_and_end(spec: &LaunchSpec) -> End {
    let executor = new();
    executor.launch(spec, Cancel::never()).unwrap();
    let end = match executor.wait(Some(LONG), Cancel::never()).unwrap() {
        Waited::Ended(status) => status.end,
        Waited::TimedOut | Waited::Cancelled => panic!("it does not end"),
    };
    executor.shutdown(None, Duration::ZERO).unwrap();
    end
}

fn silent(program: &str) -> LaunchSpec {
    LaunchSpec::new(program, LogPaths::disabled("/"))
}

/// Descriptors of this process.
fn held() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How many stacks of new processes are mapped here: each has 64 KiB below it that can't be used.
fn stacks() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let guards = maps.lines().filter(|line| {
        let (range, access) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let at = |text: &str| u64::from_str_radix(text, 16).unwrap();
        access.starts_with("---") && at(to) - at(from) == 64 * 1024
    });
    guards.count()
}

/// The children of this process, zombies too.
fn children() -> BTreeSet<String> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let lists = threads.map(|thread| thread.unwrap().path().join("children"));
    let lists = lists.map(|list| fs::read_to_string(list).unwrap());
    let pids = lists.flat_map(|list| {
        list.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    pids.collect()
}

/// The control groups on this machine that this process has made.
fn groups() -> Vec<PathBuf> {
    let own = format!("executor-{}-", std::process::id());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let groups = mounts.filter(|words| words[2].starts_with("cgroup"));
    let mut folders: Vec<PathBuf> = groups.map(|words| words[1].into()).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        // Somebody else's may go meanwhile.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(&own) {
                found.push(entry.path());
            } else {
                folders.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn two_hundred_launches_by_eight_threads_leave_nothing() {
    let _turn = turn();
    // The first task of a process makes what stays.
    assert_eq!(launch_and_end(&silent("/bin/true")), End::Code(0));
    let before = (held(), stacks());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..LAUNCHES_OF_EACH {
                    if number % 5 == 0 {
                        let mut spec = silent("/bin/true");
                        spec.cwd = Some("/no/such/folder".into());
                        let error = new().launch(&spec, Cancel::never()).unwrap_err();
                        let text = error.to_string();
                        assert!(text.contains("enter the folder"), "got {text}");
                    } else {
                        assert_eq!(launch_and_end(&silent("/bin/true")), End::Code(0));
                    }
                }
            });
        }
    });
    assert_eq!(children(), BTreeSet::new());
    assert_eq!(groups(), Vec::<PathBuf>::new());
    assert_eq!((held(), stacks()), before, "descriptors and stacks");
}

static OWN: AtomicU32 = AtomicU32::new(0);
static HERE: AtomicU32 = AtomicU32::new(0);
static ELSEWHERE: AtomicU32 = AtomicU32::new(0);

/// Counts where it runs. A process that shares the memory of this one would count here, too.
extern "C" fn count(_: c_int) {
    let is_here = std::process::id() == OWN.load(Ordering::Relaxed);
    let counter = if is_here { &HERE } else { &ELSEWHERE };
    counter.fetch_add(1, Ordering::Relaxed);
}

fn handle(signal: Signal, handler: SigHandler) -> SigAction {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    #[expect(unsafe_code, reason = "sigaction(2) has no safe cover")]
    // SAFETY: the handlers of this file read and add to atomic numbers, and call getpid(2).
    unsafe { sigaction(signal, &action) }.unwrap()
}

/// Ends the flood when it is dropped.
struct Flood<'a>(&'a AtomicBool);

impl Drop for Flood<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_handler_of_this_process_runs_in_one_that_it_starts() {
    let _turn = turn();
    OWN.store(std::process::id(), Ordering::Relaxed);
    // A group of its own: whoever has started the tests is not meant.
    if getpgrp() != getpid() {
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).unwrap();
    }
    // It stays: one that was sent may come at any time, and would end this process.
    handle(Signal::SIGUSR2, SigHandler::Handler(count));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _flood = Flood(&is_over);
        // A new process is in this group until it begins a session.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                kill(Pid::from_raw(0), Signal::SIGUSR2).unwrap();
            }
        });
        for _ in 0..200 {
            let end = launch_and_end(&silent("/bin/true"));
            let killed = End::Signal(Signal::SIGUSR2 as c_int);
            assert!(end == End::Code(0) || end == killed, "{end:?}");
        }
    });
    assert_ne!(HERE.load(Ordering::Relaxed), 0, "nothing has come");
    assert_eq!(ELSEWHERE.load(Ordering::Relaxed), 0);
}

/// Sets what becomes of a signal of real time, which the covers don't know.
fn dispose_real_time(disposition: libc::sighandler_t) {
    #[expect(unsafe_code, reason = "signal(2) has no safe cover")]
    // SAFETY: neither the default nor ignoring runs code of ours.
    let before = unsafe { libc::signal(libc::SIGRTMIN() + 5, disposition) };
    assert_ne!(before, libc::SIG_ERR);
}

/// What the kernel says of the signals of a process or thread.
fn signals_of(status: &str) -> Vec<String> {
    let fields = ["SigBlk:", "SigIgn:", "SigCgt:"];
    let lines = status
        .lines()
        .filter(|line| fields.iter().any(|field| line.starts_with(field)));
    lines.map(str::to_owned).collect()
}

fn all(reader: &Reader) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match reader.wait_readable(LONG).unwrap() {
            Readable::Ready => {}
            Readable::NoWriter => return String::from_utf8(text).unwrap(),
            Readable::TimedOut => panic!("nothing more after {text:?}"),
        }
        if let ReadOutcome::Bytes(bytes) = reader.try_read(&mut chunk).unwrap() {
            text.extend_from_slice(&chunk[..bytes]);
        }
    }
}

#[test]
fn a_task_has_no_signal_blocked_or_ignored_and_this_process_keeps_its_own() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let logs = LogPaths::of_task(folder.path(), "task");
    for path in [logs.stdout(), logs.stderr()] {
        fifo::create(path, 0o600).unwrap();
    }
    let stdout = Reader::open(logs.stdout()).unwrap();
    let _stderr = Reader::open(logs.stderr()).unwrap();
    let spec = LaunchSpec::new("/bin/cat", logs).args(["/proc/self/status"]);

    let handled = handle(Signal::SIGUSR1, SigHandler::Handler(count));
    let ignored = handle(Signal::SIGHUP, SigHandler::SigIgn);
    dispose_real_time(libc::SIG_IGN);
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGTERM);
    // The mask is the thread's that launches.
    let (before, after) = std::thread::scope(|scope| {
        let launch = || {
            blocked.thread_block().unwrap();
            let own = || signals_of(&fs::read_to_string("/proc/thread-self/status").unwrap());
            let before = own();
            assert_eq!(launch_and_end(&spec), End::Code(0));
            (before, own())
        };
        scope.spawn(launch).join().unwrap()
    });
    handle(Signal::SIGUSR1, handled.handler());
    handle(Signal::SIGHUP, ignored.handler());
    dispose_real_time(libc::SIG_DFL);
    assert_eq!(before.len(), 3, "{before:?}");
    assert_eq!(before, after);
    assert_eq!(before[0], "SigBlk:\t0000000000004000");
    let none = ["SigBlk", "SigIgn", "SigCgt"].map(|field| format!("{field}:\t0000000000000000"));
    assert_eq!(signals_of(&all(&stdout)), none);
}
