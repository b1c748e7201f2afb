//! What holds a task together, and kills what is in it (edge). Which means that is, was decided in `cgroup`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag};
use rustix::process::{
    Pid, WaitId, WaitIdOptions, child_subreaper, getpid, set_child_subreaper, waitid,
};

use crate::cgroup::{
    Allowed, Candidate, CgroupParent, Entrance, Group, GroupError, Hierarchies, Kind, Plan,
    RefusedParent, choose, list_of_processes, remove_left_in,
};
use crate::error::chain;
use crate::isolate::{Bundle, Layout, lay_out};
use crate::kin::{Stat, descendants};
use crate::mount_table::{MOUNTS, mounts};
use crate::processes::{self, await_ends, kill_listed, open_few};
use crate::task::{Execs, lock};
use crate::waiting::{Deadline, Pauses};

/// How long the kernel may take to let go of a cgroup that nothing was started in.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(1);

/// The groups of this process.
const OWN_GROUPS: &str = "/proc/self/cgroup";

/// Why a task can't be contained as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ContainError {
    /// The parent that was asked for can't be one.
    #[error("can't make a cgroup below {}: {why}", path.display())]
    Refused {
        /// The parent, as it was given.
        path: PathBuf,
        /// Why not, and where to look.
        why: String,
    },
    /// A cgroup that was asked for can't be made or entered.
    #[error("can't {what} {}; name another parent that exists and that this user may write, or none", path.display())]
    Group {
        /// What failed.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of `mkdir(2)` or `open(2)`.
        source: io::Error,
    },
    /// What is mounted can't be found out.
    #[error("can't read {}", path.display())]
    Read {
        /// The file of the kernel.
        path: PathBuf,
        /// The error of `open(2)` or `read(2)`.
        source: io::Error,
    },
    /// This process has children before it has the task, who would be taken for some of the task's.
    #[error("can't become a child subreaper: this process has other children")]
    OtherChildren,
    /// Whether its cgroup is frozen can't be found out.
    #[error("can't see whether the cgroup is frozen")]
    Frozen {
        /// The error of `open(2)` or `read(2)`.
        source: io::Error,
    },
    /// There is no cgroup that could hold a container.
    #[error("there is no cgroup in which this process could make one")]
    NoCgroup,
    /// The folder of a container can't be made.
    #[error("can't make the folder of a container")]
    Bundle {
        /// The error of `mkdir(2)`.
        source: io::Error,
    },
    /// This process can't become a child subreaper.
    #[error("can't become a child subreaper")]
    Subreaper {
        /// The error of `prctl(2)`.
        source: io::Error,
    },
}

impl From<GroupError> for ContainError {
    fn from(error: GroupError) -> ContainError {
        ContainError::Group {
            what: error.what,
            path: error.path,
            source: error.source,
        }
    }
}

/// One means, at work for one task.
#[derive(Debug)]
pub(crate) struct Containment {
    kind: Kind,
    group: Option<Group>,
    counter: Option<Group>,
    /// Of a container: its groups in the hierarchies that do not hold it.
    beside: Vec<Group>,
    /// Of a container: its folder.
    bundle: Option<Bundle>,
    /// Of a container: the path of its groups, as the container library wants it.
    library_path: PathBuf,
    passed_over: Vec<String>,
    /// The subreaper to go back to, where this process became one.
    was_subreaper: Option<Option<Pid>>,
}

impl Containment {
    /// Takes the best means that works.
    pub(crate) fn make(allowed: Allowed, parent: &CgroupParent) -> Result<Self, ContainError> {
        let plan = choose(&hierarchies()?, allowed, parent).map_err(|why| refused(parent, &why))?;
        let is_asked_for = matches!(parent, CgroupParent::Below(_));
        Containment::of_plan(plan, is_asked_for)
    }

    fn of_plan(plan: Plan, is_asked_for: bool) -> Result<Containment, ContainError> {
        let mut passed_over = Vec::new();
        for candidate in &plan.candidates {
            let made = match candidate {
                Candidate::Cgroup2(parent) => in_group(
                    Kind::Cgroup2,
                    Group::version_2(parent),
                    (parent, is_asked_for),
                ),
                Candidate::Freezer(parent) => in_group(
                    Kind::Freezer,
                    Group::freezer(parent),
                    (parent, is_asked_for),
                ),
                Candidate::Subreaper => adopting(),
                Candidate::ProcessGroup => Ok(Containment::without_group(Kind::ProcessGroup)),
            };
            match made {
                Ok(mut containment) => {
                    containment.passed_over = passed_over;
                    // It only counts; without it nobody knows, and that is said. Where processes may leave
                    // unseen it could not be removed.
                    let counter = plan
                        .memory
                        .as_deref()
                        .filter(|_| containment.group.is_some());
                    containment.counter = counter.and_then(|parent| Group::counter(parent).ok());
                    return Ok(containment);
                }
                Err(error) if is_asked_for => return Err(error),
                Err(error) => passed_over.push(chain(&error)),
            }
        }
        unreachable!("a plan that falls back ends with the process group, which can't fail")
    }

    /// Makes the best control group that works, and takes no other means. Nothing that only counts is made.
    pub(crate) fn group_alone() -> Result<Group, ContainError> {
        let parent = CgroupParent::Own;
        let plan = choose(&hierarchies()?, Allowed::default(), &parent);
        let plan = Plan {
            memory: None,
            ..plan.map_err(|why| refused(&parent, &why))?
        };
        let containment = Containment::of_plan(plan, false)?;
        containment.group.ok_or(ContainError::NoCgroup)
    }

    /// Makes what a container needs: a group in every hierarchy, all of one name that none has had, and a folder. What
    /// has no group to hold it is no container.
    pub(crate) fn of_container() -> Result<Containment, ContainError> {
        let layout = lay_out(&hierarchies()?).ok_or(ContainError::NoCgroup)?;
        let mut containment = Containment::without_group(layout.kind);
        while containment.group.is_none() {
            let name = Group::next_name();
            containment.library_path = layout.path(&name);
            let made = containment.make_groups(&layout, &name);
            if !matches!(made, Ok(true)) {
                // They are empty. Should one stay all the same, what matters is why it is of no use.
                drop(containment.give_up());
                containment.group = None;
                containment.beside.clear();
            }
            made?;
        }
        containment.bundle = match Bundle::make() {
            Ok(bundle) => Some(bundle),
            Err(source) => {
                drop(containment.give_up());
                return Err(ContainError::Bundle { source });
            }
        };
        Ok(containment)
    }

    /// Makes the groups of a container; says whether the name was free everywhere.
    fn make_groups(&mut self, layout: &Layout, name: &str) -> Result<bool, ContainError> {
        for parent in &layout.beside {
            match Group::beside_named(parent, name)? {
                Some(group) => self.beside.push(group),
                None => return Ok(false),
            }
        }
        self.group = Group::named(&layout.holding, name, layout.kind)?;
        self.group.as_ref().map(Group::entrance).transpose()?;
        Ok(self.group.is_some())
    }

    /// The folder of the container, if it is one.
    pub(crate) fn bundle(&self) -> Option<&Bundle> {
        self.bundle.as_ref()
    }

    /// The path of the container's groups, as the container library wants it.
    pub(crate) fn library_path(&self) -> &Path {
        &self.library_path
    }

    fn without_group(kind: Kind) -> Containment {
        Containment {
            kind,
            group: None,
            counter: None,
            beside: Vec::new(),
            bundle: None,
            library_path: PathBuf::new(),
            passed_over: Vec::new(),
            was_subreaper: None,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The folder of the task's group.
    pub(crate) fn cgroup(&self) -> Option<&Path> {
        self.group.as_ref().map(Group::path)
    }

    /// The folder of the group that only counts.
    pub(crate) fn counter(&self) -> Option<&Path> {
        self.counter.as_ref().map(Group::path)
    }

    /// Why better means were not taken.
    pub(crate) fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// Opens what a new process gets into all groups of the task by.
    pub(crate) fn entrances(&self) -> Result<Vec<Entrance>, ContainError> {
        let groups = self.group.iter().chain(&self.counter);
        let open: Result<Vec<Entrance>, GroupError> = groups.map(Group::entrance).collect();
        Ok(open?)
    }

    /// How many processes were killed for want of memory; none if nobody counts.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let mut groups = self.group.iter().chain(&self.counter).chain(&self.beside);
        groups.find_map(Group::oom_kills)
    }

    /// Gives the living processes of the task but its leader, as far as this means knows them.
    pub(crate) fn members(&self, leader: i32) -> io::Result<Vec<Stat>> {
        let mut members = match self.kind {
            Kind::Cgroup2 | Kind::Freezer => {
                let group = self.group.as_ref().map(Group::pids);
                let pids = group.transpose()?.unwrap_or_default();
                let found = pids.into_iter().map(processes::look);
                found
                    .filter_map(io::Result::transpose)
                    .collect::<io::Result<_>>()?
            }
            Kind::Subreaper => descendants(&processes::table()?, getpid().as_raw_nonzero().get()),
            Kind::ProcessGroup => {
                let mut table = processes::table()?;
                table.retain(|stat| stat.group == leader);
                table
            }
        };
        members.retain(|stat| stat.pid != leader && !stat.is_zombie);
        Ok(members)
    }

    /// Kills what is left of the task, wherever it went.
    pub(crate) fn kill_rest(&self, leader: i32) -> io::Result<()> {
        match (&self.group, self.kind) {
            (Some(group), _) => group.kill(),
            (None, Kind::Subreaper) => kill_listed(&self.members(leader)?),
            (None, Kind::ProcessGroup | Kind::Cgroup2 | Kind::Freezer) => Ok(()),
        }
    }

    /// True if a process that enters the task stands still before it is a program.
    pub(crate) fn is_frozen(&self) -> io::Result<bool> {
        let mut groups = self.group.iter().chain(&self.beside);
        groups.try_fold(
            false,
            |is_frozen, group| Ok(is_frozen || group.is_frozen()?),
        )
    }

    /// Has what was killed die although somebody has frozen it.
    pub(crate) fn thaw(&self) -> io::Result<()> {
        let groups = self.group.iter().chain(&self.beside);
        groups.map(Group::thaw).fold(Ok(()), Result::and)
    }

    /// Waits until nobody but the leader is left; says whether that came.
    pub(crate) fn await_empty(
        &self,
        leader: i32,
        execs: &Mutex<Execs>,
        deadline: Deadline,
    ) -> io::Result<bool> {
        if let Some(group) = &self.group {
            return group.await_empty(deadline);
        }
        loop {
            self.reap_adopted(leader, execs)?;
            // Killing a member of the process group again does no harm.
            let members = self.members(leader)?;
            kill_listed(&members)?;
            let open = open_few(&members)?;
            if open.is_empty() && self.members(leader)?.is_empty() {
                self.reap_adopted(leader, execs)?;
                return Ok(true);
            }
            if !await_ends(&open, deadline)? || deadline.is_over() {
                return Ok(false);
            }
        }
    }

    /// Reaps what came back to this process and has ended; gives how many that were. Without the subreaper
    /// nothing comes back.
    pub(crate) fn reap_adopted(&self, leader: i32, execs: &Mutex<Execs>) -> io::Result<usize> {
        if self.kind != Kind::Subreaper {
            return Ok(0);
        }
        // Whoever starts a command in the task holds this until the command is listed.
        let execs = lock(execs);
        let is_own = |pid: i32| pid == leader || execs.has(pid);
        let mut count = 0;
        loop {
            match any_zombie()? {
                None => return Ok(count),
                // The kernel tells the same one again until it is reaped, so the others are looked for.
                Some(Zombie::Unnamed) => break,
                Some(Zombie::Of(pid)) if is_own(pid) => break,
                Some(Zombie::Of(pid)) => count += usize::from(reap(pid)?),
            }
        }
        let own = getpid().as_raw_nonzero().get();
        for stat in processes::table()? {
            if stat.is_zombie && stat.parent == own && !is_own(stat.pid) {
                count += usize::from(reap(stat.pid)?);
            }
        }
        Ok(count)
    }

    /// True if there is a folder to remove.
    pub(crate) fn has_group(&self) -> bool {
        self.group.is_some() || self.counter.is_some() || !self.beside.is_empty()
    }

    /// Removes the groups, and the folder of a container.
    pub(crate) fn remove_groups(&self, deadline: Deadline) -> io::Result<()> {
        let groups = self.group.iter().chain(&self.counter).chain(&self.beside);
        // One that stays does not keep the others.
        let removed = groups.map(|group| group.remove(deadline));
        let removed = removed.fold(Ok(()), Result::and);
        removed.and(self.bundle.as_ref().map_or(Ok(()), Bundle::remove))
    }

    /// Kills until this process has no child. The table of processes is not read in one moment, so one that
    /// passes itself on to a child of its own may be missed there; but it can't be nobody's child.
    fn await_childless(
        &self,
        leader: i32,
        execs: &Mutex<Execs>,
        deadline: Deadline,
    ) -> io::Result<()> {
        let mut pauses = Pauses::until(deadline);
        while has_children()? {
            if !self.await_empty(leader, execs, deadline)? || !pauses.pause() {
                return Err(io::Error::other("processes of the task are left"));
            }
        }
        Ok(())
    }

    /// Removes the groups; a subreaper makes sure that it has no child left, and gives up being one.
    pub(crate) fn release(
        &self,
        leader: i32,
        execs: &Mutex<Execs>,
        deadline: Deadline,
    ) -> io::Result<()> {
        self.remove_groups(deadline)?;
        if self.kind == Kind::Subreaper {
            self.await_childless(leader, execs, deadline)?;
        }
        self.stop_adopting()
    }

    /// Undoes what was made for a task that was not started.
    pub(crate) fn give_up(&self) -> io::Result<()> {
        self.remove_groups(Deadline::after(GIVE_UP_LIMIT))?;
        self.stop_adopting()
    }

    fn stop_adopting(&self) -> io::Result<()> {
        if let Some(before) = self.was_subreaper {
            set_child_subreaper(before)?;
        }
        Ok(())
    }
}

/// True if this process has a child, zombie or alive.
fn has_children() -> io::Result<bool> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match nix::sys::wait::waitid(Id::All, flags) {
        // The latter: one that was ended by a real-time signal, for which nix has no name.
        Ok(_) | Err(Errno::EINVAL) => Ok(true),
        Err(Errno::ECHILD) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Reads which hierarchies of control groups there are.
pub(crate) fn hierarchies() -> Result<Hierarchies, ContainError> {
    let failed = |path: &str| {
        let path = path.into();
        move |source| ContainError::Read { path, source }
    };
    let mounts = mounts().map_err(failed(MOUNTS))?;
    // A path in it may be no text.
    let own = fs::read(OWN_GROUPS).map_err(failed(OWN_GROUPS))?;
    Ok(Hierarchies::parse(&mounts, &String::from_utf8_lossy(&own)))
}

/// Removes the empty groups that executors which were killed have left where a task with this parent gets its own.
pub(crate) fn remove_left(parent: &CgroupParent) {
    let plan = hierarchies().ok().and_then(|host| {
        // What is wrong about the parent is told by the launch.
        choose(&host, Allowed::default(), parent).ok()
    });
    let Some(Plan { candidates, memory }) = plan else {
        return;
    };
    let parents = candidates.into_iter().filter_map(|one| match one {
        Candidate::Cgroup2(parent) | Candidate::Freezer(parent) => Some(parent),
        Candidate::Subreaper | Candidate::ProcessGroup => None,
    });
    for parent in parents.chain(memory) {
        remove_left_in(&parent);
    }
}

fn refused(parent: &CgroupParent, why: &RefusedParent) -> ContainError {
    let path = match parent {
        CgroupParent::Below(path) => path.clone(),
        CgroupParent::Own | CgroupParent::Off => PathBuf::new(),
    };
    ContainError::Refused {
        path,
        why: why.to_string(),
    }
}

/// Takes a group that was made, if processes can be moved to it. From this process's own group they can only
/// be by who may write its list too, as that is where both meet, cgroups(7).
fn in_group(
    kind: Kind,
    group: Result<Group, GroupError>,
    (parent, is_asked_for): (&Path, bool),
) -> Result<Containment, ContainError> {
    let group = group?;
    let may_enter = group.takes_processes().and_then(|()| {
        list_of_processes(group.path())?;
        if !is_asked_for {
            list_of_processes(parent)?;
        }
        Ok(())
    });
    if let Err(error) = may_enter {
        // It is empty. Should it stay all the same, what matters is why it is of no use.
        drop(group.remove(Deadline::after(Duration::ZERO)));
        return Err(error.into());
    }
    Ok(Containment {
        group: Some(group),
        ..Containment::without_group(kind)
    })
}

fn adopting() -> Result<Containment, ContainError> {
    let failed = |errno: rustix::io::Errno| ContainError::Subreaper {
        source: errno.into(),
    };
    if has_children().map_err(|source| ContainError::Subreaper { source })? {
        return Err(ContainError::OtherChildren);
    }
    let before = child_subreaper().map_err(failed)?;
    set_child_subreaper(Some(getpid())).map_err(failed)?;
    Ok(Containment {
        was_subreaper: before.is_none().then_some(before),
        ..Containment::without_group(Kind::Subreaper)
    })
}

/// A child of this process that has ended.
enum Zombie {
    Of(i32),
    /// A real-time signal has ended it. nix has no name for that, and then does not tell the pid.
    Unnamed,
}

/// Gives a child of this process that has ended, and leaves it as it is.
fn any_zombie() -> io::Result<Option<Zombie>> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match nix::sys::wait::waitid(Id::All, flags) {
        Ok(status) => Ok(status.pid().map(|pid| Zombie::Of(pid.as_raw()))),
        Err(Errno::EINVAL) => Ok(Some(Zombie::Unnamed)),
        // There are no children.
        Err(Errno::ECHILD) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Reaps a child; says whether it was there.
fn reap(pid: i32) -> io::Result<bool> {
    let Some(pid) = Pid::from_raw(pid) else {
        return Ok(false);
    };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    match waitid(WaitId::Pid(pid), options) {
        Ok(status) => Ok(status.is_some()),
        Err(rustix::io::Errno::CHILD) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
