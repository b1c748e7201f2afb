//! The processes of this machine: their table, and killing one that can't be another by then (edge).

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

use crate::kin::Stat;
use crate::waiting::{Deadline, poll_until};

/// Reads the table of all processes. One that ends meanwhile may be missing.
pub(crate) fn table() -> io::Result<Vec<Stat>> {
    let mut table = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        table.extend(pid.and_then(stat));
    }
    Ok(table)
}

/// What the kernel says about a process; none if it is gone.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let line = fs::read(format!("/proc/{pid}/stat")).ok()?;
    Stat::parse(&String::from_utf8_lossy(&line))
}

/// Opens these processes. One that is gone is left out; so is one whose pid has come to stand for another
/// process since it was listed, which `is_still` says once the pidfd is open.
pub(crate) fn open_all(
    pids: &[i32],
    is_still: impl Fn(i32) -> bool,
) -> io::Result<Vec<(i32, OwnedFd)>> {
    let mut open = Vec::with_capacity(pids.len());
    for pid in pids {
        let Some(number) = Pid::from_raw(*pid) else {
            continue;
        };
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(pidfd) if is_still(*pid) => open.push((*pid, pidfd)),
            Ok(_) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(open)
}

/// Sends a signal; says whether the process was there to get it. A zombie is.
pub(crate) fn signal(pidfd: impl AsFd, signal: Signal) -> io::Result<bool> {
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Kills all of these. One that this user may not kill does not protect the others; it is the error then.
pub(crate) fn kill_all(open: &[(i32, OwnedFd)]) -> io::Result<()> {
    let killed = open
        .iter()
        .map(|(_, pidfd)| signal(pidfd, Signal::KILL).map(drop));
    killed.fold(Ok(()), Result::and)
}

/// Waits until each of these has ended; says whether they have.
pub(crate) fn await_ends(open: &[(i32, OwnedFd)], deadline: Deadline) -> io::Result<bool> {
    for (_, pidfd) in open {
        if !poll_until(&[(pidfd.as_fd(), PollFlags::IN)], deadline)?[0] {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes a process that has ended off the list of this process's children, if it is one of them.
pub(crate) fn reap(pidfd: impl AsFd) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    // Somebody else's child is somebody else's to reap.
    let _is_own = waitid(WaitId::PidFd(pidfd.as_fd()), options);
}
