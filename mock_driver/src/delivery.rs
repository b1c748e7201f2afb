//! Which bytes go to the FIFO next, decided from what became of the last write: a core.

use fifo::Written;

use crate::fault::{OnFull, OnNoReader};

/// The bytes of one stream between the task's pipe and its FIFO.
#[derive(Debug)]
pub(crate) struct Delivery {
    on_full: OnFull,
    on_no_reader: OnNoReader,
    pending: Vec<u8>,
    at: usize,
    /// The last line that was delivered whole; kept only for a resend.
    last_line: Vec<u8>,
    /// Whether these bytes were begun again; only of a delivery that starts over.
    started_over: bool,
    /// Whether the reader is known to be gone since the last accepted byte.
    alone: bool,
}

/// What the forwarding code does next.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Everything is delivered, or dropped on purpose.
    Done,
    /// Write [`Delivery::pending`].
    Write,
    /// Wait until the pipe has room, then write.
    WaitForRoom,
    /// Wait until somebody reads, on the same descriptor, then write.
    WaitForReader,
    /// Close the descriptor, open the FIFO again, then write.
    Reopen,
    /// Kill the task, and begin with it anew.
    RestartTask,
}

impl Delivery {
    pub(crate) fn new(on_full: OnFull, on_no_reader: OnNoReader) -> Self {
        Self {
            on_full,
            on_no_reader,
            pending: Vec::new(),
            at: 0,
            last_line: Vec::new(),
            started_over: false,
            alone: false,
        }
    }

    /// Adds a chunk behind what waits. A chunk is written in one go where the pipe has room for
    /// it, so that writes of up to PIPE_BUF bytes stay whole (DATA-3).
    pub(crate) fn add(&mut self, chunk: &[u8]) -> Next {
        if self.at == self.pending.len() {
            self.pending.clear();
            self.at = 0;
            self.started_over = false;
        }
        self.pending.extend_from_slice(chunk);
        self.next()
    }

    /// What is to be written.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.pending[self.at..]
    }

    /// Takes the outcome of a write of [`Delivery::pending`].
    pub(crate) fn on(&mut self, outcome: Written) -> Next {
        match outcome {
            Written::Bytes(taken) => {
                self.alone = false;
                let taken = &self.pending[self.at..self.at + taken];
                if self.on_no_reader == OnNoReader::Resend {
                    remember_last_line(&mut self.last_line, taken);
                }
                self.at += taken.len();
                self.next()
            }
            Written::Full => match self.on_full {
                OnFull::Wait => Next::WaitForRoom,
                OnFull::Drop => self.drop_pending(),
                OnFull::StartOver => {
                    if !std::mem::replace(&mut self.started_over, true) {
                        self.at = 0;
                    }
                    Next::WaitForRoom
                }
            },
            Written::NoReader => {
                let first = !std::mem::replace(&mut self.alone, true);
                match self.on_no_reader {
                    OnNoReader::Keep => Next::WaitForReader,
                    OnNoReader::Drop => self.drop_pending(),
                    OnNoReader::Reopen => Next::Reopen,
                    OnNoReader::RestartTask => Next::RestartTask,
                    OnNoReader::Resend => {
                        if first {
                            let line = self.last_line.clone();
                            self.pending.splice(self.at..self.at, line);
                        }
                        Next::WaitForReader
                    }
                }
            }
        }
    }

    fn next(&self) -> Next {
        if self.pending().is_empty() {
            Next::Done
        } else {
            Next::Write
        }
    }

    /// Drops what waits and gives its number of bytes.
    pub(crate) fn discard(&mut self) -> usize {
        let dropped = self.pending().len();
        self.at = self.pending.len();
        dropped
    }

    fn drop_pending(&mut self) -> Next {
        self.discard();
        Next::Done
    }
}

/// Keeps the last whole line, or the start of one behind it, in `line`.
fn remember_last_line(line: &mut Vec<u8>, taken: &[u8]) {
    if line.last() == Some(&b'\n') {
        line.clear();
    }
    line.extend_from_slice(taken);
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    if let Some(newline) = body.iter().rposition(|&byte| byte == b'\n') {
        line.drain(..=newline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(on_full: OnFull, on_no_reader: OnNoReader) -> Delivery {
        Delivery::new(on_full, on_no_reader)
    }

    #[test]
    fn a_good_delivery_repeats_exactly_what_was_not_taken() {
        let mut delivery = delivery(OnFull::Wait, OnNoReader::Keep);
        assert_eq!(delivery.add(b"abcdef"), Next::Write);
        assert_eq!(delivery.on(Written::Bytes(2)), Next::Write);
        assert_eq!(delivery.on(Written::Full), Next::WaitForRoom);
        assert_eq!(delivery.on(Written::NoReader), Next::WaitForReader);
        assert_eq!(delivery.on(Written::NoReader), Next::WaitForReader);
        assert_eq!(delivery.pending(), b"cdef");
        assert_eq!(delivery.on(Written::Bytes(4)), Next::Done);
        assert_eq!(delivery.add(b""), Next::Done);
    }

    #[test]
    fn a_dropping_delivery_loses_the_rest_of_the_chunk_only() {
        let mut delivery = delivery(OnFull::Drop, OnNoReader::Drop);
        for outcome in [Written::Full, Written::NoReader] {
            assert_eq!(delivery.add(b"abc"), Next::Write);
            assert_eq!(delivery.on(Written::Bytes(1)), Next::Write);
            assert_eq!(delivery.on(outcome), Next::Done);
            assert_eq!(delivery.add(b"next"), Next::Write);
            assert_eq!(delivery.pending(), b"next");
            assert_eq!(delivery.on(Written::Bytes(4)), Next::Done);
        }
    }

    #[test]
    fn a_delivery_that_starts_over_sends_once_more_what_was_taken_of_this_chunk_only() {
        let mut delivery = delivery(OnFull::StartOver, OnNoReader::Keep);
        assert_eq!(delivery.add(b"abc"), Next::Write);
        assert_eq!(delivery.on(Written::Bytes(3)), Next::Done);
        assert_eq!(delivery.add(b"def"), Next::Write);
        assert_eq!(delivery.on(Written::Bytes(2)), Next::Write);
        assert_eq!(delivery.on(Written::Full), Next::WaitForRoom);
        assert_eq!(delivery.pending(), b"def");
        assert_eq!(delivery.on(Written::Bytes(2)), Next::Write);
        assert_eq!(delivery.on(Written::Full), Next::WaitForRoom);
        assert_eq!(delivery.pending(), b"f");
        assert_eq!(delivery.on(Written::Bytes(1)), Next::Done);
        assert_eq!(delivery.add(b"ghi"), Next::Write);
        assert_eq!(delivery.on(Written::Bytes(1)), Next::Write);
        assert_eq!(delivery.on(Written::Full), Next::WaitForRoom);
        assert_eq!(delivery.pending(), b"ghi");
    }

    #[test]
    fn a_resending_delivery_puts_the_last_line_in_front_once() {
        let mut delivery = delivery(OnFull::Wait, OnNoReader::Resend);
        assert_eq!(delivery.add(b"one\ntwo\n"), Next::Write);
        assert_eq!(delivery.on(Written::Bytes(8)), Next::Done);
        assert_eq!(delivery.add(b"three\n"), Next::Write);
        assert_eq!(delivery.on(Written::NoReader), Next::WaitForReader);
        assert_eq!(delivery.on(Written::NoReader), Next::WaitForReader);
        assert_eq!(delivery.pending(), b"two\nthree\n");
    }

    #[test]
    fn a_line_that_came_in_pieces_is_remembered_whole() {
        let mut line = Vec::new();
        for piece in [&b"a\nb"[..], b"c", b"\n"] {
            remember_last_line(&mut line, piece);
        }
        assert_eq!(line, b"bc\n");
        remember_last_line(&mut line, b"d");
        assert_eq!(line, b"d");
    }

    #[test]
    fn a_reopening_delivery_keeps_its_bytes() {
        let mut delivery = delivery(OnFull::Wait, OnNoReader::Reopen);
        assert_eq!(delivery.add(b"abc"), Next::Write);
        assert_eq!(delivery.on(Written::NoReader), Next::Reopen);
        assert_eq!(delivery.pending(), b"abc");
    }
}
