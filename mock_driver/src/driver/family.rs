//! Ends what a task has started beside its main process: an edge.
//!
//! A process that loses its parent becomes a child of the next child subreaper above it, prctl(2). This process
//! is one, so whatever comes of the task descends from it, and is found.

use std::time::{Duration, Instant};

use nix::unistd::getpgrp;

use crate::executor::process::{descendants_of, group_of, kill_all};
use crate::fault::{Family, LeftBehind, Policy};

/// How long what is killed may take to be gone.
const KILLED: Duration = Duration::from_secs(2);

/// Becomes the parent of whoever loses its own below this process.
pub(crate) fn adopt() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// Kills as much of the task's family as the policy says, and waits until it is gone. What such a driver leaves
/// behind itself is its fault, and stays.
#[expect(
    clippy::disallowed_methods,
    reason = "a poller with a deadline: processes that are not children tell nobody of their end"
)]
pub(crate) fn end(policy: &Policy) {
    if policy.left_behind != LeftBehind::Nothing {
        return;
    }
    let until = Instant::now() + KILLED;
    let own = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    // The task has never left the group of the process that started it.
    let group = getpgrp().as_raw();
    let is_meant = |pid: &i32| match policy.family {
        Family::Whole => true,
        Family::Group => group_of(*pid) == Some(group),
        Family::Leader => false,
    };
    loop {
        let mut left = descendants_of(own);
        left.retain(is_meant);
        if left.is_empty() || Instant::now() > until {
            return;
        }
        kill_all(&left);
        std::thread::sleep(Duration::from_millis(2));
    }
}
