//! Tests of sums, differences and percentages (core).

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::meter::REMEMBERED;
use super::*;

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn cpu(user: u64, system: u64) -> CpuTime {
    CpuTime {
        user: ms(user),
        system: ms(system),
        total: ms(user + system),
    }
}

fn meter() -> Meter {
    Meter::new(NonZeroU32::new(2).unwrap())
}

/// A process that began at its pid, with its user time in milliseconds.
fn process(pid: u32, user: u64) -> ProcessReading {
    ProcessReading {
        pid,
        started_ticks: u64::from(pid),
        cpu: cpu(user, 0),
        rss_bytes: 1000,
        swap_bytes: Some(10),
    }
}

fn reading(at: u64, processes: &[ProcessReading]) -> Reading {
    Reading {
        taken: Moment {
            monotonic: ms(at),
            wall: SystemTime::UNIX_EPOCH + ms(at),
        },
        processes: processes.to_vec(),
        hidden: 0,
        group: None,
        has_swap: true,
    }
}

fn group(at: u64, cpu: CpuTime) -> Reading {
    let throttling = None;
    Reading {
        group: Some(GroupCpu { cpu, throttling }),
        ..reading(at, &[])
    }
}

fn percent(sample: &Sample) -> Option<f64> {
    sample.total.cpu_percent.map(|percent| percent.total)
}

fn used(sample: &Sample) -> Option<Duration> {
    sample.total.cpu_time.map(|time| time.total)
}

#[test]
fn the_first_sample_has_no_percentage_and_does_not_list_one() {
    let sample = meter().take(&reading(0, &[process(1, 500)]));
    assert_eq!(sample.span, None);
    assert_eq!(sample.total.cpu_percent, None);
    assert_eq!(sample.processes[&1].cpu_percent, None);
    let measured = [Quantity::Rss, Quantity::Swap, Quantity::CpuTime];
    assert_eq!(sample.measured(), measured);
}

#[test]
fn an_idle_process_has_0_percent_from_the_second_sample_on() {
    let mut meter = meter();
    meter.take(&reading(0, &[process(1, 0)]));
    let sample = meter.take(&reading(1000, &[process(1, 0)]));
    assert_eq!(percent(&sample), Some(0.0));
    assert!(sample.measured().contains(&Quantity::CpuPercent));
}

#[test]
fn a_percentage_is_the_difference_over_the_time_between_the_samples() {
    let mut meter = meter();
    meter.take(&group(1000, cpu(5000, 100)));
    let sample = meter.take(&group(3000, cpu(6000, 600)));
    assert_eq!(sample.span, Some(ms(2000)));
    let expected = CpuPercent {
        user: 50.0,
        system: 25.0,
        total: 75.0,
    };
    assert_eq!(sample.total.cpu_percent, Some(expected));
}

#[test]
fn no_percentage_passes_100_for_each_processor() {
    let mut meter = meter();
    meter.take(&group(0, cpu(0, 0)));
    let sample = meter.take(&group(1000, cpu(2004, 2001)));
    let expected = CpuPercent {
        user: 200.0,
        system: 200.0,
        total: 200.0,
    };
    assert_eq!(sample.total.cpu_percent, Some(expected));
}

#[test]
fn a_counter_that_goes_back_gives_no_percentage_and_is_a_new_beginning() {
    let mut meter = meter();
    meter.take(&group(0, cpu(900, 0)));
    let sample = meter.take(&group(1000, cpu(100, 0)));
    assert_eq!(percent(&sample), None);
    assert_eq!(used(&sample), Some(ms(100)));
    let sample = meter.take(&group(2000, cpu(600, 0)));
    assert_eq!(percent(&sample), Some(50.0));
}

#[test]
fn without_time_between_two_samples_there_is_no_percentage() {
    let mut meter = meter();
    meter.take(&group(1000, cpu(0, 0)));
    let sample = meter.take(&group(1000, cpu(10, 0)));
    assert_eq!((sample.span, percent(&sample)), (None, None));
    let sample = meter.take(&group(500, cpu(20, 0)));
    assert_eq!((sample.span, percent(&sample)), (None, None));
}

#[test]
fn the_counter_of_the_group_goes_before_the_sum_over_the_processes() {
    let mut meter = meter();
    let with = |at, cpu, processes: &[_]| Reading {
        processes: processes.to_vec(),
        ..group(at, cpu)
    };
    meter.take(&with(0, cpu(0, 0), &[process(1, 0)]));
    let sample = meter.take(&with(1000, cpu(850, 0), &[process(1, 100)]));
    assert_eq!(sample.cpu_source, CpuSource::Group);
    assert_eq!(percent(&sample), Some(85.0));
    let own = sample.processes[&1].cpu_percent.unwrap();
    assert_eq!(own.total, 10.0);
}

#[test]
fn two_sources_of_cpu_time_have_no_difference() {
    let mut meter = meter();
    meter.take(&group(0, cpu(100, 0)));
    let sample = meter.take(&reading(1000, &[process(1, 900)]));
    assert_eq!(sample.cpu_source, CpuSource::Processes);
    assert_eq!(percent(&sample), None);
    let sample = meter.take(&reading(2000, &[process(1, 1000)]));
    assert_eq!(percent(&sample), Some(10.0));
}

#[test]
fn a_process_that_vanished_keeps_its_cpu_in_the_total() {
    let mut meter = meter();
    meter.take(&reading(0, &[process(1, 100), process(2, 700)]));
    let sample = meter.take(&reading(1000, &[process(1, 200)]));
    assert_eq!(used(&sample), Some(ms(900)));
    assert_eq!(percent(&sample), Some(10.0));
    assert_eq!(sample.processes.len(), 1);
    let sample = meter.take(&reading(2000, &[]));
    assert_eq!(used(&sample), Some(ms(900)));
}

#[test]
fn a_process_that_comes_back_is_not_counted_twice() {
    let mut meter = meter();
    meter.take(&reading(0, &[process(1, 100), process(2, 700)]));
    meter.take(&reading(1000, &[process(1, 100)]));
    let sample = meter.take(&reading(2000, &[process(1, 100), process(2, 800)]));
    assert_eq!(used(&sample), Some(ms(900)));
    assert_eq!(sample.processes[&2].cpu_percent, None);
}

#[test]
fn whoever_gets_a_pid_again_does_not_inherit_its_counter() {
    let mut meter = meter();
    meter.take(&reading(0, &[process(1, 700)]));
    let other = ProcessReading {
        started_ticks: 99,
        ..process(1, 900)
    };
    let sample = meter.take(&reading(1000, &[other]));
    assert_eq!(used(&sample), Some(ms(1600)));
    assert_eq!(sample.processes[&1].cpu_percent, None);
}

#[test]
fn more_processes_than_are_remembered_one_by_one_stay_in_the_total() {
    let many: Vec<_> = (1..=u32::try_from(REMEMBERED).unwrap() * 3)
        .map(|pid| process(pid, 10))
        .collect();
    let mut meter = meter();
    for (at, some) in (0..).zip(many.chunks(500)) {
        meter.take(&reading(at, some));
    }
    let sample = meter.take(&reading(1000, &[]));
    assert_eq!(
        used(&sample),
        Some(ms(10) * u32::try_from(many.len()).unwrap())
    );
}

#[test]
fn memory_is_the_sum_and_not_measured_if_it_was_not_for_one() {
    let sample = meter().take(&reading(0, &[process(1, 0), process(2, 0)]));
    assert_eq!(sample.total.rss_bytes, Some(2000));
    assert_eq!(sample.total.swap_bytes, Some(20));
    let unknown = ProcessReading {
        swap_bytes: None,
        ..process(2, 0)
    };
    let sample = meter().take(&reading(0, &[process(1, 0), unknown]));
    assert_eq!(sample.total.rss_bytes, Some(2000));
    assert_eq!(sample.total.swap_bytes, None);
    assert_eq!(sample.measured(), [Quantity::Rss, Quantity::CpuTime]);
}

#[test]
fn no_processes_use_no_memory_but_swap_that_is_left_out_is_not_measured() {
    let sample = meter().take(&reading(0, &[]));
    assert_eq!(sample.total.rss_bytes, Some(0));
    assert_eq!(sample.total.swap_bytes, Some(0));
    let left_out = Reading {
        has_swap: false,
        ..reading(0, &[])
    };
    assert_eq!(meter().take(&left_out).total.swap_bytes, None);
}

#[test]
fn with_processes_that_can_not_be_seen_only_the_counter_of_the_group_is_measured() {
    let hidden = Reading {
        hidden: 1,
        ..reading(0, &[process(1, 100)])
    };
    let sample = meter().take(&hidden);
    assert_eq!(sample.measured(), []);
    assert_eq!(sample.processes[&1].rss_bytes, Some(1000));
    let hidden = Reading {
        hidden: 1,
        ..group(0, cpu(100, 0))
    };
    assert_eq!(meter().take(&hidden).measured(), [Quantity::CpuTime]);
}

#[test]
fn throttling_is_listed_where_it_is_counted() {
    let throttling = Throttling {
        periods: 3,
        time: ms(40),
    };
    let counted = GroupCpu {
        cpu: cpu(1, 1),
        throttling: Some(throttling),
    };
    let sample = meter().take(&Reading {
        group: Some(counted),
        ..reading(0, &[])
    });
    assert_eq!(sample.throttling, Some(throttling));
    assert!(sample.measured().contains(&Quantity::Throttling));
}

prop_compose! {
    /// Any readings, in any order of time, with few pids and starts so that they come back.
    fn any_reading()(
        at in any::<u64>(),
        processes in prop::collection::vec((0_u32..5, 0_u64..3, any::<[u64; 5]>()), 0..6),
        hidden in 0_usize..2,
        counter in prop::option::of(any::<[u64; 3]>()),
        has_swap in any::<bool>(),
    ) -> Reading {
        let time = |[user, system, total]: [u64; 3]| CpuTime {
            user: Duration::from_micros(user),
            system: Duration::from_micros(system),
            total: Duration::from_micros(total),
        };
        let processes = processes.into_iter().map(|(pid, started_ticks, it)| ProcessReading {
            pid,
            started_ticks,
            cpu: time([it[0], it[1], it[2]]),
            rss_bytes: it[3],
            swap_bytes: has_swap.then_some(it[4]),
        });
        Reading {
            taken: Moment { monotonic: Duration::from_nanos(at), wall: SystemTime::UNIX_EPOCH },
            processes: processes.collect(),
            hidden,
            group: counter.map(|it| GroupCpu { cpu: time(it), throttling: None }),
            has_swap,
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_read_a_percentage_is_finite_and_within_its_bounds(
        readings in prop::collection::vec(any_reading(), 1..12),
    ) {
        let mut meter = meter();
        for reading in &readings {
            let sample = meter.take(reading);
            let all = sample.processes.values().chain([&sample.total]);
            for percent in all.filter_map(|usage| usage.cpu_percent) {
                for one in [percent.user, percent.system, percent.total] {
                    prop_assert!((0.0..=200.0).contains(&one), "{one}");
                }
            }
        }
    }

    /// Lives of processes as they are: each counter only grows, and who has gone does not come back.
    #[test]
    fn the_total_of_a_tree_never_shrinks_and_is_all_that_was_seen(
        lives in prop::collection::vec((0_usize..10, prop::collection::vec(0_u64..500, 1..10)), 1..20),
    ) {
        let mut meter = meter();
        let mut before = Duration::ZERO;
        for step in 0..20 {
            let (mut now, mut seen) = (Vec::new(), 0);
            for (pid, (born, grows)) in (1..).zip(&lives) {
                let age = (step + 1_usize).saturating_sub(*born).min(grows.len());
                let user: u64 = grows[..age].iter().sum();
                seen += user;
                if age > 0 && step < born + grows.len() {
                    now.push(process(pid, user));
                }
            }
            let sample = meter.take(&reading(u64::try_from(step).unwrap(), &now));
            let total = used(&sample).unwrap();
            prop_assert!(total >= before);
            prop_assert_eq!(total, ms(seen));
            before = total;
        }
    }
}
