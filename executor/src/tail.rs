//! The end of an output (core).

/// How much of an output is kept, in bytes.
pub const TAIL_BYTES: usize = 4096;

/// The last [`TAIL_BYTES`] of what was pushed.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    /// Adds a chunk at the end; what is too far from the end is forgotten.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() > TAIL_BYTES {
            self.bytes.drain(..self.bytes.len() - TAIL_BYTES);
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_tail_is_the_end_of_all_chunks(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..8),
        ) {
            let mut tail = Tail::default();
            chunks.iter().for_each(|chunk| tail.push(chunk));
            let all = chunks.concat();
            let start = all.len().saturating_sub(TAIL_BYTES);
            prop_assert_eq!(tail.into_bytes(), &all[start..]);
        }
    }
}
