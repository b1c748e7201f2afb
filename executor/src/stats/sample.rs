//! What was measured of a task at one moment (core).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// One moment on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time since a beginning that is the clock's own. It never goes back, so differences are taken of it.
    pub monotonic: Duration,
    /// The time of day, for people. It may be set, forwards and back.
    pub wall: SystemTime,
}

/// CPU time that was used, since the process or the group began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In the program itself.
    pub user: Duration,
    /// In the kernel, on the program's behalf. Waiting for a disk is none.
    pub system: Duration,
    /// Both. Where the kernel has a counter of its own for it, it is that one.
    pub total: Duration,
}

impl CpuTime {
    pub(super) fn plus(self, other: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user.saturating_add(other.user),
            system: self.system.saturating_add(other.system),
            total: self.total.saturating_add(other.total),
        }
    }
}

/// How much of the time between two samples was CPU time. 100 is one processor all the time; each is from 0 to
/// 100 for each processor of the machine, and finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuPercent {
    /// In the program itself.
    pub user: f64,
    /// In the kernel, on the program's behalf.
    pub system: f64,
    /// Both.
    pub total: f64,
}

/// How often a cgroup was held back by its limit, `cpu.max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttling {
    /// In how many of the limit's periods.
    pub periods: u64,
    /// For how long, over all processors.
    pub time: Duration,
}

/// What the task or one process uses. `None` is "not measured", and never the same as 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Bytes in memory, shared pages counted for each process that has them. The kernel counts this in batches
    /// for each processor, so it is a little off (proc(5), `statm`).
    pub rss_bytes: Option<u64>,
    /// Bytes in swap; none unless asked for by [`SwapDetail::Measured`](super::SwapDetail), or if the kernel
    /// doesn't say.
    pub swap_bytes: Option<u64>,
    /// CPU time used so far. Of a process it is counted in whole ticks, most often of 10 ms.
    pub cpu_time: Option<CpuTime>,
    /// CPU time used since the sample before; none in the first sample in which it is seen.
    pub cpu_percent: Option<CpuPercent>,
}

/// Where the CPU time of the task comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuSource {
    /// The counter of the cgroup. It is complete.
    Group,
    /// The sum over its processes, with what those had that have gone. What began and ended between two samples
    /// is missing.
    Processes,
}

/// Something that a sample can say of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// Bytes in memory.
    Rss,
    /// Bytes in swap.
    Swap,
    /// CPU time so far.
    CpuTime,
    /// Percentages of CPU time: user, system and total.
    CpuPercent,
    /// Periods and time of being held back.
    Throttling,
}

/// What was measured of a task at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When its CPU time was read. The memory was read right after that.
    pub taken: Moment,
    /// The time since the sample before, over which the percentages are; none in the first one.
    pub span: Option<Duration>,
    /// The whole task. Its memory is the sum over the processes; it is not measured if it wasn't for one of them.
    pub total: Usage,
    /// Where the CPU time of the whole task comes from.
    pub cpu_source: CpuSource,
    /// How often its cgroup was held back.
    pub throttling: Option<Throttling>,
    /// Each process by its pid.
    pub processes: BTreeMap<u32, Usage>,
}

impl Sample {
    /// Gives what was measured of the whole task, in the order of [`Quantity`].
    #[must_use]
    pub fn measured(&self) -> Vec<Quantity> {
        let total = &self.total;
        let all = [
            (Quantity::Rss, total.rss_bytes.is_some()),
            (Quantity::Swap, total.swap_bytes.is_some()),
            (Quantity::CpuTime, total.cpu_time.is_some()),
            (Quantity::CpuPercent, total.cpu_percent.is_some()),
            (Quantity::Throttling, self.throttling.is_some()),
        ];
        let measured = all.into_iter().filter(|(_, is_measured)| *is_measured);
        measured.map(|(quantity, _)| quantity).collect()
    }
}
