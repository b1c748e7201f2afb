//! Which means contain a task, best first (core).
//!
//! A control group of version 2 kills whatever is in it by one write, wherever that went. It needs no
//! controller, so that of a hybrid host is as good as that of a pure one. The freezer of version 1 can be told to
//! stop a group while its processes are killed one by one. Without either, a child subreaper gets back what its
//! task has let go, prctl(2). A process group only holds who stays in it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::mounts::{Hierarchies, Mount, leaves};

/// What contains a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A control group of version 2.
    Cgroup2,
    /// A control group of version 1 with the freezer.
    Freezer,
    /// This process gets back what the task's processes leave behind.
    Subreaper,
    /// The process group of the main process.
    ProcessGroup,
}

impl Kind {
    /// What may survive a shutdown, in words; none if nothing may.
    #[must_use]
    pub fn gap(self) -> Option<&'static str> {
        match self {
            Kind::Cgroup2 | Kind::Freezer | Kind::Subreaper => None,
            Kind::ProcessGroup => Some("processes of the task that left its process group survive"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Cgroup2 => "cgroup of version 2",
            Kind::Freezer => "freezer cgroup of version 1",
            Kind::Subreaper => "child subreaper",
            Kind::ProcessGroup => "process group",
        })
    }
}

/// Which means may be used. A process group always may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Control groups of version 2.
    pub cgroup2: bool,
    /// The freezer of version 1.
    pub freezer: bool,
    /// This process becomes a child subreaper. It takes every child of its own for one of the task, so only a
    /// process that has one task and starts nothing else may allow it. If it has a child before the launch, this
    /// means is passed over.
    pub subreaper: bool,
}

impl Default for Allowed {
    /// Both versions of control groups, and not the subreaper.
    fn default() -> Allowed {
        Allowed {
            cgroup2: true,
            freezer: true,
            subreaper: false,
        }
    }
}

/// In which control group the one of the task is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CgroupParent {
    /// In that of this process. If it can't be made there, the next weaker means is taken.
    #[default]
    Own,
    /// In none: no control group is used.
    Off,
    /// In this one, which must exist. An absolute path lies below a mount of cgroups; a relative one is meant
    /// below the mount of the best hierarchy that is allowed. Nothing else is taken in its place.
    Below(PathBuf),
}

/// One means, and the control group in which that of the task is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Candidate {
    Cgroup2(PathBuf),
    Freezer(PathBuf),
    Subreaper,
    ProcessGroup,
}

/// What to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The means, best first; the first one that works is taken.
    pub(crate) candidates: Vec<Candidate>,
    /// Where a group of version 1 is made that counts who is killed for want of memory, if it can be.
    pub(crate) memory: Option<PathBuf>,
}

/// Why a parent that was asked for can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefusedParent {
    #[error(
        "it lies below no cgroup mount that may be used; /proc/self/mountinfo lists the mounts"
    )]
    NotMounted,
    #[error("it has a `..` in it")]
    Leaves,
    #[error("it is empty")]
    Empty,
}

/// Gives what to try for a task.
pub(crate) fn choose(
    host: &Hierarchies,
    allowed: Allowed,
    parent: &CgroupParent,
) -> Result<Plan, RefusedParent> {
    let mut plan = Plan {
        candidates: Vec::new(),
        memory: None,
    };
    match parent {
        CgroupParent::Below(path) => {
            plan.candidates.push(below(host, allowed, path)?);
            return Ok(plan);
        }
        CgroupParent::Own => {
            let own = |mount: &Mount| host.own_group(mount);
            let cgroup2 = host.version_2().find_map(own).map(Candidate::Cgroup2);
            let freezer = host
                .version_1("freezer")
                .find_map(own)
                .map(Candidate::Freezer);
            plan.candidates.extend(cgroup2.filter(|_| allowed.cgroup2));
            plan.candidates.extend(freezer.filter(|_| allowed.freezer));
            plan.memory = host.version_1("memory").find_map(own);
        }
        CgroupParent::Off => {}
    }
    if allowed.subreaper {
        plan.candidates.push(Candidate::Subreaper);
    }
    plan.candidates.push(Candidate::ProcessGroup);
    Ok(plan)
}

fn below(host: &Hierarchies, allowed: Allowed, path: &Path) -> Result<Candidate, RefusedParent> {
    if leaves(path) {
        return Err(RefusedParent::Leaves);
    }
    if path.as_os_str().is_empty() {
        return Err(RefusedParent::Empty);
    }
    // A relative path lies below any mount.
    let shows = |mount: &&Mount| path.is_relative() || path.starts_with(&mount.point);
    let cgroup2 = host.version_2().find(shows).filter(|_| allowed.cgroup2);
    let freezer = host
        .version_1("freezer")
        .find(shows)
        .filter(|_| allowed.freezer);
    // An absolute path is not changed by being joined.
    match (cgroup2, freezer) {
        (Some(mount), _) => Ok(Candidate::Cgroup2(mount.point.join(path))),
        (None, Some(mount)) => Ok(Candidate::Freezer(mount.point.join(path))),
        (None, None) => Err(RefusedParent::NotMounted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURE: &str = "31 30 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const HYBRID: &str = "\
31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
    const LEGACY: &str = "32 30 0:28 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n";
    const ALL: Allowed = Allowed {
        cgroup2: true,
        freezer: true,
        subreaper: true,
    };

    fn host(mounts: &str) -> Hierarchies {
        Hierarchies::parse(mounts, "0::/own\n6:freezer:/old\n4:memory:/mem\n")
    }

    fn candidates(mounts: &str, allowed: Allowed, parent: &CgroupParent) -> Vec<Candidate> {
        choose(&host(mounts), allowed, parent).unwrap().candidates
    }

    fn refused(mounts: &str, allowed: Allowed, path: &str) -> RefusedParent {
        choose(&host(mounts), allowed, &CgroupParent::Below(path.into())).unwrap_err()
    }

    #[test]
    fn the_best_means_that_is_mounted_comes_first() {
        let own = CgroupParent::Own;
        let cgroup2 = |path: &str| Candidate::Cgroup2(path.into());
        let freezer = || Candidate::Freezer("/sys/fs/cgroup/freezer/old".into());
        assert_eq!(
            candidates(PURE, ALL, &own),
            [
                cgroup2("/sys/fs/cgroup/own"),
                Candidate::Subreaper,
                Candidate::ProcessGroup
            ]
        );
        assert_eq!(
            candidates(HYBRID, ALL, &own),
            [
                cgroup2("/sys/fs/cgroup/unified/own"),
                freezer(),
                Candidate::Subreaper,
                Candidate::ProcessGroup
            ]
        );
        assert_eq!(
            candidates(LEGACY, ALL, &own),
            [freezer(), Candidate::Subreaper, Candidate::ProcessGroup]
        );
        assert_eq!(
            candidates("", ALL, &own),
            [Candidate::Subreaper, Candidate::ProcessGroup]
        );
    }

    #[test]
    fn what_is_not_allowed_is_not_tried() {
        let own = CgroupParent::Own;
        assert_eq!(candidates(HYBRID, Allowed::default(), &own).len(), 3);
        let only_freezer = Allowed {
            cgroup2: false,
            subreaper: false,
            ..ALL
        };
        assert_eq!(
            candidates(HYBRID, only_freezer, &own),
            [
                Candidate::Freezer("/sys/fs/cgroup/freezer/old".into()),
                Candidate::ProcessGroup
            ]
        );
        let none = Allowed {
            cgroup2: false,
            freezer: false,
            subreaper: false,
        };
        assert_eq!(candidates(HYBRID, none, &own), [Candidate::ProcessGroup]);
    }

    #[test]
    fn off_names_no_cgroup() {
        let plan = choose(&host(HYBRID), ALL, &CgroupParent::Off).unwrap();
        assert_eq!(
            plan.candidates,
            [Candidate::Subreaper, Candidate::ProcessGroup]
        );
        assert_eq!(plan.memory, None);
    }

    #[test]
    fn an_absolute_parent_is_taken_as_it_is_and_nothing_in_its_place() {
        for (mounts, path, expected) in [
            (
                PURE,
                "/sys/fs/cgroup/a/b",
                Candidate::Cgroup2("/sys/fs/cgroup/a/b".into()),
            ),
            (
                HYBRID,
                "/sys/fs/cgroup/unified/a",
                Candidate::Cgroup2("/sys/fs/cgroup/unified/a".into()),
            ),
            (
                HYBRID,
                "/sys/fs/cgroup/freezer/a",
                Candidate::Freezer("/sys/fs/cgroup/freezer/a".into()),
            ),
        ] {
            assert_eq!(
                candidates(mounts, ALL, &CgroupParent::Below(path.into())),
                [expected]
            );
        }
    }

    #[test]
    fn a_relative_parent_lies_below_the_mount_of_the_best_hierarchy() {
        let parent = CgroupParent::Below("a.slice/b".into());
        assert_eq!(
            candidates(HYBRID, ALL, &parent),
            [Candidate::Cgroup2(
                "/sys/fs/cgroup/unified/a.slice/b".into()
            )]
        );
        assert_eq!(
            candidates(LEGACY, ALL, &parent),
            [Candidate::Freezer(
                "/sys/fs/cgroup/freezer/a.slice/b".into()
            )]
        );
    }

    #[test]
    fn a_parent_that_can_be_none_is_refused_with_the_cause() {
        assert_eq!(refused(HYBRID, ALL, "/tmp/a"), RefusedParent::NotMounted);
        assert_eq!(
            refused(HYBRID, ALL, "/sys/fs/cgroup/memory/a"),
            RefusedParent::NotMounted
        );
        assert_eq!(refused("", ALL, "a"), RefusedParent::NotMounted);
        assert_eq!(refused(HYBRID, ALL, "a/../../b"), RefusedParent::Leaves);
        assert_eq!(refused(HYBRID, ALL, ""), RefusedParent::Empty);
        let no_cgroup2 = Allowed {
            cgroup2: false,
            ..ALL
        };
        assert_eq!(
            refused(PURE, no_cgroup2, "/sys/fs/cgroup/a"),
            RefusedParent::NotMounted
        );
    }

    #[test]
    fn who_is_killed_for_want_of_memory_is_counted_beside_the_own_group() {
        let plan = choose(&host(HYBRID), ALL, &CgroupParent::Own).unwrap();
        assert_eq!(plan.memory, Some("/sys/fs/cgroup/memory/mem".into()));
        assert_eq!(
            choose(&host(PURE), ALL, &CgroupParent::Own).unwrap().memory,
            None
        );
    }

    #[test]
    fn only_a_process_group_has_a_gap() {
        for kind in [Kind::Cgroup2, Kind::Freezer, Kind::Subreaper] {
            assert_eq!(kind.gap(), None, "{kind}");
        }
        assert!(Kind::ProcessGroup.gap().is_some());
    }
}
