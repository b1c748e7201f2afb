//! What an isolated task finds around it, as it is asked for (core).

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::capabilities::Capability;
use super::limits::CpuShares;

/// Whether a task has a namespace of its own or that of the host, namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NamespaceMode {
    /// One of its own.
    #[default]
    Private,
    /// That of the host.
    Host,
}

/// A file or folder of the host that the task sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The path on the host.
    pub host: PathBuf,
    /// The absolute path in the task. It is made if it is not there.
    pub task: PathBuf,
    /// True if the task can't write through it.
    pub is_read_only: bool,
}

impl FromStr for Mount {
    type Err = String;

    /// Reads `HOST:TASK`, `HOST:TASK:ro` or `HOST:TASK:rw`. A path with a colon can't be said like this.
    fn from_str(text: &str) -> Result<Mount, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let (host, task, is_read_only) = match parts.as_slice() {
            [host, task] | [host, task, "rw"] => (host, task, false),
            [host, task, "ro"] => (host, task, true),
            _ => return Err("write it as HOST:TASK, HOST:TASK:ro or HOST:TASK:rw".into()),
        };
        let mount = Mount {
            host: host.into(),
            task: task.into(),
            is_read_only,
        };
        match mount.fault() {
            Some(why) => Err(why),
            None => Ok(mount),
        }
    }
}

impl Mount {
    /// Why it can't be one; none if it can.
    pub(crate) fn fault(&self) -> Option<String> {
        if !self.host.is_absolute() {
            return Some(format!("{} is not absolute", self.host.display()));
        }
        if !is_inside(&self.task) {
            return Some(format!(
                "{} is no absolute path in the task without `..`",
                self.task.display()
            ));
        }
        None
    }
}

/// True if a path leads from the root of a task to something in it, and nowhere else.
fn is_inside(path: &Path) -> bool {
    let mut parts = path.components();
    parts.next() == Some(Component::RootDir)
        && parts.clone().next().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// A device of the host that the task has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its path, on the host and in the task.
    pub path: PathBuf,
    /// What the task may do with it: of `r`, `w` and `m`, mknod(2), each at most once.
    pub access: String,
}

impl FromStr for Device {
    type Err = String;

    /// Reads `PATH` or `PATH:ACCESS`; without an access it is `rwm`.
    fn from_str(text: &str) -> Result<Device, String> {
        let (path, access) = text.split_once(':').unwrap_or((text, "rwm"));
        let device = Device {
            path: path.into(),
            access: access.into(),
        };
        match device.fault() {
            Some(why) => Err(why),
            None => Ok(device),
        }
    }
}

impl Device {
    /// Why it can't be one; none if it can.
    pub(crate) fn fault(&self) -> Option<String> {
        if !is_inside(&self.path) {
            return Some(format!(
                "{} is no absolute path without `..`",
                self.path.display()
            ));
        }
        let is_access = |one: char| "rwm".contains(one) && self.access.matches(one).count() == 1;
        if self.access.is_empty() || !self.access.chars().all(is_access) {
            return Some(format!("{:?} is not of r, w and m", self.access));
        }
        None
    }
}

/// What an isolated task finds around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// The folder that is the root of its file system. Folders that something is mounted on are made in it.
    pub root: PathBuf,
    /// Whether it sees its own processes alone; none: as the executor was told.
    pub pid: Option<NamespaceMode>,
    /// Whether it has System V and POSIX message queues of its own; none: as the executor was told.
    pub ipc: Option<NamespaceMode>,
    /// What of the host it sees beside the root.
    pub mounts: Vec<Mount>,
    /// What devices it has beside null, zero, full, random, urandom and tty.
    pub devices: Vec<Device>,
    /// How much memory its processes may use together, in bytes, 1 or more; none: no limit.
    pub memory_bytes: Option<u64>,
    /// How much of that the kernel takes from them after what others have beyond theirs, in bytes, from 1 to the limit;
    /// none: nothing is kept for them.
    pub memory_reserve_bytes: Option<u64>,
    /// Its part of the processor when it is short; none: as any other group.
    pub cpu_shares: Option<CpuShares>,
    /// The capabilities that it has beyond those that every task has. `ALL` is every one that the executor has.
    pub add: Vec<Capability>,
    /// Those of every task that it has not.
    pub drop: Vec<Capability>,
}

impl ContainerSpec {
    /// A root and nothing else.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> ContainerSpec {
        ContainerSpec {
            root: root.into(),
            pid: None,
            ipc: None,
            mounts: Vec::new(),
            devices: Vec::new(),
            memory_bytes: None,
            memory_reserve_bytes: None,
            cpu_shares: None,
            add: Vec::new(),
            drop: Vec::new(),
        }
    }

    /// Why it can't be done on any machine; none if it can.
    pub(crate) fn fault(&self) -> Option<String> {
        let mounts = self.mounts.iter().filter_map(Mount::fault);
        let devices = self.devices.iter().filter_map(Device::fault);
        mounts.chain(devices).chain(self.memory_fault()).next()
    }

    fn memory_fault(&self) -> Option<String> {
        match (self.memory_bytes, self.memory_reserve_bytes) {
            (Some(0), _) => Some("no task runs without memory".into()),
            (_, Some(0)) => Some("to keep no memory for it is to say nothing of it".into()),
            (Some(limit), Some(kept)) if kept > limit => Some(format!(
                "{kept} bytes of memory can't be kept for a task that may use {limit}"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mount_names_both_paths_and_may_be_read_only() {
        let mount = |text: &str| text.parse::<Mount>();
        let plain = Mount {
            host: "/srv/a".into(),
            task: "/data".into(),
            is_read_only: false,
        };
        assert_eq!(mount("/srv/a:/data"), Ok(plain.clone()));
        assert_eq!(mount("/srv/a:/data:rw"), Ok(plain.clone()));
        assert_eq!(
            mount("/srv/a:/data:ro"),
            Ok(Mount {
                is_read_only: true,
                ..plain
            })
        );
        for wrong in [
            "",
            "/a",
            "/a:",
            ":/a",
            "a:/b",
            "/a:b",
            "/a:/",
            "/a:/b/../c",
            "/a:/b:x",
            "/a:/b:ro:",
        ] {
            assert!(mount(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_device_may_be_used_in_every_way_unless_less_is_said() {
        let device = |text: &str| text.parse::<Device>().map(|one| one.access);
        assert_eq!(device("/dev/fuse"), Ok("rwm".into()));
        assert_eq!(device("/dev/fuse:r"), Ok("r".into()));
        assert_eq!(device("/dev/fuse:mw"), Ok("mw".into()));
        for wrong in ["", "dev", "/dev/fuse:", "/dev/fuse:x", "/dev/fuse:rr", "/"] {
            assert!(device(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_said_in_fields_is_checked_like_what_is_said_in_words() {
        let mut spec = ContainerSpec::new("/srv/root");
        assert_eq!(spec.fault(), None);
        spec.memory_bytes = Some(0);
        assert!(spec.fault().unwrap().contains("without memory"));
        for (limit, kept, is_right) in [
            (None, Some(1), true),
            (Some(5), Some(5), true),
            (Some(5), Some(6), false),
            (Some(5), Some(0), false),
            (None, Some(0), false),
        ] {
            (spec.memory_bytes, spec.memory_reserve_bytes) = (limit, kept);
            assert_eq!(spec.fault().is_none(), is_right, "{limit:?}, {kept:?}");
        }
        spec.mounts.push(Mount {
            host: "/a".into(),
            task: "/../b".into(),
            is_read_only: false,
        });
        assert!(spec.fault().unwrap().contains("/../b"));
    }

    proptest! {
        #[test]
        fn a_mount_never_leads_to_the_root_or_out_of_it(text in "/[a./]{0,6}:[a./]{0,8}(:ro)?") {
            if let Ok(mount) = text.parse::<Mount>() {
                let parts: Vec<_> = mount.task.components().collect();
                prop_assert!(parts.len() > 1 && mount.task.is_absolute());
                prop_assert!(!parts.contains(&Component::ParentDir));
            }
        }
    }
}
