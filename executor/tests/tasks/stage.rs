//! What the tests share (edge): two FIFOs with their readers, scripts as tasks, and waiting for conditions.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use executor::{
    Allowed, Cancel, Executor, ExitStatus, LaunchSpec, Launched, LogPaths, Options,
    StandardExecutor, Waited,
};
use fifo::{ReadOutcome, Readable, Reader};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;

/// Far longer than anything takes on a machine that is busy.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A folder with two FIFOs, and their readers.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) logs: LogPaths,
    pub(crate) stdout: Reader,
    pub(crate) stderr: Reader,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let (folder, logs) = fifos();
        let stdout = Reader::open(logs.stdout()).unwrap();
        let stderr = Reader::open(logs.stderr()).unwrap();
        Stage {
            folder,
            logs,
            stdout,
            stderr,
        }
    }

    /// A shell with this script as its task.
    pub(crate) fn script(&self, script: &str) -> LaunchSpec {
        sh(script, self.logs.clone())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Launches a script in a new executor.
    pub(crate) fn launch(&self, script: &str) -> (StandardExecutor, Launched) {
        let executor = StandardExecutor::new(Options::default());
        let launched = executor
            .launch(&self.script(script), Cancel::never())
            .unwrap();
        (executor, launched)
    }
}

/// A folder with two FIFOs that nobody reads.
pub(crate) fn fifos() -> (TempDir, LogPaths) {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogPaths::of_task(folder.path(), "task");
    for path in [logs.stdout(), logs.stderr()] {
        fifo::create(path, 0o600).unwrap();
    }
    (folder, logs)
}

/// Makes a program. Another process writes it: what is open for writing can't be executed, execve(2), and a
/// child of another test may hold a copy of a descriptor of this process for a moment.
pub(crate) fn program(path: &Path, text: &str, mode: u32) {
    let draft = path.with_extension("draft");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&draft, text).unwrap();
    let copied = Command::new("cp").arg(&draft).arg(path).status().unwrap();
    assert!(copied.success());
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A shell with this script as its task.
pub(crate) fn sh(script: &str, logs: LogPaths) -> LaunchSpec {
    let spec = LaunchSpec::new("/bin/sh", logs).args(["-c", script]);
    spec.env("PATH", "/usr/local/bin:/usr/bin:/bin")
}

/// What may contain a task in a test: one means, and nothing better.
pub(crate) fn only(cgroup2: bool, freezer: bool) -> StandardExecutor {
    StandardExecutor::new(Options {
        allowed: Allowed {
            cgroup2,
            freezer,
            subreaper: false,
        },
    })
}

/// Reads until the last writer has gone.
pub(crate) fn all(reader: &Reader) -> String {
    let mut text = Vec::new();
    loop {
        match reader.wait_readable(LONG).unwrap() {
            Readable::Ready => text.extend(read(reader)),
            Readable::NoWriter => return String::from_utf8(text).unwrap(),
            Readable::TimedOut => panic!("a writer stays; until now: {text:?}"),
        }
    }
}

/// Reads one line.
pub(crate) fn line(reader: &Reader) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\n") {
        assert_eq!(
            reader.wait_readable(LONG).unwrap(),
            Readable::Ready,
            "after {text:?}"
        );
        text.extend(read_up_to(reader, 1));
    }
    String::from_utf8(text).unwrap().trim_end().to_owned()
}

fn read(reader: &Reader) -> Vec<u8> {
    read_up_to(reader, 4096)
}

fn read_up_to(reader: &Reader, bytes: usize) -> Vec<u8> {
    let mut chunk = vec![0; bytes];
    match reader.try_read(&mut chunk).unwrap() {
        ReadOutcome::Bytes(bytes) => chunk[..bytes].to_vec(),
        ReadOutcome::Empty | ReadOutcome::NoWriter => Vec::new(),
    }
}

/// Waits for the end of a task.
pub(crate) fn end(executor: &dyn Executor) -> ExitStatus {
    match executor.wait(Some(LONG), Cancel::never()).unwrap() {
        Waited::Ended(status) => status,
        Waited::TimedOut | Waited::Cancelled => panic!("it does not end"),
    }
}

/// True once this process has ended, zombie or gone.
pub(crate) fn has_ended_within(pid: i32, limit: Duration) -> bool {
    let Ok(pidfd) = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()) else {
        return true;
    };
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    let limit = Timespec {
        tv_sec: limit.as_secs().try_into().unwrap(),
        tv_nsec: limit.subsec_nanos().into(),
    };
    poll(&mut fds, Some(&limit)).unwrap() == 1
}

/// A field of `/proc/PID/status`.
pub(crate) fn status_field(pid: i32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}"))
        .trim()
        .to_owned()
}

/// Looks until something is there.
#[expect(
    clippy::disallowed_methods,
    reason = "what the tables of the kernel say has no event; the condition is looked at, not the time"
)]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) => assert!(start.elapsed() < LONG, "{what}: last seen {last}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where this process can make control groups of version 2, if it can.
pub(crate) fn cgroup2() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    let point = Path::new(mount.split(' ').nth(1)?);
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    writable(point.join(own))
}

/// Where this process can make control groups of version 1 with this controller, if it can.
pub(crate) fn cgroup1(controller: &str) -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        rest.strip_prefix(controller)?
            .strip_prefix(":/")
            .map(str::to_owned)
    })?;
    writable(Path::new("/sys/fs/cgroup").join(controller).join(own))
}

fn writable(folder: PathBuf) -> Option<PathBuf> {
    let procs = folder.join("cgroup.procs");
    fs::OpenOptions::new()
        .write(true)
        .open(procs)
        .is_ok()
        .then_some(folder)
}

/// Freezes a freezer of version 1.
pub(crate) fn freeze(folder: &Path) {
    let state = folder.join("freezer.state");
    fs::write(&state, "FROZEN").unwrap();
    until("it is frozen", || {
        let now = fs::read_to_string(&state).unwrap();
        if now.trim() == "FROZEN" {
            Ok(())
        } else {
            Err(now)
        }
    });
}

/// Words as arguments.
pub(crate) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(Into::into).collect()
}

/// Says that a test is skipped, and why.
macro_rules! skip {
    ($name:literal, $why:literal) => {
        return eprintln!("skipped: {}: {}", $name, $why)
    };
}
pub(crate) use skip;
