//! Tests of the parsers of proc(5): bytes of a kernel, bytes made up, and any bytes at all (core).

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::error::ParseError;
use super::proc_files::{Stat, of_ticks, resident_bytes, swapped_bytes};
use super::sample::CpuTime;
use super::units::Machine;

const MACHINE: Machine = Machine {
    ticks_per_second: NonZeroU32::new(100).unwrap(),
    page_bytes: NonZeroU32::new(4096).unwrap(),
    processors: NonZeroU32::new(2).unwrap(),
};

/// Of a kernel 6.18, the CPU times apart.
const STAT: &[u8] = b"30013 (cat) R 29998 29998 31020 0 -1 4194304 103 0 0 0 250 31 7 8 20 0 1 0 255019 \
    3133440 390 18446744073709551615 93937322221568 93937322241449 140723815248768 0 0 0 0 0 0 0 0 0 17 0 0 900 \
    0 0 93937322257456 93937322259072 93938152701952 140723815250573 140723815250610 140723815250610 \
    140723815251947 0\n";

fn stat() -> Stat {
    Stat {
        parent: 29_998,
        cpu: CpuTime {
            user: Duration::from_millis(2500),
            system: Duration::from_millis(310),
            total: Duration::from_millis(2810),
        },
        started_ticks: 255_019,
    }
}

fn missing(field: &'static str, text: &str) -> ParseError {
    ParseError::missing(field, text.as_bytes())
}

#[test]
fn stat_gives_parent_times_and_start() {
    assert_eq!(Stat::parse(STAT, &MACHINE), Ok(stat()));
}

#[test]
fn waiting_for_a_disk_and_the_time_of_children_are_no_cpu_time() {
    // 900 ticks of delay and 7 and 8 of children stand in there.
    let total = Stat::parse(STAT, &MACHINE).unwrap().cpu.total;
    assert_eq!(total, Duration::from_millis(2810));
}

#[test]
fn a_name_may_have_spaces_newlines_and_parentheses() {
    let names: [&[u8]; 7] = [
        b"",
        b")",
        b") R 1 2 3 4 5",
        b"a b",
        b"(((",
        b"a\nb) S 1",
        b"\xff\xfe",
    ];
    for name in names {
        let (before, after) = (b"30013 (".as_slice(), &STAT[10..]);
        let text = [before, name, after].concat();
        assert_eq!(Stat::parse(&text, &MACHINE), Ok(stat()), "{name:?}");
    }
}

#[test]
fn stat_that_is_cut_off_names_the_field_that_is_missing() {
    for (text, field) in [
        ("", "(2) comm"),
        ("1 (a", "(2) comm"),
        ("1 (a)", "(4) ppid"),
        ("1 (a) R", "(4) ppid"),
        ("1 (a) R 0 1 2 3 4 5 6 7 8 9", "(14) utime"),
        ("1 (a) R 0 1 2 3 4 5 6 7 8 9 10", "(15) stime"),
        (
            "1 (a) R 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
            "(22) starttime",
        ),
    ] {
        let parsed = Stat::parse(text.as_bytes(), &MACHINE);
        assert_eq!(parsed, Err(missing(field, text)));
    }
    let text = b"1 (a) R -1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18";
    let error = Stat::parse(text, &MACHINE).unwrap_err();
    assert_eq!(error, ParseError::malformed("(4) ppid", b"-1"));
    assert_eq!(error.to_string(), r#"read (4) ppid out of "-1""#);
}

#[test]
fn statm_gives_pages_as_bytes() {
    let bytes = |text: &str| resident_bytes(text.as_bytes(), &MACHINE);
    assert_eq!(bytes("765 434 406 5 0 123 0\n"), Ok(434 * 4096));
    assert_eq!(bytes("0 0 0 0 0 0 0\n"), Ok(0));
    assert_eq!(bytes("1 18446744073709551615"), Ok(u64::MAX));
    assert_eq!(bytes("765"), Err(missing("(2) resident", "765")));
    let text = "1 18446744073709551616";
    let number = &text.as_bytes()[2..];
    assert_eq!(
        bytes(text),
        Err(ParseError::malformed("(2) resident", number))
    );
}

#[test]
fn status_gives_swap_as_bytes() {
    let status = b"Name:\tcat\nState:\tR (running)\nVmSize:\t    3892 kB\nVmSwap:\t      12 kB\nThreads:\t1\n";
    assert_eq!(swapped_bytes(status), Ok(Some(12 * 1024)));
    assert_eq!(swapped_bytes(b"VmSwap:\t       0 kB\n"), Ok(Some(0)));
}

#[test]
fn swap_that_the_kernel_leaves_out_is_not_measured_and_not_0() {
    let old = b"Name:\tcat\nVmSize:\t    3892 kB\nVmRSS:\t 100 kB\nThreads:\t1\n";
    assert_eq!(swapped_bytes(old), Ok(None));
}

#[test]
fn a_process_without_an_address_space_has_nothing_in_swap() {
    let zombie = b"Name:\tsh\nState:\tZ (zombie)\nThreads:\t1\n";
    assert_eq!(swapped_bytes(zombie), Ok(Some(0)));
}

#[test]
fn a_name_can_not_forge_a_line_of_status() {
    let status = b"Name:\ta\\nVmSwap:\t9 kB\nVmSize:\t1 kB\nVmSwap:\t       4 kB\n";
    assert_eq!(swapped_bytes(status), Ok(Some(4096)));
}

#[test]
fn swap_in_another_unit_is_refused() {
    for text in ["VmSwap:\t4 MB\n", "VmSwap:\t4\n"] {
        let value = text["VmSwap:".len()..].trim_end_matches('\n');
        let error = ParseError::malformed("VmSwap", value.as_bytes());
        assert_eq!(swapped_bytes(text.as_bytes()), Err(error));
    }
    assert_eq!(swapped_bytes(b"VmSwap:\n"), Err(missing("VmSwap", "")));
}

#[test]
fn ticks_are_parts_of_a_second() {
    assert_eq!(of_ticks(0, &MACHINE), Duration::ZERO);
    assert_eq!(of_ticks(1, &MACHINE), Duration::from_millis(10));
    assert_eq!(of_ticks(12_345, &MACHINE), Duration::from_millis(123_450));
    let all = of_ticks(u64::MAX, &MACHINE);
    assert_eq!(all.as_secs(), u64::MAX / 100);
}

#[test]
fn an_error_shows_the_beginning_of_a_long_text_only() {
    let error = Stat::parse(&[b'x'; 5000], &MACHINE).unwrap_err();
    assert_eq!(error, missing("(2) comm", &"x".repeat(200)));
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // The answers don't matter here.
        drop(Stat::parse(&bytes, &MACHINE));
        drop(resident_bytes(&bytes, &MACHINE));
        drop(swapped_bytes(&bytes));
    }

    #[test]
    fn no_damage_to_a_real_file_makes_a_parser_panic(
        cut in 0..STAT.len(),
        at in 0..STAT.len(),
        byte in any::<u8>(),
    ) {
        let mut text = STAT.to_vec();
        text[at] = byte;
        drop(Stat::parse(&text, &MACHINE));
        drop(Stat::parse(&STAT[..cut], &MACHINE));
    }

    #[test]
    fn what_is_written_like_the_kernel_does_is_read_back(
        name in prop::collection::vec(any::<u8>(), 0..16),
        numbers in prop::collection::vec(any::<u32>(), 4),
        more in prop::collection::vec(any::<u64>(), 30),
    ) {
        let (parent, user, system, start) = (numbers[0], numbers[1], numbers[2], numbers[3]);
        let mut fields: Vec<String> = more.iter().map(u64::to_string).collect();
        fields[0] = "S".to_owned();
        fields[1] = parent.to_string();
        fields[11] = user.to_string();
        fields[12] = system.to_string();
        fields[19] = start.to_string();
        let text = [b"7 (".as_slice(), &name, b") ", fields.join(" ").as_bytes(), b"\n"].concat();
        let read = Stat::parse(&text, &MACHINE).unwrap();
        prop_assert_eq!(read.parent, parent);
        prop_assert_eq!(read.cpu.user, Duration::from_millis(10 * u64::from(user)));
        prop_assert_eq!(read.cpu.system, Duration::from_millis(10 * u64::from(system)));
        prop_assert_eq!(read.cpu.total, read.cpu.user + read.cpu.system);
        prop_assert_eq!(read.started_ticks, u64::from(start));
    }

    #[test]
    fn any_number_of_ticks_is_within_a_nanosecond_of_the_fraction(ticks in any::<u64>(), per_second in 1_u32..) {
        let machine = Machine { ticks_per_second: NonZeroU32::new(per_second).unwrap(), ..MACHINE };
        let exact = u128::from(ticks) * 1_000_000_000 / u128::from(per_second);
        prop_assert_eq!(of_ticks(ticks, &machine).as_nanos(), exact);
    }
}
