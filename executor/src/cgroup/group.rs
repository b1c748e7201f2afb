//! The control group of one task, a folder that is made with it and removed after it (edge).

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::choose::Kind;
use super::entrance::Entrance;
use super::left::mark;
use super::mounts::oom_kills;
use crate::processes::{AT_ONCE, await_ends, few, kill_all, open_all};
use crate::waiting::{Deadline, Pauses, poll_until};

/// How long a group may take to freeze before its processes are killed all the same: one that waits for a disk
/// is not frozen.
const FREEZE_LIMIT: Duration = Duration::from_secs(1);

/// How long a group is waited for without a look. That it was removed by somebody else is no event.
const LOOK: Duration = Duration::from_millis(200);

/// Tells the groups of one process apart.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What a group can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Two,
    Freezer,
    /// Of version 1 and without the freezer: it only counts.
    Counter,
}

/// The group of one task. It is not removed by being dropped: somebody may still be in it.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    version: Version,
}

/// A group that can't be made or used, with the file and what failed.
#[derive(Debug, thiserror::Error)]
#[error("can't {what} {}", path.display())]
pub(crate) struct GroupError {
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl Group {
    /// Makes a group of version 2.
    pub(crate) fn version_2(parent: &Path) -> Result<Group, GroupError> {
        Group::make(parent, Version::Two)
    }

    /// Makes a group of version 1 with the freezer.
    pub(crate) fn freezer(parent: &Path) -> Result<Group, GroupError> {
        Group::make(parent, Version::Freezer)
    }

    /// Makes a group of version 1 that counts who was killed for want of memory.
    pub(crate) fn counter(parent: &Path) -> Result<Group, GroupError> {
        Group::make(parent, Version::Counter)
    }

    /// A group that somebody else has made, by what it contains a task; none: it only counts.
    pub(crate) fn found(path: &Path, kind: Option<Kind>) -> Group {
        let version = match kind {
            Some(Kind::Cgroup2) => Version::Two,
            Some(Kind::Freezer) => Version::Freezer,
            Some(Kind::Subreaper | Kind::ProcessGroup) | None => Version::Counter,
        };
        Group {
            path: path.to_owned(),
            version,
        }
    }

    /// A name that no group of this process has had: `executor-PID-NUMBER`.
    pub(crate) fn next_name() -> String {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("executor-{}-{number}", std::process::id())
    }

    /// Makes a group of this name that holds a task; none if there is one already.
    pub(crate) fn named(
        parent: &Path,
        name: &str,
        kind: Kind,
    ) -> Result<Option<Group>, GroupError> {
        let group = Group::found(&parent.join(name), Some(kind));
        Group::try_make(group.path, group.version)
    }

    /// Makes a group of version 1 and of this name that counts, limits or freezes, as the hierarchy of its parent does;
    /// none if there is one already.
    pub(crate) fn beside_named(parent: &Path, name: &str) -> Result<Option<Group>, GroupError> {
        let made = Group::try_make(parent.join(name), Version::Counter)?;
        Ok(made.map(|group| {
            // The group at the root of a hierarchy has no such file.
            if group.path.join("freezer.state").exists() {
                Group::found(&group.path, Some(Kind::Freezer))
            } else {
                group
            }
        }))
    }

    fn make(parent: &Path, version: Version) -> Result<Group, GroupError> {
        loop {
            if let Some(group) = Group::try_make(parent.join(Group::next_name()), version)? {
                return Ok(group);
            }
        }
    }

    fn try_make(path: PathBuf, version: Version) -> Result<Option<Group>, GroupError> {
        match fs::create_dir(&path) {
            Ok(()) => {
                // Where the kernel has no such mark it stays if this process is killed, and does no harm.
                drop(mark(&path));
                Ok(Some(Group { path, version }))
            }
            // An executor with this pid was killed, and left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(source) => Err(GroupError {
                what: "make the cgroup",
                path,
                source,
            }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what a new process gets into the group by.
    pub(crate) fn entrance(&self) -> Result<Entrance, GroupError> {
        match self.version {
            Version::Two => Entrance::version_2(&self.path),
            Version::Freezer | Version::Counter => Entrance::version_1(&self.path),
        }
    }

    /// Fails if no process can be in the group: one that was made below a threaded group is a domain that is none,
    /// cgroups(7).
    pub(crate) fn takes_processes(&self) -> Result<(), GroupError> {
        let path = self.path.join("cgroup.type");
        // In version 1 there is no such file.
        let kind = fs::read_to_string(&path).unwrap_or_default();
        if kind.trim() != "domain invalid" {
            return Ok(());
        }
        Err(GroupError {
            what: "have a process in the cgroup, which is below a threaded one:",
            path: self.path.clone(),
            source: Errno::OPNOTSUPP.into(),
        })
    }

    /// Gives the processes in the group and below it. Zombies are none, cgroups(7). A group that is gone has
    /// none; of one whose path is too long for the kernel nobody knows, and it can't be removed.
    pub(crate) fn pids(&self) -> io::Result<Vec<i32>> {
        let mut pids = Vec::new();
        for folder in self.folders()? {
            match fs::read_to_string(folder.join("cgroup.procs")) {
                // Processes outside of the namespace of this one stand there as 0.
                Ok(list) => pids.extend(list.lines().filter_map(|pid| pid.parse::<i32>().ok())),
                Err(error) if is_gone(&error) || is_too_deep(&error) => {}
                // The processes of a threaded group are listed by the domain above it, in which the task is.
                Err(error) if is_threaded(&error) && folder != self.path => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pids)
    }

    /// Kills all that is in the group and below it.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match self.version {
            Version::Two => match fs::write(self.path.join("cgroup.kill"), "1") {
                // Before Linux 5.14 there is no such file.
                Err(error) if is_gone(&error) => self.kill_each(),
                outcome => outcome,
            },
            Version::Freezer => match self.kill_frozen() {
                Err(error) if is_gone(&error) => Ok(()),
                outcome => outcome,
            },
            Version::Counter => self.kill_each(),
        }
    }

    fn kill_frozen(&self) -> io::Result<()> {
        let killed = self.freeze().and_then(|()| self.kill_each());
        // What is frozen dies when it thaws, and nobody else would have it do so.
        let thawed = self.thaw();
        killed.and(thawed)
    }

    fn freeze(&self) -> io::Result<()> {
        let state = self.path.join("freezer.state");
        fs::write(&state, "FROZEN")?;
        let mut pauses = Pauses::until(Deadline::after(FREEZE_LIMIT));
        while fs::read_to_string(&state)?.trim() != "FROZEN" && pauses.pause() {}
        Ok(())
    }

    /// True if whoever enters the group is frozen, or about to be: by the group itself or by one above it. A group that
    /// is gone freezes nobody.
    pub(crate) fn is_frozen(&self) -> io::Result<bool> {
        let read = |name: &str| match fs::read_to_string(self.path.join(name)) {
            Err(error) if is_gone(&error) => Ok(String::new()),
            outcome => outcome,
        };
        Ok(match self.version {
            // Before Linux 5.2 there is no `cgroup.freeze`, and the line is missing.
            Version::Two => {
                read("cgroup.freeze")?.trim() == "1"
                    || read("cgroup.events")?
                        .lines()
                        .any(|line| line == "frozen 1")
            }
            Version::Freezer => matches!(read("freezer.state")?.trim(), "FROZEN" | "FREEZING"),
            Version::Counter => false,
        })
    }

    /// Lets a freezer of version 1, and those below it, run again: what is frozen there is not killed before. In a
    /// group of version 2 it is, cgroups(7).
    pub(crate) fn thaw(&self) -> io::Result<()> {
        if self.version != Version::Freezer {
            return Ok(());
        }
        let thaw = |folder: &Path| match fs::write(folder.join("freezer.state"), "THAWED") {
            Err(error) if !is_gone(&error) && !is_too_deep(&error) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
        // First of all: most are frozen by it.
        let thawed = thaw(&self.path);
        let below = self.folders()?.into_iter().skip(1);
        below.map(|folder| thaw(&folder)).fold(thawed, Result::and)
    }

    /// One that can't be killed does not protect the others.
    fn kill_each(&self) -> io::Result<()> {
        let pids = self.pids()?;
        let killed = pids
            .chunks(AT_ONCE)
            .map(|few| kill_all(&self.open_few(few)?));
        killed.fold(Ok(()), Result::and)
    }

    /// Opens the first few of these processes. What is still in the group once its pidfd is open, is meant.
    fn open_few(&self, pids: &[i32]) -> io::Result<Vec<(i32, OwnedFd)>> {
        let mut open = open_all(few(pids), |_| Ok(true))?;
        let still = self.pids()?;
        open.retain(|(pid, _)| still.contains(pid));
        Ok(open)
    }

    /// Waits until nobody is in the group; says whether that came. Whoever comes in meanwhile is killed.
    pub(crate) fn await_empty(&self, deadline: Deadline) -> io::Result<bool> {
        if self.version == Version::Two {
            return self.await_unpopulated(deadline);
        }
        // Some are listed that can't be opened, and each one that has ended may have left another one.
        let mut pauses = Pauses::until(deadline);
        loop {
            let open = self.open_few(&self.pids()?)?;
            if open.is_empty() && self.pids()?.is_empty() {
                return Ok(true);
            }
            if !await_ends(&open, deadline)? || !pauses.pause() {
                return Ok(self.pids()?.is_empty());
            }
            self.kill()?;
        }
    }

    /// A change of `cgroup.events` is told to poll(2) as POLLPRI, cgroups(7).
    fn await_unpopulated(&self, deadline: Deadline) -> io::Result<bool> {
        let events = match fs::File::open(self.path.join("cgroup.events")) {
            Err(error) if is_gone(&error) => return Ok(true),
            outcome => outcome?,
        };
        let mut buffer = [0; 256];
        loop {
            let bytes = match events.read_at(&mut buffer, 0) {
                Err(error) if is_gone(&error) => return Ok(true),
                outcome => outcome?,
            };
            let text = String::from_utf8_lossy(&buffer[..bytes]);
            if text.lines().any(|line| line == "populated 0") {
                return Ok(true);
            }
            let Some(left) = deadline.left_of(LOOK) else {
                return Ok(false);
            };
            poll_until(&[(events.as_fd(), PollFlags::PRI)], Deadline::after(left))?;
            self.kill()?;
        }
    }

    /// Removes the group and those that were made below it. Who is still in one is killed; while the kernel has
    /// not let go of it yet, it is tried again.
    pub(crate) fn remove(&self, deadline: Deadline) -> io::Result<()> {
        let mut pauses = Pauses::until(deadline);
        loop {
            let error = match self.remove_if_empty() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if Errno::from_io_error(&error) != Some(Errno::BUSY) || !pauses.pause() {
                return Err(error);
            }
            self.kill()?;
        }
    }

    /// Removes the group and those that were made below it, if nobody is in one.
    pub(crate) fn remove_if_empty(&self) -> io::Result<()> {
        // Those below come behind those above.
        for folder in self.folders()?.iter().rev() {
            match fs::remove_dir(folder) {
                Err(error) if !is_gone(&error) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The group and those below it, each behind the one it lies in.
    fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let mut folders = vec![self.path.clone()];
        let mut at = 0;
        while let Some(folder) = folders.get(at) {
            match fs::read_dir(folder) {
                Ok(entries) => {
                    let below = entries.filter_map(|entry| {
                        let entry = entry.ok()?;
                        entry.file_type().ok()?.is_dir().then(|| entry.path())
                    });
                    let below: Vec<PathBuf> = below.collect();
                    folders.extend(below);
                }
                Err(error) if is_gone(&error) || is_too_deep(&error) => {}
                Err(error) => return Err(error),
            }
            at += 1;
        }
        Ok(folders)
    }

    /// How many processes of the group were killed for want of memory; none if it has no such counter.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let name = match self.version {
            Version::Two => "memory.events",
            Version::Counter => "memory.oom_control",
            Version::Freezer => return None,
        };
        oom_kills(&fs::read_to_string(self.path.join(name)).ok()?)
    }
}

/// True if the path of a group is longer than a path may be, path_resolution(7).
fn is_too_deep(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NAMETOOLONG)
}

/// True if a group has threads and no processes, cgroups(7).
fn is_threaded(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::OPNOTSUPP)
}

/// True if a group was removed: its files are not found, or their content is not (ENODEV).
fn is_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NODEV)
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc;

    use super::*;

    /// What waiting for an end of these processes gives, with a folder of files in the place of a group.
    fn await_empty(listed: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.procs"), listed).unwrap();
        let group = Group::found(folder.path(), Some(Kind::Freezer));
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let deadline = Deadline::after(Duration::from_millis(100));
            tell.send(group.await_empty(deadline).unwrap())
        });
        let told = told.recv_timeout(Duration::from_secs(60));
        told.expect("the deadline holds")
    }

    #[test]
    fn a_wait_for_an_empty_group_ends_whatever_is_listed() {
        assert!(await_empty(""));
        assert!(!await_empty("0\n"), "a process of another namespace");
        // One that has ended, and is waited for by nobody yet.
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id().to_string();
        let is_empty = await_empty(&pid);
        child.wait().unwrap();
        assert!(!is_empty, "one that has ended and stays on the list");
    }
}
