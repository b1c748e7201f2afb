//! The clock of traces and journals. (edge)

use nix::time::{ClockId, clock_gettime};

/// Microseconds of CLOCK_MONOTONIC, one clock for all processes of this machine.
#[must_use]
pub fn now_us() -> u64 {
    // clock_gettime(2) fails only for a clock that does not exist; this one always does on Linux.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or((0, 0), |time| (time.tv_sec(), time.tv_nsec()));
    u64::try_from(now.0).unwrap_or(0) * 1_000_000 + u64::try_from(now.1).unwrap_or(0) / 1_000
}
