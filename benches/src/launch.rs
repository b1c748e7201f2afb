//! Edge: the launch of a task by the executor, beside posix_spawn(3) of the same program.
//!
//! A launch is a call of a library, so here the library is called. It returns once the program runs, and so does
//! posix_spawn(3). What a launch does beside that is said in docs/executor.md.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use executor::{Cancel, CgroupParent, Executor, LaunchSpec, LogPaths, Options, StandardExecutor};
use fifo::Reader;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::waitpid;

use crate::child::pause;
use crate::stats::{Ratio, quantile, ratio};

/// The program that is launched.
const PROGRAM: &CStr = c"/bin/true";

/// How long a task that does nothing may take to end.
const LONGEST: Duration = Duration::from_secs(10);

/// What one start took, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Took {
    /// Until the program ran.
    start_us: f64,
    /// Until it had ended and nothing of it was left.
    whole_us: f64,
    /// Of processors, by this program and by what it started, until then. Other work on the machine changes
    /// little about it.
    cpu_us: f64,
}

/// One of the three.
type Figure = fn(Took) -> f64;

impl std::ops::Add for Took {
    type Output = Took;

    fn add(self, other: Took) -> Took {
        Took {
            start_us: self.start_us + other.start_us,
            whole_us: self.whole_us + other.whole_us,
            cpu_us: self.cpu_us + other.cpu_us,
        }
    }
}

/// Starts the program so often in each way, in turn, each time after a rest, and gives a table. After a rest the
/// first process that enters a cgroup by its list of processes waits in the kernel until all processors have passed a
/// quiet point (`synchronize_rcu`); those that follow soon do not, nor does one that is made inside of it.
pub(crate) fn measure(pairs: u32, launches: u32, rest: Duration) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let logs = LogPaths::of_task(folder.path(), "task");
    for path in [logs.stdout(), logs.stderr()] {
        fifo::create(path, 0o600)?;
    }
    let _readers = (Reader::open(logs.stdout())?, Reader::open(logs.stderr())?);
    let mut text = String::from(
        "| contained by | | posix_spawn, µs | launch, µs | ratio |\n|---|---|---|---|---|\n",
    );
    for cgroup in [CgroupParent::Own, CgroupParent::Off] {
        let program = Path::new(PROGRAM.to_str()?);
        let mut spec = LaunchSpec::new(program, logs.clone());
        spec.cgroup = cgroup;
        text += &rows(&spec, pairs, launches, rest)?;
    }
    Ok(text)
}

fn rows(spec: &LaunchSpec, pairs: u32, launches: u32, rest: Duration) -> Result<String> {
    let (kind, _) = launched(spec)?;
    let mean = |start: &dyn Fn() -> Result<Took>| -> Result<Took> {
        let mut sum = Took::default();
        let before_us = cpu_us()?;
        for _ in 0..launches {
            if !rest.is_zero() {
                pause(rest);
            }
            sum = sum + start()?;
        }
        sum.cpu_us = cpu_us()? - before_us;
        let count = f64::from(launches.max(1));
        Ok(Took {
            start_us: sum.start_us / count,
            whole_us: sum.whole_us / count,
            cpu_us: sum.cpu_us / count,
        })
    };
    let launch = || launched(spec).map(|(_, took)| took);
    let mut all: Vec<(Took, Took)> = Vec::new();
    for number in 0..pairs {
        all.push(if number % 2 == 0 {
            let base = mean(&spawned)?;
            (base, mean(&launch)?)
        } else {
            let other = mean(&launch)?;
            (mean(&spawned)?, other)
        });
    }
    let mut text = String::new();
    let figures: [(&str, Figure); 3] = [
        ("until it runs", |took| took.start_us),
        ("until nothing is left of it", |took| took.whole_us),
        ("processor time of that", |took| took.cpu_us),
    ];
    for (what, of) in figures {
        let of_pairs: Vec<_> = all
            .iter()
            .map(|(base, other)| (of(*base), of(*other)))
            .collect();
        let told: Ratio = ratio(&of_pairs);
        let (bases, others): (Vec<f64>, Vec<f64>) = of_pairs.into_iter().unzip();
        let median = |figures: &[f64]| quantile(figures, 0.5).unwrap_or(f64::NAN);
        writeln!(
            text,
            "| {kind} | {what} | {:.0} | {:.0} | {told} |",
            median(&bases),
            median(&others)
        )?;
    }
    Ok(text)
}

/// Starts the program by posix_spawn(3), and nothing else: it has what this program has.
fn spawned() -> Result<Took> {
    let begun = Instant::now();
    let actions = PosixSpawnFileActions::init()?;
    let attributes = PosixSpawnAttr::init()?;
    let environment: [&CStr; 0] = [];
    let pid = posix_spawn(PROGRAM, &actions, &attributes, &[PROGRAM], &environment)?;
    let start = begun.elapsed();
    waitpid(pid, None)?;
    Ok(took(start, begun.elapsed()))
}

/// Launches it as a task, waits for its end, and cleans up behind it. Gives what contained it, too.
fn launched(spec: &LaunchSpec) -> Result<(String, Took)> {
    let begun = Instant::now();
    let executor = StandardExecutor::new(Options::default());
    let launched = executor
        .launch(spec, Cancel::never())
        .context("cannot launch the task")?;
    let start = begun.elapsed();
    match executor.wait(Some(LONGEST), Cancel::never())? {
        executor::Waited::Ended(_) => {}
        executor::Waited::TimedOut | executor::Waited::Cancelled => {
            bail!("the task has not ended within {LONGEST:?}");
        }
    }
    executor.shutdown(None, Duration::ZERO)?;
    let took = took(start, begun.elapsed());
    Ok((launched.contained_by.to_string(), took))
}

fn took(start: Duration, whole: Duration) -> Took {
    Took {
        start_us: start.as_secs_f64() * 1e6,
        whole_us: whole.as_secs_f64() * 1e6,
        cpu_us: 0.0,
    }
}

/// The processor time of this program and of all children that it has waited for, getrusage(2).
fn cpu_us() -> Result<f64> {
    let mut sum = 0.0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            sum += time.num_microseconds() as f64;
        }
    }
    Ok(sum)
}
