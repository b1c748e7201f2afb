//! Edge: `logmon run` as a process, with real FIFOs, files and signals.

mod faults;
mod idempotent_start;
mod lines;
mod recovery;
mod refusals;
mod resources;
mod stop;
mod subject;
