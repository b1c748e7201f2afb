//! Groups that an executor which was killed has left (edge).
//!
//! A group has the pid of its maker in its name, and which pid namespace that number is of in an attribute, xattr(7),
//! that cgroups have since Linux 5.7. It is removed if it was made in the namespace of this process, nobody has the
//! number any more, and it is empty, which rmdir(2) sees to. Two namespaces that live have not the same number; of one
//! that is gone all processes are gone, too. So what has no such attribute stays, and so does a group whose number
//! somebody else has got. Nobody is killed. An executor may have been killed in the group of another one: what is left
//! in a group goes first.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{XattrFlags, lgetxattr, setxattr};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The attribute: the inode of the pid namespace, as a decimal number.
const MARK: &str = "user.executor.pid_namespace";

/// How many groups one look removes, so that a start stays short. The next starts remove the rest.
const AT_MOST: usize = 200;

/// Marks a group as made by this process.
pub(super) fn mark(group: &Path) -> io::Result<()> {
    let namespace = own_namespace()?;
    let namespace = namespace.to_string();
    setxattr(group, MARK, namespace.as_bytes(), XattrFlags::empty())?;
    Ok(())
}

/// Removes what was left in a group. What can't be looked at stays.
pub(crate) fn remove_left_in(parent: &Path) {
    let (Ok(namespace), Ok(entries)) = (own_namespace(), fs::read_dir(parent)) else {
        return;
    };
    let mut removed = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        let is_left = |pid: Pid| namespace_of(&path) == Some(namespace) && is_free(pid);
        // Its maker is looked for last.
        if maker(&entry.file_name()).is_some_and(is_left) {
            remove_left_in(&path);
            removed += usize::from(fs::remove_dir(&path).is_ok());
        }
        if removed == AT_MOST {
            return;
        }
    }
}

/// The inode of the pid namespace of this process.
pub(crate) fn own_namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

/// Which pid namespace the number in the name of a group is of; none if nothing says so: version 1 has no such mark.
pub(crate) fn namespace_of(group: &Path) -> Option<u64> {
    let mut value = [0; 32];
    let bytes = lgetxattr(group, MARK, &mut value[..]).ok()?;
    str::from_utf8(&value[..bytes]).ok()?.parse().ok()
}

/// True if nobody has this number, not even as a zombie.
fn is_free(pid: Pid) -> bool {
    matches!(pidfd_open(pid, PidfdFlags::empty()), Err(Errno::SRCH))
}

/// The pid in the name of a group: `executor-PID-NUMBER`.
fn maker(name: &OsStr) -> Option<Pid> {
    let (pid, number) = name.to_str()?.strip_prefix("executor-")?.split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|one| one.is_ascii_digit());
    if !is_number(pid) || !is_number(number) {
        return None;
    }
    Pid::from_raw(pid.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(name: &str) -> Option<i32> {
        maker(OsStr::new(name)).map(|pid| pid.as_raw_nonzero().get())
    }

    #[test]
    fn only_a_name_that_an_executor_gives_has_a_maker() {
        assert_eq!(pid("executor-4711-1"), Some(4711));
        assert_eq!(pid("executor-1-20"), Some(1));
        for name in [
            "executor-4711",
            "executor-4711-",
            "executor--1",
            "executor-+1-1",
            "executor-0-1",
            "executor-99999999999-1",
            "executor-stats-4711-1",
            "executor-4711-1-2",
            "executor-4711-1.scope",
            "my-executor-4711-1",
        ] {
            assert_eq!(pid(name), None, "{name}");
        }
    }

    #[test]
    fn a_number_is_free_once_its_process_was_waited_for() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(!is_free(pid));
        child.wait().unwrap();
        assert!(is_free(pid));
        assert!(!is_free(rustix::process::getpid()));
    }
}
