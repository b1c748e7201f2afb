//! Core: the life of one stream as a state machine: what to do after each event.
//!
//! The edge performs the [`Action`] and comes back with the [`Event`] that it gave. Time is a duration
//! since the stream's start, given with each event. The bytes that are known and not yet placed (the
//! *window*) lie with the edge, in memory or in pipes; their number is bounded, because no more are
//! asked for while they cannot be written, and because a held line is at most the line guard.
//!
//! # When a step on the folder fails
//! It stays pending and is tried again with growing pauses, at most [`LONGEST_PAUSE`] apart, so that
//! collection resumes within 2 s of the fault's end (HEAL-1). The read end stays open. With
//! [`OnFull::Block`] nothing is read meanwhile: the pipe fills and the task waits, and no file is deleted.
//! With [`OnFull::Drop`] a write or the making of a file that fails for lack of space ([`Fault::NoSpace`])
//! costs the oldest rotated file, and is tried again at once; so it goes on while there is a rotated
//! file. Whatever else lasts [`DROP_AFTER`] costs output: what comes is read and dropped, whole lines where
//! lines end, until a write succeeds. What was known before stays the first to be written. A line of which a part is in the
//! file already is ended by its newline, so that no two lines are joined. Where lines end can only be
//! said of bytes that are seen, so the edge is asked to take the window into memory for that time.
//!
//! What is lost either way waits in [`Losses`] and is recorded when there is no trouble, or at the end. A
//! record that fails is no trouble: collection goes on.
//!
//! Law: bytes read = bytes written + bytes dropped + bytes in the window. To read is to get to know: by
//! one pump the bytes come into memory, by the other they may still lie in the FIFO.

use std::ops::Range;
use std::time::Duration;

use memchr::{memchr, memrchr};

pub use crate::events::{Action, Condition, Counters, Event, Fault, OnFull, Reading, Report};
use crate::losses::Losses;
use crate::pacing::Pacing;
use crate::planner::{Flush, Planner, RotationStep, Step, Window};
use cold::{Cold, Dropped};
use relief::Remedy;

/// How long an incomplete line is held: with the time to write it, well under the 200 ms of DATA-5.
pub const HOLD: Duration = Duration::from_millis(120);
/// How long the task may block before `drop` drops: with the time to notice, under the 1 s of HEAL-2.
pub const DROP_AFTER: Duration = Duration::from_millis(500);
/// Pause before the first retry.
pub const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause between two retries: a quarter of the 2 s of HEAL-1.
pub const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long a stopping stream goes on reading from a writer that never ends.
pub const DRAIN_READING: Duration = Duration::from_millis(800);
/// When a stopping stream ends in any case: under the 2 s of MON-7.
pub const DRAIN_END: Duration = Duration::from_millis(1200);
/// How long after the report of a trouble the next one is kept quiet (HEAL-7).
pub const REPORT_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
struct Trouble {
    since: Duration,
    next_try: Duration,
    pause: Duration,
    is_dropping: bool,
    is_reported: bool,
    remedy: Remedy,
}

/// The state of one stream.
#[derive(Debug)]
pub struct Collect {
    planner: Planner,
    pacing: Pacing,
    on_full: OnFull,
    read_bytes: u64,
    written_bytes: u64,
    rotations: u64,
    /// In a box, as most streams never have any.
    trouble: Option<Box<Trouble>>,
    /// Made when it is first needed.
    cold: Option<Box<Cold>>,
    losses: Losses,
    /// The last byte dropped was in the middle of a line, whose rest is dropped too.
    skips_line: bool,
    /// Everything in the window is seen, because what comes is or will be dropped.
    sees_all: bool,
    held_since: Option<Duration>,
    has_no_writer: bool,
    last_write: Option<Duration>,
    is_drained: bool,
}

impl Collect {
    /// Makes the state of a stream that starts.
    #[must_use]
    pub fn new(planner: Planner, pacing: Pacing, on_full: OnFull) -> Collect {
        Collect {
            planner,
            pacing,
            on_full,
            read_bytes: 0,
            written_bytes: 0,
            rotations: 0,
            trouble: None,
            cold: None,
            losses: Losses::default(),
            skips_line: false,
            sees_all: false,
            held_since: None,
            has_no_writer: false,
            last_write: None,
            is_drained: false,
        }
    }

    /// Takes an event, and says what to do next.
    pub fn handle(&mut self, event: Event, window: Window, now: Duration) -> Action {
        let mut window = window;
        let mut is_tick = false;
        match event {
            Event::Started | Event::Discarded | Event::Looked => {}
            Event::FoundEnding { is_mid_line } => {
                self.planner.found_ending(is_mid_line);
                self.try_at_once(now);
            }
            Event::TookIn => self.sees_all = true,
            // The end of a rest says nothing of what there is to read.
            Event::Tick => is_tick = !self.pacing.ends_rest(now),
            Event::Read(bytes) => {
                self.pacing.found(bytes, now);
                if let Some(discards) = self.read(bytes, window, now) {
                    return discards;
                }
            }
            Event::ReadPart(bytes) => {
                self.pacing.found_part(bytes);
                if let Some(discards) = self.read(bytes, window, now) {
                    return discards;
                }
            }
            Event::WriterCame => self.has_no_writer = false,
            Event::NoWriter => {
                // A line that is being skipped may never be ended.
                self.losses.close();
                self.has_no_writer = true;
                self.is_drained = self.stop_at().is_some();
            }
            Event::Empty => self.is_drained = self.stop_at().is_some(),
            Event::ReadFailed => {
                let cold = self.cold();
                cold.counters.failures += 1;
                cold.read_again_at = Some(now + LONGEST_PAUSE);
            }
            Event::SetLimits(limits) => {
                self.planner.set_limits(limits);
                // Fewer files may be what a full disk needs.
                self.try_at_once(now);
            }
            Event::Stop => {
                self.cold().stop_at.get_or_insert(now);
            }
            Event::Wrote(bytes) => {
                self.wrote(bytes, window, now);
                window = window.after(bytes);
            }
            Event::Rotated(step) => {
                self.planner.rotated(step);
                self.rotations += u64::from(matches!(step, RotationStep::Publish(_)));
                self.try_at_once(now);
            }
            Event::NameTaken(index) => self.planner.name_taken(index),
            Event::Unprepared => {
                self.planner.unprepared();
                self.fail(now);
            }
            Event::Deleted(index) => {
                self.planner.deleted(index);
                self.try_at_once(now);
            }
            Event::DeletedForSpace { index, bytes } => self.deleted_for_space(index, bytes, now),
            Event::Failed { step, fault } => {
                self.fail(now);
                self.seek_remedy(step, fault);
            }
            Event::Recorded(loss) => self.losses.recorded(loss),
            Event::NotRecorded => self.not_recorded(now),
        }
        self.decide(window, now, is_tick)
    }

    /// Gives the index of the current file, or none before the first one.
    #[must_use]
    pub fn current_index(&self) -> Option<u32> {
        self.planner.current_index()
    }

    /// True when the stream has a log file.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.planner.has_files()
    }

    /// Gives the losses that are not recorded yet.
    #[must_use]
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Gives what the stream is doing.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match (self.stop_at(), self.trouble.as_deref()) {
            (Some(_), _) => Condition::Stopping,
            (None, Some(trouble)) if trouble.is_dropping => Condition::Dropping,
            (None, Some(_)) => Condition::Blocked,
            (None, None) if self.has_no_writer => Condition::NoWriter,
            (None, None) => Condition::Collecting,
        }
    }

    /// Gives when bytes were last written, since the stream's start.
    #[must_use]
    pub fn last_write(&self) -> Option<Duration> {
        self.last_write
    }

    /// True while everything that comes to the window has to be seen.
    #[must_use]
    pub fn needs_sight(&self) -> bool {
        self.sees_all
    }

    fn decide(&mut self, window: Window, now: Duration, is_tick: bool) -> Action {
        if let Some(stop_at) = self.stop_at() {
            if now >= stop_at + DRAIN_END {
                return self.finish(now);
            }
            self.is_drained |= now >= stop_at + DRAIN_READING;
        }
        if let Some(action) = self.wait_out_trouble(window, now) {
            return action;
        }
        if let Some(action) = self.record(now) {
            return action;
        }
        match self.planner.plan(window, self.flush(now, is_tick)) {
            Step::Rotate(step) => {
                self.planner.rotation_begun();
                Action::Perform(Step::Rotate(step))
            }
            step @ (Step::Write(_)
            | Step::Delete(_)
            | Step::DeleteForSpace(_)
            | Step::Look(_)
            | Step::FindEnding) => Action::Perform(step),
            Step::NoIndexLeft => {
                self.fail(now);
                Action::Wait {
                    reading: Reading::No,
                    until: self.earliest([Some(now + FIRST_PAUSE)]),
                }
            }
            Step::Idle => {
                self.end_trouble(now);
                if let Some(action) = self.record(now) {
                    action
                } else if self.is_drained {
                    self.finish(now)
                } else {
                    self.wait_for_bytes(None, now)
                }
            }
            Step::Hold => {
                let since = *self.held_since.get_or_insert(now);
                self.wait_for_bytes(Some(since + HOLD), now)
            }
        }
    }

    /// Takes note of bytes just read. Those of them that are dropped are discarded at once.
    fn read(&mut self, bytes: usize, window: Window, now: Duration) -> Option<Action> {
        self.has_no_writer = false;
        self.read_bytes += bytes as u64;
        let unwanted = if self.sees_all {
            self.unwanted(window.seen, bytes)
        } else {
            None
        };
        unwanted.map(|range| self.discard(range, now))
    }

    fn flush(&self, now: Duration, is_tick: bool) -> Flush {
        if self.has_no_writer || self.is_drained {
            Flush::Ended
        } else if is_tick && self.is_overdue(now) {
            // Only when there is nothing to read: after a pause of this process itself the rest of the
            // line may lie in the pipe.
            Flush::Stalled
        } else {
            Flush::No
        }
    }

    /// True when a line has been held for as long as one may be.
    fn is_overdue(&self, now: Duration) -> bool {
        self.held_since.is_some_and(|since| now >= since + HOLD)
    }

    fn wait_for_bytes(&self, until: Option<Duration>, now: Duration) -> Action {
        match self.read_again_at() {
            Some(again) if now < again => Action::Wait {
                reading: Reading::No,
                until: self.earliest([until.or(Some(again)).min(Some(again))]),
            },
            Some(_) | None => match self.rests_until(now) {
                Some(rested) => Action::Wait {
                    reading: Reading::No,
                    until: Some(rested),
                },
                None => Action::Wait {
                    reading: self.reading(),
                    until: self.earliest([until, self.next_record()]),
                },
            },
        }
    }

    fn rests_until(&self, now: Duration) -> Option<Duration> {
        self.pacing
            .rests_until(now)
            // At the end of a rest more of a held line is always there, so it would never count as stalled.
            .filter(|_| self.stop_at().is_none() && !self.has_no_writer && !self.is_overdue(now))
    }

    fn reading(&self) -> Reading {
        if self.stop_at().is_some() {
            Reading::AtOnce
        } else if self.has_no_writer {
            Reading::NextWriter
        } else {
            Reading::Bytes
        }
    }

    fn earliest<const N: usize>(&self, times: [Option<Duration>; N]) -> Option<Duration> {
        times
            .into_iter()
            .chain([self.stop_at().map(|at| at + DRAIN_END)])
            .flatten()
            .min()
    }

    fn wait_out_trouble(&mut self, window: Window, now: Duration) -> Option<Action> {
        let stop_at = self.stop_at();
        let trouble = self.trouble.as_mut()?;
        let drop_at = match (self.on_full, trouble.remedy, stop_at) {
            (OnFull::Drop, Remedy::Delete(index), _) => {
                return Some(Action::Perform(Step::DeleteForSpace(index)));
            }
            (OnFull::Drop, Remedy::None, None) => Some(trouble.since + DROP_AFTER),
            (OnFull::Drop, Remedy::Retry, _)
            | (OnFull::Drop, Remedy::None, Some(_))
            | (OnFull::Block, _, _) => None,
        };
        let drop_at = drop_at.filter(|_| !trouble.is_dropping);
        if drop_at.is_some_and(|at| now >= at) {
            if !self.sees_all {
                return Some(Action::TakeIn);
            }
            if self.planner.is_mid_line().is_none() {
                return Some(Action::Perform(Step::FindEnding));
            }
            trouble.is_dropping = true;
            let cold = self.cold();
            cold.reports.push(Report::DroppingBegan);
            cold.dropped.get_or_insert(Dropped {
                since: now,
                bytes: 0,
            });
            if let Some(range) = self.incomplete_tail(window.seen) {
                self.skips_line = true;
                return Some(self.discard(range, now));
            }
        }
        let trouble = self.trouble.as_ref()?;
        if now >= trouble.next_try {
            return None;
        }
        let (is_dropping, next_try) = (trouble.is_dropping, trouble.next_try);
        if is_dropping && stop_at.is_none() && self.read_again_at().is_none_or(|again| now >= again)
        {
            Some(Action::Wait {
                reading: self.reading(),
                until: self.earliest([Some(next_try)]),
            })
        } else {
            Some(Action::Wait {
                reading: Reading::No,
                until: self.earliest([Some(next_try), drop_at]),
            })
        }
    }

    /// The end of the window that is dropped when dropping begins: a line that is not complete, unless
    /// its beginning is in the file.
    fn incomplete_tail(&self, window: &[u8]) -> Option<Range<usize>> {
        let start = match memrchr(b'\n', window) {
            Some(newline) => newline + 1,
            None if self.planner.is_mid_line() == Some(true) => return None,
            None => 0,
        };
        (start < window.len()).then_some(start..window.len())
    }

    /// Which of the bytes just read are dropped.
    fn unwanted(&mut self, window: &[u8], new_bytes: usize) -> Option<Range<usize>> {
        let kept = window.len() - new_bytes;
        let new = &window[kept..];
        let last_kept_is_newline = match window[..kept].last() {
            Some(last) => *last == b'\n',
            None => self.planner.is_mid_line() == Some(false),
        };
        let newline = if self.is_dropping() && kept > 0 {
            // All of it, as the bytes kept are still to be written.
            self.skips_line = new.last() != Some(&b'\n');
            new.len().checked_sub(1).filter(|_| !self.skips_line)
        } else if self.skips_line {
            let newline = memchr(b'\n', new);
            self.skips_line = newline.is_none();
            newline
        } else {
            return None;
        };
        // The newline itself is kept if the log is in the middle of a line.
        let end = newline.map_or(new.len(), |newline| {
            newline + usize::from(last_kept_is_newline)
        });
        (end > 0).then_some(kept..kept + end)
    }

    fn wrote(&mut self, bytes: usize, window: Window, now: Duration) {
        if let Some(begin) = self.planner.end() {
            self.losses.wrote(self.written_bytes, bytes as u64, begin);
        }
        self.planner.wrote(bytes, window);
        self.written_bytes += bytes as u64;
        self.held_since = None;
        self.last_write = Some(now);
        self.end_trouble(now);
    }

    fn discard(&mut self, range: Range<usize>, now: Duration) -> Action {
        let bytes = range.len() as u64;
        let cold = self.cold();
        cold.counters.dropped_bytes += bytes;
        let dropped_bytes = cold.counters.dropped_bytes;
        let began = Dropped {
            since: now,
            bytes: 0,
        };
        cold.dropped.get_or_insert(began).bytes += bytes;
        // Bytes in front of them are written first, to a place that is not known yet.
        let place = self.planner.end().filter(|_| range.start == 0);
        self.losses.dropped(
            self.written_bytes + range.start as u64,
            place,
            bytes,
            dropped_bytes,
            now,
        );
        self.end_dropping(now);
        Action::Discard(range)
    }

    fn fail(&mut self, now: Duration) {
        let cold = self.cold.get_or_insert_default();
        cold.counters.failures += 1;
        let is_stopping = cold.stop_at.is_some();
        let trouble = self.trouble.get_or_insert_with(|| {
            let is_reported = now >= cold.quiet_until;
            if is_reported {
                cold.quiet_until = now + REPORT_PAUSE;
                cold.reports.push(Report::TroubleBegan);
            }
            Box::new(Trouble {
                since: now,
                next_try: now,
                pause: FIRST_PAUSE / 2,
                is_dropping: false,
                is_reported,
                remedy: Remedy::None,
            })
        });
        trouble.remedy = Remedy::None;
        let longest = if is_stopping {
            LONGEST_PAUSE / 5
        } else {
            LONGEST_PAUSE
        };
        trouble.pause = (trouble.pause * 2).min(longest);
        trouble.next_try = now + trouble.pause;
    }

    fn try_at_once(&mut self, now: Duration) {
        if let Some(trouble) = self.trouble.as_mut() {
            trouble.next_try = now;
        }
    }

    fn end_trouble(&mut self, now: Duration) {
        if let Some(trouble) = self.trouble.take() {
            // The rest of a line that is being skipped may come much later.
            self.losses.close();
            if self.may_report_deleted(now) {
                self.report_deleted(now);
            }
            if trouble.is_reported {
                self.cold().reports.push(Report::TroubleEnded {
                    lasted: now.saturating_sub(trouble.since),
                });
            }
        }
        self.end_dropping(now);
    }

    fn end_dropping(&mut self, now: Duration) {
        if self.is_dropping() || self.skips_line {
            return;
        }
        self.losses.close();
        self.sees_all = self.trouble.is_some() && self.sees_all;
        self.report_dropped(now);
    }

    fn is_dropping(&self) -> bool {
        self.trouble
            .as_ref()
            .is_some_and(|trouble| trouble.is_dropping)
    }

    fn report_dropped(&mut self, now: Duration) {
        let Some(cold) = self.cold.as_mut() else {
            return;
        };
        if let Some(Dropped { since, bytes }) = cold.dropped.take() {
            cold.reports.push(Report::DroppingEnded {
                bytes,
                lasted: now.saturating_sub(since),
            });
        }
    }

    fn finish(&mut self, now: Duration) -> Action {
        self.report_dropped(now);
        self.report_deleted(now);
        self.losses.end(self.planner.next_place());
        self.record_due(now).unwrap_or(Action::Finish)
    }
}

#[path = "cold.rs"]
mod cold;
#[path = "relief.rs"]
mod relief;

#[cfg(test)]
#[path = "drop_laws.rs"]
mod drop_laws;
#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
