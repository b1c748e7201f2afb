//! The processes below a process, told by parents alone (core).

use std::collections::{BTreeMap, BTreeSet};

/// Gives the process `root` and everything below it, out of a table of pids and the pids of their parents, in
/// any order. The root itself is in the answer only if the table has it.
///
/// The table need not be of one moment: a pid may stand there twice, and parents may go round in a circle.
/// Each pid is followed once, so that ends all the same.
///
/// What has lost its parent belongs to another process now (`PR_SET_CHILD_SUBREAPER`, prctl(2)) and is not
/// found: a process that daemonised is not in the tree. A cgroup would have it.
#[must_use]
pub fn descendants(root: u32, table: &[(u32, u32)]) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (pid, parent) in table {
        children.entry(*parent).or_default().push(*pid);
    }
    let mut found = BTreeSet::new();
    if table.iter().any(|(pid, _)| *pid == root) {
        found.insert(root);
    }
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        // Taken out of the map, so nobody's children are followed twice.
        for child in children.remove(&parent).unwrap_or_default() {
            if found.insert(child) {
                next.push(child);
            }
        }
    }
    found
}
