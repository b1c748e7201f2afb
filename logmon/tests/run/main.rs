//! Edge: `logmon run` as a process, with real FIFOs, files and signals.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that it did not expect"
)]

mod descriptor_store;
mod faults;
#[path = "../support/frozen_disk.rs"]
mod frozen_disk;
mod full_disk;
mod gaps;
mod idempotent_start;
mod keeper;
mod kin;
mod lines;
mod owners;
mod recovery;
mod refusals;
mod resources;
mod stalled;
mod stop;
mod subject;
mod supervise;
#[path = "../support/mod.rs"]
mod support;
mod trusted_root;
