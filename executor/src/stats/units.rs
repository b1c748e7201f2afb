//! What a machine counts in: ticks, pages and processors (core).

use std::num::NonZeroU32;

/// The units of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Ticks per second, in which proc(5) counts CPU time. 100 on Linux.
    pub ticks_per_second: NonZeroU32,
    /// Bytes of a page, in which `/proc/PID/statm` counts.
    pub page_bytes: NonZeroU32,
    /// The processors that are online. A task can't use more than 100 % of each.
    pub processors: NonZeroU32,
}
