//! Laws of the judge, on histories changed at random. (core)

use mock_driver::stream::Stream::{Stderr, Stdout};
use proptest::prelude::*;

use super::judge;
use super::stage::put;
use super::tests::{killed_with_a_full_pipe, with_bytes, with_records};
use crate::finding::Shape;

/// What a loss may be called. When the bytes around it repeat, what is left says so of several places:
/// without "cab", or "abc", "abcab!" is "ab!".
fn shapes_of_a_loss(bytes: &[u8], from: usize, to: usize) -> Vec<Shape> {
    let len = to - from;
    let earlier = (1..=from).take_while(|back| bytes[from - back] == bytes[to - back]);
    let later = (0..bytes.len() - to).take_while(|on| bytes[from + on] == bytes[to + on]);
    let first = from - earlier.count();
    let last = from + later.count();
    let mut shapes: Vec<Shape> = (first..=last)
        .map(|start| match (start, start + len == bytes.len()) {
            (0, true) => Shape::LostAll,
            (0, false) => Shape::LostHead,
            (_, true) => Shape::LostTail,
            (_, false) => Shape::LostMiddle,
        })
        .collect();
    shapes.dedup();
    shapes
}

#[test]
fn a_loss_that_may_as_well_lie_elsewhere_has_the_shapes_of_both() {
    assert_eq!(
        shapes_of_a_loss(b"abcab!", 2, 5),
        [Shape::LostHead, Shape::LostMiddle]
    );
    assert_eq!(shapes_of_a_loss(b"abcd", 1, 3), [Shape::LostMiddle]);
    let (found, _) = with_bytes(|bytes| {
        // The first bytes of two records are the same.
        assert_eq!(bytes[0], bytes[500]);
        drop(bytes.drain(1..501));
    });
    assert_eq!(found, [Shape::LostHead]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_lost_piece_is_found_and_named(from in 0_usize..5_000, len in 1_usize..3_000) {
        let to = (from + len).min(5_000);
        let mut allowed = Vec::new();
        let (found, _) = with_bytes(|bytes| {
            allowed = shapes_of_a_loss(bytes, from, to);
            drop(bytes.drain(from..to));
        });
        prop_assert!(found.iter().any(|shape| allowed.contains(shape)), "{from}..{to}: {found:?}");
        prop_assert!(found.iter().all(|shape| allowed.contains(shape) || *shape == Shape::Torn), "{from}..{to}: {found:?}");
    }


    #[test]
    fn a_repeated_piece_is_found_and_named(from in 0_usize..49, len in 1_usize..20, at in 0_usize..=50) {
        let to = (from + len).min(50);
        let found = with_records((0..at).chain(from..to).chain(at..50));
        prop_assert_eq!(found, [Shape::Repeated]);
    }

    #[test]
    fn a_changed_byte_is_found_and_named(at in 0_usize..5_000, bit in 0_u32..8) {
        let (found, _) = with_bytes(|bytes| bytes[at] ^= 1 << bit);
        prop_assert_eq!(found, [Shape::Altered]);
    }

    #[test]
    fn no_history_makes_the_judge_panic(
        seeds in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..5), 0..12),
        noise in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let mut history = killed_with_a_full_pipe();
        for (a, b, how) in seeds {
            let entries = history.entries.len();
            match how {
                0 if entries > 0 => drop(history.entries.remove(a.index(entries))),
                1 if entries > 0 => history.entries.swap(a.index(entries), b.index(entries)),
                2 => drop(history.task.remove(&0)),
                3 => {
                    let mut bytes = history.joined(Stdout);
                    let at = a.index(bytes.len() + 1);
                    bytes.splice(at..at, noise.iter().copied());
                    let cut = b.index(bytes.len() + 1);
                    let rest = bytes.split_off(cut);
                    put(&mut history, Stdout, vec![bytes, rest]);
                }
                _ => {
                    if let Some(entry) = history.entries.first().cloned() {
                        history.entries.push(entry);
                    }
                    put(&mut history, Stderr, vec![noise.clone()]);
                }
            }
        }
        let verdict = judge(&history);
        prop_assert_eq!(judge(&history), verdict);
    }
}
