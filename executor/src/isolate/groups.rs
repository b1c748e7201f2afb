//! Where the control groups of an isolated task are made (core).
//!
//! One of version 2, or the freezer of version 1, holds it. On a host of version 1 the container library puts it into a
//! group of every other hierarchy too, by one path below all mounts; so all have the same name, and that is one which
//! none of them had before.

use std::path::{Path, PathBuf};

use crate::cgroup::{Hierarchies, Kind};

/// The groups in which those of a task are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// What holds the task, and the group that its own is made in.
    pub(crate) kind: Kind,
    pub(crate) holding: PathBuf,
    /// Those of the other hierarchies.
    pub(crate) beside: Vec<PathBuf>,
    /// Where both lie for the container library, which knows paths below mounts.
    pub(crate) below_mount: PathBuf,
}

impl Layout {
    /// The path of the groups of this name, as the container library wants it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.below_mount.join(name)
    }
}

/// Gives the places for the groups of a task; none if nothing could hold it.
pub(crate) fn lay_out(host: &Hierarchies) -> Option<Layout> {
    let root = PathBuf::from("/");
    let mut beside: Vec<PathBuf> = host
        .version_1_with_controllers()
        .map(|mount| mount.point.clone())
        .collect();
    let version_2 = host
        .version_2()
        .find_map(|mount| Some((&mount.point, host.own_group(mount)?)));
    if let Some((point, own)) = version_2 {
        let below_mount = if beside.is_empty() {
            let below = own.strip_prefix(point).unwrap_or(Path::new(""));
            root.join(below)
        } else {
            root
        };
        return Some(Layout {
            kind: Kind::Cgroup2,
            holding: own,
            beside,
            below_mount,
        });
    }
    let freezer = host.version_1("freezer").next()?.point.clone();
    beside.retain(|point| *point != freezer);
    Some(Layout {
        kind: Kind::Freezer,
        holding: freezer,
        beside,
        below_mount: root,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEMD: &str =
        "29 30 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
    const LEGACY: &str = "\
31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpuacct,cpu
";
    const UNIFIED: &str = "34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const PURE: &str = "34 30 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

    fn of(mounts: &str) -> Option<Layout> {
        let own = "0::/a.slice/b\n6:freezer:/c\n4:memory:/d\n1:name=systemd:/e\n";
        lay_out(&Hierarchies::parse(mounts, own))
    }

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn on_a_hybrid_host_version_2_holds_and_the_hierarchies_of_version_1_limit() {
        let layout = of(&[SYSTEMD, LEGACY, UNIFIED].concat()).unwrap();
        assert_eq!(layout.kind, Kind::Cgroup2);
        assert_eq!(
            layout.holding,
            Path::new("/sys/fs/cgroup/unified/a.slice/b")
        );
        assert_eq!(
            layout.beside,
            paths(&[
                "/sys/fs/cgroup/memory",
                "/sys/fs/cgroup/freezer",
                "/sys/fs/cgroup/cpu,cpuacct"
            ])
        );
        assert_eq!(layout.path("one"), Path::new("/one"));
    }

    #[test]
    fn on_a_pure_host_one_group_holds_and_limits() {
        let layout = of(PURE).unwrap();
        assert_eq!(layout.holding, Path::new("/sys/fs/cgroup/a.slice/b"));
        assert_eq!(layout.beside, paths(&[]));
        assert_eq!(layout.path("one"), Path::new("/a.slice/b/one"));
    }

    #[test]
    fn without_version_2_the_freezer_holds() {
        let layout = of(LEGACY).unwrap();
        assert_eq!(layout.kind, Kind::Freezer);
        assert_eq!(layout.holding, Path::new("/sys/fs/cgroup/freezer"));
        assert_eq!(
            layout.beside,
            paths(&["/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu,cpuacct"])
        );
        assert_eq!(layout.path("one"), Path::new("/one"));
    }

    #[test]
    fn without_either_nothing_can_hold_a_task() {
        assert_eq!(of(""), None);
        assert_eq!(of(SYSTEMD), None);
        assert_eq!(of(LEGACY.lines().next().unwrap()), None);
    }
}
