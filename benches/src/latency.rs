//! Edge: how long bytes take from the write to the file.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fifo::Writer;

use crate::child::pause;
use crate::collector::{Collector, Task};
use crate::payload::Payload;
use crate::stats::quantile;
use crate::trial::{Collecting, Programs, Stage};

/// Nothing rotates here, so one file has all bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;
const LINE_BYTES: usize = 100;
/// A write that is not seen for so long is never seen.
const LONGEST: Duration = Duration::from_secs(5);
/// The load: so many lines, one write each, at every tick.
const LINES_PER_TICK: usize = 100;
const TICK: Duration = Duration::from_millis(1);
const LOAD_TIME: Duration = Duration::from_secs(3);

/// Measures the collectors that show a byte as soon as they have it, and gives a table.
pub(crate) fn measure(place: &Path, samples: u32, programs: &Programs) -> Result<String> {
    nix::sys::prctl::set_timerslack(1)?;
    let mut text = String::from(
        "| write → visible, ms | idle p50 | idle p99 | 10 MB/s p50 | 10 MB/s p99 |\n\
         |---|---|---|---|---|\n",
    );
    let collectors = [
        Collector::Logmon,
        Collector::ReadWrite,
        Collector::StagedSplice,
    ];
    for collector in collectors {
        let idle = with(collector, place, programs, |writer, file| {
            after_pauses(writer, file, samples)
        })?;
        let busy = with(collector, place, programs, under_load)?;
        let told = |figures: &[f64], part| {
            quantile(figures, part).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"))
        };
        writeln!(
            text,
            "| {collector} | {} | {} | {} | {} |",
            told(&idle, 0.5),
            told(&idle, 0.99),
            told(&busy, 0.5),
            told(&busy, 0.99)
        )?;
    }
    Ok(text)
}

fn with(
    collector: Collector,
    place: &Path,
    programs: &Programs,
    probe: impl FnOnce(File, &File) -> Result<Vec<f64>>,
) -> Result<Vec<f64>> {
    let stage = Stage::below(place)?;
    let (fifo, log_dir) = (stage.fifo(), stage.log_dir());
    let task = Task {
        fifo: &fifo,
        log_dir: &log_dir,
        max_file_bytes: MAX_FILE_BYTES,
        max_files: 2,
    };
    let collecting = Collecting::start(collector, &task, programs)?;
    let mut writer = writer(&fifo)?;
    writer.write_all(&[b'\n'; LINE_BYTES])?;
    let path = log_dir.join("log.0");
    let deadline = Instant::now() + LONGEST;
    while std::fs::metadata(&path).map_or(0, |facts| facts.len()) < LINE_BYTES as u64 {
        ensure!(Instant::now() < deadline, "{collector} writes nothing");
        pause(Duration::from_millis(1));
    }
    let figures = probe(writer, &File::open(&path)?)?;
    collecting.end()?;
    Ok(figures)
}

/// A writing end in blocking mode.
pub(crate) fn writer(fifo: &Path) -> Result<File> {
    Ok(Writer::open_within(fifo, LONGEST)?
        .into_child_stdout()?
        .into())
}

/// Writes a line after each pause, and waits until the file has grown.
fn after_pauses(mut writer: File, file: &File, samples: u32) -> Result<Vec<f64>> {
    let mut payload = Payload::new(LINE_BYTES);
    let mut figures = Vec::new();
    for number in 0..samples {
        // Pauses of 5 to 25 ms, so that the writes fall anywhere into the collector's own times.
        pause(Duration::from_micros(
            5_000 + u64::from(number) * 7_919 % 20_000,
        ));
        let before = file.metadata()?.len();
        let started = Instant::now();
        writer.write_all(payload.line(u64::from(number)))?;
        while file.metadata()?.len() == before {
            ensure!(started.elapsed() < LONGEST, "a line is not written");
            pause(Duration::from_micros(4));
        }
        figures.push(milliseconds(started.elapsed()));
    }
    Ok(figures)
}

/// A place in the stream, and when it was about to be written.
struct Mark {
    end: u64,
    at: Instant,
}

/// Writes lines one by one at a steady rate, and looks when the last line of each tick is in the file.
fn under_load(mut writer: File, file: &File) -> Result<Vec<f64>> {
    let before = file.metadata()?.len();
    let (marks, marked) = channel();
    let load = std::thread::spawn(move || -> Result<()> {
        let mut payload = Payload::new(LINE_BYTES);
        let started = Instant::now();
        let (mut number, mut due) = (0, started);
        while due < started + LOAD_TIME {
            let mut at = Instant::now();
            for _ in 0..LINES_PER_TICK {
                at = Instant::now();
                writer.write_all(payload.line(number))?;
                number += 1;
            }
            let end = before + number * LINE_BYTES as u64;
            marks.send(Mark { end, at }).context("nobody looks")?;
            due += TICK;
            pause(due.saturating_duration_since(Instant::now()));
        }
        Ok(())
    });
    let figures = watch(file, &marked);
    match load.join() {
        Ok(outcome) => outcome?,
        Err(_) => bail!("the load panicked"),
    }
    figures
}

fn watch(file: &File, marked: &Receiver<Mark>) -> Result<Vec<f64>> {
    let mut waiting: VecDeque<Mark> = VecDeque::new();
    let mut figures = Vec::new();
    loop {
        let is_over = loop {
            match marked.try_recv() {
                Ok(mark) => waiting.push_back(mark),
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => break true,
            }
        };
        let (size, now) = (file.metadata()?.len(), Instant::now());
        while waiting.front().is_some_and(|mark| mark.end <= size) {
            figures.extend(waiting.pop_front().map(|mark| milliseconds(now - mark.at)));
        }
        match waiting.front() {
            None if is_over => return Ok(figures),
            Some(mark) if now - mark.at > LONGEST => bail!("lines are not written under load"),
            None | Some(_) => pause(Duration::from_micros(20)),
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
