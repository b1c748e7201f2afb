//! What a task uses, as its executor has it measured (edge).

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use executor::stats::{Cancel, CpuSource, Interval, Quantity, SwapDetail};
use executor::{End, Executor, Kind};

use crate::stage::{LONG, Stage, end, line};

#[test]
fn a_task_is_measured_with_all_of_its_processes_until_it_is_killed() {
    let stage = Stage::new();
    let (executor, launched) = stage.launch("sleep 1000 & echo ready; wait");
    assert_eq!(line(&stage.stdout), "ready");
    let contained = executor.contained().unwrap();
    let sampler = contained.sampler(SwapDetail::Measured).unwrap();
    // The first one is not waited for.
    let hour = Interval::new(Duration::from_secs(3600));
    let (begin, before) = (Instant::now(), SystemTime::now());
    let mut samples = sampler.samples(hour, Cancel::at(begin + LONG));
    let sample = samples.next().expect("it comes within a minute").unwrap();
    let taken = sample.taken.wall;
    assert!(before <= taken && taken <= SystemTime::now(), "{taken:?}");
    let pids: BTreeSet<i32> = contained.pids().unwrap().into_iter().collect();
    let measured: BTreeSet<i32> = sample
        .processes
        .keys()
        .map(|pid| pid.cast_signed())
        .collect();
    assert!(
        measured == pids && pids.contains(&launched.pid) && pids.len() == 2,
        "{measured:?} of {pids:?}"
    );
    let quantities = sample.measured();
    for wanted in [Quantity::Rss, Quantity::Swap, Quantity::CpuTime] {
        assert!(quantities.contains(&wanted), "{quantities:?}");
    }
    if launched.contained_by == Kind::Cgroup2 {
        assert_eq!(sample.cpu_source, CpuSource::Group);
    }
    executor.signal("SIGKILL").unwrap();
    assert_eq!(end(&executor).end, End::Signal(9));
    executor.shutdown(None, LONG).unwrap();
    // One that is younger may be kept; whoever asks later is told.
    let later = Interval::new(Duration::from_nanos(1));
    assert!(sampler.sample(later).unwrap_err().is_gone());
}
