//! What a task uses of processor and memory; re-exports only (core).
//!
//! # Purpose
//! A [`Sampler`] asks a [`PidSource`] which processes a task has, reads their files in proc(5), and makes a
//! [`Sample`]: memory and CPU of the task and of each process. [`Sampler::samples`] gives one sample at once
//! and one after each interval until it is cancelled. Nothing here needs to have started the task.
//!
//! # What it must never do
//! - Say 0 of what was not measured. That is `None`, and [`Sample::measured`] lists what is there.
//! - Give a sample that is older than the interval that was asked for.
//! - Signal, move or change what it measures.
//!
//! # Laws
//! 1. The CPU time of a task is the cgroup's own counter where there is one. It counts what has ended, too; a
//!    sum over processes misses whatever was started and has ended between two samples, so a task that does
//!    nothing but start short commands would seem idle.
//! 2. Without such a counter it is the sum over the processes, and of those that have gone what they had in the
//!    last sample that saw them.
//! 3. A percentage is 100 · CPU time / time between two samples. The first sample has none. It is never
//!    negative and never more than 100 for each processor of the machine.
//! 4. Waiting for a disk is no CPU time: field 42 of `/proc/PID/stat`, the delay of block I/O, is not read.
//! 5. A process is a pid and its start time, so whoever gets a pid again does not inherit a counter.
//! 6. The parsers and the [`Meter`] have no clock and no files, and no bytes make them panic.

mod cgroup;
mod cgroup_files;
mod clock;
mod error;
mod machine;
mod meter;
mod pause;
mod proc_files;
mod processes;
mod sample;
mod sampler;
mod schedule;
mod source;
mod stream;
mod tree;
mod tree_source;
mod units;

pub use cgroup::Cgroup;
pub use clock::{Clock, SystemClock};
pub use error::{ParseError, StatsError};
pub use meter::{Meter, ProcessReading, Reading};
pub use pause::{Cancel, Pause, Woken};
pub use sample::{CpuPercent, CpuSource, CpuTime, Moment, Quantity, Sample, Throttling, Usage};
pub use sampler::{Sampler, SwapDetail};
pub use schedule::Interval;
pub use source::{GroupCpu, Listing, PidSource};
pub use stream::Samples;
pub use tree::descendants;
pub use tree_source::Tree;
pub use units::Machine;

#[cfg(test)]
mod cgroup_files_tests;
#[cfg(test)]
mod meter_tests;
#[cfg(test)]
mod proc_files_tests;
#[cfg(test)]
mod sampler_tests;
#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod tree_tests;
