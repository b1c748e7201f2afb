//! Edge: what only a few streams of a process may have at a time.
//!
//! A place is for what a stream takes when its task writes fast, and what no start has counted. No machine
//! has many such tasks at a time; a stream that gets no place works as well, but costs more.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many streams may have a thing at a time.
pub(crate) const PLACES: usize = 8;

/// A timer, which is a descriptor: the reserve of `serve` has room for that many (contract HEAL-6).
pub(super) const TIMER: usize = 0;
/// A staging pipe of more than its usual size: its user has only so many bytes in pipes
/// (`pipe-user-pages-soft`), and other tasks need some of them (contract HEAL-5).
pub(super) const LARGE_STAGING: usize = 1;

static OF_PROCESS: [Places; 2] = [Places::new(), Places::new()];

/// The right to have one, for as long as this lives.
#[derive(Debug)]
pub(super) struct Place<const OF: usize>(());

impl<const OF: usize> Place<OF> {
    /// Takes a place of this process, if there is one.
    pub(super) fn take() -> Option<Self> {
        if OF_PROCESS[OF].take() {
            Some(Place(()))
        } else {
            None
        }
    }
}

impl<const OF: usize> Drop for Place<OF> {
    fn drop(&mut self) {
        OF_PROCESS[OF].give_back();
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
        let more = |taken: usize| taken.checked_add(1).filter(|more| *more <= PLACES);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// Held by each test that needs places, as they are those of the process.
    pub(in crate::pump) fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn there_is_an_end_to_the_places_and_who_is_refused_gives_none_back() {
        let _alone = alone();
        for _ in 0..2 {
            let mut taken: Vec<Place<TIMER>> = std::iter::from_fn(Place::take).collect();
            assert!(!taken.is_empty() && taken.len() <= PLACES);
            for _ in 0..3 * PLACES {
                assert!(Place::<TIMER>::take().is_none());
            }
            taken.pop();
            assert!(Place::<TIMER>::take().is_some());
        }
    }
}
