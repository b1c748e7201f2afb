//! Tests of the tree of processes: chains among strangers, and tables of no machine at rest (core).

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn set(pids: &[u32]) -> BTreeSet<u32> {
    pids.iter().copied().collect()
}

#[test]
fn a_tree_has_its_root_and_all_generations_below_it() {
    let table = [(7, 4), (4, 2), (9, 1), (2, 1), (5, 2), (1, 0), (8, 9)];
    assert_eq!(descendants(2, &table), set(&[2, 4, 5, 7]));
    assert_eq!(descendants(9, &table), set(&[8, 9]));
    assert_eq!(descendants(7, &table), set(&[7]));
    assert_eq!(descendants(1, &table), set(&[1, 2, 4, 5, 7, 8, 9]));
}

#[test]
fn a_root_that_is_not_in_the_table_is_not_in_the_answer() {
    assert_eq!(descendants(3, &[]), set(&[]));
    assert_eq!(descendants(3, &[(1, 0), (2, 1)]), set(&[]));
    assert_eq!(descendants(3, &[(4, 3), (5, 4)]), set(&[4, 5]));
}

#[test]
fn a_circle_of_parents_ends() {
    assert_eq!(descendants(1, &[(1, 1)]), set(&[1]));
    assert_eq!(descendants(1, &[(1, 2), (2, 1)]), set(&[1, 2]));
    let table = [(1, 0), (2, 1), (3, 2), (4, 3), (2, 4)];
    assert_eq!(descendants(1, &table), set(&[1, 2, 3, 4]));
    // One that the root has no part in.
    assert_eq!(descendants(1, &[(1, 0), (8, 9), (9, 8)]), set(&[1]));
}

#[test]
fn a_pid_that_stands_twice_counts_with_both_parents_and_is_named_once() {
    let table = [(1, 0), (2, 1), (6, 0), (5, 2), (5, 6), (7, 5)];
    assert_eq!(descendants(1, &table), set(&[1, 2, 5, 7]));
    assert_eq!(descendants(6, &table), set(&[5, 6, 7]));
}

/// A chain of processes, each the parent of the next, and among them others that are children of one another.
fn table_of(chain: &[u32], strangers: &[u32], above: &[prop::sample::Index]) -> Vec<(u32, u32)> {
    let mut table = vec![(chain[0], 1), (strangers[0], 1)];
    table.extend(chain.windows(2).map(|pair| (pair[1], pair[0])));
    for (at, pid) in strangers.iter().enumerate().skip(1) {
        table.push((*pid, strangers[above[at].index(at)]));
    }
    table
}

/// A chain of 2 to 20 processes and its table, with 10 to 2000 strangers, shuffled.
fn chain_among_strangers() -> impl Strategy<Value = (Vec<u32>, Vec<(u32, u32)>)> {
    let sizes = (2_usize..=20, 10_usize..=2000);
    let parts = sizes.prop_flat_map(|(length, strangers)| {
        let end = 100 + u32::try_from(length + strangers).unwrap();
        let pids = Just((100..end).collect::<Vec<_>>()).prop_shuffle();
        let above = prop::collection::vec(any::<prop::sample::Index>(), strangers);
        (Just(length), pids, above)
    });
    parts.prop_flat_map(|(length, pids, above)| {
        let (chain, strangers) = pids.split_at(length);
        let table = table_of(chain, strangers, &above);
        (Just(chain.to_vec()), Just(table).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_chain_is_found_among_strangers_from_each_of_its_links((chain, table) in chain_among_strangers()) {
        for (at, root) in chain.iter().enumerate() {
            prop_assert_eq!(descendants(*root, &table), set(&chain[at..]));
        }
    }
}

proptest! {
    #[test]
    fn any_table_gives_what_a_slow_search_gives(
        root in 0_u32..12,
        table in prop::collection::vec((0_u32..12, 0_u32..12), 0..40),
    ) {
        let mut reached = set(&[root]);
        loop {
            let before = reached.len();
            for (pid, parent) in &table {
                if reached.contains(parent) {
                    reached.insert(*pid);
                }
            }
            if reached.len() == before {
                break;
            }
        }
        if !table.iter().any(|(pid, _)| *pid == root) {
            reached.remove(&root);
        }
        prop_assert_eq!(descendants(root, &table), reached);
    }
}
