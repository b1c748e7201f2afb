//! Edge: `logmon serve` as a process, with real sockets, FIFOs, files and signals.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that it did not expect"
)]

mod clients;
mod descriptors;
mod faces;
#[path = "../support/frozen_disk.rs"]
mod frozen_disk;
mod many;
mod place;
mod safety;
mod sockets;
mod stalled;
#[expect(dead_code, reason = "the other faces need more of it")]
#[path = "../support/mod.rs"]
mod support;
mod tasks;
