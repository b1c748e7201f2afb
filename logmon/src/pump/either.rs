//! Edge: the pump of one stream: by `splice(2)`, or by reading and writing.
//!
//! # By splice
//! FIFO → staging pipe → file. No byte is ever in user memory only, so whatever kills the process, each
//! byte is in the FIFO, in the staging pipe or in the file; nothing is lost and nothing repeated if both
//! pipes are kept open by somebody else. Bytes stay in the FIFO until it is decided where they go. Then
//! exactly these go to the staging pipe and from there to the file, so between two steps the staging
//! pipe is empty, unless a write failed: then nothing more is moved until it is written. Why not
//! directly: such a splice holds the lock of the FIFO while the file is written, and a writer waits.
//!
//! The window is what lies in the staging pipe, followed by what is known to lie in the FIFO. What is
//! seen of it is a copy.
//!
//! # By reading and writing
//! The window is in memory, and is lost when the process is killed. It is so
//! - where the FIFO is too small for a held line: it must hold twice the line guard, because a slot of a
//!   pipe may be half empty;
//! - where the file refuses splice (EINVAL): what is staged is read out, and so it goes on;
//! - for a time, while output is dropped: to know where lines end, all of it has to be seen.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fifo::{AsyncReader, Change, ReadOutcome};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::memory::{CHUNK_BYTES, Memory};
use super::places::{LARGE_STAGING, Place, TIMER};
use super::scratch;
use super::staging::StagingPipe;
use crate::collect::Reading;
use crate::planner::Window;
use crate::status::PumpKind;

/// After a find of so many bytes writes wake nobody until the next wait: this stream will be at work for
/// longer than the next write takes, and a thread would be woken by it only to see that.
const MUCH_BYTES: usize = 32 * 1024;

/// What filling the window gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// So many bytes more, at least 1.
    Bytes(usize),
    /// So many bytes more, as many as one read takes: there may be more.
    Part(usize),
    /// Bytes are there to read.
    Ready,
    /// There are writers and no bytes.
    Empty,
    /// There are no bytes and no writer.
    NoWriter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Splice,
    /// Into memory, until it is empty and sight is needed no more.
    MemoryForNow,
    /// Into memory, for good.
    Memory,
}

/// The pump of one stream.
#[derive(Debug)]
pub(crate) struct Pump {
    reader: AsyncReader,
    staging: Option<StagingPipe>,
    way: Way,
    /// The window, or by splice a copy of its first bytes.
    memory: Memory,
    /// Bytes in the staging pipe that belong to the window.
    staged: usize,
    /// Bytes in the staging pipe that do not belong to the window yet: an earlier life left them, or they
    /// are still to be taken into memory.
    inherited: usize,
    /// Bytes in the FIFO that belong to the window.
    known: usize,
    /// There was a writer at the last change of the FIFO. Its leaving will be another one, after a rest with
    /// the next wait, so nobody has to ask before that.
    had_writer: bool,
    /// What the reader's timer is counted by.
    timer: Option<Place<TIMER>>,
    /// What a large staging pipe is counted by.
    large_staging: Option<Place<LARGE_STAGING>>,
}

impl Pump {
    /// Makes a pump with an empty window. What lies in the staging pipe comes first.
    ///
    /// # Errors
    /// It can't be asked what lies there.
    pub(crate) fn new(reader: AsyncReader, staging: Option<StagingPipe>) -> io::Result<Pump> {
        let inherited = staging.as_ref().map_or(Ok(0), StagingPipe::fill_level)?;
        Ok(Pump {
            reader,
            way: if staging.is_some() {
                Way::Splice
            } else {
                Way::Memory
            },
            staging,
            memory: Memory::default(),
            staged: 0,
            inherited,
            known: 0,
            had_writer: false,
            timer: None,
            large_staging: None,
        })
    }

    /// Gives the bytes that are known and not placed.
    pub(crate) fn window(&self) -> Window<'_> {
        let seen = self.memory.bytes();
        match self.way {
            Way::Splice => Window {
                seen,
                bytes: self.staged + self.known,
            },
            Way::MemoryForNow | Way::Memory => Window::all(seen),
        }
    }

    /// Gives the bytes that are on the way to a file: in the FIFO, in the staging pipe and in memory.
    pub(crate) fn lag_bytes(&self) -> Result<u64, fifo::Error> {
        Ok(self.reader.get_ref().fill_level()? as u64 + self.taken_bytes())
    }

    /// Gives the bytes that have left the FIFO and are in no file.
    pub(crate) fn taken_bytes(&self) -> u64 {
        let taken = match self.way {
            Way::Splice => self.staged,
            Way::MemoryForNow | Way::Memory => self.memory.bytes().len(),
        };
        (self.inherited + taken) as u64
    }

    /// Gives the bytes in the FIFO if no writer has it open: they are gone when the last reader closes it.
    pub(crate) fn left_bytes(&self) -> u64 {
        match self.reader.get_ref().fill_level() {
            Ok(bytes) if self.is_hung_up() => bytes as u64,
            Ok(_) | Err(_) => 0,
        }
    }

    /// Says how bytes are moved now.
    pub(crate) fn kind(&self) -> PumpKind {
        match self.way {
            Way::Splice => PumpKind::Splice,
            Way::MemoryForNow | Way::Memory => PumpKind::ReadWrite,
        }
    }

    /// Lends the staging pipe, if there is one.
    pub(crate) fn staging(&self) -> Option<&StagingPipe> {
        self.staging.as_ref()
    }

    /// True when a line of so many bytes can be held.
    pub(crate) fn can_hold(&self, line_bytes: u64) -> bool {
        let capacity = || self.reader.get_ref().capacity();
        self.way == Way::Memory || capacity().is_ok_and(|bytes| has_room(bytes, line_bytes))
    }

    /// Adds bytes to the window.
    ///
    /// # Cancel safety
    /// Cancel safe: if another branch wins, no byte was taken from the pipe.
    #[cfg(test)]
    pub(crate) async fn fill(&mut self, reading: Reading) -> Result<Filled, fifo::Error> {
        let mut has_looked = false;
        std::future::poll_fn(|context| self.poll_fill(reading, &mut has_looked, context)).await
    }

    /// Adds bytes to the window, for a future that is written by hand: all that one wait keeps is whether it
    /// has looked, which it has not at first. It can be given up at any time: no byte is taken before this
    /// is ready.
    pub(crate) fn poll_fill(
        &mut self,
        reading: Reading,
        has_looked: &mut bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<Filled, fifo::Error>> {
        loop {
            if *has_looked {
                let change = ready!(self.reader.poll_changed(context))?;
                // While bytes lie there, writers that left before this reader came are not noticed (`poll(2)`).
                self.had_writer = self.known == 0 && change == Change::HasWriter;
            }
            if let Some(filled) = self.try_fill(reading)? {
                return Poll::Ready(Ok(filled));
            }
            self.give_up_timer();
            *has_looked = true;
        }
    }

    /// Adds what is there; none if that is to be waited for.
    fn try_fill(&mut self, reading: Reading) -> Result<Option<Filled>, fifo::Error> {
        if let Some(bytes) = self.inherit()? {
            return Ok(Some(Filled::Bytes(bytes)));
        }
        if reading == Reading::NextWriter {
            self.had_writer = false;
            let level = self.reader.get_ref().fill_level()?;
            return Ok((level > 0).then_some(Filled::Ready));
        }
        let filled = match self.way {
            Way::Splice => self.get_to_know()?,
            Way::MemoryForNow | Way::Memory => self.read()?,
        };
        let waits = filled == Filled::Empty && reading != Reading::AtOnce;
        Ok((!waits).then_some(filled))
    }

    fn read(&mut self) -> Result<Filled, fifo::Error> {
        Ok(match self.memory.try_read(self.reader.get_ref())? {
            ReadOutcome::Bytes(bytes) if bytes < CHUNK_BYTES => Filled::Bytes(bytes),
            ReadOutcome::Bytes(bytes) => Filled::Part(bytes),
            ReadOutcome::Empty => Filled::Empty,
            ReadOutcome::NoWriter => Filled::NoWriter,
        })
    }

    /// Lets writes wake nobody until the next wait for bytes.
    pub(crate) fn rest(&mut self) -> Result<(), fifo::Error> {
        self.reader.rest()
    }

    /// Lets writes wake nobody until the next wait for bytes, and begins to count so much time. False if
    /// other streams have all the timers there are: then nothing is counted.
    pub(crate) fn begin_rest(&mut self, time: Duration) -> Result<bool, fifo::Error> {
        if self.timer.is_none() {
            self.timer = Place::take();
        }
        if self.timer.is_none() {
            return self.rest().map(|()| false);
        }
        let begun = self.reader.begin_rest(time);
        if begun.is_err() {
            self.give_up_timer();
        }
        begun.map(|()| true)
    }

    /// Gives the timer of short rests back to the other streams. A stream that has to wait for bytes, or
    /// rests for long, has no need of it.
    pub(crate) fn give_up_timer(&mut self) {
        if self.timer.is_some() {
            self.reader.give_up_timer();
            self.timer = None;
        }
    }

    /// True while it has a timer of its own.
    #[cfg(test)]
    pub(crate) fn has_timer(&self) -> bool {
        self.timer.is_some()
    }

    /// Waits until that time is over.
    #[cfg(test)]
    pub(crate) async fn rest_over(&self) -> Result<(), fifo::Error> {
        self.reader.rest_over().await
    }

    /// Waits until that time is over, for a future that is written by hand. The time runs on if it is given
    /// up.
    pub(crate) fn poll_rest_over(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), fifo::Error>> {
        self.reader.poll_rest_over(context)
    }

    /// Takes what lies in the staging pipe into the window.
    fn inherit(&mut self) -> Result<Option<usize>, fifo::Error> {
        let bytes = self.inherited;
        self.take_inherited().map_err(|source| fifo::Error::Read {
            path: self.reader.get_ref().path().to_owned(),
            source,
        })?;
        Ok((bytes > 0).then_some(bytes))
    }

    fn take_inherited(&mut self) -> io::Result<()> {
        match (&self.staging, self.way) {
            (_, Way::Splice) => self.staged += std::mem::take(&mut self.inherited),
            (Some(staging), Way::MemoryForNow | Way::Memory) => {
                self.memory.take(staging, &mut self.inherited)?;
            }
            (None, Way::MemoryForNow | Way::Memory) => {}
        }
        Ok(())
    }

    fn get_to_know(&mut self) -> Result<Filled, fifo::Error> {
        if let Some(bytes) = self.get_to_know_more()? {
            if bytes >= MUCH_BYTES {
                // Should it fail, writes go on to wake this stream, and the bytes are counted all the same.
                let _rests: Result<(), fifo::Error> = self.rest();
            }
            return Ok(Filled::Bytes(bytes));
        }
        if self.had_writer || !self.has_no_writer() {
            return Ok(Filled::Empty);
        }
        // The last writer may have written since the first look, and none can any more.
        Ok(self
            .get_to_know_more()?
            .map_or(Filled::NoWriter, Filled::Bytes))
    }

    fn get_to_know_more(&mut self) -> Result<Option<usize>, fifo::Error> {
        let level = self.reader.get_ref().fill_level()?;
        let more = level.saturating_sub(self.known);
        self.known += more;
        Ok((more > 0).then_some(more))
    }

    /// True when nobody can write now. While there are bytes in the FIFO, writers that left before this
    /// reader was opened are not noticed (`poll(2)`).
    fn has_no_writer(&self) -> bool {
        if self.known == 0 {
            return scratch::is_deserted(self.reader.get_ref().as_fd()).unwrap_or(false);
        }
        self.is_hung_up()
    }

    fn is_hung_up(&self) -> bool {
        let fifo = self.reader.get_ref().as_fd();
        let mut entries = [PollFd::new(fifo, PollFlags::empty())];
        poll(&mut entries, PollTimeout::ZERO).is_ok()
            && entries[0]
                .revents()
                .is_some_and(|flags| flags.contains(PollFlags::POLLHUP))
    }

    /// Sees so many bytes from the start of the window, if it does not already.
    ///
    /// # Errors
    /// It can't; the bytes have to be taken into memory for that.
    pub(crate) fn look(&mut self, bytes: usize) -> io::Result<()> {
        let (Some(staging), Way::Splice) = (&self.staging, self.way) else {
            return Ok(());
        };
        let (staged, fifo) = (self.staged, self.reader.get_ref());
        let seen = self.memory.replace(|buffer| {
            let mut seen = 0;
            if staged > 0 {
                seen = scratch::look(staging, bytes.min(staged), buffer)?;
            }
            if bytes > staged && seen == staged {
                seen += scratch::look(fifo, bytes - staged, buffer)?;
            }
            Ok::<usize, io::Error>(seen)
        })?;
        if seen < bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Writes so many bytes from the start of the window, maybe fewer, and leaves them in the window.
    pub(crate) fn write(&mut self, file: impl AsFd, bytes: usize) -> io::Result<usize> {
        let (Some(staging), Way::Splice) = (&self.staging, self.way) else {
            return self.memory.write(file, bytes);
        };
        if self.staged == 0 {
            let asked = bytes.min(self.known);
            let moved = staging.take_from(self.reader.get_ref(), asked)?;
            if moved < asked && moved < StagingPipe::RAISED_BYTES {
                // Each of its slots may be half empty.
                if moved > StagingPipe::USUAL_BYTES / 2 && self.large_staging.is_none() {
                    self.large_staging = Place::take();
                }
                staging.grow(if self.large_staging.is_some() {
                    StagingPipe::RAISED_BYTES
                } else {
                    StagingPipe::USUAL_BYTES
                });
            }
            if moved == 0 {
                // Somebody else has read from the FIFO.
                self.known = self.known.min(fifo::fill_level(self.reader.get_ref())?);
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.staged = moved;
            self.known -= moved;
        }
        staging.give_to(file, bytes.min(self.staged))
    }

    /// Takes bytes from the start of the window.
    pub(crate) fn consume(&mut self, bytes: usize) {
        if self.way == Way::Splice {
            debug_assert!(bytes <= self.staged, "only what is staged gets written");
            self.staged -= bytes.min(self.staged);
            if bytes < self.memory.bytes().len() {
                self.memory.consume(bytes);
            } else {
                self.memory.free();
            }
        } else {
            self.memory.consume(bytes);
        }
    }

    /// Takes bytes out of the window, wherever they are. All of it must be in memory.
    pub(crate) fn discard(&mut self, range: Range<usize>) {
        debug_assert_ne!(self.way, Way::Splice, "what is dropped is seen");
        self.memory.discard(range);
    }

    /// Takes the window into memory until [`Pump::let_go`].
    ///
    /// # Errors
    /// Somebody else has read from one of the two pipes. What was there is in memory.
    pub(crate) fn take_in(&mut self) -> io::Result<()> {
        match self.way {
            Way::Splice => self.move_to_memory(Way::MemoryForNow),
            Way::MemoryForNow | Way::Memory => Ok(()),
        }
    }

    /// Takes the window into memory, and goes on so.
    ///
    /// # Errors
    /// As [`Pump::take_in`].
    pub(crate) fn give_up_splice(&mut self) -> io::Result<()> {
        match self.way {
            Way::Splice => self.move_to_memory(Way::Memory),
            Way::MemoryForNow | Way::Memory => {
                self.way = Way::Memory;
                Ok(())
            }
        }
    }

    /// Goes back to splice once memory is empty, unless splice was given up.
    pub(crate) fn let_go(&mut self) {
        if self.way == Way::MemoryForNow && self.memory.bytes().is_empty() {
            self.memory.free();
            self.way = Way::Splice;
            self.had_writer = false;
        }
    }

    /// The way is changed first: whichever read fails, what was read before it belongs to the window.
    fn move_to_memory(&mut self, way: Way) -> io::Result<()> {
        self.memory.free();
        self.way = way;
        let mut known = std::mem::take(&mut self.known);
        if self.staged > 0 {
            // Nothing gets staged before what an earlier life left is in the window.
            self.inherited = std::mem::take(&mut self.staged);
            self.take_inherited()?;
        }
        self.memory.take(self.reader.get_ref(), &mut known)
    }
}

/// True when a FIFO of this capacity has room for an incomplete line of so many bytes, whatever pieces it
/// comes in.
pub(crate) fn has_room(fifo_bytes: usize, line_bytes: u64) -> bool {
    fifo_bytes as u64 >= 2 * line_bytes
}

/// True when a write failed because the file is not one to splice to.
pub(crate) fn refuses_splice(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EINVAL as i32)
}
