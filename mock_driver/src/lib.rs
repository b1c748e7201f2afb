//! A mock task driver: plays scripted output into FIFOs, well or, on demand, badly.
//!
//! Three cores describe what is written and are used by the judge too: [`record`], [`script`] and
//! [`journal`]. They know no clock, file or process.

mod change;
mod cli;
mod delivery;
mod disposition;
mod driver;
mod executor;
pub mod fault;
mod faults;
mod filler;
mod gate;
mod hosted;
mod inherited;
pub mod journal;
mod journal_file;
pub mod record;
mod reexec;
pub mod script;
mod stdio;
pub mod stream;
mod task;

pub use self::executor::RecoveryFault;
pub use cli::main_with_args;
