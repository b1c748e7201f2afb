//! A mock task driver: plays scripted output into FIFOs, well or, on demand, badly.
//!
//! Three cores describe what is written and are used by the judge too: [`record`], [`script`] and
//! [`journal`]. They know no clock, file or process.

mod filler;
pub mod journal;
pub mod record;
pub mod script;
pub mod stream;
