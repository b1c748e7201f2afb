//! Decides which bytes go into the current file and when the next one begins. (core)
//!
//! A line is begun in a file only if it is complete and fits, or if the room left could take a line
//! of the guard's length; otherwise it is held back until more is known. So no guarded line is cut,
//! however many writes delivered it.

/// What a stream's files are told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Append these bytes to the current file.
    Write(Vec<u8>),
    /// Close the current file and begin the next one.
    Rotate,
}

/// How files are cut; the faults differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// As the contract says.
    BetweenLines,
    /// At the file's last byte.
    Anywhere,
    /// Behind the line that goes beyond the limit.
    AfterTheLimit,
}

/// One stream's state between two reads.
#[derive(Clone, Debug)]
pub(super) struct Planner {
    max_file_bytes: u64,
    line_guard: u64,
    cut: Cut,
    /// Bytes that count for the current file.
    file_bytes: u64,
    /// Whether the current file ends in a line that goes on.
    in_line: bool,
    held: Vec<u8>,
}

impl Planner {
    /// Goes on in a file that has `file_bytes` and ends in an open line if `in_line`.
    pub(super) fn new(
        max_file_bytes: u64,
        line_guard: u64,
        cut: Cut,
        file_bytes: u64,
        in_line: bool,
    ) -> Self {
        Self {
            max_file_bytes,
            line_guard: line_guard.min(max_file_bytes),
            cut,
            file_bytes,
            in_line,
            held: Vec::new(),
        }
    }

    /// What to do with bytes just read.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Step> {
        self.held.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.held);
        let mut steps = Vec::new();
        let mut rest = &input[..];
        while !rest.is_empty() {
            let line_end = rest.iter().position(|byte| *byte == b'\n');
            let piece = line_end.map_or(rest, |end| &rest[..=end]);
            let taken = match self.cut {
                Cut::BetweenLines => match self.whole_line(piece, line_end.is_some(), &mut steps) {
                    Some(taken) => taken,
                    None => break,
                },
                Cut::Anywhere => self.fill(piece, &mut steps),
                Cut::AfterTheLimit => {
                    if self.file_bytes >= self.max_file_bytes && !self.in_line {
                        self.rotate(&mut steps);
                    }
                    self.write(piece, &mut steps);
                    piece.len()
                }
            };
            rest = &rest[taken..];
        }
        self.held = rest.to_vec();
        steps
    }

    /// What is held back, at the end.
    pub(super) fn finish(&mut self) -> Vec<Step> {
        let held = std::mem::take(&mut self.held);
        let mut steps = Vec::new();
        let mut rest = &held[..];
        while !rest.is_empty() {
            let taken = self.fill(rest, &mut steps);
            rest = &rest[taken..];
        }
        steps
    }

    /// Forgets what is held back; gives how many bytes that was.
    pub(super) fn give_back(&mut self) -> usize {
        std::mem::take(&mut self.held).len()
    }

    /// Whether the last byte that was taken did not end a line.
    pub(super) fn is_in_line(&self) -> bool {
        self.in_line || !self.held.is_empty()
    }

    /// Takes bytes of a line, or nothing if it must be held back.
    fn whole_line(&mut self, piece: &[u8], complete: bool, steps: &mut Vec<Step>) -> Option<usize> {
        let room = self.max_file_bytes.saturating_sub(self.file_bytes);
        let bytes = piece.len() as u64;
        if self.in_line || bytes > self.line_guard || (complete && bytes <= room) {
            return Some(self.fill(piece, steps));
        }
        if !complete && room >= self.line_guard {
            return Some(self.fill(piece, steps));
        }
        if bytes <= room {
            return None;
        }
        self.rotate(steps);
        Some(0)
    }

    /// Takes what fits, and begins the next file if nothing does.
    fn fill(&mut self, piece: &[u8], steps: &mut Vec<Step>) -> usize {
        let room = self.max_file_bytes.saturating_sub(self.file_bytes);
        if room == 0 {
            self.rotate(steps);
            return 0;
        }
        let taken = piece.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.write(&piece[..taken], steps);
        taken
    }

    fn write(&mut self, bytes: &[u8], steps: &mut Vec<Step>) {
        self.file_bytes += bytes.len() as u64;
        self.in_line = bytes.last() != Some(&b'\n');
        match steps.last_mut() {
            Some(Step::Write(before)) => before.extend_from_slice(bytes),
            Some(Step::Rotate) | None => steps.push(Step::Write(bytes.to_vec())),
        }
    }

    fn rotate(&mut self, steps: &mut Vec<Step>) {
        self.file_bytes = 0;
        steps.push(Step::Rotate);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files(planner: &mut Planner, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut files = vec![Vec::new()];
        let mut steps: Vec<Step> = chunks
            .iter()
            .flat_map(|chunk| planner.feed(chunk))
            .collect();
        steps.extend(planner.finish());
        for step in steps {
            match step {
                Step::Write(bytes) => files.last_mut().unwrap().extend(bytes),
                Step::Rotate => files.push(Vec::new()),
            }
        }
        files
    }

    #[test]
    fn a_prompt_is_written_at_once_while_a_guarded_line_still_fits() {
        let mut planner = Planner::new(100, 10, Cut::BetweenLines, 0, false);
        assert_eq!(planner.feed(b"name: "), [Step::Write(b"name: ".to_vec())]);
    }

    #[test]
    fn the_last_line_that_fits_exactly_goes_in() {
        let mut planner = Planner::new(10, 10, Cut::BetweenLines, 0, false);
        let files = files(&mut planner, &[b"1234\n5678\n", b"x\n"]);
        assert_eq!(files, [b"1234\n5678\n".to_vec(), b"x\n".to_vec()]);
    }

    #[test]
    fn what_is_given_back_can_be_fed_again() {
        let mut planner = Planner::new(10, 10, Cut::BetweenLines, 0, false);
        assert_eq!(planner.feed(b"1234\n56"), [Step::Write(b"1234\n".to_vec())]);
        assert_eq!(planner.give_back(), 2);
        assert_eq!(planner.feed(b"567\n"), [Step::Write(b"567\n".to_vec())]);
    }

    proptest! {
        #[test]
        fn files_join_to_the_input_within_the_limit_and_guarded_lines_stay_whole(
            lengths in prop::collection::vec(1_usize..30, 1..40),
            cut in 1_usize..17,
            max in 8_u64..40,
            guard in 4_u64..40,
        ) {
            let input: Vec<u8> = lengths
                .iter()
                .flat_map(|length| std::iter::repeat_n(b'a', length - 1).chain([b'\n']))
                .collect();
            let chunks: Vec<&[u8]> = input.chunks(cut).collect();
            let mut planner = Planner::new(max, guard, Cut::BetweenLines, 0, false);
            let files = files(&mut planner, &chunks);
            prop_assert_eq!(files.concat(), input.clone());
            let mut start = 0_usize;
            let ends: Vec<usize> = files
                .iter()
                .scan(0, |end, file| {
                    *end += file.len();
                    Some(*end)
                })
                .collect();
            for file in &files {
                prop_assert!(file.len() as u64 <= max);
            }
            for length in lengths {
                let end = start + length;
                if length as u64 <= guard.min(max) {
                    prop_assert!(!ends.iter().any(|cut| (start + 1..end).contains(cut)));
                }
                start = end;
            }
        }
    }
}
