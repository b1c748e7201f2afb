//! Which hierarchies of control groups are mounted, and where this process is in them (core).
//!
//! Two files of the kernel tell it. A line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`):
//! ```text
//! 36 35 0:29 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
//!            ^ root of the mount in its hierarchy                  ^ type          ^ of V1: its controllers
//! ```
//! and a line of `/proc/self/cgroup` (cgroups(7)): `6:freezer:/a/b`, or `0::/a/b` in version 2.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// The controllers of version 1, cgroups(7).
const CONTROLLERS: [&str; 12] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

/// One mount of a hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// Which group of the hierarchy is seen there.
    root: PathBuf,
    /// None in version 2; the controllers in version 1.
    controllers: Option<Vec<String>>,
}

/// What is mounted, and where this process is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    mounts: Vec<Mount>,
    /// Controllers, which are none in version 2, and the group.
    memberships: Vec<(Vec<String>, PathBuf)>,
}

impl Hierarchies {
    /// Reads the two files. Lines that are not understood are none.
    pub(crate) fn parse(mountinfo: &str, memberships: &str) -> Hierarchies {
        Hierarchies {
            mounts: mountinfo.lines().filter_map(mount).collect(),
            memberships: memberships.lines().filter_map(membership).collect(),
        }
    }

    /// The mounts of version 2: one on a pure host, and on a hybrid one beside those of version 1.
    pub(crate) fn version_2(&self) -> impl Iterator<Item = &Mount> {
        self.mounts
            .iter()
            .filter(|mount| mount.controllers.is_none())
    }

    /// The mounts of version 1 that have this controller.
    pub(crate) fn version_1<'a>(&'a self, controller: &'a str) -> impl Iterator<Item = &'a Mount> {
        self.mounts.iter().filter(move |mount| {
            let controllers = mount.controllers.as_deref().unwrap_or_default();
            controllers.iter().any(|one| one == controller)
        })
    }

    /// The mounts of version 1 that limit or count something: all but those that have a name only.
    pub(crate) fn version_1_with_controllers(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| {
            let controllers = mount.controllers.as_deref().unwrap_or_default();
            controllers
                .iter()
                .any(|one| CONTROLLERS.contains(&one.as_str()))
        })
    }

    /// The folder of this process's own group in a mount; none if the mount does not show it.
    pub(crate) fn own_group(&self, mount: &Mount) -> Option<PathBuf> {
        let wanted = mount.controllers.as_deref().unwrap_or_default();
        let (_, group) = self.memberships.iter().find(|(controllers, _)| {
            // Those of one hierarchy are the same in both files, but for their order and the options beside.
            match controllers.first() {
                None => wanted.is_empty(),
                Some(first) => wanted.contains(first),
            }
        })?;
        // A group outside of the namespace of this process begins with `/..`, cgroup_namespaces(7).
        if leaves(group) {
            return None;
        }
        let below = group.strip_prefix(&mount.root).ok()?;
        Some(mount.point.join(below))
    }
}

/// True if a path has a part that leads upwards.
pub(super) fn leaves(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

fn mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    // Most mounts are of another kind.
    let mut kind = kind.split(' ');
    let controllers = match kind.next()? {
        "cgroup2" => None,
        "cgroup" => Some(kind.nth(1)?.split(',').map(str::to_owned).collect()),
        _ => return None,
    };
    let mut place = place.split(' ').skip(3);
    Some(Mount {
        root: PathBuf::from(unescaped(place.next()?)),
        point: PathBuf::from(unescaped(place.next()?)),
        controllers,
    })
}

fn membership(line: &str) -> Option<(Vec<String>, PathBuf)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, group) = rest.split_once(':')?;
    let controllers = controllers.split(',').filter(|one| !one.is_empty());
    Some((controllers.map(str::to_owned).collect(), group.into()))
}

/// Spaces, tabs, newlines and backslashes of a path stand as three octal digits behind a backslash.
fn unescaped(text: &str) -> OsString {
    if !text.contains('\\') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let octal = behind
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &behind[3..];
            }
            Some(_) | None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// Reads the counter of processes that were killed for want of memory. It stands in `memory.events` of version
/// 2 and in `memory.oom_control` of version 1 as `oom_kill N`.
pub(crate) fn oom_kills(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
25 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 25 0:26 / /sys/fs/cgroup rw,relatime shared:7 - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
33 30 0:29 / /sys/fs/cgroup/unified rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw,nsdelegate
34 25 0:30 /sub /mnt/a\\040b rw - cgroup cgroup rw,memory
";

    #[test]
    fn the_mounts_of_both_versions_are_found() {
        let all = Hierarchies::parse(HYBRID, "6:freezer:/a\n0::/b/c\n2:cpu,cpuacct:/d\n");
        let points = |mounts: Vec<&Mount>| -> Vec<PathBuf> {
            mounts
                .into_iter()
                .map(|mount| mount.point.clone())
                .collect()
        };
        assert_eq!(
            points(all.version_2().collect()),
            [Path::new("/sys/fs/cgroup/unified")]
        );
        assert_eq!(
            points(all.version_1("freezer").collect()),
            [Path::new("/sys/fs/cgroup/freezer")]
        );
        assert_eq!(
            points(all.version_1("cpuacct").collect()),
            [Path::new("/sys/fs/cgroup/cpu,cpuacct")]
        );
        assert_eq!(
            points(all.version_1("memory").collect()),
            [Path::new("/mnt/a b")]
        );
        assert!(all.version_1("pids").next().is_none());
    }

    #[test]
    fn the_own_group_is_looked_up_in_the_hierarchy_of_the_mount() {
        let all = Hierarchies::parse(
            HYBRID,
            "6:freezer:/a\n0::/b/c\n2:cpu,cpuacct:/d\n4:memory:/sub/e\n",
        );
        let own = |mount: Option<&Mount>| all.own_group(mount.unwrap());
        assert_eq!(
            own(all.version_2().next()),
            Some("/sys/fs/cgroup/unified/b/c".into())
        );
        assert_eq!(
            own(all.version_1("freezer").next()),
            Some("/sys/fs/cgroup/freezer/a".into())
        );
        assert_eq!(
            own(all.version_1("cpu").next()),
            Some("/sys/fs/cgroup/cpu,cpuacct/d".into())
        );
        assert_eq!(
            own(all.version_1("memory").next()),
            Some("/mnt/a b/e".into())
        );
    }

    #[test]
    fn a_group_that_the_mount_does_not_show_is_none() {
        for group in [
            "4:memory:/elsewhere",
            "4:memory:/",
            "4:memory:/../sub",
            "0::/sub",
        ] {
            let all = Hierarchies::parse(HYBRID, group);
            let mount = all.version_1("memory").next().unwrap();
            assert_eq!(all.own_group(mount), None, "{group}");
        }
        let all = Hierarchies::parse(HYBRID, "0::/../outside");
        assert_eq!(all.own_group(all.version_2().next().unwrap()), None);
    }

    #[test]
    fn a_line_that_is_not_understood_is_none() {
        let all = Hierarchies::parse("\n1 2 3\n1 2 3 / /x - cgroup\n - cgroup2 a b", "x\n1:\n");
        assert_eq!(all, Hierarchies::default());
    }

    #[test]
    fn the_counter_of_both_versions_is_read() {
        let version_2 = "low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\noom_group_kill 4\n";
        assert_eq!(oom_kills(version_2), Some(3));
        let version_1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n";
        assert_eq!(oom_kills(version_1), Some(1));
        assert_eq!(oom_kills("oom_kill_disable 0\n"), None);
        assert_eq!(oom_kills(""), None);
    }
}
