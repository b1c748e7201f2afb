//! The time that a run may take. (edge)

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When no further attempt at a case is begun, and whether one was refused for that.
#[derive(Debug, Default)]
pub struct Budget {
    until: Option<Instant>,
    was_used_up: AtomicBool,
}

impl Budget {
    /// A budget that lasts so long from now; none lasts for ever.
    #[must_use]
    pub fn from_now(lasts: Option<Duration>) -> Self {
        Self {
            until: lasts.and_then(|lasts| Instant::now().checked_add(lasts)),
            was_used_up: AtomicBool::new(false),
        }
    }

    /// Whether the time is up. Nothing is remembered: to be asked where an attempt may be left out.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Whether the attempt that is about to begin must not. Asked only where one is to be played in any
    /// case: the answer is remembered.
    #[must_use]
    pub fn refuses(&self) -> bool {
        let refuses = self.is_over();
        if refuses {
            self.was_used_up.store(true, Ordering::SeqCst);
        }
        refuses
    }

    /// Whether an attempt was refused that was to be played in any case.
    #[must_use]
    pub fn was_used_up(&self) -> bool {
        self.was_used_up.load(Ordering::SeqCst)
    }
}
