//! A small logmon of its own, correct under the name `none` and wrong in one way under every other
//! name. It shares no code with the bundled logmon, so that no bug sits on both sides of a check.
//!
//! `config`, `fault`, `plan` and `shed` are cores; `again`, `cli`, `collect`, `copy`, `files`, `holder`,
//! `open`, `serve` and `stream` are edges.

mod again;
mod cli;
mod collect;
mod config;
mod copy;
mod fault;
mod files;
mod hoard;
mod holder;
mod open;
mod plan;
mod serve;
mod shed;
mod stream;

pub use cli::main_with_args;
pub use fault::{Fault, UnknownFault};
