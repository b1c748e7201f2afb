//! Edge: how many streams may have a timer of their own at a time.
//!
//! Only a task that writes hundreds of megabytes a second needs such short rests, and no machine has many
//! of those at a time. Each timer is a descriptor that no start has counted, so there is an end to their
//! number; the reserve of `serve` has room for that many (contract HEAL-6).

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many streams of a process may have a timer at a time.
pub(crate) const TIMER_PLACES: usize = 8;

static PLACES: Places = Places::new();

/// The right to have one timer, for as long as this lives.
#[derive(Debug)]
pub(super) struct TimerPlace(());

impl TimerPlace {
    /// Takes a place of this process, if there is one.
    pub(super) fn take() -> Option<TimerPlace> {
        PLACES.take().then_some(TimerPlace(()))
    }
}

impl Drop for TimerPlace {
    fn drop(&mut self) {
        PLACES.give_back();
    }
}

/// A number of places, some of them taken.
struct Places {
    taken: AtomicUsize,
}

impl Places {
    const fn new() -> Places {
        Places {
            taken: AtomicUsize::new(0),
        }
    }

    fn take(&self) -> bool {
        let more = |taken| (taken < TIMER_PLACES).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_to_the_places_and_each_can_be_taken_again() {
        let places = Places::new();
        for _ in 0..TIMER_PLACES {
            assert!(places.take());
        }
        assert!(!places.take());
        places.give_back();
        assert!(places.take());
        assert!(!places.take());
    }
}
