//! Edge: many tasks with their FIFOs, and what collects them.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fifo::Writer;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::child::Process;
use crate::child::memory_bytes;
use crate::rulers::Rotation;
use crate::trial::Programs;

/// How the tasks are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// All by one `logmon serve`.
    Served,
    /// Each by a `logmon run` of its own.
    Alone,
}

/// How long a crowd may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) cpu_s: f64,
    pub(crate) wake_ups: u64,
}

/// Tasks with their FIFOs, and what collects them.
pub(crate) struct Crowd {
    pub(crate) way: Way,
    pub(crate) count: usize,
    /// How long it took until all were collected.
    pub(crate) start: Duration,
    folder: TempDir,
    processes: Vec<Process>,
    /// The memory of one process without a task, in bytes; none where there is no such process.
    pub(crate) empty_bytes: Option<u64>,
}

impl Crowd {
    pub(crate) fn start(
        way: Way,
        place: &Path,
        count: usize,
        rotation: Rotation,
        programs: &Programs,
    ) -> Result<Crowd> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        let folder = tempfile::Builder::new()
            .prefix("measure-")
            .tempdir_in(place)?;
        for task in 0..count {
            fs::create_dir(log_dir(&folder, task))?;
            fifo::create(&fifo(&folder, task, "stdout"), 0o600)?;
            fifo::create(&fifo(&folder, task, "stderr"), 0o600)?;
        }
        let mut crowd = Crowd {
            way,
            folder,
            count,
            processes: Vec::new(),
            start: Duration::ZERO,
            empty_bytes: None,
        };
        match way {
            Way::Served => crowd.serve(rotation, programs)?,
            Way::Alone => crowd.run_alone(rotation, programs)?,
        }
        Ok(crowd)
    }

    fn run_alone(&mut self, rotation: Rotation, programs: &Programs) -> Result<()> {
        let started = Instant::now();
        for task in 0..self.count {
            let stream = |stream: &str| {
                let fifo = fifo(&self.folder, task, stream);
                format!("{}={}", fifo.display(), log_name(stream))
            };
            let mut command = programs.logmon_command();
            command
                .args(["run", "--max-files", &rotation.max_files.to_string()])
                .args(["--max-file-size", &rotation.max_file_bytes.to_string()])
                .args(["--log-level", "warn", "--log-dir"])
                .arg(log_dir(&self.folder, task))
                .args(["--stdout", &stream("stdout"), "--stderr", &stream("stderr")])
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            self.processes.push(Process::spawn(&mut command)?);
        }
        for task in 0..self.count {
            for stream in ["stdout", "stderr"] {
                // A writer finds a reader: this FIFO is open.
                Writer::open_within(fifo(&self.folder, task, stream), START_LIMIT)?;
            }
        }
        self.start = started.elapsed();
        Ok(())
    }

    fn serve(&mut self, rotation: Rotation, programs: &Programs) -> Result<()> {
        let socket = self.folder.path().join("control");
        let mut command = programs.logmon_command();
        command
            .args(["serve", "--log-level", "warn", "--control"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut server = Process::spawn(&mut command)?;
        server.wait_ready("logmon serve")?;
        self.empty_bytes = memory_bytes(server.pid(), "smaps_rollup", "Pss");
        let requests: String = (0..self.count)
            .map(|task| {
                let stream = |stream: &str| {
                    serde_json::json!({
                        "fifo": fifo(&self.folder, task, stream),
                        "name": log_name(stream),
                    })
                };
                let request = serde_json::json!({
                    "v": 1, "op": "start", "task": format!("t{task}"), "log_dir": log_dir(&self.folder, task),
                    "max_files": rotation.max_files, "max_file_size": rotation.max_file_bytes,
                    "stdout": stream("stdout"), "stderr": stream("stderr"),
                });
                format!("{request}\n")
            })
            .collect();
        self.processes.push(server);
        let connection = UnixStream::connect(&socket).context("cannot reach the server")?;
        connection.set_read_timeout(Some(START_LIMIT))?;
        let mut sender = connection.try_clone()?;
        let started = Instant::now();
        // The answers are read while the requests are sent, so neither side waits for the other.
        let sending = std::thread::spawn(move || sender.write_all(requests.as_bytes()));
        for answer in BufReader::new(connection).lines().take(self.count) {
            let answer = answer.context("no answer to a start")?;
            ensure!(answer.contains("\"ok\":true"), "refused: {answer}");
        }
        self.start = started.elapsed();
        match sending.join() {
            Ok(outcome) => outcome.context("cannot send the starts"),
            Err(_) => bail!("the sender panicked"),
        }
    }

    /// The folder of a task's log; of stdout it is `log.0`, `log.1`, …
    pub(crate) fn log_dir(&self, task: usize) -> PathBuf {
        log_dir(&self.folder, task)
    }

    /// The FIFO of a task's stdout.
    pub(crate) fn fifo(&self, task: usize) -> PathBuf {
        fifo(&self.folder, task, "stdout")
    }

    /// Opens the FIFO of each task's stdout.
    pub(crate) fn writers(&self) -> Result<Vec<Writer>> {
        (0..self.count)
            .map(|task| Ok(Writer::open_within(self.fifo(task), START_LIMIT)?))
            .collect()
    }

    /// The processes that collect.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        self.processes.iter().map(Process::pid).collect()
    }

    /// What all of them have used so far.
    pub(crate) fn used(&self) -> Result<Used> {
        used(&self.pids())
    }

    /// Ends them, and keeps the files.
    pub(crate) fn end(mut self) -> Result<Crowd> {
        for process in &self.processes {
            process.signal(Signal::SIGTERM)?;
        }
        for process in self.processes.drain(..) {
            let (status, _) = process.wait()?;
            ensure!(status.success(), "logmon ended with {status}");
        }
        Ok(self)
    }
}

fn fifo(folder: &TempDir, task: usize, stream: &str) -> PathBuf {
    folder.path().join(format!("t{task}.{stream}.fifo"))
}

/// A folder for each task, as each allocation has one: a start lists it.
fn log_dir(folder: &TempDir, task: usize) -> PathBuf {
    folder.path().join(format!("t{task}.log"))
}

/// The name of a stream's log. The folder is the task's own.
fn log_name(stream: &str) -> &'static str {
    if stream == "stdout" { "log" } else { "other" }
}

impl Used {
    /// What was used since then.
    pub(crate) fn since(self, before: Used) -> Used {
        Used {
            cpu_s: self.cpu_s - before.cpu_s,
            wake_ups: self.wake_ups - before.wake_ups,
        }
    }
}

/// Sums over the threads of all processes: time on a core, and voluntary context switches, each of which
/// ends in a wake-up.
fn used(pids: &[Pid]) -> Result<Used> {
    let mut used = Used::default();
    for pid in pids {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?.path();
            let times = fs::read_to_string(thread.join("schedstat"))?;
            let on_core_ns: f64 = times.split(' ').next().unwrap_or("0").parse()?;
            used.cpu_s += on_core_ns / 1e9;
            let status = fs::read_to_string(thread.join("status"))?;
            let switches = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .unwrap_or("0");
            used.wake_ups += switches.trim().parse::<u64>()?;
        }
    }
    Ok(used)
}
