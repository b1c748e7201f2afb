//! Edge: the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::collector::Collector;
use crate::pairs::Plan;
use crate::rulers::{Rotation, Ruler};
use crate::trial::Programs;
use crate::work::Work;
use crate::{crowd, growth, latency, launch, machine, pairs, produce, report, resume, rulers};

/// Measures collectors of task logs side by side.
#[derive(Debug, Parser)]
#[command(name = "measure")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Throughput, CPU time, context switches and memory of collectors, in pairs with the base.
    Throughput(ThroughputArgs),
    /// The time from a write to its bytes in the file, after a pause and under load.
    Latency(LatencyArgs),
    /// The cost of many tasks, idle and with 10 lines a second each.
    Crowd(CrowdArgs),
    /// What a gigabyte costs from 1, 100 and 1,000 tasks, and what it costs when many files are kept.
    Growth(GrowthArgs),
    /// The time from a kill of logmon to the next byte in the file.
    Resume(ResumeArgs),
    /// The launch of a task by the executor, beside posix_spawn(3) of its program.
    Launch(LaunchArgs),
    /// The producer: says `ready`, waits for a byte on stdin, writes whole lines to stdout.
    Produce { work: Work, bytes: u64 },
    /// One of the rulers.
    Ruler(RulerArgs),
}

#[derive(Debug, clap::Args)]
struct ThroughputArgs {
    /// The logmon under measure; without it, the one linked into this program.
    #[arg(long, value_name = "PATH")]
    logmon: Option<PathBuf>,
    /// What to compare with the base; peers that are not installed are left out, and named.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [
        Collector::Logmon, Collector::StagedSplice, Collector::Discard,
    ])]
    collectors: Vec<Collector>,
    /// The peers, too.
    #[arg(long)]
    peers: bool,
    /// What the producer writes: L is a line per write, B blocks of 64 KiB; then the length of a line.
    #[arg(long, value_delimiter = ',', default_values_t = Work::ALL)]
    works: Vec<Work>,
    /// Where the log files lie.
    #[arg(long = "place", value_name = "DIR", default_values_os_t = [
        PathBuf::from("/dev/shm"), std::env::temp_dir(),
    ])]
    places: Vec<PathBuf>,
    /// How many pairs of runs make a ratio.
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// 1.0 is 1 GB of short lines one by one, and 4 GB of everything else.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
}

#[derive(Debug, clap::Args)]
struct LatencyArgs {
    /// The logmon under measure; without it, the one linked into this program.
    #[arg(long, value_name = "PATH")]
    logmon: Option<PathBuf>,
    /// Where the log files lie.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    place: PathBuf,
    /// How many writes after a pause are timed.
    #[arg(long, default_value_t = 300)]
    samples: u32,
}

#[derive(Debug, clap::Args)]
struct CrowdArgs {
    /// The logmon under measure; without it, the one linked into this program.
    #[arg(long, value_name = "PATH")]
    logmon: Option<PathBuf>,
    /// Where the log files lie.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    place: PathBuf,
    /// How many tasks, each with two streams.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1000])]
    tasks: Vec<usize>,
    /// How long each state is watched, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

#[derive(Debug, clap::Args)]
struct GrowthArgs {
    /// The logmon under measure; without it, the one linked into this program.
    #[arg(long, value_name = "PATH")]
    logmon: Option<PathBuf>,
    /// Where the log files lie.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    place: PathBuf,
    /// From how many tasks the bytes come.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1000])]
    tasks: Vec<usize>,
    /// How many files one task keeps.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000])]
    files: Vec<u32>,
    /// How many megabytes are written for each figure, by all tasks together.
    #[arg(long, default_value_t = 1000)]
    megabytes: u64,
    /// How often each figure is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    repeats: u32,
}

#[derive(Debug, clap::Args)]
struct ResumeArgs {
    /// The logmon under measure; without it, the one linked into this program.
    #[arg(long, value_name = "PATH")]
    logmon: Option<PathBuf>,
    /// Where the log files lie.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    place: PathBuf,
    /// How often it is killed.
    #[arg(long, default_value_t = 50)]
    kills: u32,
}

#[derive(Debug, clap::Args)]
struct LaunchArgs {
    /// How many pairs of runs make a ratio.
    #[arg(long, default_value_t = 15)]
    pairs: u32,
    /// How many launches make a run.
    #[arg(long, default_value_t = 100)]
    launches: u32,
    /// How long nothing is started before each, in milliseconds.
    #[arg(long, default_value_t = 0)]
    rest_ms: u64,
}

#[derive(Debug, clap::Args)]
struct RulerArgs {
    #[arg(value_enum)]
    ruler: Ruler,
    #[arg(long)]
    fifo: PathBuf,
    #[arg(long)]
    log_dir: PathBuf,
    #[arg(long)]
    max_file_bytes: u64,
    #[arg(long)]
    max_files: u32,
}

/// Runs `measure`, or `measure logmon …`, which is the logmon linked into this program.
pub fn main_with_args(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    if args.get(1).is_some_and(|name| name == "logmon") {
        return logmon::main_with_args(args.into_iter().skip(1));
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Throughput(args) => throughput(args),
        Command::Latency(args) => {
            describe();
            let programs = Programs::new(args.logmon)?;
            print!(
                "{}",
                latency::measure(&args.place, args.samples, &programs)?
            );
            Ok(())
        }
        Command::Crowd(args) => {
            describe();
            let programs = Programs::new(args.logmon)?;
            print!(
                "{}",
                crowd::measure(&args.place, &args.tasks, args.seconds, &programs)?
            );
            Ok(())
        }
        Command::Growth(args) => {
            describe();
            let programs = Programs::new(args.logmon)?;
            let bytes = args.megabytes * 1_000_000;
            let table = growth::measure(
                &args.place,
                &args.tasks,
                &args.files,
                bytes,
                args.repeats,
                &programs,
            )?;
            print!("{table}");
            Ok(())
        }
        Command::Resume(args) => {
            describe();
            let programs = Programs::new(args.logmon)?;
            print!("{}", resume::measure(&args.place, args.kills, &programs)?);
            Ok(())
        }
        Command::Launch(args) => {
            describe();
            let rest = Duration::from_millis(args.rest_ms);
            print!("{}", launch::measure(args.pairs, args.launches, rest)?);
            Ok(())
        }
        Command::Produce { work, bytes } => produce::produce(work, bytes),
        Command::Ruler(args) => {
            let rotation = Rotation {
                max_file_bytes: args.max_file_bytes,
                max_files: args.max_files,
            };
            rulers::run(args.ruler, &args.fifo, &args.log_dir, rotation)
        }
    }
}

fn describe() {
    println!(
        "{}; load {} at the start\n",
        machine::description(),
        machine::load()
    );
}

fn throughput(args: ThroughputArgs) -> Result<()> {
    ensure!(
        args.scale > 0.0 && args.scale <= 10.0,
        "--scale must lie between 0 and 10"
    );
    let programs = Programs::new(args.logmon)?;
    let mut collectors = args.collectors;
    if args.peers {
        collectors.extend(Collector::PEERS);
    }
    let (present, missing): (Vec<_>, Vec<_>) = collectors
        .into_iter()
        .partition(|collector| collector.program().is_none_or(machine::has_program));
    for collector in missing {
        println!("{collector} is not installed");
    }
    let plan = Plan {
        works: &args.works,
        places: &args.places,
        pairs: args.pairs,
        scale: args.scale,
    };
    describe();
    let comparisons = pairs::compare(plan, &present, &programs)?;
    print!(
        "{}{}",
        report::overview(&comparisons),
        report::details(&comparisons)
    );
    Ok(())
}
