//! Decides which bytes are dropped while the disk takes none. (core)

/// How a stream is cut where dropping begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shed {
    /// Whole lines are dropped, and a line that has begun is kept to its end.
    Lines,
    /// Whatever was read is dropped.
    Reads,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) bytes: u64,
    pub(super) lines: u64,
}

/// One stream's state between two reads.
#[derive(Clone, Debug)]
pub(super) struct Shedder {
    shed: Shed,
    /// The line that was kept last goes on.
    in_kept: bool,
    /// The line that was dropped last goes on.
    in_dropped: bool,
    dropped: Dropped,
}

impl Shedder {
    pub(super) fn new(shed: Shed) -> Self {
        Self {
            shed,
            in_kept: false,
            in_dropped: false,
            dropped: Dropped::default(),
        }
    }

    /// What is kept of bytes just read, while there is room or not.
    pub(super) fn sift(&mut self, bytes: &[u8], is_full: bool) -> Vec<u8> {
        let mut kept = Vec::with_capacity(if is_full { 0 } else { bytes.len() });
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_dropped = match self.shed {
                Shed::Lines => self.in_dropped || is_full && !self.in_kept,
                Shed::Reads => is_full,
            };
            let goes_on = line.last() != Some(&b'\n');
            if is_dropped {
                self.dropped.bytes += line.len() as u64;
                self.dropped.lines += u64::from(!goes_on);
            } else {
                kept.extend_from_slice(line);
            }
            self.in_dropped = is_dropped && goes_on;
            self.in_kept = !is_dropped && goes_on;
        }
        kept
    }

    /// Whether more of what was dropped is still to come.
    pub(super) fn is_in_dropped(&self) -> bool {
        self.in_dropped
    }

    /// What was dropped and not yet told of; none if that is nothing.
    pub(super) fn take_dropped(&mut self) -> Option<Dropped> {
        let dropped = std::mem::take(&mut self.dropped);
        (dropped.bytes > 0).then_some(dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_kept_or_dropped_as_a_whole() {
        let mut shedder = Shedder::new(Shed::Lines);
        assert_eq!(shedder.sift(b"one\ntw", false), b"one\ntw");
        assert_eq!(shedder.sift(b"o\nthree\nfo", true), b"o\n");
        assert!(shedder.is_in_dropped());
        assert_eq!(shedder.sift(b"ur\nfive\n", false), b"five\n");
        let dropped = Dropped {
            bytes: 11,
            lines: 2,
        };
        assert_eq!(shedder.take_dropped(), Some(dropped));
        assert_eq!(shedder.take_dropped(), None);
    }

    #[test]
    fn reads_are_cut_wherever_they_end() {
        let mut shedder = Shedder::new(Shed::Reads);
        assert_eq!(shedder.sift(b"one\ntw", false), b"one\ntw");
        assert_eq!(shedder.sift(b"o\nth", true), b"");
        assert_eq!(shedder.sift(b"ree\n", false), b"ree\n");
    }
}
