//! Core: compares what a collector kept with what was written, byte for byte.

use std::fmt;

use crate::payload::{Payload, number_of};
use crate::work::Work;

/// The first byte of a log that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Its place in the stream, counted from 0, if nothing before it was lost or added.
    pub at: u64,
    /// The number of the line that should stand there.
    pub line: u64,
    /// The first bytes that should stand there.
    pub expected: String,
    /// The first bytes that stand there.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "byte {} (line {}): expected `{}`, found `{}`",
            self.at, self.line, self.expected, self.found
        )
    }
}

impl std::error::Error for Mismatch {}

/// Compares a stream with the end of what was written.
#[derive(Debug)]
pub struct Checker {
    payload: Payload,
    at: u64,
    end: u64,
}

impl Checker {
    /// A checker of the last `kept_bytes` of the `written_bytes` that were written; none when more was
    /// kept than was written.
    #[must_use]
    pub fn of_the_end(work: Work, written_bytes: u64, kept_bytes: u64) -> Option<Checker> {
        Some(Checker {
            payload: Payload::new(work.line_bytes),
            at: written_bytes.checked_sub(kept_bytes)?,
            end: written_bytes,
        })
    }

    /// Compares the next bytes of the log, however they are cut.
    ///
    /// # Errors
    /// The first byte that differs. The checker is of no use afterwards.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Mismatch> {
        let line_bytes = self.payload.line_bytes() as u64;
        while !bytes.is_empty() {
            let (number, offset) = (self.at / line_bytes, (self.at % line_bytes) as usize);
            let line = if self.at < self.end {
                self.payload.line(number)
            } else {
                &[]
            };
            let expected = line.get(offset..).unwrap_or_default();
            let length = expected.len().min(bytes.len());
            if length == 0 || expected[..length] != bytes[..length] {
                let same = expected
                    .iter()
                    .zip(bytes)
                    .take_while(|(left, right)| left == right)
                    .count();
                return Err(Mismatch {
                    at: self.at + same as u64,
                    line: number,
                    expected: shown(&expected[same..]),
                    found: shown(&bytes[same..]),
                });
            }
            bytes = &bytes[length..];
            self.at += length as u64;
        }
        Ok(())
    }

    /// Says whether everything up to the end was fed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.at == self.end
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(32)].escape_ascii().to_string()
}

/// Where a file stands in the stream, by its first whole line; files are put in order by it. A piece
/// without a whole line can only be the end of the stream.
#[must_use]
pub fn place(head: &[u8]) -> u64 {
    let after_newline = |head: &[u8]| {
        let newline = head.iter().position(|byte| *byte == b'\n')?;
        number_of(&head[newline + 1..])
    };
    number_of(head)
        .or_else(|| after_newline(head))
        .unwrap_or(u64::MAX)
}

/// What a closed file of exact size has: as many whole lines as fit under the limit.
#[must_use]
pub fn closed_file_bytes(work: Work, max_file_bytes: u64) -> u64 {
    work.whole_lines(max_file_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WORK: Work = Work::lines(100);

    fn stream(lines: u64) -> Vec<u8> {
        let mut payload = Payload::new(WORK.line_bytes);
        (0..lines).flat_map(|n| payload.line(n).to_vec()).collect()
    }

    fn checked(log: &[u8], written: usize) -> Result<bool, Mismatch> {
        let mut checker = Checker::of_the_end(WORK, written as u64, log.len() as u64)
            .expect("not more than was written");
        checker.feed(log)?;
        Ok(checker.is_complete())
    }

    #[test]
    fn the_whole_stream_and_any_end_of_it_are_right() {
        let stream = stream(50);
        assert_eq!(checked(&stream, 5_000), Ok(true));
        assert_eq!(checked(&stream[1_234..], 5_000), Ok(true));
    }

    #[test]
    fn more_than_was_written_is_no_log() {
        assert!(Checker::of_the_end(WORK, 100, 101).is_none());
    }

    #[test]
    fn bytes_after_the_end_are_seen() {
        let mut checker = Checker::of_the_end(WORK, 100, 100).expect("a checker");
        assert_eq!(checker.feed(&stream(1)), Ok(()));
        assert_eq!(checker.feed(b"x").expect_err("too much").at, 100);
    }

    #[test]
    fn files_are_ordered_by_their_first_whole_line() {
        let stream = stream(10);
        assert_eq!(place(&stream), 0);
        assert_eq!(place(&stream[250..]), 3);
        assert_eq!(place(&stream[990..]), u64::MAX);
    }

    proptest! {
        #[test]
        fn a_lost_byte_is_seen_wherever_it_lies(at in 17_usize..5_000) {
            // The first 16 bytes are zeros: the log that lost one of them is the end of the stream.
            let mut log = stream(50);
            log.remove(at);
            prop_assert!(checked(&log, 5_000).is_err());
        }

        #[test]
        fn a_changed_byte_is_seen_where_it_lies(at in 0_usize..5_000, flip in 1_u8..=255) {
            let mut log = stream(50);
            log[at] ^= flip;
            prop_assert_eq!(checked(&log, 5_000).expect_err("a change").at, at as u64);
        }

        #[test]
        fn a_repeated_line_is_seen(line in 0_usize..49) {
            let mut log = stream(50);
            let copy = log[line * 100..line * 100 + 100].to_vec();
            log.splice(line * 100..line * 100 + 100, copy.iter().chain(&copy).copied());
            prop_assert!(Checker::of_the_end(WORK, 5_000, log.len() as u64).is_none());
            prop_assert!(checked(&log[100..], 5_000).is_err() || line == 0);
        }

        #[test]
        fn how_the_log_is_cut_changes_nothing(cut in 1_usize..333) {
            let log = stream(50);
            let mut checker = Checker::of_the_end(WORK, 5_000, 5_000).expect("a checker");
            for chunk in log.chunks(cut) {
                prop_assert_eq!(checker.feed(chunk), Ok(()));
            }
            prop_assert!(checker.is_complete());
        }
    }
}
