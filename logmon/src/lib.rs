//! Edge: logmon reads a task's FIFOs and writes size-rotated log files.
//!
//! A stream is one FIFO, opened once for the task's whole life, and one current log file. Cores decide
//! ([`name`], [`indices`], [`limits`], [`owner`], [`recovery`], [`planner`], [`pacing`], [`losses`], [`collect`], [`config`],
//! [`status`]); edges do what they decided: the stream's loop, the log folder, the pump and the [`Collector`].
//!
//! What it never does: open a FIFO in a way that waits, take the absence of writers for the end,
//! close the read end because of a fault of storage, follow a link to a log file, or delete a file that
//! it did not write.

#![cfg_attr(
    not(feature = "plugin"),
    expect(
        dead_code,
        unused_imports,
        reason = "a part of what all faces share is used by `plugin` only"
    )
)]

mod accounts;
mod cli;
pub mod collect;
mod collector;
pub mod config;
mod control;
mod diagnostics;
mod error;
mod events;
pub mod exit;
mod fifo_end;
mod fitting;
mod fnv;
mod gap_file;
mod hand_over;
pub mod indices;
mod keeper;
pub mod limits;
mod log_dir;
pub mod losses;
mod mailbox;
pub mod name;
#[cfg(feature = "plugin")]
mod nomad;
pub mod owner;
pub mod pacing;
pub mod planner;
mod pump;
pub mod recovery;
mod relaunch;
mod run;
mod serve;
pub mod status;
mod storage;
mod stream;
mod supervise;
mod table;
mod utc;
mod watched;

pub use collector::{Collector, Started, Summary};
pub use error::Error;
pub use keeper::KeeperError;
#[cfg(feature = "plugin")]
pub use nomad::Unsayable;
pub use run::main_with_args;
pub use supervise::SuperviseError;
