//! The log of a plugin (edge): lines of hclog on the standard error that the host reads.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::hclog::{Level, Record};

/// Writes log lines. A line that nobody reads any more is lost, and no error.
#[derive(Debug, Clone)]
pub struct Log {
    file: Arc<File>,
    module: Arc<str>,
}

impl Log {
    /// Takes a copy of standard error, so that lines go there even when it is captured later.
    pub(super) fn new(module: &str) -> io::Result<Self> {
        let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Self {
            file: Arc::new(file),
            module: module.into(),
        })
    }

    /// Gives the same log for another part of the plugin.
    #[must_use]
    pub fn of(&self, module: &str) -> Self {
        Self {
            file: Arc::clone(&self.file),
            module: module.into(),
        }
    }

    /// Writes one line. It waits as long as the host leaves the pipe full.
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
        // EPIPE: the host is gone, and its plugin lives on.
        drop((&*self.file).write_all(record.format().as_bytes()));
    }
}
