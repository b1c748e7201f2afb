//! Edge: `logmon plugin` as a process, with a real host, real FIFOs, files and signals.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that it did not expect"
)]

mod dying;
#[path = "../support/frozen_disk.rs"]
mod frozen_disk;
mod reattaching;
mod refusing;
mod stage;
mod stalled;
mod starting;
mod stopping;
#[expect(dead_code, reason = "the other faces need more of it")]
#[path = "../support/mod.rs"]
mod support;
