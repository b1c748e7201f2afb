//! A plan that stands still, as the case process tells it. (core)

use serde::{Deserialize, Serialize};

/// Where a plan stands, and what lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Where, in words: `before step 3, wait until the task is gone`.
    pub at: String,
    /// The case process.
    pub case: i32,
    /// What lives below it.
    pub processes: Vec<LivingProcess>,
    /// Who waits for whom: a line for each process and each pipe.
    pub waits: Vec<String>,
}

/// A process of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivingProcess {
    /// Its number.
    pub pid: i32,
    /// `logmon`, `driver`, `task` or `host`; empty if that is not known.
    pub part: String,
    /// Its command line.
    pub command: String,
}
