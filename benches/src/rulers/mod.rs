//! Edge: small pumps that show what the kernel allows, with nothing around them: no state machine, no
//! runtime, no recovery, no stop. They read a FIFO until its last writer leaves.

mod discard;
mod files;
mod read_write;
mod source;
mod staged_splice;

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

use self::files::Files;
use self::source::Source;
pub(crate) use self::source::set_blocking;

/// The pumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ruler {
    /// read(2) and write(2), 64 KiB each, whole lines at file ends; the pipe as it is.
    ReadWrite,
    /// splice(2) from the FIFO into a staging pipe and on into the file; tiny writes are coalesced, and
    /// tee(2) finds the last newline near the end of a file. The limit.
    StagedSplice,
    /// read(2) and nothing else: the limit of the pipe itself.
    Discard,
}

/// How the files are rotated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rotation {
    pub(crate) max_file_bytes: u64,
    pub(crate) max_files: u32,
}

/// Runs a ruler until the last writer of the FIFO has left; it prints `ready` once it has the FIFO.
pub(crate) fn run(ruler: Ruler, fifo: &Path, log_dir: &Path, rotation: Rotation) -> Result<()> {
    let source = Source::open(fifo)?;
    println!("ready");
    match ruler {
        Ruler::ReadWrite => read_write::pump(&source, &mut Files::open(log_dir, rotation)?),
        Ruler::StagedSplice => staged_splice::pump(&source, &mut Files::open(log_dir, rotation)?),
        Ruler::Discard => discard::pump(&source),
    }
}
