//! Core: decides where each byte of a stream goes: into the current file, or into the next one.
//!
//! It is told how many bytes are known and not yet placed (the *window*), and answers with the next
//! [`Step`]. Whoever performs the step reports it back; a step that failed is simply planned again, so
//! every step can be resumed, and what is planned depends on nothing but the folder and the window.
//!
//! # Sight
//! Bytes may be known without having been looked at: a pump that moves them inside of the kernel sees
//! them only on demand. Of a [`Window`] a head, maybe nothing, has been *seen*. While the room in the
//! file is larger than the guard G, what goes there is decided blind: a line that begins there either
//! fits or is longer than G, so every byte up to L - G belongs to this file whatever it is. Nearer to
//! the limit L the plan asks to [`Step::Look`] at as much as it needs: the room and G bytes beyond it.
//!
//! After a blind write it is not known whether the file ends in the middle of a line. That is so only
//! while the room is at least G, and there it makes no difference: the next bytes, up to a newline, go
//! into the room in both cases. Should the limits change meanwhile, the plan asks by
//! [`Step::FindEnding`].
//!
//! # Laws
//! With the limit L, the guard G (at most L) and the number of files M, each a property test below:
//! - The writes, joined, are the stream.
//! - No file is ever larger than L, and never more than M files exist, at any moment.
//! - A line of up to G bytes, newline included, is never split, however the chunks fall. A longer one
//!   fills the file to L and goes on in the next.
//! - A closed file is larger than L - G; and larger than L - n if no line is longer than n.
//! - No rotation follows another without a byte between, so no file is closed empty.
//! - The same stream cut differently gives the same files, and so does more or less sight of it.
//! - Planning after a crash at any step equals planning without it.
//!
//! With M = 1 the only file is deleted before the next one gets its name; a crash between the two
//! leaves no file, and the next life begins at index 0.
//!
//! # A line that is not complete
//! It may be written at once while the room in the file is at least G: whatever it grows to, it either
//! fits or is longer than G. With less room it is *held*, outside of the file, until it is complete or
//! longer than G. Two things end the holding early, told by [`Flush`]:
//! - [`Flush::Stalled`]: the line did not grow for a while and should be seen (DATA-5). It is put into
//!   the next file, because not splitting comes before being seen: the file closes earlier than its
//!   complete lines ask for, but still larger than L - G. Where L is smaller than 2 G this alone would
//!   turn each prompt into a file of its own, so there it is written in place while the room is at
//!   least L / 2; a line that stalls and then grows beyond L / 2 can then be split.
//! - [`Flush::Ended`]: there is no writer, or logmon stops, so the line will probably not grow. It is
//!   written in place if the longest line seen so far would fit there too, else into the next file.
//!   Only the last G bytes of a file count for that, because only those are always seen.

use memchr::{memchr, memchr_iter, memrchr};

use crate::indices::Indices;
use crate::limits::Limits;
use crate::name::MAX_INDEX;
use crate::recovery::Recovery;

/// Whether an incomplete line may still be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// It may.
    No,
    /// It has been held for as long as it may be, and its writer is still there.
    Stalled,
    /// The stream has no writer, or logmon stops.
    Ended,
}

/// The bytes that are known and not yet placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window<'a> {
    /// The first of them, as far as they have been looked at; may be empty, and all of them.
    pub seen: &'a [u8],
    /// How many there are, at least as many as are seen.
    pub bytes: usize,
}

impl<'a> Window<'a> {
    /// Makes a window of which everything is seen.
    #[must_use]
    pub fn all(seen: &'a [u8]) -> Window<'a> {
        Window {
            seen,
            bytes: seen.len(),
        }
    }

    /// Gives the window without its first bytes.
    #[must_use]
    pub fn after(self, bytes: usize) -> Window<'a> {
        debug_assert!(bytes <= self.bytes, "only what is known is placed");
        Window {
            seen: self.seen.get(bytes..).unwrap_or(&[]),
            bytes: self.bytes - bytes,
        }
    }
}

/// One step of a rotation, one action on the folder each, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// Get a file that has no name yet, so that whatever makes this fail has destroyed nothing.
    Prepare,
    /// Give the prepared file the name with this index, and close the file before it.
    Publish(u32),
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The index of the log file.
    pub index: u32,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Write so many bytes of the window, from its start, to the current file; at least 1.
    Write(usize),
    /// Look at so many bytes from the start of the window, more than are seen and no more than are known.
    Look(usize),
    /// Find out whether the current file ends in the middle of a line.
    FindEnding,
    /// Go on with a rotation.
    Rotate(RotationStep),
    /// Delete the file with this index, as there are too many.
    Delete(u32),
    /// Delete the file with this index, as its bytes are needed. The planner never asks for that.
    DeleteForSpace(u32),
    /// The window is an incomplete line that is held back.
    Hold,
    /// The window is empty.
    Idle,
    /// A new file is needed and no index is left ([`MAX_INDEX`]).
    NoIndexLeft,
}

impl Step {
    /// True when it calls the file system of the log folder, and so may take as long as that hangs.
    #[must_use]
    pub fn calls_storage(self) -> bool {
        match self {
            Step::Write(_)
            | Step::FindEnding
            | Step::Rotate(_)
            | Step::Delete(_)
            | Step::DeleteForSpace(_) => true,
            Step::Look(_) | Step::Hold | Step::Idle | Step::NoIndexLeft => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Current {
    index: u32,
    bytes: u64,
    /// The file has bytes and the last one is no newline; none if the last one was not seen.
    is_mid_line: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rotating {
    No,
    Begun,
    Prepared,
}

/// The planner of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planner {
    limits: Limits,
    current: Option<Current>,
    rotating: Rotating,
    retained: Indices,
    next_index: u32,
    open_line_bytes: u64,
    longest_line_bytes: u64,
}

impl Planner {
    /// Makes a planner that goes on from a listing. `is_mid_line`: the file to resume has bytes and its
    /// last one is no newline.
    #[must_use]
    pub fn new(limits: Limits, recovery: &Recovery, is_mid_line: bool) -> Planner {
        Planner {
            limits,
            current: recovery.resume.map(|resume| Current {
                index: resume.index,
                bytes: resume.bytes,
                is_mid_line: Some(is_mid_line && resume.bytes > 0),
            }),
            rotating: Rotating::No,
            retained: recovery.retained.iter().copied().collect(),
            next_index: recovery.next_index,
            open_line_bytes: 0,
            longest_line_bytes: 0,
        }
    }

    /// Gives the next step for these bytes. It changes nothing: asked again, it answers the same.
    pub fn plan(&self, window: Window, flush: Flush) -> Step {
        if self.retained.len() > self.limits.max_files() {
            return self.delete_oldest();
        }
        let current = match (self.rotating, self.current) {
            (Rotating::No, Some(current)) => current,
            (Rotating::No | Rotating::Begun, _) => return self.begin_rotation(),
            (Rotating::Prepared, _) if self.retained.len() >= self.limits.max_files() => {
                return self.delete_oldest();
            }
            (Rotating::Prepared, _) => return Step::Rotate(RotationStep::Publish(self.next_index)),
        };
        match self.cut(current, window, flush) {
            Cut::Bytes(0) => self.begin_rotation(),
            Cut::Bytes(bytes) => Step::Write(bytes),
            Cut::Look(bytes) => Step::Look(bytes),
            Cut::FindEnding => Step::FindEnding,
            Cut::Hold => Step::Hold,
            Cut::Nothing => Step::Idle,
        }
    }

    /// Takes note that so many bytes from the start of the window are in the current file. They may be
    /// fewer than planned.
    pub fn wrote(&mut self, bytes: usize, window: Window) {
        let guarded_from = self.limits.max_file_bytes() - self.limits.line_guard();
        let Some(current) = self.current.as_mut() else {
            debug_assert!(false, "a write is planned only with a current file");
            return;
        };
        if bytes == 0 {
            return;
        }
        let begin = current.bytes;
        current.bytes += bytes as u64;
        let Some(placed) = window.seen.get(..bytes) else {
            current.is_mid_line = None;
            return;
        };
        current.is_mid_line = Some(!placed.ends_with(b"\n"));
        if begin <= guarded_from {
            self.open_line_bytes = 0;
        }
        let skipped = usize::try_from(guarded_from.saturating_sub(begin)).unwrap_or(usize::MAX);
        let counted = placed.get(skipped..).unwrap_or(&[]);
        let mut begin = 0;
        for newline in memchr_iter(b'\n', counted) {
            let line_bytes = self.open_line_bytes + (newline + 1 - begin) as u64;
            self.longest_line_bytes = self.longest_line_bytes.max(line_bytes);
            self.open_line_bytes = 0;
            begin = newline + 1;
        }
        self.open_line_bytes += (counted.len() - begin) as u64;
        self.longest_line_bytes = self.longest_line_bytes.max(self.open_line_bytes);
    }

    /// Takes note of what [`Step::FindEnding`] found.
    pub fn found_ending(&mut self, is_mid_line: bool) {
        if let Some(current) = self.current.as_mut() {
            current.is_mid_line = Some(is_mid_line);
        }
    }

    /// Keeps other limits from now on (contract MON-5). Too many files lose the oldest at once; a file
    /// that is over a smaller limit is not touched, and closed with the next byte.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes note that a step of the rotation is done.
    pub fn rotated(&mut self, step: RotationStep) {
        match step {
            RotationStep::Prepare => self.rotating = Rotating::Prepared,
            RotationStep::Publish(index) => {
                self.retained.push(index);
                self.current = Some(Current {
                    index,
                    bytes: 0,
                    is_mid_line: Some(false),
                });
                self.next_index = index + 1;
                self.rotating = Rotating::No;
            }
        }
    }

    /// Takes note that a rotation has begun, so that it is finished before anything else is planned.
    pub fn rotation_begun(&mut self) {
        if self.rotating == Rotating::No {
            self.rotating = Rotating::Begun;
        }
    }

    /// Takes note that the prepared file is lost, so that the rotation begins again.
    pub fn unprepared(&mut self) {
        self.rotating = Rotating::Begun;
    }

    /// Takes note that the file is gone, or was found to be foreign.
    pub fn deleted(&mut self, index: u32) {
        self.retained.remove(index);
    }

    /// Takes note that something foreign has the name with this index: the next one is tried.
    pub fn name_taken(&mut self, index: u32) {
        self.next_index = self.next_index.max(index + 1);
    }

    /// True when there is a log file.
    #[must_use]
    pub fn has_files(&self) -> bool {
        !self.retained.is_empty()
    }

    /// Gives the index of the current file, or none before the first one.
    #[must_use]
    pub fn current_index(&self) -> Option<u32> {
        self.current.map(|current| current.index)
    }

    /// Gives the end of the current file, or none before the first one.
    #[must_use]
    pub fn end(&self) -> Option<Place> {
        self.current.map(|current| Place {
            index: current.index,
            offset: current.bytes,
        })
    }

    /// Gives the place of the next byte as far as it is known: the end of the current file, or the
    /// beginning of the first one.
    #[must_use]
    pub fn next_place(&self) -> Place {
        self.end().unwrap_or(Place {
            index: self.next_index,
            offset: 0,
        })
    }

    /// Gives the index of the oldest file that is not the current one, or none.
    #[must_use]
    pub fn oldest_rotated(&self) -> Option<u32> {
        self.retained
            .iter()
            .find(|index| Some(*index) != self.current_index())
    }

    /// True when the last byte placed so far is no newline, as far as the current file tells; none if
    /// nobody has seen it.
    #[must_use]
    pub fn is_mid_line(&self) -> Option<bool> {
        self.current
            .map_or(Some(false), |current| current.is_mid_line)
    }

    fn begin_rotation(&self) -> Step {
        if self.next_index > MAX_INDEX {
            Step::NoIndexLeft
        } else {
            Step::Rotate(RotationStep::Prepare)
        }
    }

    fn delete_oldest(&self) -> Step {
        self.retained.first().map_or(Step::Idle, Step::Delete)
    }

    /// How much of the window goes to the current file; `Bytes(0)` means that the next byte needs
    /// another file.
    fn cut(&self, current: Current, window: Window, flush: Flush) -> Cut {
        if window.bytes == 0 {
            return Cut::Nothing;
        }
        let room = self.limits.max_file_bytes().saturating_sub(current.bytes);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if room == 0 {
            // A file that is full is closed at once: whatever comes, none of it fits.
            return Cut::Bytes(0);
        }
        let guard = usize::try_from(self.limits.line_guard()).unwrap_or(usize::MAX);
        let sightless = room.saturating_sub(guard);
        let needed = window.bytes.min(room.saturating_add(guard));
        if window.bytes <= sightless {
            Cut::Bytes(window.bytes)
        } else if window.seen.len() >= needed {
            // With room for the guard an unknown ending may as well be the middle of a line.
            let is_mid_line = current.is_mid_line.or((room >= guard).then_some(true));
            match is_mid_line {
                Some(is_mid_line) => self.cut_seen(is_mid_line, room, guard, window.seen, flush),
                None => Cut::FindEnding,
            }
        } else if sightless > 0 {
            Cut::Bytes(sightless)
        } else {
            Cut::Look(needed)
        }
    }

    fn cut_seen(
        &self,
        is_mid_line: bool,
        room: usize,
        guard: usize,
        window: &[u8],
        flush: Flush,
    ) -> Cut {
        let mut cut = 0;
        if is_mid_line {
            // The line began in this file or before it; it can only be carried on.
            match memchr(b'\n', window) {
                Some(newline) if newline < room => cut = newline + 1,
                Some(_) => return Cut::Bytes(room),
                None => return Cut::Bytes(room.min(window.len())),
            }
        }
        let fitting = &window[cut..room.min(window.len())];
        cut += memrchr(b'\n', fitting).map_or(0, |newline| newline + 1);
        let rest = &window[cut..];
        if rest.is_empty() {
            return Cut::Bytes(cut);
        }
        // The rest begins with a line that is complete and does not fit, or with one that is not complete.
        let room_for_rest = room - cut;
        let known_line_bytes = match memchr(b'\n', rest) {
            Some(newline) => newline + 1,
            None if rest.len() > guard || room_for_rest >= guard => rest.len(),
            None if cut > 0 => return Cut::Bytes(cut),
            None => return self.cut_of_held_line(rest.len(), room_for_rest, guard, flush),
        };
        if known_line_bytes > guard || known_line_bytes <= room_for_rest {
            Cut::Bytes(cut + known_line_bytes.min(room_for_rest))
        } else {
            Cut::Bytes(cut)
        }
    }

    fn cut_of_held_line(&self, bytes: usize, room: usize, guard: usize, flush: Flush) -> Cut {
        let needed = match flush {
            Flush::No => return Cut::Hold,
            Flush::Stalled => {
                let half = usize::try_from(self.limits.max_file_bytes() / 2).unwrap_or(usize::MAX);
                guard.min(half)
            }
            Flush::Ended => {
                guard.min(usize::try_from(self.longest_line_bytes).unwrap_or(usize::MAX))
            }
        };
        if bytes <= room && needed <= room {
            Cut::Bytes(bytes)
        } else {
            Cut::Bytes(0)
        }
    }
}

enum Cut {
    Bytes(usize),
    Look(usize),
    FindEnding,
    Hold,
    Nothing,
}

#[cfg(test)]
#[path = "planner_examples.rs"]
mod examples;
#[cfg(test)]
#[path = "planner_laws.rs"]
mod laws;
