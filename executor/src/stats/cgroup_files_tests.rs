//! Tests of the parsers of cgroup files: bytes of kernels, and any bytes at all (core).

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::cgroup_files::{add_processes, of_cpu_stat, of_cpuacct};
use super::error::ParseError;
use super::sample::{CpuTime, Throttling};
use super::source::{GroupCpu, Listing};
use super::units::Machine;

const MACHINE: Machine = Machine {
    ticks_per_second: NonZeroU32::new(100).unwrap(),
    page_bytes: NonZeroU32::new(4096).unwrap(),
    processors: NonZeroU32::new(2).unwrap(),
};

/// Of a kernel 6.18 without the cpu controller.
const BARE: &str =
    "usage_usec 3895758876\nuser_usec 2725714170\nsystem_usec 1170044705\nnice_usec 0\n";
/// With it, in the order of the kernel.
const CONTROLLED: &str = "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnice_usec 0\n\
    core_sched.force_idle_usec 0\nnr_periods 9\nnr_throttled 4\nthrottled_usec 5000\nnr_bursts 0\nburst_usec 0\n";

fn listed(text: &str) -> Result<Listing, ParseError> {
    let mut listing = Listing::default();
    add_processes(text.as_bytes(), &mut listing)?;
    Ok(listing)
}

fn micros(user: u64, system: u64, total: u64) -> CpuTime {
    CpuTime {
        user: Duration::from_micros(user),
        system: Duration::from_micros(system),
        total: Duration::from_micros(total),
    }
}

#[test]
fn a_list_of_processes_has_each_pid_once() {
    assert_eq!(listed(""), Ok(Listing::default()));
    let listing = listed("12\n4194304\n12\n7\n").unwrap();
    assert_eq!(
        listing.pids.into_iter().collect::<Vec<_>>(),
        [7, 12, 4_194_304]
    );
    assert_eq!(listing.hidden, 0);
}

#[test]
fn a_process_of_another_namespace_is_counted_and_has_no_pid() {
    let listing = listed("0\n12\n0\n").unwrap();
    assert_eq!(listing.pids.into_iter().collect::<Vec<_>>(), [12]);
    assert_eq!(listing.hidden, 2);
}

#[test]
fn what_is_no_pid_is_named() {
    for word in ["-1", "x", "4294967296", "99999999999999999999"] {
        let error = ParseError::malformed("a pid", word.as_bytes());
        assert_eq!(listed(&format!("1\n{word}\n2\n")), Err(error));
    }
}

#[test]
fn cpu_stat_gives_microseconds_and_throttling_only_where_it_is_counted() {
    let bare = GroupCpu {
        cpu: micros(2_725_714_170, 1_170_044_705, 3_895_758_876),
        throttling: None,
    };
    assert_eq!(of_cpu_stat(BARE.as_bytes()), Ok(Some(bare)));
    let controlled = GroupCpu {
        cpu: micros(20, 10, 30),
        throttling: Some(Throttling {
            periods: 4,
            time: Duration::from_millis(5),
        }),
    };
    assert_eq!(of_cpu_stat(CONTROLLED.as_bytes()), Ok(Some(controlled)));
}

#[test]
fn cpu_stat_of_version_1_counts_no_time() {
    let text = "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n";
    assert_eq!(of_cpu_stat(text.as_bytes()), Ok(None));
    assert_eq!(of_cpu_stat(b""), Ok(None));
}

#[test]
fn cpu_stat_that_is_cut_off_is_an_error_and_not_a_smaller_number() {
    for (text, field) in [
        ("usage_usec 30\n", "user_usec"),
        ("usage_usec 30\nuser_usec 20\n", "system_usec"),
    ] {
        let error = ParseError::missing(field, text.as_bytes());
        assert_eq!(of_cpu_stat(text.as_bytes()), Err(error));
    }
    let error = ParseError::missing("usage_usec", b"usage_usec");
    assert_eq!(of_cpu_stat(b"usage_usec"), Err(error));
    let error = ParseError::malformed("usage_usec", b"30x");
    assert_eq!(of_cpu_stat(b"usage_usec 30x\n"), Err(error));
}

#[test]
fn cpuacct_gives_nanoseconds_and_ticks() {
    let group = of_cpuacct(
        b"3925459335162\n",
        b"user 274649\nsystem 117896\n",
        &MACHINE,
    );
    let cpu = CpuTime {
        user: Duration::from_millis(2_746_490),
        system: Duration::from_millis(1_178_960),
        total: Duration::from_nanos(3_925_459_335_162),
    };
    let throttling = None;
    assert_eq!(group, Ok(GroupCpu { cpu, throttling }));
}

#[test]
fn cpuacct_that_is_cut_off_names_what_is_missing() {
    let error = ParseError::missing("cpuacct.usage", b"\n");
    assert_eq!(
        of_cpuacct(b"\n", b"user 1\nsystem 1\n", &MACHINE),
        Err(error)
    );
    let error = ParseError::missing("system", b"user 1\n");
    assert_eq!(of_cpuacct(b"1\n", b"user 1\n", &MACHINE), Err(error));
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // The answers don't matter here.
        drop(add_processes(&bytes, &mut Listing::default()));
        drop(of_cpu_stat(&bytes));
        drop(of_cpuacct(&bytes, &bytes, &MACHINE));
    }

    #[test]
    fn no_damage_to_a_real_file_makes_a_parser_panic(at in 0..CONTROLLED.len(), byte in any::<u8>()) {
        let mut text = CONTROLLED.as_bytes().to_vec();
        text[at] = byte;
        drop(of_cpu_stat(&text));
        drop(of_cpu_stat(&text[..at]));
        drop(of_cpuacct(&text, &text[at..], &MACHINE));
    }

    #[test]
    fn any_pids_are_read_back(pids in prop::collection::btree_set(1_u32.., 0..200)) {
        let text: String = pids.iter().map(|pid| format!("{pid}\n")).collect();
        let listing = listed(&text).unwrap();
        prop_assert_eq!(listing, Listing { pids, hidden: 0 });
    }

    #[test]
    fn any_times_are_read_back_in_any_order(times in prop::array::uniform3(any::<u64>()), turn in 0_usize..3) {
        let keys = ["usage_usec", "user_usec", "system_usec"];
        let mut lines: Vec<_> = keys.iter().zip(times).map(|(key, time)| format!("{key} {time}\n")).collect();
        lines.rotate_left(turn);
        let group = of_cpu_stat(lines.concat().as_bytes()).unwrap().unwrap();
        prop_assert_eq!(group.cpu, micros(times[1], times[2], times[0]));
    }
}
