//! Edge: a pump that reads into memory and writes from it.
//!
//! It is the seam for other pumps: the stream's loop knows the window (bytes that left the FIFO or can
//! be seen in it, and are not placed yet), and asks for it to be filled, written, consumed or cut. What
//! is in the window is lost when the process is killed, so it is written as soon as the plan says so.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use fifo::{AsyncReader, ReadOutcome};
use nix::errno::Errno;

use crate::collect::Reading;
use crate::planner::Window;

/// Bytes asked for with one read: the default capacity of a pipe.
const CHUNK_BYTES: usize = 64 * 1024;

/// What filling the window gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// So many bytes more, at least 1.
    Bytes(usize),
    /// Bytes are there to read.
    Ready,
    /// There are writers and no bytes.
    Empty,
    /// There are no bytes and no writer.
    NoWriter,
}

/// The pump of one stream.
#[derive(Debug)]
pub(crate) struct ReadWrite {
    reader: AsyncReader,
    /// The window is `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadWrite {
    /// Makes a pump with an empty window. It allocates with the first byte.
    pub(crate) fn new(reader: AsyncReader) -> ReadWrite {
        ReadWrite {
            reader,
            buffer: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Gives the bytes that are read and not placed.
    pub(crate) fn window(&self) -> Window<'_> {
        Window::all(self.bytes())
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Gives the bytes that are on the way to a file: in the FIFO and in the window.
    pub(crate) fn lag_bytes(&self) -> Result<u64, fifo::Error> {
        Ok((self.reader.get_ref().fill_level()? + self.window().bytes) as u64)
    }

    /// Reads more into the window, at most [`CHUNK_BYTES`].
    ///
    /// # Cancel safety
    /// Cancel safe: if another branch wins, no byte was taken from the pipe.
    pub(crate) async fn fill(&mut self, reading: Reading) -> Result<Filled, fifo::Error> {
        if reading == Reading::NextWriter {
            self.reader.wait_for_data().await?;
            return Ok(Filled::Ready);
        }
        self.make_room();
        let room = &mut self.buffer[self.end..];
        let outcome = match reading {
            Reading::AtOnce => self.reader.get_ref().try_read(room)?,
            Reading::Bytes | Reading::NextWriter | Reading::No => self.reader.read(room).await?,
        };
        Ok(match outcome {
            ReadOutcome::Bytes(bytes) => {
                self.end += bytes;
                Filled::Bytes(bytes)
            }
            ReadOutcome::Empty => Filled::Empty,
            ReadOutcome::NoWriter => Filled::NoWriter,
        })
    }

    /// Writes so many bytes from the start of the window, maybe fewer, and leaves them in the window.
    pub(crate) fn write(&self, file: impl AsFd, bytes: usize) -> io::Result<usize> {
        loop {
            match nix::unistd::write(&file, &self.bytes()[..bytes]) {
                Err(Errno::EINTR) => {}
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                other => return Ok(other?),
            }
        }
    }

    /// Takes bytes from the start of the window.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end, "only what is there is consumed");
    }

    /// Takes bytes out of the window, wherever they are.
    pub(crate) fn discard(&mut self, range: Range<usize>) {
        self.buffer
            .copy_within(self.start + range.end..self.end, self.start + range.start);
        self.end -= range.len();
    }

    fn make_room(&mut self) {
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
    }
}
