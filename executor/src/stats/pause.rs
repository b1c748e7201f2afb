//! Waits until the next sample is due, or until nobody wants it any more (edge).

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Why a pause is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The time has passed.
    TimeIsUp,
    /// Nobody wants to go on.
    Cancelled,
}

/// Lets time pass.
pub trait Pause {
    /// Waits for this long, or until it is cancelled. If it is cancelled already it returns at once and says so,
    /// also after a pause of no length.
    fn pause(&self, length: Duration) -> Woken;
}

#[derive(Debug, Default)]
struct Flag {
    is_cancelled: Mutex<bool>,
    changed: Condvar,
}

/// Ends what waits. All clones are the same token; it stays cancelled.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    flag: Arc<Flag>,
    deadline: Option<Instant>,
}

impl Cancel {
    /// Gives a token that is not cancelled.
    #[must_use]
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Gives a token that counts as cancelled from this moment on, and may be cancelled before.
    #[must_use]
    pub fn at(deadline: Instant) -> Cancel {
        Cancel {
            flag: Arc::default(),
            deadline: Some(deadline),
        }
    }

    /// Cancels it, and wakes whoever pauses with it.
    pub fn cancel(&self) {
        *self.locked() = true;
        self.flag.changed.notify_all();
    }

    /// True once it was cancelled or its deadline has passed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.locked() || self.deadline.is_some_and(|it| it <= Instant::now())
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, bool> {
        let flag = self.flag.is_cancelled.lock();
        // A flag is whole whoever panicked while he held it.
        flag.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pause for Cancel {
    fn pause(&self, length: Duration) -> Woken {
        let left = self
            .deadline
            .map(|it| it.saturating_duration_since(Instant::now()));
        let length = left.map_or(length, |left| left.min(length));
        let waited = self
            .flag
            .changed
            .wait_timeout_while(self.locked(), length, |is_cancelled| !*is_cancelled);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        if self.is_cancelled() {
            Woken::Cancelled
        } else {
            Woken::TimeIsUp
        }
    }
}
