//! The suite tests itself: every faulty subject must be caught by the case named for it, with the
//! shape named for it, and every good subject must pass every case that applies to it.
//!
//! `catalogue`, `logmons`, `matrix`, `passing` and `plugged` are cores, `run` is an edge.

mod catalogue;
mod logmons;
mod matrix;
mod passing;
mod plugged;
mod run;

pub use catalogue::{Catch, Kind, Known, Part, catalogue};
pub use matrix::{Row, Score, matrix};
pub use passing::passing;
pub use run::{Options, Outcome, SelfTestError, run};
