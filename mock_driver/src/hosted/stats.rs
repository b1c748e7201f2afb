//! What a task uses: from /proc, or by the executor that runs it: an edge.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::executor::kept::KeptTask;
use ::executor::stats::{Interval, Sampler, StatsError, SwapDetail};
use plugin::Status;
use plugin::failure::plain;
use plugin::proto::driver::cpu_usage::Fields as CpuField;
use plugin::proto::driver::memory_usage::Fields as MemoryField;
use plugin::proto::driver::{
    CpuUsage, MemoryUsage, TaskResourceUsage, TaskStats, TaskStatsResponse,
};
use rustix::param::{clock_ticks_per_second, page_size};

use super::task::{Task, timestamp};
use super::usage::usages;
use crate::executor::process::stat_field;

/// Asked for no interval, or none that makes sense.
pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// Nobody is told more often.
pub(super) const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Fields of /proc/PID/stat behind the name, counted from 0 at the state; see proc_pid_stat(5).
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const RESIDENT_PAGES: usize = 21;

/// What one process has used so far, and what it has.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    user_ticks: u64,
    system_ticks: u64,
    rss_bytes: u64,
}

/// Measures a task for one who asks.
pub(super) enum Gauge {
    /// One that this driver forwards.
    Own(Meter),
    /// One that the executor runs.
    Executed(Executed),
}

impl Gauge {
    pub(super) fn of(task: &Task, interval: Duration) -> Self {
        match &task.kept {
            None => Self::Own(Meter::new(task)),
            Some(kept) => Self::Executed(Executed {
                kept: kept.clone(),
                interval: Interval::new(interval),
                sampler: None,
                mhz: megahertz(),
            }),
        }
    }

    /// Looks at the task. One that has ended uses nothing.
    pub(super) async fn read(&mut self, task: &Task) -> Result<TaskStatsResponse, Status> {
        match self {
            Self::Own(meter) => Ok(meter.read(task)),
            Self::Executed(executed) => executed.read(task).await,
        }
    }
}

/// A task that the executor runs.
pub(super) struct Executed {
    kept: KeptTask,
    interval: Interval,
    /// Made with the first look.
    sampler: Option<Arc<Sampler>>,
    mhz: Option<f64>,
}

impl Executed {
    async fn read(&mut self, task: &Task) -> Result<TaskStatsResponse, Status> {
        let (kept, interval) = (self.kept.clone(), self.interval);
        let before = self.sampler.clone();
        let look = move || {
            let sampler = match before {
                Some(sampler) => sampler,
                None => kept.sampler(SwapDetail::Measured)?,
            };
            let sample = sampler.sample(interval)?;
            Ok((sampler, sample))
        };
        let looked = tokio::task::spawn_blocking(look).await;
        let sample = match looked.map_err(|error| plain(error.to_string()))? {
            Ok((sampler, sample)) => {
                self.sampler = Some(sampler);
                Some(sample)
            }
            Err(error) if StatsError::is_gone(&error) => None,
            Err(error) => {
                let why = format!("{:#}", anyhow::Error::new(error));
                return Err(plain(format!("cannot {why}")));
            }
        };
        let taken = sample.as_ref().map(|sample| sample.taken.wall);
        let (all, by_pid) = usages(sample.as_deref(), self.mhz);
        let stats = TaskStats {
            id: task.config.id.clone(),
            timestamp: Some(timestamp(taken.unwrap_or_else(SystemTime::now))),
            agg_resource_usage: Some(all),
            resource_usage_by_pid: by_pid.into_iter().collect(),
        };
        Ok(TaskStatsResponse { stats: Some(stats) })
    }
}

/// The last look at a task.
pub(super) struct Meter {
    at: Instant,
    used: BTreeMap<i32, Used>,
    max_rss_bytes: u64,
    mhz: Option<f64>,
}

impl Meter {
    /// A meter whose first look is about all that the task has used since its start.
    fn new(task: &Task) -> Self {
        let age = task.started().elapsed().unwrap_or_default();
        let now = Instant::now();
        Self {
            at: now.checked_sub(age).unwrap_or(now),
            used: BTreeMap::new(),
            max_rss_bytes: 0,
            mhz: megahertz(),
        }
    }

    /// Looks at the task. One that has ended uses nothing.
    fn read(&mut self, task: &Task) -> TaskStatsResponse {
        let used: BTreeMap<i32, Used> = task
            .descendants()
            .into_iter()
            .filter_map(|pid| Some((pid, look(pid)?)))
            .collect();
        let now = Instant::now();
        let seconds = (now - self.at).as_secs_f64().max(1e-3);
        let since = |pid: &i32, used: &Used| {
            let before = self.used.get(pid).copied().unwrap_or_default();
            Used {
                user_ticks: used.user_ticks.saturating_sub(before.user_ticks),
                system_ticks: used.system_ticks.saturating_sub(before.system_ticks),
                rss_bytes: used.rss_bytes,
            }
        };
        let spent: BTreeMap<i32, Used> = used
            .iter()
            .map(|(pid, one)| (*pid, since(pid, one)))
            .collect();
        let total = spent.values().fold(Used::default(), |sum, one| Used {
            user_ticks: sum.user_ticks + one.user_ticks,
            system_ticks: sum.system_ticks + one.system_ticks,
            rss_bytes: sum.rss_bytes + one.rss_bytes,
        });
        self.max_rss_bytes = self.max_rss_bytes.max(total.rss_bytes);
        let stats = TaskStats {
            id: task.config.id.clone(),
            timestamp: Some(timestamp(SystemTime::now())),
            agg_resource_usage: Some(self.usage(total, seconds, Some(self.max_rss_bytes))),
            resource_usage_by_pid: spent
                .iter()
                .map(|(pid, one)| (pid.to_string(), self.usage(*one, seconds, None)))
                .collect(),
        };
        (self.at, self.used) = (now, used);
        TaskStatsResponse { stats: Some(stats) }
    }

    /// In percent of one processor, and its ticks as Nomad counts them: megahertz.
    #[expect(
        clippy::cast_precision_loss,
        reason = "ticks of one interval are few, and a percentage is no count"
    )]
    fn usage(&self, spent: Used, seconds: f64, max_rss_bytes: Option<u64>) -> TaskResourceUsage {
        let per_second = clock_ticks_per_second() as f64;
        let percent = |ticks: u64| ticks as f64 / per_second / seconds * 100.0;
        let total = percent(spent.user_ticks + spent.system_ticks);
        let mut cpu_fields = vec![
            CpuField::SystemMode.into(),
            CpuField::UserMode.into(),
            CpuField::Percent.into(),
        ];
        cpu_fields.extend(self.mhz.map(|_| i32::from(CpuField::TotalTicks)));
        let mut memory_fields = vec![MemoryField::Rss.into(), MemoryField::Usage.into()];
        memory_fields.extend(max_rss_bytes.map(|_| i32::from(MemoryField::MaxUsage)));
        TaskResourceUsage {
            cpu: Some(CpuUsage {
                system_mode: percent(spent.system_ticks),
                user_mode: percent(spent.user_ticks),
                total_ticks: self.mhz.map_or(0.0, |mhz| total / 100.0 * mhz),
                percent: total,
                measured_fields: cpu_fields,
                ..CpuUsage::default()
            }),
            memory: Some(MemoryUsage {
                rss: spent.rss_bytes,
                usage: spent.rss_bytes,
                max_usage: max_rss_bytes.unwrap_or(0),
                measured_fields: memory_fields,
                ..MemoryUsage::default()
            }),
        }
    }
}

fn look(pid: i32) -> Option<Used> {
    let number = |index| stat_field(pid, index)?.parse::<u64>().ok();
    Some(Used {
        user_ticks: number(USER_TICKS)?,
        system_ticks: number(SYSTEM_TICKS)?,
        rss_bytes: number(RESIDENT_PAGES)?.saturating_mul(page_size() as u64),
    })
}

/// The speed of the first processor, where the kernel tells.
fn megahertz() -> Option<f64> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("cpu MHz"))?;
    line.split_once(':')?.1.trim().parse().ok()
}
