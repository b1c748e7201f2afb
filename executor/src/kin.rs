//! Who descends from whom, read from the table of processes (core).

use std::collections::{BTreeMap, BTreeSet};

/// What a line of `/proc/PID/stat` says that matters here, `proc_pid_stat(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    /// True if it has ended and only waits to be reaped. One whose main thread has ended lives on with its others,
    /// and has the same letter: pthread_exit(3).
    pub(crate) is_zombie: bool,
    pub(crate) parent: i32,
    /// Its process group.
    pub(crate) group: i32,
    /// When it began, in ticks since the machine did: with the pid it names one process.
    pub(crate) birth: u64,
}

impl Stat {
    /// Reads such a line. The name stands in parentheses and may have any byte in it, so what counts is
    /// behind the last one.
    pub(crate) fn parse(line: &str) -> Option<Stat> {
        let (pid, rest) = line.split_once(" (")?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let threads: u64 = fields.get(17)?.parse().ok()?;
        Some(Stat {
            pid: pid.parse().ok()?,
            is_zombie: matches!(*fields.first()?, "Z" | "X" | "x") && threads <= 1,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            birth: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Gives all that descend from a process, but not the process itself, by their pids.
pub(crate) fn descendants(table: &[Stat], root: i32) -> Vec<Stat> {
    let mut children: BTreeMap<i32, Vec<&Stat>> = BTreeMap::new();
    for stat in table {
        children.entry(stat.parent).or_default().push(stat);
    }
    let mut found: BTreeMap<i32, Stat> = BTreeMap::new();
    // A table that is read while it changes may have a ring in it.
    let mut seen = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if seen.insert(child.pid) {
                found.insert(child.pid, **child);
                open.push(child.pid);
            }
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stat(pid: i32, parent: i32) -> Stat {
        Stat {
            pid,
            is_zombie: false,
            parent,
            group: pid,
            birth: 7,
        }
    }

    fn pids(stats: &[Stat]) -> Vec<i32> {
        stats.iter().map(|stat| stat.pid).collect()
    }

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = "42 (a) b (c) Z 7 40 39 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 98765 0 0\n";
        let expected = Stat {
            pid: 42,
            is_zombie: true,
            parent: 7,
            group: 40,
            birth: 98765,
        };
        assert_eq!(Stat::parse(line), Some(expected));
        // Its main thread has ended, and another one has not.
        let line = line.replace(" 1 0 98765", " 2 0 98765");
        let expected = Stat {
            is_zombie: false,
            ..expected
        };
        assert_eq!(Stat::parse(&line), Some(expected));
        assert_eq!(Stat::parse("42 (cut) S 7"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_stands_in_the_table_like_that() {
        let line = std::fs::read_to_string("/proc/self/stat").unwrap();
        let own = Stat::parse(&line).unwrap();
        assert_eq!(own.pid.unsigned_abs(), std::process::id());
        assert_eq!(
            own.parent.unsigned_abs(),
            std::os::unix::process::parent_id()
        );
    }

    #[test]
    fn a_ring_ends() {
        assert_eq!(pids(&descendants(&[stat(2, 3), stat(3, 2)], 2)), [3]);
    }

    proptest! {
        #[test]
        fn a_chain_is_found_among_strangers(length in 2_i32..20, strangers in 10_i32..500, seed in any::<u64>()) {
            let chain = (1..=length).map(|at| stat(1000 + at, 1000 + at - 1));
            let others = (0..strangers).map(|at| stat(5000 + at, if at % 3 == 0 { 1 } else { 5000 + at - 1 }));
            let mut table: Vec<Stat> = chain.chain(others).collect();
            let count = table.len();
            for at in 0..count {
                let other = (seed.wrapping_mul(at as u64 + 1) >> 7) as usize % count;
                table.swap(at, other);
            }
            let expected: Vec<i32> = (1001..=1000 + length).collect();
            prop_assert_eq!(pids(&descendants(&table, 1000)), expected);
        }
    }
}
