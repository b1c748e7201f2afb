//! Core: the works that a producer does: the length of lines, and how they are written.

use std::fmt;
use std::str::FromStr;

use crate::payload::{BLOCK_BYTES, SHORTEST_LINE_BYTES};

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// One write(2) per line.
    Lines,
    /// Blocks of so many bytes, wherever the lines end.
    Blocks(usize),
}

/// One kind of output of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// The length of a line in bytes, its newline included.
    pub line_bytes: usize,
    /// How lines are written.
    pub writing: Writing,
}

impl Work {
    /// The works of the long form.
    pub const ALL: [Work; 6] = [
        Work::lines(100),
        Work::lines(1024),
        Work::lines(16 * 1024),
        Work::blocks(100),
        Work::blocks(1024),
        Work::blocks(16 * 1024),
    ];

    /// Lines of this length, one per write.
    #[must_use]
    pub const fn lines(line_bytes: usize) -> Work {
        Work {
            line_bytes,
            writing: Writing::Lines,
        }
    }

    /// Lines of this length in blocks of 64 KiB.
    #[must_use]
    pub const fn blocks(line_bytes: usize) -> Work {
        Work {
            line_bytes,
            writing: Writing::Blocks(BLOCK_BYTES),
        }
    }

    /// How many whole lines fit into so many bytes.
    #[must_use]
    pub fn lines_in(self, bytes: u64) -> u64 {
        bytes / self.line_bytes as u64
    }

    /// How many bytes the producer writes when it may write so many: whole lines.
    #[must_use]
    pub fn whole_lines(self, bytes: u64) -> u64 {
        self.lines_in(bytes) * self.line_bytes as u64
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.writing {
            Writing::Lines => 'L',
            Writing::Blocks(_) => 'B',
        };
        if self.line_bytes.is_multiple_of(1024) {
            write!(f, "{letter}{}K", self.line_bytes / 1024)
        } else {
            write!(f, "{letter}{}", self.line_bytes)
        }
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Work, String> {
        let wrong = || format!("{text} is no work: L100, L1K, L16K, B100, B1K, B16K, …");
        let (letter, length) = text.split_at_checked(1).ok_or_else(wrong)?;
        let (digits, unit) = match length.strip_suffix('K') {
            Some(digits) => (digits, 1024),
            None => (length, 1),
        };
        let line_bytes = digits
            .parse::<usize>()
            .ok()
            .and_then(|count| count.checked_mul(unit))
            .filter(|bytes| (SHORTEST_LINE_BYTES..=1 << 20).contains(bytes))
            .ok_or_else(wrong)?;
        match letter {
            "L" => Ok(Work::lines(line_bytes)),
            "B" => Ok(Work::blocks(line_bytes)),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_is_read_as_it_is_written() {
        for work in Work::ALL {
            assert_eq!(work.to_string().parse(), Ok(work));
        }
        assert_eq!("B16K".parse(), Ok(Work::blocks(16_384)));
    }

    #[test]
    fn what_is_no_work_is_refused_by_name() {
        for text in ["", "L", "X100", "L-1", "L3", "L9999999K", "100", "é1"] {
            let refused = text.parse::<Work>().expect_err(text);
            assert!(refused.contains("is no work"), "{refused}");
        }
    }

    #[test]
    fn only_whole_lines_are_written() {
        assert_eq!(Work::lines(100).whole_lines(1_050), 1_000);
    }
}
