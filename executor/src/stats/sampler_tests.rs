//! Tests of the cache and of the stream, with a clock and pauses of the test's own (edge).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::*;

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn every(millis: u64) -> Interval {
    Interval::new(ms(millis))
}

const MACHINE: Machine = Machine {
    ticks_per_second: NonZeroU32::new(100).unwrap(),
    page_bytes: NonZeroU32::new(4096).unwrap(),
    processors: NonZeroU32::new(2).unwrap(),
};

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
struct Hand(Arc<Mutex<Duration>>);

impl Hand {
    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }

    fn at(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

impl Clock for Hand {
    fn now(&self) -> Moment {
        Moment {
            monotonic: self.at(),
            wall: SystemTime::UNIX_EPOCH + self.at(),
        }
    }
}

/// A task without processes that uses half of the time; gone after as many listings as it has left.
struct Half {
    hand: Hand,
    left: usize,
}

impl PidSource for Half {
    fn list(&mut self) -> Result<Listing, StatsError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(StatsError::NoProcess { pid: 7 });
        };
        self.left = left;
        Ok(Listing::default())
    }

    fn cpu(&mut self) -> Result<Option<GroupCpu>, StatsError> {
        let total = self.hand.at() / 2;
        let cpu = CpuTime {
            user: total,
            system: Duration::ZERO,
            total,
        };
        let throttling = None;
        Ok(Some(GroupCpu { cpu, throttling }))
    }
}

fn sampler_of(hand: &Hand, left: usize) -> Arc<Sampler> {
    let source = Half {
        hand: hand.clone(),
        left,
    };
    let clock = Box::new(hand.clone());
    let sampler = Sampler::with_clock(Box::new(source), MACHINE, SwapDetail::Measured, clock);
    Arc::new(sampler)
}

fn sampler(hand: &Hand) -> Arc<Sampler> {
    sampler_of(hand, usize::MAX)
}

#[test]
fn the_same_instant_gives_the_same_sample_and_30_seconds_later_a_new_one() {
    let hand = Hand::default();
    let sampler = sampler(&hand);
    let shortest = Interval::new(Duration::from_nanos(1));
    for interval in [
        shortest,
        every(0),
        every(1000),
        every(30_000),
        every(3_600_000),
    ] {
        let first = sampler.sample(interval).unwrap();
        let again = sampler.sample(interval).unwrap();
        assert_eq!(first.taken, again.taken);
        assert!(Arc::ptr_eq(&first, &again));
        hand.pass(Duration::from_secs(30));
        let later = sampler.sample(interval).unwrap();
        assert_eq!(later.taken.monotonic - first.taken.monotonic, ms(30_000));
        assert_eq!(later.taken, hand.now());
        hand.pass(Duration::from_secs(30));
    }
}

#[test]
fn who_asks_each_second_never_gets_a_sample_twice() {
    let hand = Hand::default();
    let sampler = sampler(&hand);
    let mut last = None;
    for _ in 0..10 {
        let sample = sampler.sample(every(1000)).unwrap();
        assert_eq!(sample.taken, hand.now());
        assert_ne!(last.replace(sample.taken), Some(sample.taken));
        // A little early each time.
        hand.pass(ms(999));
    }
}

#[test]
fn who_asks_for_less_does_not_get_what_was_kept_for_who_asks_for_more() {
    let hand = Hand::default();
    let sampler = sampler(&hand);
    sampler.sample(every(10_000)).unwrap();
    hand.pass(ms(1000));
    let seldom = sampler.sample(every(10_000)).unwrap();
    assert_eq!(seldom.taken.monotonic, ms(0));
    let often = sampler.sample(every(1000)).unwrap();
    assert_eq!(often.taken.monotonic, ms(1000));
    // And what was new for one is new for the other.
    assert_eq!(sampler.sample(every(10_000)).unwrap(), often);
}

#[test]
fn a_failure_is_not_kept_and_does_not_take_the_place_of_the_last_sample() {
    let hand = Hand::default();
    let sampler = sampler_of(&hand, 1);
    let first = sampler.sample(every(1000)).unwrap();
    hand.pass(ms(1000));
    for _ in 0..2 {
        let error = sampler.sample(every(1000)).unwrap_err();
        assert!(error.is_gone());
    }
    assert_eq!(sampler.sample(every(5000)).unwrap(), first);
}

/// Lists processes, some of which are none.
struct Fixed(Listing);

impl PidSource for Fixed {
    fn list(&mut self) -> Result<Listing, StatsError> {
        Ok(self.0.clone())
    }
}

#[test]
fn a_process_that_has_ended_since_it_was_listed_is_left_out() {
    let me = std::process::id();
    let listing = Listing {
        pids: [me, u32::MAX].into(),
        hidden: 0,
    };
    let source = Box::new(Fixed(listing));
    let sampler = Sampler::new(source, Machine::this().unwrap(), SwapDetail::Measured);
    let sample = sampler.sample(every(1000)).unwrap();
    assert_eq!(sample.processes.keys().copied().collect::<Vec<_>>(), [me]);
    assert!(sample.total.rss_bytes.unwrap() > 0);
}

#[test]
fn memory_is_not_measured_while_there_are_processes_that_have_no_pid_here() {
    let listing = Listing {
        pids: [std::process::id()].into(),
        hidden: 1,
    };
    let source = Box::new(Fixed(listing));
    let sampler = Sampler::new(source, Machine::this().unwrap(), SwapDetail::Measured);
    assert_eq!(sampler.sample(every(1000)).unwrap().measured(), []);
}

#[test]
fn swap_that_is_left_out_is_not_measured_of_a_task_without_processes_either() {
    let source = || Box::new(Fixed(Listing::default()));
    let swap_with = |detail| {
        let sampler = Sampler::new(source(), Machine::this().unwrap(), detail);
        sampler.sample(every(1000)).unwrap().total.swap_bytes
    };
    assert_eq!(swap_with(SwapDetail::LeftOut), None);
    assert_eq!(swap_with(SwapDetail::Measured), Some(0));
}

/// Pauses by moving the clock, by more or less than was asked for. It is cancelled when its list is at its end.
struct Moving {
    hand: Hand,
    by: RefCell<VecDeque<i64>>,
    asked: RefCell<Vec<Duration>>,
}

impl Moving {
    fn by(hand: &Hand, more_ms: &[i64]) -> Moving {
        Moving {
            hand: hand.clone(),
            by: RefCell::new(more_ms.iter().copied().collect()),
            asked: RefCell::default(),
        }
    }
}

impl Pause for &Moving {
    fn pause(&self, length: Duration) -> Woken {
        let Some(more) = self.by.borrow_mut().pop_front() else {
            return Woken::Cancelled;
        };
        self.asked.borrow_mut().push(length);
        let more_or_less = ms(more.unsigned_abs());
        self.hand.pass(if more < 0 {
            length - more_or_less
        } else {
            length + more_or_less
        });
        Woken::TimeIsUp
    }
}

#[test]
fn a_stream_gives_a_sample_at_once_then_each_interval_and_ends_when_cancelled() {
    let hand = Hand::default();
    hand.pass(ms(77));
    let pause = Moving::by(&hand, &[0, 0, 0, 0]);
    let samples: Vec<_> = sampler(&hand)
        .samples(every(200), &pause)
        .map(Result::unwrap)
        .collect();
    let times: Vec<_> = samples.iter().map(|it| it.taken.monotonic).collect();
    assert_eq!(times, [ms(77), ms(277), ms(477), ms(677)]);
    assert_eq!(*pause.asked.borrow(), [ms(0), ms(200), ms(200), ms(200)]);
    let percents: Vec<_> = samples.iter().map(|it| it.total.cpu_percent).collect();
    assert_eq!(percents[0], None);
    assert!(percents[1..].iter().all(|it| it.unwrap().total == 50.0));
}

#[test]
fn a_stream_with_an_interval_of_0_gives_one_each_second() {
    let hand = Hand::default();
    let pause = Moving::by(&hand, &[0, 0, 0]);
    let samples = sampler(&hand).samples(every(0), &pause);
    let times: Vec<_> = samples.map(|it| it.unwrap().taken.monotonic).collect();
    assert_eq!(times, [ms(0), ms(1000), ms(2000)]);
}

#[test]
fn a_pause_that_is_short_is_gone_on_with_and_a_long_one_makes_no_burst() {
    let hand = Hand::default();
    let pause = Moving::by(&hand, &[0, -5, 0, 950, 0]);
    let samples = sampler(&hand).samples(every(200), &pause);
    let times: Vec<_> = samples.map(|it| it.unwrap().taken.monotonic).collect();
    assert_eq!(times, [ms(0), ms(200), ms(1350), ms(1550)]);
}

#[test]
fn a_stream_that_is_cancelled_before_it_begins_gives_nothing() {
    let hand = Hand::default();
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(sampler(&hand).samples(every(1), cancel).next().is_none());
    let past = Cancel::at(Instant::now());
    assert!(sampler(&hand).samples(every(1), past).next().is_none());
}

#[test]
fn a_stream_goes_on_after_a_failure() {
    let hand = Hand::default();
    let pause = Moving::by(&hand, &[0, 0, 0]);
    let samples = sampler_of(&hand, 1).samples(every(1000), &pause);
    let good: Vec<_> = samples.map(|it| it.is_ok()).collect();
    assert_eq!(good, [true, false, false]);
    assert_eq!(*pause.asked.borrow(), [ms(0), ms(1000), ms(1000)]);
}

#[test]
fn two_streams_of_one_sampler_share_what_is_young_enough() {
    let hand = Hand::default();
    let sampler = sampler(&hand);
    let pause = Moving::by(&hand, &[0; 8]);
    let mut one = sampler.samples(every(1000), &pause);
    let mut other = sampler.samples(every(4000), &pause);
    let first = one.next().unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &other.next().unwrap().unwrap()));
    let second = one.next().unwrap().unwrap();
    assert_eq!(second.taken.monotonic, ms(1000));
    let third = other.next().unwrap().unwrap();
    assert_eq!(third.taken.monotonic, ms(4000));
}

/// Longer than any pause here may take.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_cancel_from_another_thread_wakes_a_pause() {
    let begun = Instant::now();
    // The cancel may come before the pause has begun, but not so often.
    for _ in 0..50 {
        let cancel = Cancel::new();
        let other = cancel.clone();
        let (begins, begun) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            begins.send(()).unwrap();
            other.pause(LONG)
        });
        begun.recv_timeout(LONG).unwrap();
        cancel.cancel();
        assert_eq!(thread.join().unwrap(), Woken::Cancelled);
        assert!(cancel.is_cancelled());
        assert_eq!(cancel.pause(Duration::ZERO), Woken::Cancelled);
    }
    assert!(begun.elapsed() < LONG);
}

#[test]
fn a_pause_ends_with_its_time_or_with_the_deadline() {
    let begun = Instant::now();
    assert_eq!(Cancel::new().pause(ms(20)), Woken::TimeIsUp);
    assert!(begun.elapsed() >= ms(20));
    let begun = Instant::now();
    let deadline = begun + ms(20);
    assert_eq!(Cancel::at(deadline).pause(LONG), Woken::Cancelled);
    assert!(Instant::now() >= deadline);
    assert!(begun.elapsed() < LONG);
}
