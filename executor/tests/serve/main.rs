//! Tests of `executor serve` with real drivers, wardens, tasks and FIFOs. What needs root says so and is skipped.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod at_the_end;
mod dying;
mod operations;
mod place;
mod recovering;
mod speaker;
mod starting;
