//! Which processes belong to a task, whoever knows it (core).

use std::collections::BTreeSet;

use super::error::StatsError;
use super::sample::{CpuTime, Throttling};

/// The processes of a task at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Their pids, without repetition. Some may have ended by the time that this is read.
    pub pids: BTreeSet<u32>,
    /// How many more there are that have no pid here, as they are outside of this pid namespace. Memory of the
    /// task is not measured then, as the sum would not be all of it.
    pub hidden: usize,
}

/// What a cgroup counts for all its processes together, those that have ended and those of groups below it
/// included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupCpu {
    /// The CPU time since the group was made.
    pub cpu: CpuTime,
    /// How often it was held back; none without the cpu controller.
    pub throttling: Option<Throttling>,
}

/// Knows which processes belong to a task: [`Cgroup`](super::Cgroup) or [`Tree`](super::Tree).
pub trait PidSource: Send {
    /// Lists the processes that the task has now.
    ///
    /// # Errors
    /// One for which [`StatsError::is_gone`] is true if the task has ended; others if the kernel does not say.
    fn list(&mut self) -> Result<Listing, StatsError>;

    /// Gives the counter of all processes of the task together; none if nobody keeps one.
    ///
    /// # Errors
    /// As for [`PidSource::list`].
    fn cpu(&mut self) -> Result<Option<GroupCpu>, StatsError> {
        Ok(None)
    }
}
