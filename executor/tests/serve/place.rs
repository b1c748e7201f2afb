//! Where the tasks of a test run (edge): a folder with two FIFOs and their readers.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fifo::{ReadOutcome, Readable, Reader};
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Far longer than anything takes on a machine that is busy.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Place {
    folder: TempDir,
    readers: Vec<Reader>,
}

impl Place {
    pub(crate) fn new() -> Place {
        let mut place = Place::unread();
        place.read();
        place
    }

    /// One whose FIFOs nobody reads.
    pub(crate) fn unread() -> Place {
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
            readers: Vec::new(),
        };
        fs::create_dir(place.task_dir()).unwrap();
        for path in place.fifos() {
            fifo::create(&path, 0o600).unwrap();
        }
        place
    }

    pub(crate) fn read(&mut self) {
        let readers = self.fifos().map(|path| Reader::open(&path).unwrap());
        self.readers = readers.into();
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn task_dir(&self) -> PathBuf {
        self.path().join("task")
    }

    fn fifos(&self) -> [PathBuf; 2] {
        ["out", "err"].map(|name| self.path().join(name))
    }

    /// What starts a shell with this script.
    pub(crate) fn script(&self, id: &str, script: &str) -> Value {
        let [stdout, stderr] = self.fifos();
        json!({
            "id": id, "argv": ["/bin/sh", "-c", script], "env": {"OWN": "1"}, "user": null,
            "stdout": stdout, "stderr": stderr, "task_dir": self.task_dir(), "log_dir": self.path(),
        })
    }

    /// The same without a log.
    pub(crate) fn silent(&self, id: &str, script: &str) -> Value {
        let mut start = self.script(id, script);
        start["stdout"] = "/dev/null".into();
        start["stderr"] = "/dev/null".into();
        start
    }

    /// Reads a line of stdout.
    pub(crate) fn line(&self) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"\n") {
            text.extend(self.bytes(0, 1, &text));
        }
        String::from_utf8(text).unwrap().trim_end().to_owned()
    }

    /// Reads stdout (0) or stderr (1) until the last writer has gone.
    pub(crate) fn rest(&self, stream: usize) -> String {
        let mut text = Vec::new();
        loop {
            let more = self.bytes(stream, 4096, &text);
            if more.is_empty() {
                return String::from_utf8(text).unwrap();
            }
            text.extend(more);
        }
    }

    /// None are given when the last writer has gone.
    fn bytes(&self, stream: usize, most: usize, before: &[u8]) -> Vec<u8> {
        let reader = &self.readers[stream];
        let mut chunk = vec![0; most];
        loop {
            match reader.wait_readable(LONG).unwrap() {
                Readable::NoWriter => return Vec::new(),
                Readable::TimedOut => panic!("nothing more after {before:?}"),
                Readable::Ready => {}
            }
            if let ReadOutcome::Bytes(bytes) = reader.try_read(&mut chunk).unwrap() {
                return chunk[..bytes].to_vec();
            }
        }
    }

    /// What lies in the folder of the tasks, by name.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = fs::read_dir(self.task_dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }

    /// The processes that are at home here: drivers, wardens and tasks, but no zombies.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let here = self.path().canonicalize().unwrap();
        let all = fs::read_dir("/proc").unwrap();
        let pids = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&here))
        })
        .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that was surprised may have left some.
        for pid in self.processes() {
            kill(pid, Signal::SIGKILL);
        }
    }
}

/// Sends a signal to a process that this test knows, dead or alive.
pub(crate) fn kill(pid: i32, signal: Signal) {
    let _is_alive = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
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

pub(crate) fn has_ended(pid: i32) -> bool {
    has_ended_within(pid, Duration::ZERO)
}

/// A pid in an answer or a handle.
pub(crate) fn pid(value: &Value) -> i32 {
    let number = value
        .as_i64()
        .unwrap_or_else(|| panic!("{value} is no pid"));
    number.try_into().unwrap()
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
