//! A conformance suite for the contract between task drivers and logmon.
//!
//! A [`scenario`] is played by the [`runner`], which writes a [`trace`]; the [`judge`] turns trace
//! and files into a [verdict](outcome::Verdict); a [`report`] shows it. Scenario, trace, judge and
//! report are data and pure functions; only the runner, [`observe`] and the command line touch
//! the machine.

pub mod adapter;
pub mod bundled_pair;
pub mod capability;
pub mod case;
pub mod cli;
pub mod config;
pub mod diagnosis;
pub mod expected;
pub mod faulty_logmon;
pub mod finding;
pub mod history;
pub mod judge;
mod nomad;
pub mod observe;
pub mod outcome;
pub mod picture;
pub mod printable;
pub mod programs;
pub mod report;
pub mod rule;
pub mod runner;
pub mod scenario;
pub mod self_test;
pub mod serving;
pub mod standing;
pub mod suite;
pub mod tally;
pub mod task_memory;
pub mod template;
pub mod testing;
pub mod trace;

pub use cli::main_impl;
