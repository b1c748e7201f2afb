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

/// How many processes are held open at once. A task may have more of them than this process may have descriptors.
pub(crate) const AT_ONCE: usize = 16;

/// Reads the table of all processes. One that ends meanwhile may be missing.
pub(crate) fn table() -> io::Result<Vec<Stat>> {
    let mut table = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) {
            table.extend(look(pid)?);
        }
    }
    Ok(table)
}

/// What the kernel says about a process; none if it is gone, or nothing can be read.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    look(pid).ok().flatten()
}

/// What the kernel says about a process; none if it is gone, or hidden from this user, proc(5). Without a
/// descriptor to read it by it may be there, and that is an error.
pub(crate) fn look(pid: i32) -> io::Result<Option<Stat>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(line) => Ok(Stat::parse(&String::from_utf8_lossy(&line))),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::SRCH | Errno::PERM | Errno::ACCESS) => Ok(None),
            Some(_) | None => Err(error),
        },
    }
}

/// Opens these processes, which should be [`AT_ONCE`] or fewer. One that is gone is left out; so is one whose pid
/// has come to stand for another process since it was listed, which `is_still` says once the pidfd is open.
pub(crate) fn open_all(
    pids: &[i32],
    is_still: impl Fn(i32) -> io::Result<bool>,
) -> io::Result<Vec<(i32, OwnedFd)>> {
    let mut open = Vec::with_capacity(pids.len());
    for pid in pids {
        let Some(number) = Pid::from_raw(*pid) else {
            continue;
        };
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(pidfd) if is_still(*pid)? => open.push((*pid, pidfd)),
            Ok(_) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(open)
}

/// Opens the first few of those that are listed.
pub(crate) fn open_few(listed: &[Stat]) -> io::Result<Vec<(i32, OwnedFd)>> {
    let few = few(listed);
    let pids: Vec<i32> = few.iter().map(|stat| stat.pid).collect();
    open_all(&pids, |pid| {
        let before = few.iter().find(|stat| stat.pid == pid);
        let now = look(pid)?;
        Ok(before.map(|stat| stat.birth) == now.map(|stat| stat.birth))
    })
}

/// The first few of a list.
pub(crate) fn few<T>(list: &[T]) -> &[T] {
    list.get(..AT_ONCE).unwrap_or(list)
}

/// Kills all that are listed, few at a time. One that can't be killed does not protect the others; it is the error
/// then.
pub(crate) fn kill_listed(listed: &[Stat]) -> io::Result<()> {
    let killed = listed.chunks(AT_ONCE).map(|few| kill_all(&open_few(few)?));
    killed.fold(Ok(()), Result::and)
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
