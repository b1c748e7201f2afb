//! Edge: the cost of many tasks: memory, idle wake-ups, and CPU time with a few lines a second each.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fifo::{Writer, Written};

use crate::child::{memory_bytes, pause};
use crate::payload::Payload;
use crate::rulers::Rotation;
use crate::tasks::{Crowd, Used, Way};
use crate::trial::Programs;

const LINE_BYTES: usize = 100;
/// Each task writes so many lines a second, to stdout.
const LINES_PER_S: usize = 10;

/// Processes beyond this number show nothing that fewer do not.
const MOST_PROCESSES: usize = 100;
/// What no task here reaches.
const ROTATION: Rotation = Rotation {
    max_file_bytes: 10 << 20,
    max_files: 10,
};

/// Measures one process for all tasks, if this logmon can do that, and one process per task; gives a
/// table.
pub(crate) fn measure(
    place: &Path,
    counts: &[usize],
    seconds: u64,
    programs: &Programs,
) -> Result<String> {
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
                let crowd = Crowd::start(way, place, *count, ROTATION, programs);
                let row = crowd
                    .and_then(|crowd| watched(crowd, Duration::from_secs(seconds)))
                    .with_context(|| format!("{count} tasks, {way:?}"))?;
                text += &row;
            }
        }
    }
    Ok(text)
}

/// Watches it idle and at work, ends it, and gives its row.
fn watched(crowd: Crowd, time: Duration) -> Result<String> {
    let writers = crowd.writers()?;
    pause(Duration::from_secs(1));

    let before = crowd.used()?;
    pause(time);
    let idle = crowd.used()?.since(before);
    let memory_bytes: u64 = crowd
        .pids()
        .into_iter()
        .filter_map(|pid| memory_bytes(pid, "smaps_rollup", "Pss"))
        .sum();

    let before = crowd.used()?;
    let lines = write_lines(&writers, time)?;
    let active = crowd.used()?.since(before);
    row(&crowd.end()?, memory_bytes, idle, active, lines, time)
}

fn row(
    crowd: &Crowd,
    bytes: u64,
    idle: Used,
    active: Used,
    lines: usize,
    time: Duration,
) -> Result<String> {
    let kib = |bytes: f64| format!("{:.1}", bytes / 1024.0);
    let percent = |used: Used| used.cpu_s / time.as_secs_f64() * 100.0;
    let above = bytes.saturating_sub(crowd.empty_bytes.unwrap_or(0));
    let mut row = String::new();
    writeln!(
        row,
        "| {}, {} | {:.0} | {} | {} | {:.1} | {:.2} | {:.2} | {:.1} |",
        crowd.count,
        match crowd.way {
            Way::Served => "one `logmon serve`",
            Way::Alone => "a `logmon run` each",
        },
        crowd.start.as_secs_f64() * 1e3,
        crowd
            .empty_bytes
            .map_or_else(|| "-".to_owned(), |bytes| kib(bytes as f64)),
        kib(above as f64 / crowd.count as f64),
        idle.wake_ups as f64 / time.as_secs_f64(),
        percent(idle),
        percent(active),
        active.cpu_s * 1e6 / lines.max(1) as f64,
    )?;
    Ok(row)
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
