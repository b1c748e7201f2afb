//! Core: the part of a stream's state that most streams never need, or only at their end.

use std::time::Duration;

use super::relief::Deleted;
use super::{Collect, Counters, Report};

#[derive(Debug, Clone, Copy)]
pub(super) struct Dropped {
    pub(super) since: Duration,
    pub(super) bytes: u64,
}

/// What most streams never need, or only at their end. Of troubles it has what is to be reported, and what
/// was reported too short a time ago to be told again.
#[derive(Debug, Default)]
pub(super) struct Cold {
    pub(super) reports: Vec<Report>,
    /// Those of the counters that do not count what every stream does.
    pub(super) counters: Counters,
    pub(super) read_again_at: Option<Duration>,
    pub(super) stop_at: Option<Duration>,
    /// No trouble is reported before.
    pub(super) quiet_until: Duration,
    /// What was dropped and not yet reported.
    pub(super) dropped: Option<Dropped>,
    pub(super) deleted: Deleted,
    /// No failed record is reported before.
    pub(super) records_quiet_until: Duration,
}

impl Collect {
    /// Takes the reports made since the last call.
    pub fn take_reports(&mut self) -> Vec<Report> {
        let cold = self.cold.as_mut();
        cold.map_or_else(Vec::new, |cold| std::mem::take(&mut cold.reports))
    }

    /// Gives the counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let cold = self.cold.as_ref();
        Counters {
            read_bytes: self.read_bytes,
            written_bytes: self.written_bytes,
            rotations: self.rotations,
            ..cold.map_or_else(Counters::default, |cold| cold.counters)
        }
    }

    pub(super) fn cold(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    pub(super) fn stop_at(&self) -> Option<Duration> {
        self.cold.as_ref()?.stop_at
    }

    pub(super) fn read_again_at(&self) -> Option<Duration> {
        self.cold.as_ref()?.read_again_at
    }
}
