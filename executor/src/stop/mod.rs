//! How a task is stopped: the steps and what came of them (core), what decides on the next one (core), and
//! what does it (edge). This file only re-exports.

mod machine;
mod report;
mod steps;

pub use report::{Outcome, Step, StopReport};
pub(crate) use steps::stop;
