//! Processes that are not children: an edge.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A descriptor that becomes readable when the process ends; none if there is no such process.
pub(crate) fn watch(pid: i32) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

/// Waits until the descriptor is readable, and says whether it is. None has been so for long.
pub(crate) fn until_readable(end: Option<&OwnedFd>, limit: Option<Duration>) -> bool {
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
pub(crate) fn began(pid: i32) -> Option<u64> {
    stat_field(pid, 19)?.parse().ok()
}

/// The process group of a process; none if there is no such process.
pub(crate) fn group_of(pid: i32) -> Option<i32> {
    stat_field(pid, 2)?.parse().ok()
}

/// The oldest child of a process that lives: an executor has its task, and whoever came from that and has lost
/// its parent.
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
        .filter(is_child)
        // One that is gone meanwhile is none.
        .filter_map(|pid| Some((began(pid)?, pid)))
        .min()
        .map(|(_, pid)| Pid::from_raw(pid))
}

/// All processes that live and have this one among their ancestors.
pub(crate) fn descendants_of(ancestor: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut others: Vec<(i32, i32)> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| stat_field(*pid, 0).is_some_and(|state| state != "Z"))
        .filter_map(|pid| Some((pid, stat_field(pid, 1)?.parse().ok()?)))
        .collect();
    let mut found = vec![ancestor];
    loop {
        let (of_them, rest): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|(_, parent)| found.contains(parent));
        if of_them.is_empty() {
            found.remove(0);
            return found;
        }
        found.extend(of_them.iter().map(|(pid, _)| *pid));
        others = rest;
    }
}

/// Kills all of them. Those that are gone by now are as good.
pub(crate) fn kill_all(pids: &[i32]) {
    for pid in pids {
        kill(Pid::from_raw(*pid), Signal::SIGKILL).ok();
    }
}

/// A field behind the name in /proc/PID/stat, counted from 0 at the state.
pub(crate) fn stat_field(pid: i32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(index).map(str::to_owned)
}
