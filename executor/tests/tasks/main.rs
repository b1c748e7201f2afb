//! Tests with real processes, FIFOs and control groups. What needs root or a control group says so and is skipped.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod adopting;
mod command;
mod commands_within;
mod early_signals;
mod ending;
mod escaping;
mod hearing;
mod identity;
mod launching;
mod leftovers;
mod lookups;
mod measuring;
mod odd_groups;
mod signals;
mod speaking;
mod stage;
