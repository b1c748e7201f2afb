//! Tests of intervals, of how old a sample may be, and of when the next one is due (core).

use std::time::Duration;

use proptest::prelude::*;

use super::schedule::{Interval, Schedule};

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn every(millis: u64) -> Interval {
    Interval::new(ms(millis))
}

#[test]
fn an_interval_of_0_is_one_second() {
    assert_eq!(every(0).length(), Duration::from_secs(1));
    assert_eq!(every(0), every(1000));
    assert_eq!(
        Interval::new(Duration::from_nanos(1)).length(),
        Duration::from_nanos(1)
    );
}

#[test]
fn a_sample_is_given_again_for_half_of_the_interval_and_for_5_seconds_at_most() {
    for (interval, lifetime) in [(1000, 500), (200, 100), (10_000, 5000), (3_600_000, 5000)] {
        let (interval, lifetime) = (every(interval), ms(lifetime));
        let last = lifetime - Duration::from_nanos(1);
        assert!(interval.allows(ms(7), ms(7) + last));
        assert!(!interval.allows(ms(7), ms(7) + lifetime));
    }
}

#[test]
fn a_sample_of_the_future_is_not_given() {
    assert!(!every(1000).allows(ms(8), ms(7)));
}

#[test]
fn the_first_sample_is_due_at_once_and_the_next_after_an_interval() {
    let mut schedule = Schedule::new(every(100));
    assert_eq!(schedule.wait(ms(5000)), ms(0));
    schedule.give(ms(5000));
    assert_eq!(schedule.wait(ms(5000)), ms(100));
    assert_eq!(schedule.wait(ms(5030)), ms(70));
    assert_eq!(schedule.wait(ms(5100)), ms(0));
}

#[test]
fn whoever_was_late_does_not_get_what_he_missed() {
    let mut schedule = Schedule::new(every(100));
    schedule.give(ms(0));
    assert_eq!(schedule.wait(ms(950)), ms(0));
    schedule.give(ms(950));
    assert_eq!(schedule.wait(ms(950)), ms(100));
}

proptest! {
    #[test]
    fn a_sample_is_never_older_than_the_interval(
        interval in 0_u64..100_000,
        taken in 0_u64..1_000_000,
        age in 0_u64..100_000,
    ) {
        let interval = every(interval);
        if interval.allows(ms(taken), ms(taken + age)) {
            prop_assert!(ms(age) < interval.length());
        }
        prop_assert!(interval.allows(ms(taken), ms(taken)));
        prop_assert!(!interval.allows(ms(taken), ms(taken + 30_000)));
    }

    #[test]
    fn two_that_follow_each_other_are_an_interval_apart_and_no_wait_is_longer(
        interval in 0_u64..5000,
        // How much longer than asked for each wait takes.
        late in prop::collection::vec(0_u64..10_000, 1..50),
        start in 0_u64..10_000,
    ) {
        let interval = every(interval);
        let (mut schedule, mut now, mut before) = (Schedule::new(interval), ms(start), None);
        for late in late {
            let wait = schedule.wait(now);
            prop_assert!(wait <= interval.length());
            now += wait + ms(late);
            prop_assert_eq!(schedule.wait(now), ms(0));
            if let Some(before) = before.replace(now) {
                prop_assert!(now - before >= interval.length());
                // So the sample that this one had before is not given to it again.
                prop_assert!(!interval.allows(before, now));
            }
            schedule.give(now);
        }
    }
}
