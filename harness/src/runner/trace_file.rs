//! Writes a trace, one line at a time, as things happen. (edge)

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::observe::now_us;
use crate::trace::{Entry, Event};

/// An open trace. Each line is one write on a file opened for appending.
pub(super) struct TraceFile {
    file: File,
    broken: Option<io::Error>,
}

impl TraceFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self { file, broken: None })
    }

    /// Adds an event with the time of now. The first failure is kept for [`TraceFile::close`].
    pub(super) fn add(&mut self, event: Event) {
        self.add_at(now_us(), event);
    }

    fn add_at(&mut self, at_us: u64, event: Event) {
        let written = serde_json::to_string(&Entry { at_us, event })
            .map_err(io::Error::other)
            .and_then(|line| self.file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            self.broken.get_or_insert(error);
        }
    }

    /// Whether every event came to be written.
    pub(super) fn close(self) -> io::Result<()> {
        self.broken.map_or(Ok(()), Err)
    }
}
