//! The judge: from a history to a verdict. (core)
//!
//! A pure function of scenario, trace, journals and files. One module for each kind of risk; each
//! says everything that it finds, never only the first.

mod adapter;
mod alignment;
mod conditions;
mod crowd;
mod damage;
mod direct;
mod disguise;
mod expectation;
mod faults;
mod fidelity;
mod fifo;
mod figures;
mod guest;
mod life;
mod loss_marks;
mod lossy;
mod many;
mod many_costs;
mod many_files;
mod mon;
mod pipe_content;
mod pipe_size;
mod recovery;
mod rotation;
mod rules;
mod timeline;
mod vanished;
mod verdict;
mod wording;

#[cfg(test)]
mod end_tests;
#[cfg(test)]
mod fifo_tests;
#[cfg(test)]
mod guest_tests;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod many_tests;
#[cfg(test)]
pub(crate) mod stage;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wording_tests;

pub(crate) use loss_marks::{FROM_NUL, OPEN_LINE, RUN_END};
pub(crate) use lossy::NO_RECORD;
pub(crate) use pipe_size::RAISED_PIPE_BYTES;
pub use vanished::{Vanished, vanished};
pub use verdict::judge;
