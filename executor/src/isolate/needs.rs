//! What an executor needs to isolate a task (core), and what of it this process lacks (edge).

use std::fmt;
use std::fs;
use std::path::Path;

use rustix::process::geteuid;

use super::capabilities::SYS_ADMIN;
use super::container::NamespaceMode;

/// What is missing. Nothing less is done in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The user is not root.
    Root,
    /// Root without CAP_SYS_ADMIN, as in most containers.
    SysAdmin,
    /// The kernel was built without this kind of namespace.
    Namespace(&'static str),
    /// No hierarchy of control groups is mounted in which this process could make one.
    Cgroup,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Root => f.write_str("only root can; start the executor as root"),
            Missing::SysAdmin => f.write_str(
                "this process lacks CAP_SYS_ADMIN; start the executor outside of a container, or in one that has it",
            ),
            Missing::Namespace(name) => write!(f, "the kernel has no {name} namespaces"),
            Missing::Cgroup => f.write_str(
                "there is no cgroup of version 2 and no freezer of version 1 in which this process could make a cgroup; \
                 /proc/self/mountinfo lists what is mounted",
            ),
        }
    }
}

/// What this process is and has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) is_root: bool,
    /// Its effective capabilities, each by the bit of its number.
    pub(crate) capabilities: u64,
    /// The kinds of namespaces that the kernel has, as they stand in `/proc/self/ns`.
    pub(crate) namespaces: Vec<String>,
}

impl Facts {
    /// Looks at this process. What can't be looked at is not there.
    pub(crate) fn of_this_process() -> Facts {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let entries = fs::read_dir(Path::new("/proc/self/ns"))
            .into_iter()
            .flatten();
        Facts {
            is_root: geteuid().is_root(),
            capabilities: mask(&status, "CapEff").unwrap_or(0),
            namespaces: entries
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .collect(),
        }
    }

    /// Gives the first thing that is missing for a task with these namespaces of its own.
    pub(crate) fn missing(&self, pid: NamespaceMode, ipc: NamespaceMode) -> Option<Missing> {
        if !self.is_root {
            return Some(Missing::Root);
        }
        if self.capabilities & (1 << SYS_ADMIN) == 0 {
            return Some(Missing::SysAdmin);
        }
        let has = |name: &str| self.namespaces.iter().any(|one| one == name);
        let wanted = [
            (true, "mnt", "mount"),
            (pid == NamespaceMode::Private, "pid", "pid"),
            (ipc == NamespaceMode::Private, "ipc", "ipc"),
        ];
        let lacking = wanted
            .iter()
            .find(|(is_wanted, file, _)| *is_wanted && !has(file));
        lacking.map(|(_, _, name)| Missing::Namespace(name))
    }
}

/// Reads a field of `/proc/PID/status` that is a set of bits in hexadecimal digits.
pub(super) fn mask(status: &str, field: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    u64::from_str_radix(value.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use NamespaceMode::{Host, Private};

    fn root() -> Facts {
        Facts {
            is_root: true,
            capabilities: 1 << SYS_ADMIN,
            namespaces: ["mnt", "pid", "ipc", "net"].map(str::to_owned).to_vec(),
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(root().missing(Private, Private), None);
        let user = Facts {
            is_root: false,
            ..root()
        };
        assert_eq!(user.missing(Private, Private), Some(Missing::Root));
        let contained = Facts {
            capabilities: !(1 << SYS_ADMIN),
            ..root()
        };
        assert_eq!(contained.missing(Host, Host), Some(Missing::SysAdmin));
    }

    #[test]
    fn a_namespace_is_needed_only_if_the_task_has_one_of_its_own() {
        let without = |name: &str| {
            let mut facts = root();
            facts.namespaces.retain(|one| one != name);
            facts
        };
        let mount = Some(Missing::Namespace("mount"));
        assert_eq!(without("mnt").missing(Host, Host), mount);
        let pid = Some(Missing::Namespace("pid"));
        assert_eq!(without("pid").missing(Private, Host), pid);
        assert_eq!(without("pid").missing(Host, Private), None);
        let ipc = Some(Missing::Namespace("ipc"));
        assert_eq!(without("ipc").missing(Host, Private), ipc);
        assert_eq!(without("ipc").missing(Private, Host), None);
    }

    #[test]
    fn a_set_is_read_from_the_status_of_a_process() {
        let status = "Name:\ta\nCapEff:\t000001fffeffffff\nSigCgt:\t0000000000004000\n";
        assert_eq!(mask(status, "CapEff"), Some(0x1ff_feff_ffff));
        assert_eq!(mask(status, "SigCgt"), Some(1 << 14));
        assert_eq!((mask(status, "Cap"), mask("", "CapEff")), (None, None));
    }
}
