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

    /// Whether the attempt that is about to begin must not. Asked only where there is one: the
    /// answer is remembered.
    #[must_use]
    pub fn refuses(&self) -> bool {
        let refuses = self.until.is_some_and(|until| Instant::now() >= until);
        if refuses {
            self.was_used_up.store(true, Ordering::SeqCst);
        }
        refuses
    }

    /// Whether an attempt was refused.
    #[must_use]
    pub fn was_used_up(&self) -> bool {
        self.was_used_up.load(Ordering::SeqCst)
    }
}
