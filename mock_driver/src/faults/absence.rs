//! Output that comes while no driver is there, and what becomes of it by fault: an edge.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Away {
    /// Thrown away: whoever comes back listens from now on.
    Discard,
    /// Sent, and sent again by whoever comes back.
    Replay,
}

impl Away {
    /// Its name on a command line.
    pub(crate) fn name(self) -> String {
        let name = self.to_possible_value();
        name.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A forwarder whose driver may be away. A driver that is there holds a lock.
#[derive(Debug)]
pub(crate) struct Absence {
    away: Away,
    presence: File,
}

impl Absence {
    pub(crate) fn of(away: Away, presence: &Path) -> Result<Self> {
        let presence = File::open(presence).context("cannot open the presence file")?;
        Ok(Self { away, presence })
    }

    /// Whether no driver is there. An unlock that fails leaves a lock that others can share.
    fn is_now(&self) -> bool {
        match self.presence.try_lock_shared() {
            Ok(()) => {
                self.presence.unlock().ok();
                true
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        }
    }
}

/// What a stream kept of the time without a driver.
#[derive(Debug, Default)]
pub(crate) struct Gap {
    kept: Vec<u8>,
}

impl Gap {
    /// What is to be delivered for a chunk.
    pub(crate) fn pass(&mut self, chunk: Vec<u8>, absence: Option<&Absence>) -> Vec<u8> {
        let Some(absence) = absence else {
            return chunk;
        };
        match (absence.is_now(), absence.away) {
            (true, Away::Discard) => Vec::new(),
            (true, Away::Replay) => {
                self.kept.extend_from_slice(&chunk);
                chunk
            }
            (false, _) => {
                let mut all = std::mem::take(&mut self.kept);
                all.extend(chunk);
                all
            }
        }
    }
}
