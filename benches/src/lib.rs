//! Edge: measures collectors of task logs side by side: logmon, programs that others made, and small
//! rulers of our own that show what the kernel allows; and the executor beside posix_spawn(3).
//!
//! # What it must never do
//! - Print the ratio of two programs that did not run in turn, in pairs, in the same run.
//! - Print a ratio whose spread makes it meaningless; it prints the spread and says so.
//! - Print a figure of a run whose log is not, byte for byte, what was written.
//! - Decide whether a test passes by a time. The gate tests the arithmetic, and that a tiny run works.

pub mod check;
mod child;
mod cli;
pub mod collector;
mod crowd;
mod growth;
mod latency;
mod launch;
mod log_files;
mod machine;
mod pairs;
pub mod payload;
mod produce;
pub mod report;
mod resume;
mod rulers;
pub mod stats;
mod tasks;
mod trial;
pub mod work;

pub use cli::main_with_args;
