//! One sample after the other, at an interval, until it is cancelled (edge).

use std::sync::Arc;

use super::error::StatsError;
use super::pause::{Pause, Woken};
use super::sample::Sample;
use super::sampler::Sampler;
use super::schedule::{Interval, Schedule};

/// The samples of a task. [`Iterator::next`] blocks until one is due: the first is at once, each further one an
/// interval after the one before was given. It gives none once the pause says that it is cancelled.
///
/// A failure is an item as well, and the next one comes after an interval like any other; whoever sees one that
/// [`is_gone`](StatsError::is_gone) may stop.
#[derive(Debug)]
pub struct Samples<P> {
    sampler: Arc<Sampler>,
    schedule: Schedule,
    pause: P,
}

impl<P: Pause> Samples<P> {
    pub(super) fn new(sampler: Arc<Sampler>, interval: Interval, pause: P) -> Samples<P> {
        let schedule = Schedule::new(interval);
        Samples {
            sampler,
            schedule,
            pause,
        }
    }
}

impl<P: Pause> Iterator for Samples<P> {
    type Item = Result<Arc<Sample>, StatsError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let wait = self.schedule.wait(self.sampler.now().monotonic);
            match self.pause.pause(wait) {
                Woken::Cancelled => return None,
                // The pause may have been a little short, so the clock is asked again.
                Woken::TimeIsUp => {
                    let now = self.sampler.now().monotonic;
                    if self.schedule.wait(now).is_zero() {
                        let sample = self.sampler.sample(self.schedule.interval());
                        self.schedule.give(self.sampler.now().monotonic);
                        return Some(sample);
                    }
                }
            }
        }
    }
}
