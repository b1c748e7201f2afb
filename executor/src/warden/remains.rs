//! Ends what is left of a task whose warden was killed or does not answer (edge).
//!
//! Nobody is killed who is not certain to be of the task: a cgroup is known by its inode, a process by its pid and
//! when it began. While the main process lives, its process group and who descends from it are the task's. Without a
//! cgroup and without the main process nothing tells them from strangers.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::message::{Held, Inode, Named};
use crate::cgroup::{
    Allowed, Candidate, CgroupParent, Group, Kind, choose, namespace_of, own_namespace,
};
use crate::containment::hierarchies;
use crate::error::chain;
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

/// The groups with a name that a process of this number gives to those of its task, where it makes them if it is in the
/// control groups of this one. Another process may have had the number, and left some. Those of another pid namespace are
/// none, where a group says so: of version 2, from Linux 5.7 on.
pub(crate) fn groups_of(pid: i32) -> io::Result<Vec<PathBuf>> {
    Ok(kinds_of(pid)?.into_iter().map(|(path, _)| path).collect())
}

/// Kills what is in the groups of a process that has ended, but for these, and removes them.
pub(crate) fn kill_groups_of(pid: i32, but: &[PathBuf], deadline: Deadline) -> io::Result<()> {
    for (path, kind) in kinds_of(pid)? {
        if but.contains(&path) {
            continue;
        }
        let group = Group::found(&path, kind);
        group.kill()?;
        if !group.await_empty(deadline)? {
            return Err(io::Error::other("processes of its cgroup do not end"));
        }
        group.remove(deadline)?;
    }
    Ok(())
}

fn kinds_of(pid: i32) -> io::Result<Vec<(PathBuf, Option<Kind>)>> {
    let host = hierarchies().map_err(|error| io::Error::other(chain(&error)))?;
    let plan = choose(&host, Allowed::default(), &CgroupParent::Own).map_err(io::Error::other)?;
    let holding = plan.candidates.into_iter().filter_map(|one| match one {
        Candidate::Cgroup2(parent) => Some((parent, Some(Kind::Cgroup2))),
        Candidate::Freezer(parent) => Some((parent, Some(Kind::Freezer))),
        Candidate::Subreaper | Candidate::ProcessGroup => None,
    });
    let name = format!("executor-{pid}-");
    let own = own_namespace()?;
    let mut found = Vec::new();
    for (parent, kind) in holding.chain(plan.memory.map(|parent| (parent, None))) {
        for entry in fs::read_dir(parent)? {
            let path = entry?.path();
            let is_named = path
                .file_name()
                .is_some_and(|found| found.to_string_lossy().starts_with(&name));
            // In another namespace the same number is another process.
            if is_named && namespace_of(&path).is_none_or(|made_in| made_in == own) {
                found.push((path, kind));
            }
        }
    }
    Ok(found)
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    use super::*;

    /// Is killed when a test is surprised.
    struct Killed(Child);

    impl Drop for Killed {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn what_a_process_has_left_in_its_groups_is_killed_and_what_others_have_is_not() {
        let host = hierarchies().unwrap();
        let plan = choose(&host, Allowed::default(), &CgroupParent::Own).unwrap();
        let parent = plan.candidates.iter().find_map(|one| match one {
            Candidate::Cgroup2(parent) | Candidate::Freezer(parent) => Some(parent),
            Candidate::Subreaper | Candidate::ProcessGroup => None,
        });
        let is_version_2 = matches!(plan.candidates.first(), Some(Candidate::Cgroup2(_)));
        let mut sleeper = Killed(Command::new("sleep").arg("1000").spawn().unwrap());
        // A number that no other process has while this one has it.
        let pid = i32::try_from(sleeper.0.id()).unwrap();
        let made = parent.map(|parent| {
            let paths = [1, 2].map(|one| parent.join(format!("executor-{pid}-{one}")));
            paths
                .clone()
                .map(fs::create_dir)
                .into_iter()
                .collect::<io::Result<()>>()?;
            fs::write(paths[0].join("cgroup.procs"), pid.to_string())?;
            io::Result::Ok(paths)
        });
        let Some(Ok([own, strange])) = made else {
            return eprintln!(
                "skipped: what_a_process_has_left_in_its_groups_is_killed: no cgroup can be made: {made:?}"
            );
        };
        // One of a process in another pid namespace, which has the number there.
        if is_version_2 {
            let elsewhere = parent.unwrap().join(format!("executor-{pid}-3"));
            fs::create_dir(&elsewhere).unwrap();
            let (mark, flags) = (b"1", rustix::fs::XattrFlags::empty());
            rustix::fs::setxattr(&elsewhere, "user.executor.pid_namespace", mark, flags).unwrap();
            let found = groups_of(pid);
            fs::remove_dir(&elsewhere).unwrap();
            assert!(!found.unwrap().contains(&elsewhere));
        }
        let but = [strange.clone()];
        let long = Deadline::after(Duration::from_secs(60));
        let found = groups_of(pid).unwrap();
        assert!(
            found.contains(&own) && found.contains(&strange),
            "{found:?}"
        );
        kill_groups_of(pid, &found, long).unwrap();
        assert_eq!(sleeper.0.try_wait().unwrap(), None);
        kill_groups_of(pid, &but, long).unwrap();
        assert_eq!(sleeper.0.wait().unwrap().signal(), Some(9));
        assert_eq!(groups_of(pid).unwrap(), but);
        fs::remove_dir(strange).unwrap();
    }
}
