//! Where the number of a process means that process (edge).

use std::fs;
use std::io;

use crate::cgroup::own_namespace;

/// A start of the machine, and a pid namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The id of the start: no process, and no pid, is the same in another, random(4).
    pub(crate) boot: String,
    /// The inode of the namespace, pid_namespaces(7): in another one the number is nobody's, or a stranger's.
    pub(crate) pid_namespace: u64,
}

impl Origin {
    /// Gives that of this process.
    ///
    /// # Errors
    /// The error of reading it.
    pub(crate) fn own() -> io::Result<Origin> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Origin {
            boot: boot.trim().to_owned(),
            pid_namespace: own_namespace()?,
        })
    }
}
