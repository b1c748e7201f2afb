//! The log of a plugin (edge): lines of hclog on the standard error that the host reads.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::PIPE_BUF;
use serde_json::{Map, Value};

use crate::hclog::{Level, Record};

/// Writes log lines. A line that nobody reads any more is lost, and no error; so is one that would have to wait.
/// A plugin answers its calls on a few threads, and none of them is to wait for whoever reads the log.
#[derive(Debug, Clone)]
pub struct Log {
    stderr: Arc<OwnedFd>,
    module: Arc<str>,
}

impl Log {
    /// Takes a copy of standard error, so that lines go there even when it is captured later.
    pub(super) fn new(module: &str) -> io::Result<Self> {
        Ok(Self {
            stderr: Arc::new(io::stderr().as_fd().try_clone_to_owned()?),
            module: module.into(),
        })
    }

    /// Gives the same log for another part of the plugin.
    #[must_use]
    pub fn of(&self, module: &str) -> Self {
        Self {
            stderr: Arc::clone(&self.stderr),
            module: module.into(),
        }
    }

    /// Writes one line. It does not wait: while the host leaves the pipe full, lines are dropped, and the next one
    /// that is written says in its field `dropped_lines` how many. Texts are shortened so that a line has at most
    /// `PIPE_BUF` bytes (4,096): so much has room in a pipe that is not full, pipe(7).
    pub fn write<const N: usize>(&self, level: Level, message: &str, fields: [(&str, Value); N]) {
        let micros = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros());
        let mut record = Record::new(level, message).at(i64::try_from(micros).unwrap_or_default());
        record.module = Some(self.module.to_string());
        record.fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<Map<_, _>>();
        let mut dropped_lines = DROPPED_LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if *dropped_lines > 0 {
            let count = (*dropped_lines).into();
            record.fields.insert("dropped_lines".to_owned(), count);
        }
        if write_at_once(&self.stderr, record.format_within(PIPE_BUF).as_bytes()) {
            *dropped_lines = 0;
        } else {
            *dropped_lines += 1;
        }
    }
}

/// Lines that were dropped since the last one that was written. Held while a line is written: what poll(2) says is
/// good for one line.
static DROPPED_LINES: Mutex<u64> = Mutex::new(0);

/// Writes a line if there is room for it; gives whether there was.
fn write_at_once(stderr: &OwnedFd, line: &[u8]) -> bool {
    let mut ready = [PollFd::new(stderr, PollFlags::OUT)];
    if !poll(&mut ready, Some(&Timespec::default())).is_ok_and(|count| count > 0) {
        return false;
    }
    // EPIPE: the host is gone, and its plugin lives on.
    rustix::io::write(stderr, line) != Err(Errno::AGAIN)
}
