//! A watchdog that counts its own pause as the silence of what it watches: an edge.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::executor::process::until_readable;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(100);
/// What it watches is dead to it if it has not looked for so long.
const SILENCE: Duration = Duration::from_secs(1);

/// Waits for the end of a process, and says whether it saw it: after a pause it takes it for dead.
pub(crate) fn sees_the_end(end: Option<&OwnedFd>) -> bool {
    loop {
        let looked = Instant::now();
        let has_ended = until_readable(end, Some(EVERY));
        if looked.elapsed() > SILENCE {
            return false;
        }
        if has_ended {
            return true;
        }
    }
}
