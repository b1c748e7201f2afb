//! Makes samples out of readings: sums, differences and percentages (core).

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::sample::{CpuPercent, CpuSource, CpuTime, Moment, Sample, Usage};
use super::source::GroupCpu;

/// So many processes that have gone are remembered one by one, so that one that comes back, as it was moved out
/// of a cgroup and in again, is not counted twice. Of the others only the sum is kept. One is about 64 bytes.
pub(super) const REMEMBERED: usize = 1024;

/// What was read of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessReading {
    /// Its pid.
    pub pid: u32,
    /// When it began, in ticks since the machine did. Another process with the same pid has another one.
    pub started_ticks: u64,
    /// CPU time since then.
    pub cpu: CpuTime,
    /// Bytes in memory.
    pub rss_bytes: u64,
    /// Bytes in swap; none if they were not read.
    pub swap_bytes: Option<u64>,
}

/// What was read of a task at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The moment.
    pub taken: Moment,
    /// Its processes.
    pub processes: Vec<ProcessReading>,
    /// How many more it has that can't be read.
    pub hidden: usize,
    /// The counter of all of them together; none if nobody keeps one.
    pub group: Option<GroupCpu>,
    /// Whether swap was read.
    pub has_swap: bool,
}

/// A process. The oldest is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    started_ticks: u64,
    pid: u32,
}

#[derive(Debug)]
struct Before {
    monotonic: Duration,
    cpu_source: CpuSource,
    total: Option<CpuTime>,
    processes: BTreeMap<Identity, CpuTime>,
}

/// Remembers the reading before, and what had gone by then.
#[derive(Debug)]
pub struct Meter {
    processors: NonZeroU32,
    before: Option<Before>,
    vanished: BTreeMap<Identity, CpuTime>,
    long_vanished: CpuTime,
}

impl Meter {
    /// Gives a meter that has seen nothing, for a machine with so many processors.
    #[must_use]
    pub fn new(processors: NonZeroU32) -> Meter {
        Meter {
            processors,
            before: None,
            vanished: BTreeMap::new(),
            long_vanished: CpuTime::default(),
        }
    }

    /// Takes a reading and gives the sample that it makes with the one before. Percentages are measured if time
    /// has passed between the two, and if the counter was not set back.
    pub fn take(&mut self, reading: &Reading) -> Sample {
        let now: BTreeMap<Identity, CpuTime> = reading
            .processes
            .iter()
            .map(|process| (identity(process), process.cpu))
            .collect();
        self.note_vanished(&now);
        let (cpu_source, total_cpu) = match reading.group {
            Some(group) => (CpuSource::Group, Some(group.cpu)),
            None if reading.hidden == 0 => (CpuSource::Processes, Some(self.sum(&now))),
            None => (CpuSource::Processes, None),
        };
        let span = self.span(reading.taken);
        let sample = Sample {
            taken: reading.taken,
            span,
            total: Usage {
                rss_bytes: sum_of(reading, |process| Some(process.rss_bytes)),
                swap_bytes: sum_of(reading, |process| process.swap_bytes)
                    .filter(|_| reading.has_swap),
                cpu_time: total_cpu,
                cpu_percent: self.percent(self.total_before(cpu_source), total_cpu, span),
            },
            cpu_source,
            throttling: reading.group.and_then(|group| group.throttling),
            processes: reading
                .processes
                .iter()
                .map(|process| (process.pid, self.usage(process, span)))
                .collect(),
        };
        self.before = Some(Before {
            monotonic: reading.taken.monotonic,
            cpu_source,
            total: total_cpu,
            processes: now,
        });
        sample
    }

    /// Keeps what those had that have gone since the reading before.
    fn note_vanished(&mut self, now: &BTreeMap<Identity, CpuTime>) {
        for (identity, cpu) in self.before.iter().flat_map(|before| &before.processes) {
            if !now.contains_key(identity) {
                self.vanished.insert(*identity, *cpu);
            }
        }
        self.vanished
            .retain(|identity, _| !now.contains_key(identity));
        while self.vanished.len() > REMEMBERED {
            let Some((_, cpu)) = self.vanished.pop_first() else {
                break;
            };
            self.long_vanished = self.long_vanished.plus(cpu);
        }
    }

    /// What these processes have used, and those that have gone.
    fn sum(&self, now: &BTreeMap<Identity, CpuTime>) -> CpuTime {
        let all = now.values().chain(self.vanished.values());
        all.fold(self.long_vanished, |sum, cpu| sum.plus(*cpu))
    }

    /// The time since the reading before; none if there was none, or if no time has passed.
    fn span(&self, taken: Moment) -> Option<Duration> {
        let before = self.before.as_ref()?.monotonic;
        let span = taken.monotonic.checked_sub(before);
        span.filter(|span| !span.is_zero())
    }

    /// The total of the reading before, if it came from the same source: two sources have no difference.
    fn total_before(&self, cpu_source: CpuSource) -> Option<CpuTime> {
        let before = self.before.as_ref()?;
        before.total.filter(|_| before.cpu_source == cpu_source)
    }

    fn usage(&self, process: &ProcessReading, span: Option<Duration>) -> Usage {
        let before = self.before.as_ref();
        let before = before.and_then(|before| before.processes.get(&identity(process)));
        Usage {
            rss_bytes: Some(process.rss_bytes),
            swap_bytes: process.swap_bytes,
            cpu_time: Some(process.cpu),
            cpu_percent: self.percent(before.copied(), Some(process.cpu), span),
        }
    }

    fn percent(
        &self,
        before: Option<CpuTime>,
        now: Option<CpuTime>,
        span: Option<Duration>,
    ) -> Option<CpuPercent> {
        let (before, now, span) = (before?, now?, span?);
        // A counter that went back belongs to a group that was made anew.
        let share = |before: Duration, now: Duration| {
            let used = now.checked_sub(before)?;
            let percent = 100.0 * used.as_secs_f64() / span.as_secs_f64();
            Some(percent.min(100.0 * f64::from(self.processors.get())))
        };
        Some(CpuPercent {
            user: share(before.user, now.user)?,
            system: share(before.system, now.system)?,
            total: share(before.total, now.total)?,
        })
    }
}

fn identity(process: &ProcessReading) -> Identity {
    Identity {
        started_ticks: process.started_ticks,
        pid: process.pid,
    }
}

/// The sum over all processes; none if there is one of which it is not known.
fn sum_of(reading: &Reading, bytes: impl Fn(&ProcessReading) -> Option<u64>) -> Option<u64> {
    let mut sum = 0_u64;
    for process in &reading.processes {
        sum = sum.saturating_add(bytes(process)?);
    }
    (reading.hidden == 0).then_some(sum)
}
