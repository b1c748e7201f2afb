//! Edge: the cost of many tasks: memory, idle wake-ups, and CPU time with a few lines a second each.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
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

/// Measures one process per task; gives a table.
pub(crate) fn measure(
    place: &Path,
    counts: &[usize],
    seconds: u64,
    programs: &Programs,
) -> Result<String> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let mut text = String::from(
        "| tasks (two streams each) | start, ms | memory per task (PSS), KiB | threads per task | \
         idle: wake-ups/s of all | idle: CPU of all, % of a core | 10 lines/s each: CPU of all, % of a core |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for count in counts {
        let row = one_size(place, *count, Duration::from_secs(seconds), programs)
            .with_context(|| format!("{count} tasks"))?;
        text += &row;
    }
    Ok(text)
}

fn one_size(place: &Path, count: usize, time: Duration, programs: &Programs) -> Result<String> {
    let folder = tempfile::Builder::new()
        .prefix("measure-")
        .tempdir_in(place)?;
    let started = Instant::now();
    let processes = start_processes(&folder, count, programs)?;
    let writers: Vec<Writer> = (0..count)
        .map(|task| Writer::open_within(fifo(&folder, task, "out"), Duration::from_secs(60)))
        .collect::<Result<_, _>>()?;
    for task in 0..count {
        // stderr gets a writer for a moment: logmon has both FIFOs open.
        Writer::open_within(fifo(&folder, task, "err"), Duration::from_secs(60))?;
    }
    let start_ms = started.elapsed().as_secs_f64() * 1e3;
    let pids: Vec<Pid> = processes.iter().map(Process::pid).collect();
    pause(Duration::from_secs(1));

    let before = used(&pids)?;
    pause(time);
    let idle = used(&pids)?.since(before);
    let memory: u64 = pids
        .iter()
        .filter_map(|pid| memory_bytes(*pid, "smaps_rollup", "Pss"))
        .sum();
    let threads: usize = pids
        .iter()
        .map(|pid| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count))
        .sum();

    let before = used(&pids)?;
    write_lines(&writers, time)?;
    let active = used(&pids)?.since(before);

    for process in &processes {
        process.signal(Signal::SIGTERM)?;
    }
    for process in processes {
        let (status, _) = process.wait()?;
        ensure!(status.success(), "logmon ended with {status}");
    }
    let mut row = String::new();
    writeln!(
        row,
        "| {count}, a `logmon run` each | {start_ms:.0} | {:.0} | {:.1} | {:.1} | {:.2} | {:.2} |",
        memory as f64 / 1024.0 / count as f64,
        threads as f64 / count as f64,
        idle.wake_ups as f64 / time.as_secs_f64(),
        idle.cpu_s / time.as_secs_f64() * 100.0,
        active.cpu_s / time.as_secs_f64() * 100.0,
    )?;
    Ok(row)
}

fn fifo(folder: &TempDir, task: usize, stream: &str) -> std::path::PathBuf {
    folder.path().join(format!("t{task}.{stream}.fifo"))
}

fn start_processes(folder: &TempDir, count: usize, programs: &Programs) -> Result<Vec<Process>> {
    (0..count)
        .map(|task| {
            let stream = |name: &str| {
                let fifo = fifo(folder, task, name);
                format!("{}=t{task}.{name}", fifo.display())
            };
            let mut command = std::process::Command::new(&programs.logmon[0]);
            command
                .args(&programs.logmon[1..])
                .args(["run", "--max-files", "10", "--max-file-size", "10MiB"])
                .args(["--log-level", "warn", "--log-dir"])
                .arg(folder.path())
                .args(["--stdout", &stream("out"), "--stderr", &stream("err")])
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null());
            Process::spawn(&mut command)
        })
        .collect()
}

/// Writes lines to all tasks at a steady rate, spread evenly over time.
fn write_lines(writers: &[Writer], time: Duration) -> Result<()> {
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
    Ok(())
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
