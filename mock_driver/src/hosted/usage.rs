//! What a command uses that the executor runs, as a host is told it: a core.
//!
//! What was not measured stands in no list of measured fields. Its number is 0 then, as a message has no other way.

use std::collections::BTreeMap;

use ::executor::stats::{Sample, Throttling, Usage};
use plugin::proto::driver::cpu_usage::Fields as CpuField;
use plugin::proto::driver::memory_usage::Fields as MemoryField;
use plugin::proto::driver::{CpuUsage, MemoryUsage, TaskResourceUsage};

/// The whole task and each process by its pid, as of a machine whose processors have this speed; of a task that has
/// ended, and so of none, nothing was measured.
pub(super) fn usages(
    sample: Option<&Sample>,
    mhz: Option<f64>,
) -> (TaskResourceUsage, BTreeMap<String, TaskResourceUsage>) {
    let Some(sample) = sample else {
        return (usage(None, None, mhz), BTreeMap::new());
    };
    let processes = sample.processes.iter();
    let by_pid = processes.map(|(pid, one)| (pid.to_string(), usage(Some(one), None, mhz)));
    (
        usage(Some(&sample.total), sample.throttling, mhz),
        by_pid.collect(),
    )
}

/// Both parts are always there: hosts take them for granted.
fn usage(
    used: Option<&Usage>,
    throttling: Option<Throttling>,
    mhz: Option<f64>,
) -> TaskResourceUsage {
    TaskResourceUsage {
        cpu: Some(cpu(used, throttling, mhz)),
        memory: Some(memory(used)),
    }
}

fn cpu(used: Option<&Usage>, throttling: Option<Throttling>, mhz: Option<f64>) -> CpuUsage {
    let mut cpu = CpuUsage::default();
    let fields = &mut cpu.measured_fields;
    if let Some(percent) = used.and_then(|used| used.cpu_percent) {
        cpu.system_mode = percent.system;
        cpu.user_mode = percent.user;
        cpu.percent = percent.total;
        fields.extend([
            i32::from(CpuField::SystemMode),
            CpuField::UserMode.into(),
            CpuField::Percent.into(),
        ]);
        if let Some(mhz) = mhz {
            cpu.total_ticks = percent.total / 100.0 * mhz;
            fields.push(CpuField::TotalTicks.into());
        }
    }
    if let Some(throttling) = throttling {
        cpu.throttled_periods = throttling.periods;
        cpu.throttled_time = u64::try_from(throttling.time.as_nanos()).unwrap_or(u64::MAX);
        fields.extend([
            i32::from(CpuField::ThrottledPeriods),
            CpuField::ThrottledTime.into(),
        ]);
    }
    cpu
}

fn memory(used: Option<&Usage>) -> MemoryUsage {
    let mut memory = MemoryUsage::default();
    let fields = &mut memory.measured_fields;
    if let Some(rss) = used.and_then(|used| used.rss_bytes) {
        memory.rss = rss;
        fields.push(MemoryField::Rss.into());
    }
    if let Some(swap) = used.and_then(|used| used.swap_bytes) {
        memory.swap = swap;
        fields.push(MemoryField::Swap.into());
    }
    memory
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use ::executor::stats::{CpuPercent, CpuSource, Moment};

    use super::*;

    fn used(rss: Option<u64>, swap: Option<u64>, percent: Option<[f64; 3]>) -> Usage {
        Usage {
            rss_bytes: rss,
            swap_bytes: swap,
            cpu_time: None,
            cpu_percent: percent.map(|[user, system, total]| CpuPercent {
                user,
                system,
                total,
            }),
        }
    }

    fn sample(total: Usage, throttling: Option<Throttling>) -> Sample {
        Sample {
            taken: Moment {
                monotonic: Duration::ZERO,
                wall: UNIX_EPOCH,
            },
            span: None,
            total,
            cpu_source: CpuSource::Group,
            throttling,
            processes: [(7, used(Some(5), None, None))].into(),
        }
    }

    fn fields(usage: &TaskResourceUsage) -> (Vec<i32>, Vec<i32>) {
        let (cpu, memory) = (usage.cpu.as_ref().unwrap(), usage.memory.as_ref().unwrap());
        (cpu.measured_fields.clone(), memory.measured_fields.clone())
    }

    #[test]
    fn what_was_measured_is_listed_with_its_number() {
        let throttling = Throttling {
            periods: 3,
            time: Duration::from_nanos(900),
        };
        let of = sample(
            used(Some(9), Some(2), Some([50.0, 25.0, 75.0])),
            Some(throttling),
        );
        let (all, by_pid) = usages(Some(&of), Some(2000.0));
        assert_eq!(fields(&all), (vec![0, 1, 5, 2, 3, 4], vec![0, 6]));
        let (cpu, memory) = (all.cpu.unwrap(), all.memory.unwrap());
        assert_eq!(
            (cpu.user_mode, cpu.system_mode, cpu.percent, cpu.total_ticks),
            (50.0, 25.0, 75.0, 1500.0)
        );
        assert_eq!((cpu.throttled_periods, cpu.throttled_time), (3, 900));
        assert_eq!((memory.rss, memory.swap), (9, 2));
        assert_eq!(by_pid.len(), 1);
        assert_eq!(fields(&by_pid["7"]), (vec![], vec![0]));
        assert_eq!(by_pid["7"].memory.as_ref().unwrap().rss, 5);
    }

    #[test]
    fn what_was_not_measured_is_listed_nowhere() {
        let (all, _) = usages(Some(&sample(used(None, None, None), None)), Some(2000.0));
        assert_eq!(fields(&all), (vec![], vec![]));
        let percent = Some([1.0, 1.0, 2.0]);
        let (all, _) = usages(Some(&sample(used(None, Some(0), percent), None)), None);
        assert_eq!(fields(&all), (vec![0, 1, 5], vec![6]));
        let (ended, by_pid) = usages(None, Some(2000.0));
        assert_eq!((fields(&ended), by_pid.len()), ((vec![], vec![]), 0));
    }
}
