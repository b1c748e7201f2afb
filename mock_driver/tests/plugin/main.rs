//! The driver as a plugin: a host starts it, and real tasks write into FIFOs that the test reads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod executed;
mod faults;
mod fields;
mod identity;
mod life;
mod many;
mod recovery;
mod spoken;
mod stage;
mod stats;
mod stopping;
#[path = "../support/mod.rs"]
mod support;
