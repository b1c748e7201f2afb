//! Edge: the cost of many tasks: memory, idle wake-ups, and CPU time with a few lines a second each.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fifo::{Writer, Written};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::child::{Process, memory_bytes, pause};
use crate::payload::Payload;
use crate::trial::Programs;

const LINE_BYTES: usize = 100;
/// Each task writes so many lines a second, to stdout.
const LINES_PER_S: usize = 10;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    cpu_s: f64,
    wake_ups: u64,
}

/// How the tasks are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All by one `logmon serve`.
    Served,
    /// Each by a `logmon run` of its own.
    Alone,
}

/// Processes beyond this number show nothing that fewer do not.
const MOST_PROCESSES: usize = 100;
/// How long a crowd may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Measures one process for all tasks, if this logmon can do that, and one process per task; gives a
/// table.
pub(crate) fn measure(
    place: &Path,
    counts: &[usize],
    seconds: u64,
    programs: &Programs,
) -> Result<String> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let mut text = String::from(
        "| tasks (two streams each) | start, ms | empty process, KiB | memory per task above it, KiB | \
         idle: wake-ups/s of all | idle: CPU of all, % of a core | \
         10 lines/s each: CPU of all, % of a core | the same, µs of CPU per line |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let can_serve = programs.logmon_knows("serve")?;
    if !can_serve {
        println!("left out: this logmon has no `serve`");
    }
    for way in [Way::Served, Way::Alone] {
        for count in counts {
            let is_measured = match way {
                Way::Served => can_serve,
                Way::Alone => *count <= MOST_PROCESSES,
            };
            if is_measured {
                let crowd = Crowd::start(way, place, *count, programs);
                let row = crowd
                    .and_then(|crowd| crowd.watched(Duration::from_secs(seconds)))
                    .with_context(|| format!("{count} tasks, {way:?}"))?;
                text += &row;
            }
        }
    }
    Ok(text)
}

/// Tasks with their FIFOs, and what collects them.
struct Crowd {
    way: Way,
    folder: TempDir,
    count: usize,
    processes: Vec<Process>,
    start: Duration,
    /// The memory of one process without a task, in bytes; none where there is no such process.
    empty_bytes: Option<u64>,
}

impl Crowd {
    fn start(way: Way, place: &Path, count: usize, programs: &Programs) -> Result<Crowd> {
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
            Way::Served => crowd.serve(programs)?,
            Way::Alone => crowd.run_alone(programs)?,
        }
        Ok(crowd)
    }

    fn run_alone(&mut self, programs: &Programs) -> Result<()> {
        let started = Instant::now();
        for task in 0..self.count {
            let stream = |name: &str| {
                format!(
                    "{}=t{task}.{name}",
                    fifo(&self.folder, task, name).display()
                )
            };
            let mut command = programs.logmon_command();
            command
                .args(["run", "--max-files", "10", "--max-file-size", "10MiB"])
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

    fn serve(&mut self, programs: &Programs) -> Result<()> {
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
                let stream = |name: &str| {
                    serde_json::json!({
                        "fifo": fifo(&self.folder, task, name),
                        "name": format!("t{task}.{name}"),
                    })
                };
                let request = serde_json::json!({
                    "v": 1, "op": "start", "task": format!("t{task}"), "log_dir": log_dir(&self.folder, task),
                    "max_files": 10, "max_file_size": "10MiB",
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

    /// Watches it idle and at work, ends it, and gives its row.
    fn watched(self, time: Duration) -> Result<String> {
        let pids: Vec<Pid> = self.processes.iter().map(Process::pid).collect();
        let writers: Vec<Writer> = (0..self.count)
            .map(|task| Writer::open_within(fifo(&self.folder, task, "stdout"), START_LIMIT))
            .collect::<Result<_, _>>()?;
        pause(Duration::from_secs(1));

        let before = used(&pids)?;
        pause(time);
        let idle = used(&pids)?.since(before);
        let memory_bytes: u64 = pids
            .iter()
            .filter_map(|pid| memory_bytes(*pid, "smaps_rollup", "Pss"))
            .sum();

        let before = used(&pids)?;
        let lines = write_lines(&writers, time)?;
        let active = used(&pids)?.since(before);
        self.end()?.row(memory_bytes, idle, active, lines, time)
    }

    fn end(mut self) -> Result<Crowd> {
        for process in &self.processes {
            process.signal(Signal::SIGTERM)?;
        }
        for process in self.processes.drain(..) {
            let (status, _) = process.wait()?;
            ensure!(status.success(), "logmon ended with {status}");
        }
        Ok(self)
    }

    fn row(
        &self,
        bytes: u64,
        idle: Used,
        active: Used,
        lines: usize,
        time: Duration,
    ) -> Result<String> {
        let kib = |bytes: f64| format!("{:.1}", bytes / 1024.0);
        let percent = |used: Used| used.cpu_s / time.as_secs_f64() * 100.0;
        let above = bytes.saturating_sub(self.empty_bytes.unwrap_or(0));
        let mut row = String::new();
        writeln!(
            row,
            "| {}, {} | {:.0} | {} | {} | {:.1} | {:.2} | {:.2} | {:.1} |",
            self.count,
            match self.way {
                Way::Served => "one `logmon serve`",
                Way::Alone => "a `logmon run` each",
            },
            self.start.as_secs_f64() * 1e3,
            self.empty_bytes
                .map_or_else(|| "-".to_owned(), |bytes| kib(bytes as f64)),
            kib(above as f64 / self.count as f64),
            idle.wake_ups as f64 / time.as_secs_f64(),
            percent(idle),
            percent(active),
            active.cpu_s * 1e6 / lines.max(1) as f64,
        )?;
        Ok(row)
    }
}

fn fifo(folder: &TempDir, task: usize, stream: &str) -> PathBuf {
    folder.path().join(format!("t{task}.{stream}.fifo"))
}

/// A folder for each task, as each allocation has one: a start lists it.
fn log_dir(folder: &TempDir, task: usize) -> PathBuf {
    folder.path().join(format!("t{task}.log"))
}

/// Writes lines to all tasks at a steady rate, spread evenly over time; gives their count.
fn write_lines(writers: &[Writer], time: Duration) -> Result<usize> {
    nix::sys::prctl::set_timerslack(1_000)?;
    let mut payload = Payload::new(LINE_BYTES);
    let per_second = writers.len() * LINES_PER_S;
    let started = Instant::now();
    let mut written = 0;
    while started.elapsed() < time {
        let due = (started.elapsed().as_secs_f64() * per_second as f64) as usize;
        while written < due {
            let line = payload.line(written as u64);
            let outcome = writers[written % writers.len()].try_write(line)?;
            ensure!(
                outcome == Written::Bytes(LINE_BYTES),
                "a task could not write: {outcome:?}"
            );
            written += 1;
        }
        pause(Duration::from_millis(1));
    }
    Ok(written)
}

impl Used {
    fn since(self, before: Used) -> Used {
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
