//! Edge: when nobody needs this process any more (contract MON-13).
//!
//! A host that dies says nothing to its plugins, and another one may find them again, hours later. A task
//! says nothing either: that nobody writes now does not mean that nobody will. What can be known at a
//! moment is that no host is connected, that no FIFO has a writer, and that nothing is left to read. When all
//! of that has been so at each look for as long as was said, task and host are taken for gone. A host that
//! comes later has to start another plugin, and loses nothing by that: everything was written.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use super::hosts;
use crate::serve::Tasks;

/// There are so many looks until the process ends, unless they would be too far apart or too close.
const LOOKS: u32 = 20;
/// The longest time between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The shortest time between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// What was seen so far.
#[derive(Debug)]
struct Watch {
    limit: Duration,
    /// Since when it has been alone at each look.
    since: Option<Instant>,
}

impl Watch {
    fn new(limit: Duration) -> Watch {
        Watch { limit, since: None }
    }

    /// Takes note of what is so now. Gives true when it has been alone for long enough.
    fn sees(&mut self, is_alone: bool, now: Instant) -> bool {
        if !is_alone {
            self.since = None;
            return false;
        }
        now.duration_since(*self.since.get_or_insert(now)) >= self.limit
    }

    fn pause(&self) -> Duration {
        (self.limit / LOOKS).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }
}

/// Waits until task and host have been gone for this long; for ever if there is no limit.
///
/// # Cancel safety
/// Cancel safe, but the time begins anew.
pub(super) async fn for_long(limit: Option<Duration>, tasks: &Tasks) {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    let mut watch = Watch::new(limit);
    loop {
        sleep(watch.pause()).await;
        let is_alone = tasks.is_deserted().await && !hosts::is_one_connected();
        if watch.sees(is_alone, Instant::now()) {
            info!(
                seconds = limit.as_secs(),
                "no host, no writer and nothing to read for so long; draining"
            );
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unbroken_time_alone_counts() {
        let mut watch = Watch::new(Duration::from_secs(10));
        let begin = Instant::now();
        let mut sees = |is_alone, second| watch.sees(is_alone, begin + Duration::from_secs(second));
        assert!(!sees(true, 0));
        assert!(!sees(true, 9));
        assert!(!sees(false, 10));
        assert!(!sees(true, 11));
        assert!(!sees(true, 20));
        assert!(sees(true, 21));
    }

    #[test]
    fn looks_are_rare_and_never_a_busy_loop() {
        let pause = |seconds| Watch::new(Duration::from_secs(seconds)).pause();
        assert_eq!(pause(0), SHORTEST_PAUSE);
        assert_eq!(pause(10), Duration::from_millis(500));
        assert_eq!(pause(600), LONGEST_PAUSE);
        assert_eq!(pause(86_400), LONGEST_PAUSE);
    }
}
