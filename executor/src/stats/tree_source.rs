//! The processes of a task as a process and what it has started (edge).

use super::error::StatsError;
use super::processes;
use super::source::{Listing, PidSource};
use super::tree::descendants;
use super::units::Machine;

/// A process and everything below it, by parents. It reads the whole table of processes for each listing, and it
/// loses what daemonises; a [`Cgroup`](super::Cgroup) does neither.
#[derive(Debug)]
pub struct Tree {
    root: u32,
    started_ticks: u64,
    machine: Machine,
}

impl Tree {
    /// Gives the tree below this process. Whoever has its pid later is not taken for it.
    ///
    /// # Errors
    /// [`StatsError::NoProcess`] if there is no such process, and those of reading its `stat`.
    pub fn below(root: u32, machine: Machine) -> Result<Tree, StatsError> {
        let stat = processes::stat(root, &machine)?;
        let stat = stat.ok_or(StatsError::NoProcess { pid: root })?;
        Ok(Tree {
            root,
            started_ticks: stat.started_ticks,
            machine,
        })
    }
}

impl PidSource for Tree {
    /// Lists the tree.
    ///
    /// # Errors
    /// [`StatsError::NoProcess`] if the first process has been waited for: nothing is known then of what it had
    /// started. Others if /proc can't be read.
    fn list(&mut self) -> Result<Listing, StatsError> {
        let mut table = Vec::new();
        let mut has_root = false;
        for pid in processes::all()? {
            // One that has ended since it was listed has no parent any more, and no child.
            if let Some(stat) = processes::stat(pid, &self.machine)? {
                has_root |= pid == self.root && stat.started_ticks == self.started_ticks;
                table.push((pid, stat.parent));
            }
        }
        if !has_root {
            return Err(StatsError::NoProcess { pid: self.root });
        }
        Ok(Listing {
            pids: descendants(self.root, &table),
            hidden: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_the_pid_later_is_not_taken_for_the_process() {
        let machine = Machine::this().unwrap();
        let mut tree = Tree::below(std::process::id(), machine).unwrap();
        assert!(tree.list().unwrap().pids.contains(&std::process::id()));
        tree.started_ticks += 1;
        assert!(tree.list().unwrap_err().is_gone());
    }

    #[test]
    fn there_is_no_tree_below_a_process_that_is_none() {
        let machine = Machine::this().unwrap();
        let error = Tree::below(u32::MAX, machine).unwrap_err();
        assert!(matches!(error, StatsError::NoProcess { pid: u32::MAX }));
    }
}
