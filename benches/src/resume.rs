//! Edge: kills logmon in the middle of its work, and looks when bytes come again.
//!
//! Without a supervisor a reading end of ours keeps the pipe and its writer alive meanwhile, and logmon
//! is started again at once; so that figure is logmon's own start.

use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use fifo::Reader;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::child::pause;
use crate::collector::{Collector, Task};
use crate::latency;
use crate::log_files;
use crate::payload::Payload;
use crate::stats::quantile;
use crate::trial::{Collecting, Programs, Stage};
use crate::work::Work;

const LONGEST: Duration = Duration::from_secs(5);
const LINE_BYTES: usize = 100;

/// Who brings logmon back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// This program does, at once.
    Alone,
    /// `logmon supervise` does, and its keeper holds the descriptors meanwhile.
    Supervised,
}

/// Kills logmon so often in each kind of life, and gives a table.
pub(crate) fn measure(place: &Path, kills: u32, programs: &Programs) -> Result<String> {
    nix::sys::prctl::set_timerslack(1)?;
    let mut text = String::from(
        "| kill -9 → first byte in the file, ms | kills | p50 | p99 | max | bytes written | \
         bytes not in the log |\n\
         |---|---|---|---|---|---|---|\n",
    );
    text += &one_life(Life::Alone, place, kills, programs)?;
    let is_a_program = programs.logmon.len() == 1;
    if is_a_program && programs.logmon_knows("supervise")? {
        text += &one_life(Life::Supervised, place, kills, programs)?;
    } else {
        println!("left out: this logmon has no `supervise`, or is not a program of its own");
    }
    Ok(text)
}

/// What became of some kills.
#[derive(Debug, Default)]
struct Killed {
    gaps_ms: Vec<f64>,
    written_bytes: u64,
    missing_bytes: i128,
}

/// A supervisor brings logmon back at once after so many quick deaths, and pauses after more of them,
/// which is not what is measured here.
const KILLS_PER_SUPERVISOR: u32 = 3;

fn one_life(life: Life, place: &Path, kills: u32, programs: &Programs) -> Result<String> {
    let mut all = Killed::default();
    let group = match life {
        Life::Alone => kills.max(1),
        Life::Supervised => KILLS_PER_SUPERVISOR,
    };
    for first in (0..kills).step_by(group as usize) {
        let numbers = first..kills.min(first + group);
        let mut some = killed(life, place, numbers, programs)?;
        all.gaps_ms.append(&mut some.gaps_ms);
        all.written_bytes += some.written_bytes;
        all.missing_bytes += some.missing_bytes;
    }
    let told =
        |part| quantile(&all.gaps_ms, part).map_or_else(String::new, |ms| format!("{ms:.2}"));
    Ok(format!(
        "| {} | {kills} | {} | {} | {} | {} | {} |\n",
        match life {
            Life::Alone => "`logmon run`, started again at once, a spare reading end held",
            Life::Supervised => "`logmon supervise`",
        },
        told(0.5),
        told(0.99),
        told(1.0),
        all.written_bytes,
        all.missing_bytes,
    ))
}

/// Kills the logmon of one task, once for each number.
fn killed(life: Life, place: &Path, numbers: Range<u32>, programs: &Programs) -> Result<Killed> {
    let stage = Stage::below(place)?;
    let (fifo, log_dir) = (stage.fifo(), stage.log_dir());
    let task = Task {
        fifo: &fifo,
        log_dir: &log_dir,
        max_file_bytes: 4 << 30,
        max_files: 2,
    };
    let mut programs = programs.clone();
    let _spare_end = match life {
        Life::Alone => Some(Reader::open(&fifo)?),
        Life::Supervised => {
            let state = log_dir.with_file_name("state").display().to_string();
            let words = ["supervise", "--log-level", "error", "--state", &state, "--"];
            programs.logmon.extend(words.map(ToOwned::to_owned));
            None
        }
    };
    let mut collecting = Collecting::start(Collector::Logmon, &task, &programs)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let load = load(&fifo, Arc::clone(&is_over))?;
    let file = log_dir.join("log.0");
    let size = || fs::metadata(&file).map_or(0, |facts| facts.len());
    let mut gaps_ms = Vec::new();
    for number in numbers {
        wait_for_growth(size(), &size)?;
        pause(Duration::from_micros(u64::from(number) * 7_919 % 20_000));
        let started = Instant::now();
        let at = match life {
            Life::Alone => {
                collecting.process.signal(Signal::SIGKILL)?;
                collecting.process.wait()?;
                let before = size();
                // To be told `ready` may take longer than the first byte, so a thread looks.
                let (growth, next) = std::thread::scope(|scope| {
                    let watch = scope.spawn(|| wait_for_growth(before, &size));
                    let next = Collecting::start(Collector::Logmon, &task, &programs);
                    (watch.join(), next)
                });
                collecting = next?;
                match growth {
                    Ok(at) => at?,
                    Err(_) => bail!("the watch panicked"),
                }
            }
            Life::Supervised => {
                let logmon = supervised(collecting.process.pid())?;
                kill(logmon, Signal::SIGKILL)?;
                while !is_dead(logmon) {}
                wait_for_growth(size(), &size)?
            }
        };
        gaps_ms.push((at - started).as_secs_f64() * 1e3);
    }
    is_over.store(true, Ordering::Relaxed);
    let written = match load.join() {
        Ok(written) => written?,
        Err(_) => bail!("the load panicked"),
    };
    collecting.end()?;
    let kept = size();
    if kept == written {
        // As many bytes as were written must be those that were written.
        log_files::checked(Collector::Logmon, &task, Work::lines(LINE_BYTES), written)?;
    }
    Ok(Killed {
        gaps_ms,
        written_bytes: written,
        missing_bytes: i128::from(written) - i128::from(kept),
    })
}

/// The logmon that a supervisor has started.
fn supervised(supervisor: Pid) -> Result<Pid> {
    let deadline = Instant::now() + LONGEST;
    loop {
        for thread in fs::read_dir(format!("/proc/{supervisor}/task"))? {
            let children = fs::read_to_string(thread?.path().join("children"))?;
            for child in children.split_whitespace() {
                let pid = Pid::from_raw(child.parse()?);
                let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let is_logmon = words.split(|byte| *byte == 0).any(|word| word == b"run");
                if is_logmon && !is_dead(pid) {
                    return Ok(pid);
                }
            }
        }
        ensure!(Instant::now() < deadline, "the supervisor has no logmon");
    }
}

/// Says whether a process has ended, reaped or not.
fn is_dead(pid: Pid) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let state = state.and_then(|text| text.rsplit(") ").next()?.chars().next());
    matches!(state, None | Some('Z' | 'X'))
}

/// Writes blocks of lines at a steady rate until told to end; gives the count of bytes.
fn load(fifo: &Path, is_over: Arc<AtomicBool>) -> Result<std::thread::JoinHandle<Result<u64>>> {
    let mut writer = latency::writer(fifo)?;
    Ok(std::thread::spawn(move || {
        let mut payload = Payload::new(LINE_BYTES);
        let mut number = 0;
        while !is_over.load(Ordering::Relaxed) {
            for _ in 0..20 {
                writer.write_all(payload.line(number))?;
                number += 1;
            }
            pause(Duration::from_micros(200));
        }
        Ok(number * LINE_BYTES as u64)
    }))
}

/// When the file had more bytes than before.
fn wait_for_growth(before: u64, size: &impl Fn() -> u64) -> Result<Instant> {
    let deadline = Instant::now() + LONGEST;
    loop {
        let now = Instant::now();
        if size() > before {
            return Ok(now);
        }
        ensure!(now < deadline, "no byte came for {LONGEST:?}");
        pause(Duration::from_micros(20));
    }
}
