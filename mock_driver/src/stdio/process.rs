//! Processes that are not children: an edge.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

/// A descriptor that becomes readable when the process ends; none if there is no such process.
pub(super) fn watch(pid: i32) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

/// Waits until the descriptor is readable, and says whether it is. None has been so for long.
pub(super) fn until_readable(end: Option<&OwnedFd>, limit: Option<Duration>) -> bool {
    let Some(end) = end else {
        return true;
    };
    let limit = match limit {
        Some(limit) => PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
        None => PollTimeout::NONE,
    };
    loop {
        let mut fds = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, limit) {
            Err(Errno::EINTR) => {}
            Ok(ready) => return ready > 0,
            Err(_) => return false,
        }
    }
}

/// When a process began, in ticks since the machine did; none if there is no such process.
pub(super) fn began(pid: i32) -> Option<u64> {
    stat_field(pid, 19)?.parse().ok()
}

/// The first child of a process that lives: an executor has its task, and nothing else.
pub(crate) fn child_of(parent: i32) -> Option<Pid> {
    let parent = parent.to_string();
    let is_child = |pid: &i32| {
        stat_field(*pid, 1).is_some_and(|of| of == parent)
            && stat_field(*pid, 0).is_some_and(|state| state != "Z")
    };
    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(is_child)
        .map(Pid::from_raw)
}

/// A field behind the name in /proc/PID/stat, counted from 0 at the state.
fn stat_field(pid: i32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(index).map(str::to_owned)
}
