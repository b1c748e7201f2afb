//! What a faulty logmon is told. (core)

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// What one stream needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StreamConfig {
    pub(super) fifo: PathBuf,
    pub(super) name: String,
}

/// What the collection needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Config {
    pub(super) fault: Fault,
    pub(super) folder: PathBuf,
    pub(super) streams: Vec<StreamConfig>,
    pub(super) max_files: u32,
    pub(super) max_file_bytes: u64,
    pub(super) line_guard: u64,
    pub(super) on_full: OnFull,
    pub(super) fifo_mode: u32,
    /// Whether what comes is written; else it is read and thrown away.
    pub(super) collects: bool,
    /// The file of whoever holds the FIFOs while this process is dead.
    pub(super) holder: Option<PathBuf>,
    /// Where it can be asked to start once more.
    pub(super) again: Option<PathBuf>,
}

/// What to do when the disk takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(super) enum OnFull {
    /// Let the task wait.
    Block,
    /// Drop whole lines, and tell how much.
    Drop,
}
