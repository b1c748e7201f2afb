//! When something is killed, and what. (core)

use crate::scenario::Victim;

/// The constant of splitmix64.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// One of the two that can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The main process of logmon.
    Logmon,
    /// Whoever holds its descriptors beside it.
    Keeper,
}

/// How many bytes of a stream stand in the log at each of `count` instants, ascending: one instant
/// at random in each of so many equal parts of `bytes`. The same seed and run give the same ones.
pub(super) fn instants(seed: u64, run: u32, count: u32, bytes: u64) -> Vec<u64> {
    let part = bytes / u64::from(count.max(1));
    let mut state = mix(seed) ^ u64::from(run);
    (0..u64::from(count))
        .map(|number| {
            state = state.wrapping_add(GAMMA);
            number * part + mix(state) % part.max(1)
        })
        .collect()
}

/// What the kill of this number hits, counted from 0.
pub(super) fn target(what: Victim, number: usize) -> Target {
    match what {
        Victim::Logmon => Target::Logmon,
        Victim::Keeper => Target::Keeper,
        Victim::InTurn if number.is_multiple_of(2) => Target::Logmon,
        Victim::InTurn => Target::Keeper,
    }
}

/// One round of splitmix64.
fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_bytes_has_one_instant() {
        let at = instants(7, 0xcafe, 20, 1_000_003);
        assert_eq!(at.len(), 20);
        for (number, at) in at.into_iter().enumerate() {
            let part = number as u64 * 50_000..(number as u64 + 1) * 50_000;
            assert!(part.contains(&at), "{number}: {at}");
        }
    }

    #[test]
    fn another_seed_and_another_run_have_other_instants() {
        let some = instants(7, 1, 20, 1_000_000);
        assert_eq!(instants(7, 1, 20, 1_000_000), some);
        assert_ne!(instants(8, 1, 20, 1_000_000), some);
        assert_ne!(instants(7, 2, 20, 1_000_000), some);
    }

    #[test]
    fn a_stream_shorter_than_the_kills_has_instants_all_the_same() {
        assert_eq!(instants(7, 1, 4, 3), [0, 0, 0, 0]);
        assert_eq!(instants(7, 1, 0, 3), Vec::<u64>::new());
    }

    #[test]
    fn in_turn_is_never_the_same_twice() {
        let targets = [0, 1, 2, 3].map(|number| target(Victim::InTurn, number));
        use Target::{Keeper, Logmon};
        assert_eq!(targets, [Logmon, Keeper, Logmon, Keeper]);
        assert_eq!(target(Victim::Logmon, 1), Logmon);
        assert_eq!(target(Victim::Keeper, 0), Keeper);
    }
}
