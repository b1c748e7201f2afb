//! Edge: bytes that are in memory on their way to a file, or a copy of bytes that are still in a pipe.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use fifo::{ReadOutcome, Reader};
use nix::errno::Errno;

/// Bytes asked for with one read: the default capacity of a pipe.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// A queue of bytes. It allocates with the first one: most pumps never have any.
#[derive(Debug, Default)]
pub(crate) struct Memory(Option<Box<Queue>>);

/// The bytes are `buffer[start..end]`.
#[derive(Debug, Default)]
struct Queue {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Memory {
    /// Gives all bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |queue| queue.bytes())
    }

    /// Appends what is there, at most [`CHUNK_BYTES`].
    pub(crate) fn try_read(&mut self, reader: &Reader) -> Result<ReadOutcome, fifo::Error> {
        let outcome = reader.try_read(self.room())?;
        Ok(self.took(outcome))
    }

    /// Appends exactly so many bytes, which are in the pipe, and counts down what is left to take. After a
    /// failure what was taken is here, and what is left is still to be taken.
    pub(crate) fn take(&mut self, pipe: impl AsFd, left: &mut usize) -> io::Result<()> {
        while *left > 0 {
            let room = self.room();
            let asked = room.len().min(*left);
            match nix::unistd::read(&pipe, &mut room[..asked]) {
                Err(Errno::EINTR) => {}
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                other => {
                    let taken = other?;
                    self.queue().end += taken;
                    *left -= taken;
                }
            }
        }
        Ok(())
    }

    /// Replaces all bytes by what the function appends to an empty vector.
    pub(crate) fn replace<T>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let queue = self.queue();
        queue.buffer.clear();
        let result = fill(&mut queue.buffer);
        (queue.start, queue.end) = (0, queue.buffer.len());
        result
    }

    /// Writes so many bytes from the start, maybe fewer, and leaves them where they are.
    pub(crate) fn write(&self, file: impl AsFd, bytes: usize) -> io::Result<usize> {
        loop {
            match nix::unistd::write(&file, &self.bytes()[..bytes]) {
                Err(Errno::EINTR) => {}
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                other => return Ok(other?),
            }
        }
    }

    /// Takes bytes from the start.
    pub(crate) fn consume(&mut self, bytes: usize) {
        let queue = self.queue();
        queue.start += bytes;
        debug_assert!(queue.start <= queue.end, "only what is there is consumed");
    }

    /// Takes bytes out, wherever they are.
    pub(crate) fn discard(&mut self, range: Range<usize>) {
        let queue = self.queue();
        let (to, from) = (queue.start + range.start, queue.start + range.end);
        queue.buffer.copy_within(from..queue.end, to);
        queue.end -= range.len();
    }

    /// Gives the memory back, with all bytes in it.
    pub(crate) fn free(&mut self) {
        *self = Memory::default();
    }

    fn took(&mut self, outcome: ReadOutcome) -> ReadOutcome {
        if let ReadOutcome::Bytes(bytes) = outcome {
            self.queue().end += bytes;
        }
        outcome
    }

    /// Makes room for [`CHUNK_BYTES`] more.
    fn room(&mut self) -> &mut [u8] {
        self.queue().room()
    }

    fn queue(&mut self) -> &mut Queue {
        self.0.get_or_insert_default()
    }
}

impl Queue {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < self.end + CHUNK_BYTES {
            self.buffer.resize(self.end + CHUNK_BYTES, 0);
        } else if self.end == 0 && self.buffer.len() > CHUNK_BYTES {
            self.buffer.truncate(CHUNK_BYTES);
            self.buffer.shrink_to_fit();
        }
        &mut self.buffer[self.end..]
    }
}
