//! Core: the indices of a stream's log files.
//!
//! They nearly always follow each other, so they are kept as one run, which needs no memory of its own.
//! What lies below a gap, such as an index that something foreign has, is kept one by one.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// A set of indices that is added to at its upper end.
#[derive(Clone, Default)]
pub struct Indices {
    /// The highest ones, without a gap between them; empty only if none was ever added or the run was
    /// taken away from its ends.
    run: Range<u32>,
    /// All that are lower, if there are any.
    #[expect(
        clippy::box_collection,
        reason = "there is one of these in each stream, and hardly any has a gap"
    )]
    lower: Option<Box<BTreeSet<u32>>>,
}

impl Indices {
    /// Adds an index that is higher than all others.
    pub fn push(&mut self, index: u32) {
        if index == self.run.end && !self.run.is_empty() {
            self.run.end += 1;
            return;
        }
        debug_assert!(
            self.iter().all(|known| known < index),
            "an index is added at the upper end"
        );
        let run = std::mem::replace(&mut self.run, index..index + 1);
        if !run.is_empty() {
            self.lower.get_or_insert_default().extend(run);
        }
    }

    /// Takes an index out, if it is there.
    pub fn remove(&mut self, index: u32) {
        if let Some(lower) = &mut self.lower
            && lower.remove(&index)
        {
            if lower.is_empty() {
                self.lower = None;
            }
        } else if index == self.run.start && !self.run.is_empty() {
            self.run.start += 1;
        } else if self.run.contains(&index) {
            let above = index + 1..self.run.end;
            self.run.end = index;
            if !above.is_empty() {
                let below = std::mem::replace(&mut self.run, above);
                self.lower.get_or_insert_default().extend(below);
            }
        }
    }

    /// Gives the number of indices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.run.len() + self.lower.as_ref().map_or(0, |lower| lower.len())
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the lowest index.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.iter().next()
    }

    /// Gives all of them, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let lower = self.lower.iter().flat_map(|lower| lower.iter().copied());
        lower.chain(self.run.clone())
    }
}

impl FromIterator<u32> for Indices {
    /// Each must be higher than the one before.
    fn from_iter<I: IntoIterator<Item = u32>>(indices: I) -> Indices {
        let mut all = Indices::default();
        for index in indices {
            all.push(index);
        }
        all
    }
}

/// Two are the same if they have the same indices, however these are kept.
impl PartialEq for Indices {
    fn eq(&self, other: &Indices) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Indices {}

impl fmt::Debug for Indices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Change {
        /// By so much above the highest that there ever was.
        Push(u32),
        /// The one at this place, whatever it is.
        Remove(usize),
        RemoveFirst,
        /// One that may not be there.
        RemoveIndex(u32),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            4 => Just(Change::Push(1)),
            1 => (1..4u32).prop_map(Change::Push),
            1 => any::<usize>().prop_map(Change::Remove),
            2 => Just(Change::RemoveFirst),
            1 => (0..60u32).prop_map(Change::RemoveIndex),
        ]
    }

    proptest! {
        #[test]
        fn they_are_a_set(changes in proptest::collection::vec(change(), 0..60)) {
            let (mut indices, mut set) = (Indices::default(), BTreeSet::new());
            let mut next = 0;
            for change in changes {
                let removed = match change {
                    Change::Push(by) => {
                        next += by;
                        indices.push(next);
                        set.insert(next);
                        None
                    }
                    Change::Remove(at) => set.iter().copied().nth(at % (set.len() + 1)),
                    Change::RemoveFirst => set.first().copied(),
                    Change::RemoveIndex(index) => Some(index),
                };
                if let Some(removed) = removed {
                    indices.remove(removed);
                    set.remove(&removed);
                }
                prop_assert!(indices.iter().eq(set.iter().copied()));
                prop_assert_eq!(indices.len(), set.len());
                prop_assert_eq!(indices.is_empty(), set.is_empty());
                prop_assert_eq!(indices.first(), set.first().copied());
                prop_assert_eq!(&indices, &set.iter().copied().collect::<Indices>());
            }
        }
    }

    #[test]
    fn files_that_follow_each_other_need_no_memory() {
        let mut indices: Indices = (3..9).collect();
        indices.push(9);
        indices.remove(3);
        assert!(indices.lower.is_none());
        indices.push(12);
        assert!(indices.lower.is_some());
        for index in 4..10 {
            indices.remove(index);
        }
        assert!(indices.lower.is_none());
    }
}
