//! Core: the part of the state machine that makes room for lack of space, and has losses recorded.

use std::time::Duration;

use super::{Action, Collect, Fault, OnFull, REPORT_PAUSE, Report};
use crate::planner::Step;

/// What can be done about a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing but to wait.
    None,
    /// To delete the file with this index.
    Delete(u32),
    /// It is done, and the step that failed is tried again.
    Retry,
}

/// Files deleted for space that are not reported yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deleted {
    files: u64,
    bytes: u64,
    /// No deletion is reported before.
    quiet_until: Duration,
}

impl Collect {
    /// Only a lack of space is mended by deleting, and only where bytes or a file are to be added.
    pub(super) fn seek_remedy(&mut self, step: Step, fault: Fault) {
        let needs_space = match (step, fault) {
            (Step::Write(_) | Step::Rotate(_), Fault::NoSpace) => self.on_full == OnFull::Drop,
            (Step::Write(_) | Step::Rotate(_), Fault::Other)
            | (
                Step::Delete(_)
                | Step::DeleteForSpace(_)
                | Step::Look(_)
                | Step::FindEnding
                | Step::Hold
                | Step::Idle
                | Step::NoIndexLeft,
                Fault::NoSpace | Fault::Other,
            ) => false,
        };
        let oldest = self.planner.oldest_rotated().filter(|_| needs_space);
        if let (Some(trouble), Some(index)) = (self.trouble.as_mut(), oldest) {
            trouble.remedy = Remedy::Delete(index);
        }
    }

    pub(super) fn deleted_for_space(&mut self, index: u32, bytes: Option<u64>, now: Duration) {
        self.planner.deleted(index);
        if let Some(bytes) = bytes {
            let cold = self.cold();
            cold.counters.deleted_for_space_files += 1;
            cold.counters.deleted_for_space_bytes += bytes;
            cold.deleted.files += 1;
            cold.deleted.bytes += bytes;
            self.losses.deleted(index, bytes, now);
        }
        if let Some(trouble) = self.trouble.as_mut() {
            trouble.remedy = Remedy::Retry;
        }
        self.try_at_once(now);
    }

    /// What to record now. In a time of trouble the storage is left alone.
    pub(super) fn record(&mut self, now: Duration) -> Option<Action> {
        match self.trouble {
            Some(_) => None,
            None => self.record_due(now),
        }
    }

    /// What to record now, whatever the storage does.
    pub(super) fn record_due(&self, now: Duration) -> Option<Action> {
        let loss = self.losses.due(now)?;
        Some(Action::Record(Box::new(loss)))
    }

    pub(super) fn next_record(&self) -> Option<Duration> {
        match self.trouble {
            Some(_) => None,
            None => self.losses.next_try(),
        }
    }

    pub(super) fn not_recorded(&mut self, now: Duration) {
        self.losses.not_recorded(now);
        let cold = self.cold();
        cold.counters.failures += 1;
        if now >= cold.records_quiet_until {
            cold.records_quiet_until = now + REPORT_PAUSE;
            cold.reports.push(Report::NotRecorded);
        }
    }

    pub(super) fn may_report_deleted(&self, now: Duration) -> bool {
        self.cold
            .as_ref()
            .is_some_and(|cold| now >= cold.deleted.quiet_until)
    }

    pub(super) fn report_deleted(&mut self, now: Duration) {
        let Some(cold) = self.cold.as_mut() else {
            return;
        };
        let Deleted { files, bytes, .. } = cold.deleted;
        if files > 0 {
            cold.reports.push(Report::DeletedForSpace { files, bytes });
            cold.deleted = Deleted {
                quiet_until: now + REPORT_PAUSE,
                ..Deleted::default()
            };
        }
    }
}
