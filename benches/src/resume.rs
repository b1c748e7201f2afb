//! Edge: kills logmon in the middle of its work, and looks when bytes come again.
//!
//! A reading end of ours keeps the pipe and its writer alive meanwhile, and logmon is started again at
//! once. So the figure is logmon's own start, up to the first byte in the file.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use fifo::Reader;
use nix::sys::signal::Signal;

use crate::child::pause;
use crate::collector::{Collector, Task};
use crate::latency;
use crate::payload::Payload;
use crate::stats::quantile;
use crate::trial::{Collecting, Programs, Stage};

const LONGEST: Duration = Duration::from_secs(5);
const LINE_BYTES: usize = 100;

/// Kills and restarts logmon so often, and gives a table.
pub(crate) fn measure(place: &Path, kills: u32, programs: &Programs) -> Result<String> {
    nix::sys::prctl::set_timerslack(1)?;
    let stage = Stage::below(place)?;
    let (fifo, log_dir) = (stage.fifo(), stage.log_dir());
    let task = Task {
        fifo: &fifo,
        log_dir: &log_dir,
        max_file_bytes: 4 << 30,
        max_files: 2,
    };
    let _spare_end = Reader::open(&fifo)?;
    let mut collecting = Collecting::start(Collector::Logmon, &task, programs)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let load = load(&fifo, Arc::clone(&is_over))?;
    let file = log_dir.join("log.0");
    let size = || std::fs::metadata(&file).map_or(0, |facts| facts.len());
    let mut gaps = Vec::new();
    for number in 0..kills {
        let before = size();
        wait_for_growth(before, &size)?;
        pause(Duration::from_micros(u64::from(number) * 7_919 % 20_000));
        let started = Instant::now();
        collecting.process.signal(Signal::SIGKILL)?;
        collecting.process.wait()?;
        let killed_at_bytes = size();
        // The reading of `ready` in here ends after the first bytes may have come, so a thread looks.
        let growth = std::thread::scope(|scope| {
            let watch = scope.spawn(|| wait_for_growth(killed_at_bytes, &size));
            let next = Collecting::start(Collector::Logmon, &task, programs);
            (watch.join(), next)
        });
        collecting = growth.1?;
        match growth.0 {
            Ok(at) => gaps.push((at? - started).as_secs_f64() * 1e3),
            Err(_) => bail!("the watch panicked"),
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let written = match load.join() {
        Ok(written) => written?,
        Err(_) => bail!("the load panicked"),
    };
    collecting.end()?;
    let kept = size();
    let mut text = String::from(
        "| kill -9 → first byte in the file, ms | kills | p50 | p99 | max | bytes written | bytes not in the log |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let told = |part| quantile(&gaps, part).map_or_else(String::new, |ms| format!("{ms:.2}"));
    writeln!(
        text,
        "| `logmon run`, started again at once, a spare reading end outside | {kills} | {} | {} | {} | {written} | {} |",
        told(0.5),
        told(0.99),
        told(1.0),
        written as i128 - i128::from(kept),
    )?;
    Ok(text)
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
