//! When the next sample of a stream is due, and how old a sample may be that is given again (core).

use std::time::Duration;

/// What an interval of 0 stands for.
const DEFAULT: Duration = Duration::from_secs(1);
/// No sample is given again that is older, however long the interval is.
const OLDEST: Duration = Duration::from_secs(5);

/// The time from one sample to the next, more than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(Duration);

impl Interval {
    /// Gives the interval of this length; 0 stands for one second.
    #[must_use]
    pub fn new(length: Duration) -> Interval {
        Interval(if length.is_zero() { DEFAULT } else { length })
    }

    /// Gives its length, more than 0.
    #[must_use]
    pub fn length(self) -> Duration {
        self.0
    }

    /// How old a sample may be that is given to whoever asks at this interval: half of it, and at most 5 s. With
    /// the whole interval, one who comes a little early would get the sample that he had before.
    pub(super) fn lifetime(self) -> Duration {
        (self.0 / 2).min(OLDEST)
    }

    /// True if a sample that was taken then may be given now. Both times are of the same clock.
    pub(super) fn allows(self, taken: Duration, now: Duration) -> bool {
        let age = now.checked_sub(taken);
        age.is_some_and(|age| age.is_zero() || age < self.lifetime())
    }
}

/// When the samples of one stream are due: the first at once, each further one an interval after the one before
/// was given. So that one is too old to be given again, however long it took to read, and whoever was late gets
/// one sample, not those that he missed.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Interval,
    given: Option<Duration>,
}

impl Schedule {
    pub(super) fn new(interval: Interval) -> Schedule {
        let given = None;
        Schedule { interval, given }
    }

    pub(super) fn interval(&self) -> Interval {
        self.interval
    }

    /// How long to wait from now; 0 if a sample is due. It is never more than the interval.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        let length = self.interval.length();
        match self.given {
            None => Duration::ZERO,
            Some(given) => length.saturating_sub(now.saturating_sub(given)),
        }
    }

    /// Takes note that a sample is given now.
    pub(super) fn give(&mut self, now: Duration) {
        self.given = Some(now);
    }
}
