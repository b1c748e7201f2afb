//! Core: what was lost under `drop`, until it is recorded (contract DATA-6).
//!
//! Nothing may be added to the log files (DATA-1), so a record stands in a file beside them and names a
//! place: the log file and the offset after which bytes are missing. Bytes that came before the dropped
//! ones may still wait to be written, and only then is the place known. Until then a gap is known by its
//! *position*: how many bytes of this life are written before it.
//!
//! # What becomes one record
//! - Bytes dropped at the position of the last gap, unless that is recorded already.
//! - Files deleted one after the other whose indices follow each other.
//! - What comes while [`MAX_PENDING`] records of its kind wait: it is added to the last of them. The sums
//!   and the times stay exact, and [`Gap::places`] says for how many places the record stands.
//!
//! # When it is recorded
//! When the storage takes bytes again, when the line that is being skipped ends, or at the stop. A gap
//! that can still grow waits. A record that can't be written is tried again with growing pauses.
//!
//! Law: the bytes of the records made and of those that wait are the bytes dropped.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::collect::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::name::StreamName;
use crate::planner::Place;
use crate::utc::rfc3339;

/// How many records of each kind may wait.
pub const MAX_PENDING: usize = 16;

/// Something to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Output that is in no file.
    Dropped(Gap),
    /// Log files that were deleted for space.
    Deleted(Deletion),
}

/// Bytes that are missing in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The place that they are missing after; the first one if there are several.
    pub place: Place,
    /// For how many places this stands: 1, or more if too many records waited.
    pub places: u64,
    /// How many bytes are missing.
    pub bytes: u64,
    /// How many bytes this life has dropped so far, these included.
    pub in_total_bytes: u64,
    /// When the first of them was dropped, since the stream's start.
    pub from: Duration,
    /// When the last of them was dropped, since the stream's start.
    pub until: Duration,
}

/// Log files that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// The index of the first one.
    pub first_index: u32,
    /// The index of the last one.
    pub last_index: u32,
    /// How many there were.
    pub files: u64,
    /// How many bytes they had.
    pub bytes: u64,
    /// When the first one was deleted, since the stream's start.
    pub from: Duration,
    /// When the last one was deleted, since the stream's start.
    pub until: Duration,
}

#[derive(Debug, Clone, Copy)]
struct PendingGap {
    first_position: u64,
    last_position: u64,
    place: Option<Place>,
    places: u64,
    bytes: u64,
    in_total_bytes: u64,
    from: Duration,
    until: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ending {
    /// The stream goes on.
    #[default]
    No,
    /// It ends; each record is tried once more.
    Begun,
    /// A record could not be written at the end.
    GaveUp,
}

/// What waits to be recorded: nothing, and no memory for it, in most streams.
#[derive(Debug, Default)]
pub struct Losses {
    waiting: Option<Box<Waiting>>,
    ending: Ending,
}

/// At least one record that waits, but while one is added.
#[derive(Debug, Default)]
struct Waiting {
    gaps: VecDeque<PendingGap>,
    deletions: VecDeque<Deletion>,
    /// The last gap may still grow.
    is_open: bool,
    next_try: Duration,
    pause: Duration,
}

impl Losses {
    /// Takes note that bytes were dropped at this position, and of the place if it is known already.
    pub fn dropped(
        &mut self,
        position: u64,
        place: Option<Place>,
        bytes: u64,
        in_total_bytes: u64,
        now: Duration,
    ) {
        let waiting = self.waiting.get_or_insert_default();
        waiting.is_open = true;
        let is_full = waiting.gaps.len() == MAX_PENDING;
        if let Some(last) = waiting.gaps.back_mut()
            && (last.last_position == position || is_full)
        {
            last.places += u64::from(last.last_position != position);
            last.last_position = position;
            last.bytes += bytes;
            last.in_total_bytes = in_total_bytes;
            last.until = now;
            return;
        }
        waiting.gaps.push_back(PendingGap {
            first_position: position,
            last_position: position,
            place,
            places: 1,
            bytes,
            in_total_bytes,
            from: now,
            until: now,
        });
    }

    /// Takes note that a file of so many bytes was deleted for space.
    pub fn deleted(&mut self, index: u32, bytes: u64, now: Duration) {
        let waiting = self.waiting.get_or_insert_default();
        let is_full = waiting.deletions.len() == MAX_PENDING;
        if let Some(last) = waiting.deletions.back_mut()
            && (last.last_index + 1 == index || is_full)
        {
            last.last_index = index;
            last.files += 1;
            last.bytes += bytes;
            last.until = now;
            return;
        }
        waiting.deletions.push_back(Deletion {
            first_index: index,
            last_index: index,
            files: 1,
            bytes,
            from: now,
            until: now,
        });
    }

    /// Takes note that so many bytes from this position on are in a file, from this place on.
    pub fn wrote(&mut self, position: u64, bytes: u64, begin: Place) {
        let gaps = self
            .waiting
            .iter_mut()
            .flat_map(|waiting| &mut waiting.gaps);
        for gap in gaps {
            if gap.place.is_none() && gap.first_position <= position + bytes {
                gap.place = Some(Place {
                    index: begin.index,
                    offset: begin.offset + (gap.first_position - position),
                });
            }
        }
    }

    /// Takes note that the last gap is to be recorded as it is now.
    pub fn close(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.is_open = false;
        }
    }

    /// Takes note that the stream ends and nothing is written after this place. Every record is tried
    /// once more, at once.
    pub fn end(&mut self, place: Place) {
        let is_first = self.ending == Ending::No;
        if is_first {
            self.ending = Ending::Begun;
        }
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        waiting.is_open = false;
        for gap in &mut waiting.gaps {
            gap.place.get_or_insert(place);
        }
        if is_first {
            waiting.next_try = Duration::ZERO;
        }
    }

    /// Gives what is to be recorded now.
    #[must_use]
    pub fn due(&self, now: Duration) -> Option<Loss> {
        let waiting = self.waiting.as_ref()?;
        self.first().filter(|_| now >= waiting.next_try)
    }

    /// Gives when the next record is to be tried, since the stream's start; none while none waits.
    #[must_use]
    pub fn next_try(&self) -> Option<Duration> {
        let waiting = self.waiting.as_ref()?;
        self.first().map(|_| waiting.next_try)
    }

    fn first(&self) -> Option<Loss> {
        if self.ending == Ending::GaveUp {
            return None;
        }
        let waiting = self.waiting.as_ref()?;
        let can_grow = waiting.is_open && waiting.gaps.len() == 1;
        let gap = waiting
            .gaps
            .front()
            .filter(|_| !can_grow)
            .and_then(PendingGap::placed);
        match gap {
            Some(gap) => Some(Loss::Dropped(gap)),
            None => waiting.deletions.front().copied().map(Loss::Deleted),
        }
    }

    /// Takes note that this is recorded.
    pub fn recorded(&mut self, loss: Loss) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        match loss {
            Loss::Dropped(_) => drop(waiting.gaps.pop_front()),
            Loss::Deleted(_) => drop(waiting.deletions.pop_front()),
        }
        waiting.pause = Duration::ZERO;
        if waiting.gaps.is_empty() && waiting.deletions.is_empty() {
            self.waiting = None;
        }
    }

    /// Takes note that the record could not be written.
    pub fn not_recorded(&mut self, now: Duration) {
        match self.ending {
            Ending::No => {
                if let Some(waiting) = &mut self.waiting {
                    waiting.pause = (waiting.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                    waiting.next_try = now + waiting.pause;
                }
            }
            Ending::Begun | Ending::GaveUp => self.ending = Ending::GaveUp,
        }
    }

    /// Gives how many records wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.gaps().count() + self.deletions().count()
    }

    /// Gives how many dropped bytes are not recorded yet.
    #[must_use]
    pub fn unrecorded_bytes(&self) -> u64 {
        self.gaps().map(|gap| gap.bytes).sum()
    }

    /// Gives how many files deleted for space are not recorded yet.
    #[must_use]
    pub fn unrecorded_files(&self) -> u64 {
        self.deletions().map(|deletion| deletion.files).sum()
    }

    fn gaps(&self) -> impl Iterator<Item = &PendingGap> {
        self.waiting.iter().flat_map(|waiting| &waiting.gaps)
    }

    fn deletions(&self) -> impl Iterator<Item = &Deletion> {
        self.waiting.iter().flat_map(|waiting| &waiting.deletions)
    }
}

impl PendingGap {
    fn placed(&self) -> Option<Gap> {
        Some(Gap {
            place: self.place?,
            places: self.places,
            bytes: self.bytes,
            in_total_bytes: self.in_total_bytes,
            from: self.from,
            until: self.until,
        })
    }
}

#[derive(Serialize)]
struct GapLine<'a> {
    stream: &'a str,
    dropped_bytes: u64,
    dropped_in_total: u64,
    from: String,
    until: String,
    index: u32,
    offset: u64,
    places: u64,
}

#[derive(Serialize)]
struct DeletionLine<'a> {
    stream: &'a str,
    deleted_files: u64,
    deleted_bytes: u64,
    first_index: u32,
    last_index: u32,
    from: String,
    until: String,
}

impl Loss {
    /// Gives the record as one line of JSON with its newline, less than 2 KiB long. `time` turns a time
    /// since the stream's start into one of the clock.
    ///
    /// # Errors
    /// None is known: all that is written are numbers and texts.
    pub fn line(
        &self,
        stream: &StreamName,
        time: impl Fn(Duration) -> SystemTime,
    ) -> serde_json::Result<String> {
        let mut line = match self {
            Loss::Dropped(gap) => serde_json::to_string(&GapLine {
                stream: stream.as_str(),
                dropped_bytes: gap.bytes,
                dropped_in_total: gap.in_total_bytes,
                from: rfc3339(time(gap.from)),
                until: rfc3339(time(gap.until)),
                index: gap.place.index,
                offset: gap.place.offset,
                places: gap.places,
            })?,
            Loss::Deleted(deletion) => serde_json::to_string(&DeletionLine {
                stream: stream.as_str(),
                deleted_files: deletion.files,
                deleted_bytes: deletion.bytes,
                first_index: deletion.first_index,
                last_index: deletion.last_index,
                from: rfc3339(time(deletion.from)),
                until: rfc3339(time(deletion.until)),
            })?,
        };
        line.push('\n');
        Ok(line)
    }
}

#[cfg(test)]
#[path = "losses_tests.rs"]
mod tests;
