//! Edge: one run of one collector on one work, from the first write to its end.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fifo::{Reader, Writer};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::child::{Process, Usage, Watchdog, memory_bytes};
use crate::collector::{Collector, Face, Task};
use crate::log_files::{self, LogFacts};
use crate::produce;
use crate::report::Figures;
use crate::rulers::set_blocking;
use crate::work::Work;

/// The largest size of a file, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 10 * 1024 * 1024;
/// The largest number of files.
pub(crate) const MAX_FILES: u32 = 10;
/// A run that is slower than this hangs.
const SLOWEST_BYTES_PER_S: u64 = 5_000_000;

/// How the programs are started that are not found by name.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// This program.
    pub(crate) own: Vec<String>,
    /// The logmon under measure.
    pub(crate) logmon: Vec<String>,
}

impl Programs {
    pub(crate) fn new(logmon: Option<PathBuf>) -> Result<Programs> {
        let own = std::env::current_exe()?.display().to_string();
        let logmon = match logmon {
            Some(path) => vec![path.canonicalize()?.display().to_string()],
            None => vec![own.clone(), "logmon".to_owned()],
        };
        Ok(Programs {
            own: vec![own],
            logmon,
        })
    }

    /// A command that starts the logmon under measure; its arguments are to be added.
    pub(crate) fn logmon_command(&self) -> Command {
        let mut command = Command::new(&self.logmon[0]);
        command.args(&self.logmon[1..]);
        command
    }

    /// Says whether the logmon under measure has a subcommand.
    pub(crate) fn logmon_knows(&self, subcommand: &str) -> Result<bool> {
        let status = self
            .logmon_command()
            .args([subcommand, "--help"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("cannot start logmon")?;
        Ok(status.success())
    }
}

/// A folder with a FIFO and an empty log folder; it goes with this value.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: TempDir,
}

impl Stage {
    pub(crate) fn below(place: &Path) -> Result<Stage> {
        let folder = tempfile::Builder::new()
            .prefix("measure-")
            .tempdir_in(place)
            .with_context(|| format!("cannot make a folder in {}", place.display()))?;
        let stage = Stage { folder };
        std::fs::create_dir(stage.log_dir())?;
        fifo::create(&stage.fifo(), 0o600)?;
        Ok(stage)
    }

    pub(crate) fn fifo(&self) -> PathBuf {
        self.folder.path().join("fifo")
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

/// A collector at work, and a writer that keeps its FIFO from ending.
#[derive(Debug)]
pub(crate) struct Collecting {
    pub(crate) process: Process,
    pub(crate) hold: Writer,
    collector: Collector,
}

impl Collecting {
    /// Starts a collector and waits until it can be written to.
    pub(crate) fn start(
        collector: Collector,
        task: &Task<'_>,
        programs: &Programs,
    ) -> Result<Collecting> {
        // With a reader and a writer of ours the FIFO can be opened from either side, in any order.
        let reader = Reader::open(task.fifo)?;
        let hold = Writer::open_within(task.fifo, Duration::from_secs(1))?;
        if let Some((path, content)) = collector.configuration(task) {
            std::fs::write(path, content)?;
        }
        let argv = collector.argv(task, &programs.own, &programs.logmon);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).stdin(Stdio::null());
        match collector.face() {
            Face::Stdin => {
                set_blocking(&reader)?;
                command.stdin(OwnedFd::from(reader)).stdout(Stdio::null());
            }
            Face::OpensFifo | Face::UntilEnd => {
                drop(reader);
                command.stdout(Stdio::piped());
            }
        }
        let mut process = Process::spawn(&mut command)?;
        match collector.face() {
            Face::Stdin => {}
            Face::OpensFifo | Face::UntilEnd => process.wait_ready(&collector.to_string())?,
        }
        Ok(Collecting {
            process,
            hold,
            collector,
        })
    }

    /// Lets it end, and gives what it used.
    pub(crate) fn end(self) -> Result<Usage> {
        match self.collector.face() {
            Face::OpensFifo => self.process.signal(Signal::SIGTERM)?,
            Face::Stdin | Face::UntilEnd => {}
        }
        drop(self.hold);
        let (status, usage) = self.process.wait()?;
        ensure!(
            status.code() == Some(self.collector.end_code()),
            "{} ended with {status}",
            self.collector
        );
        Ok(usage)
    }
}

/// Runs a collector on a work, and checks its log.
pub(crate) fn run(
    collector: Collector,
    work: Work,
    bytes: u64,
    place: &Path,
    programs: &Programs,
) -> Result<Figures> {
    let stage = Stage::below(place)?;
    let (fifo, log_dir) = (stage.fifo(), stage.log_dir());
    let task = Task {
        fifo: &fifo,
        log_dir: &log_dir,
        max_file_bytes: MAX_FILE_BYTES,
        max_files: MAX_FILES,
    };
    let collecting = Collecting::start(collector, &task, programs)?;
    let mut producer = start_producer(work, bytes, &fifo, programs)?;
    let limit = Duration::from_secs(10 + bytes / SLOWEST_BYTES_PER_S);
    let _watchdog = Watchdog::over(vec![producer.pid(), collecting.process.pid()], limit);

    let Some(mut go) = producer.child().stdin.take() else {
        bail!("the producer has no stdin");
    };
    let started = Instant::now();
    produce::say_go(&mut go)?;
    let (status, producer_usage) = producer.wait()?;
    let peak_bytes = memory_bytes(collecting.process.pid(), "status", "VmHWM");
    ensure!(status.success(), "the producer ended with {status}");
    let usage = collecting.end()?;
    let wall = started.elapsed();

    let written_bytes = work.whole_lines(bytes);
    let facts = if collector.keeps_the_log() {
        Some(log_files::checked(collector, &task, work, written_bytes)?)
    } else {
        None
    };
    Ok(Figures {
        bytes: written_bytes,
        wall_s: wall.as_secs_f64(),
        cpu_s: usage.cpu_s,
        producer_cpu_s: producer_usage.cpu_s,
        switches: usage.switches,
        peak_bytes: peak_bytes.unwrap_or(0) as f64,
        cut_ends: facts.map(|facts: LogFacts| facts.cut_ends),
        largest_bytes: facts.map(|facts| facts.largest_bytes),
    })
}

/// Starts a producer on the FIFO and waits until it waits for the start.
fn start_producer(work: Work, bytes: u64, fifo: &Path, programs: &Programs) -> Result<Process> {
    let end = Writer::open_within(fifo, Duration::from_secs(5))?.into_child_stdout()?;
    let mut command = Command::new(&programs.own[0]);
    command
        .args(["produce", &work.to_string(), &bytes.to_string()])
        .stdin(Stdio::piped())
        .stdout(end)
        .stderr(Stdio::piped());
    let mut producer = Process::spawn(&mut command)?;
    drop(command); // It holds the write end that the producer has got.
    let Some(stderr) = producer.child().stderr.take() else {
        bail!("the producer has no stderr");
    };
    let mut line = String::new();
    BufReader::new(stderr).read_line(&mut line)?;
    ensure!(
        line == "ready\n",
        "the producer did not get ready: {}",
        line.trim_end()
    );
    Ok(producer)
}
