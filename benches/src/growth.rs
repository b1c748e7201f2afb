//! Edge: what a gigabyte costs when it comes from many tasks, and what a rotation costs when many files
//! are kept.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fifo::{Writer, Written};

use crate::child::pause;
use crate::collector::{Collector, Task};
use crate::log_files;
use crate::payload::{BLOCK_BYTES, Payload};
use crate::rulers::Rotation;
use crate::stats::summary;
use crate::tasks::{Crowd, Way};
use crate::trial::Programs;
use crate::work::Work;

const WORK: Work = Work::blocks(1024);
/// Small, so that each of 1,000 tasks fills some.
const FILE_BYTES: u64 = 256 << 10;
/// The most tasks keep so many files each; fewer keep more, so that the same bytes lie in as many pages of
/// memory, and there are as many rotations.
const FEWEST_FILES: usize = 2;
/// The files of the tasks that keep many of them.
const SMALL_FILE_BYTES: u64 = 64 * 1024;
/// A round that is not taken in so much time never is.
const LIMIT: Duration = Duration::from_secs(60);

/// Floods tasks of such numbers with so many bytes in all, then one task that keeps files of such numbers;
/// gives a table of each.
pub(crate) fn measure(
    place: &Path,
    counts: &[usize],
    kept: &[u32],
    bytes: u64,
    repeats: u32,
    programs: &Programs,
) -> Result<String> {
    ensure!(
        programs.logmon_knows("serve")?,
        "this logmon has no `serve`"
    );
    let most = counts.iter().max().copied().unwrap_or(1);
    let tasks = counts.iter().map(|count| {
        let max_files = FEWEST_FILES * most / (*count).max(1);
        let rotation = Rotation {
            max_file_bytes: FILE_BYTES,
            max_files: u32::try_from(max_files).unwrap_or(u32::MAX),
        };
        (*count, rotation)
    });
    let mut text = String::from(
        "| tasks in one `logmon serve` | CPU, s/GB | to the first row |\n|---|---|---|\n",
    );
    text += &table(
        place,
        tasks,
        |(count, _)| count.to_string(),
        bytes,
        repeats,
        programs,
    )?;
    text += "\n| files kept, 64 KiB each | CPU, s/GB | to the first row |\n|---|---|---|\n";
    let files = kept.iter().map(|max_files| {
        let rotation = Rotation {
            max_file_bytes: SMALL_FILE_BYTES,
            max_files: *max_files,
        };
        (1, rotation)
    });
    text += &table(
        place,
        files,
        |(_, rotation)| rotation.max_files.to_string(),
        bytes,
        repeats,
        programs,
    )?;
    Ok(text)
}

/// The rows of one table. The whole of it is gone through again and again, so that a change of the machine
/// meets all rows; a figure is the median.
fn table(
    place: &Path,
    rows: impl Iterator<Item = (usize, Rotation)>,
    name: impl Fn(&(usize, Rotation)) -> String,
    bytes: u64,
    repeats: u32,
    programs: &Programs,
) -> Result<String> {
    let rows: Vec<_> = rows.collect();
    let mut costs = vec![Vec::new(); rows.len()];
    // The first run of all pays for memory that the machine has not used yet.
    if let Some((count, rotation)) = rows.first() {
        cost(place, *count, *rotation, bytes, programs)?;
    }
    for _ in 0..repeats {
        for (row, costs) in rows.iter().zip(&mut costs) {
            let cost = cost(place, row.0, row.1, bytes, programs)
                .with_context(|| format!("{} tasks, {} files", row.0, row.1.max_files))?;
            costs.push(cost);
        }
    }
    let medians: Vec<f64> = costs
        .iter()
        .map(|costs| summary(costs).map_or(f64::NAN, |costs| costs.median))
        .collect();
    let mut text = String::new();
    for (row, median) in rows.iter().zip(&medians) {
        let ratio = median / medians[0];
        writeln!(text, "| {} | {median:.3} | {ratio:.2} |", name(row))?;
    }
    Ok(text)
}

/// Floods a crowd, and gives the CPU seconds for each gigabyte.
fn cost(
    place: &Path,
    count: usize,
    rotation: Rotation,
    bytes: u64,
    programs: &Programs,
) -> Result<f64> {
    let crowd = Crowd::start(Way::Served, place, count, rotation, programs)?;
    let writers = crowd.writers()?;
    let rounds = (bytes / (count * BLOCK_BYTES) as u64).max(1);
    let before = crowd.used()?;
    flood(&writers, rounds)?;
    for writer in &writers {
        wait_until_taken(writer)?;
    }
    let used = crowd.used()?.since(before);
    drop(writers);
    let crowd = crowd.end()?;
    let written_bytes = rounds * BLOCK_BYTES as u64;
    for task in 0..count {
        let task = Task {
            fifo: &crowd.fifo(task),
            log_dir: &crowd.log_dir(task),
            max_file_bytes: rotation.max_file_bytes,
            max_files: rotation.max_files,
        };
        log_files::checked(Collector::Logmon, &task, WORK, written_bytes)?;
    }
    Ok(used.cpu_s / (rounds * (count * BLOCK_BYTES) as u64) as f64 * 1e9)
}

/// Writes the same blocks to all, one block to each in a round.
fn flood(writers: &[Writer], rounds: u64) -> Result<()> {
    let lines_per_block = (BLOCK_BYTES / WORK.line_bytes) as u64;
    let mut payload = Payload::new(WORK.line_bytes);
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    for round in 0..rounds {
        block.clear();
        for number in 0..lines_per_block {
            block.extend_from_slice(payload.line(round * lines_per_block + number));
        }
        let mut left: Vec<(&Writer, &[u8])> =
            writers.iter().map(|writer| (writer, &block[..])).collect();
        let limit = Instant::now() + LIMIT;
        while !left.is_empty() {
            let before = left.len();
            for (writer, rest) in &mut left {
                match writer.try_write(rest)? {
                    Written::Bytes(written) => *rest = &rest[written..],
                    Written::Full => {}
                    Written::NoReader => bail!("nobody reads"),
                }
            }
            left.retain(|(_, rest)| !rest.is_empty());
            ensure!(
                Instant::now() < limit,
                "{} tasks wait for logmon",
                left.len()
            );
            if left.len() == before {
                pause(Duration::from_micros(50));
            }
        }
    }
    Ok(())
}

fn wait_until_taken(writer: &Writer) -> Result<()> {
    let limit = Instant::now() + LIMIT;
    while writer.fill_level()? > 0 {
        ensure!(
            Instant::now() < limit,
            "{} bytes lie in a FIFO",
            writer.fill_level()?
        );
        pause(Duration::from_millis(1));
    }
    Ok(())
}
