//! What time it is, asked in one place so that a test can answer (edge).

use std::time::{Instant, SystemTime};

use super::sample::Moment;

/// Gives the time.
pub trait Clock: Send + Sync {
    /// Gives this moment. All moments of one clock have the same beginning.
    fn now(&self) -> Moment;
}

/// The clocks of the system: CLOCK_MONOTONIC, which stands still while the machine sleeps, and CLOCK_REALTIME.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    beginning: Instant,
}

impl SystemClock {
    /// Gives a clock that begins now.
    #[must_use]
    pub fn new() -> SystemClock {
        let beginning = Instant::now();
        SystemClock { beginning }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment {
            monotonic: self.beginning.elapsed(),
            wall: SystemTime::now(),
        }
    }
}
