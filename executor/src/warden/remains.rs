//! Ends what is left of a task whose warden was killed or does not answer (edge).
//!
//! Nobody is killed who is not certain to be of the task: a cgroup is known by its inode, a process by its pid and
//! when it began. While the main process lives, its process group and who descends from it are the task's. Without a
//! cgroup and without the main process nothing tells them from strangers.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::message::{Held, Inode, Named};
use crate::cgroup::{Group, Kind};
use crate::kin::{Stat, descendants};
use crate::processes::{self, await_ends, kill_listed, open_all, open_few};
use crate::waiting::{Cancel, Deadline, Woken, readable};

/// What killing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// True if the main process lived, and ended by this kill.
    pub(crate) was_main_killed: bool,
    /// True if nothing but the main process could be found for certain.
    pub(crate) is_gap: bool,
}

/// Opens a process if it is still the one that was meant. It may have ended, and be a zombie.
pub(crate) fn open(named: Named) -> io::Result<Option<OwnedFd>> {
    let is_still =
        |pid: i32| Ok(processes::look(pid)?.is_some_and(|stat| stat.birth == named.birth));
    let open = open_all(&[named.pid], is_still)?;
    Ok(open.into_iter().next().map(|(_, pidfd)| pidfd))
}

/// True if a process has not ended.
fn lives(pidfd: &OwnedFd) -> io::Result<bool> {
    let now = Deadline::after(Duration::ZERO);
    Ok(readable(pidfd.as_fd(), now, Cancel::never())? != Woken::Readable)
}

/// Kills all that descends from a process, which lives on.
pub(crate) fn kill_below(root: i32, deadline: Deadline) -> io::Result<()> {
    while !kill_once(&living(&processes::table()?, root), deadline)? {}
    Ok(())
}

/// Kills what is left of a task whose warden is gone.
///
/// # Errors
/// Something that is left does not end in time, or can't be killed.
pub(crate) fn kill_left(held: &Held, deadline: Deadline) -> io::Result<Left> {
    let main = open(held.main)?;
    let main = match main {
        Some(main) if lives(&main)? => Some(main),
        Some(_) | None => None,
    };
    let groups: Vec<Group> = groups(held).collect();
    if let Some(main) = &main
        && groups.is_empty()
    {
        kill_kin(held.main, main, deadline)?;
    }
    for group in &groups {
        group.kill()?;
        if !group.await_empty(deadline)? {
            return Err(io::Error::other("processes of its cgroup do not end"));
        }
        group.remove(deadline)?;
    }
    if let Some(main) = &main {
        processes::signal(main, Signal::KILL)?;
        if readable(main.as_fd(), deadline, Cancel::never())? != Woken::Readable {
            return Err(io::Error::other("its main process does not end"));
        }
    }
    Ok(Left {
        was_main_killed: main.is_some(),
        is_gap: held.cgroup2.is_none() && held.freezer.is_none(),
    })
}

/// The groups that are still there. Those that hold processes come first.
fn groups(held: &Held) -> impl Iterator<Item = Group> {
    let holding = [
        (&held.cgroup2, Some(Kind::Cgroup2)),
        (&held.freezer, Some(Kind::Freezer)),
        (&held.counter, None),
    ];
    let there = holding.into_iter().filter_map(|(group, kind)| {
        let group = group.as_ref().filter(|group| is_there(group))?;
        Some(Group::found(Path::new(&group.path), kind))
    });
    there.collect::<Vec<_>>().into_iter()
}

/// True if the group that was meant is still at its path.
pub(crate) fn is_there(group: &Inode) -> bool {
    fs::metadata(&group.path).is_ok_and(|found| found.ino() == group.inode)
}

/// Kills the process group of the main process and who descends from it, and it last: while it lives, its number
/// and that of the group are nobody else's. It is stopped, so it makes no new ones.
fn kill_kin(named: Named, main: &OwnedFd, deadline: Deadline) -> io::Result<()> {
    processes::signal(main, Signal::STOP)?;
    loop {
        let table = processes::table()?;
        let mut kin = living(&table, named.pid);
        let others = table
            .iter()
            .filter(|stat| stat.group == named.pid && stat.pid != named.pid && !stat.is_zombie);
        kin.extend(others);
        if !lives(main)? {
            return Ok(());
        }
        if kill_once(&kin, deadline)? {
            break;
        }
    }
    processes::signal(main, Signal::KILL).map(drop)
}

fn living(table: &[Stat], root: i32) -> Vec<Stat> {
    let mut found = descendants(table, root);
    found.retain(|stat| !stat.is_zombie);
    found
}

/// Kills these and waits for the ends of some; says whether there was none any more.
fn kill_once(found: &[Stat], deadline: Deadline) -> io::Result<bool> {
    if found.is_empty() {
        return Ok(true);
    }
    kill_listed(found)?;
    let open = open_few(found)?;
    if !await_ends(&open, deadline)? || deadline.is_over() {
        return Err(io::Error::other("processes of the task do not end"));
    }
    Ok(false)
}
