//! A driver that reads what it wrote: an edge.

use std::path::Path;

use fifo::{ReadOutcome, Reader};

/// How many chunks are taken in all.
const CHUNKS: u32 = 3;

/// The reading end that a driver must not have, and how often it was used.
#[derive(Debug, Default)]
pub(crate) struct ReadsBack {
    reader: Option<Reader>,
    taken: u32,
}

impl ReadsBack {
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            reader: Reader::open(path).ok(),
            taken: 0,
        }
    }

    /// Takes a chunk out of the FIFO, if something is there and not enough was taken yet. It is
    /// called right behind a write, when the log's reader has hardly woken up.
    pub(crate) fn steal(&mut self) {
        let Some(reader) = &self.reader else { return };
        if self.taken == CHUNKS {
            return;
        }
        match reader.try_read(&mut [0; 4096]) {
            Ok(ReadOutcome::Bytes(_)) => self.taken += 1,
            Ok(ReadOutcome::Empty | ReadOutcome::NoWriter) | Err(_) => {}
        }
    }
}
