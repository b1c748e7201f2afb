//! A file system of its own for one case, in namespaces that end with the case process. (edge)
//!
//! The case process leaves the host's mounts before it starts anything. Without the right to mount
//! it becomes the owner of a new user namespace first, in which only its own user and group exist.
//! Mounts made there are seen by its children and by nobody else, and the kernel takes them away
//! with the last of these processes, however they end.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::inotify::{InitFlags, Inotify};
use nix::unistd::{getgid, getuid};

use super::faults::Closed;
use super::limited;
use super::spawn::chain;
use super::stalling::Stalling;
use crate::capability::{Capability, Declarer};
use crate::case::CaseDir;

/// The flags of every mount: what lies there is nobody's program and no device.
const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);
/// The file system that the probe mounts.
const PROBE_BYTES: u64 = 64 << 10;

/// A case can't have a file system of its own.
#[derive(Debug, thiserror::Error)]
pub(super) enum NamespaceError {
    #[error("leave the host's mounts (unshare(2))")]
    Mounts { source: Errno },
    #[error("become the owner of a user namespace (unshare(2))")]
    Users { source: Errno },
    #[error("write {path}")]
    Map {
        path: &'static str,
        source: io::Error,
    },
    #[error("keep mounts from the host")]
    Private { source: Errno },
    #[error("create the folder {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("mount a file system of {bytes} bytes at {path}")]
    Tmpfs {
        bytes: u64,
        path: PathBuf,
        source: Errno,
    },
    #[error("serve a file system at {path}")]
    Served { path: PathBuf, source: io::Error },
    #[error("close the folder {path}")]
    Closed { path: PathBuf, source: io::Error },
    #[error("mount {path} at {place}")]
    Bind {
        path: PathBuf,
        place: PathBuf,
        source: Errno,
    },
    #[error("make the mount at {place} read-only")]
    ReadOnly { place: PathBuf, source: Errno },
}

/// Leaves the host's mounts. This process must have one thread only.
pub(super) fn enter() -> Result<(), NamespaceError> {
    match unshare(CloneFlags::CLONE_NEWNS) {
        Ok(()) => {}
        Err(Errno::EPERM) => own_users()?,
        Err(source) => return Err(NamespaceError::Mounts { source }),
    }
    // What is mounted here must not reach the host, wherever the host shares its mounts.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|source| NamespaceError::Private { source })
}

/// Becomes the owner of a new user namespace with a new mount namespace. User and group stay what
/// they are, so that files and processes belong to the same user as outside.
fn own_users() -> Result<(), NamespaceError> {
    let (user, group) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(|source| NamespaceError::Users { source })?;
    let write = |path: &'static str, text: String| {
        fs::write(path, text).map_err(|source| NamespaceError::Map { path, source })
    };
    // Without this the kernel takes no map of groups from somebody without privileges.
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// Mounts a file system, and a folder of it at the log folder's path; gives what mounting it gave. The
/// log folder is not the whole of it, so that the host has a place on it for what fills it.
pub(super) fn mount_log_folder<T>(
    dir: &CaseDir,
    mount_at: impl FnOnce(&Path) -> Result<T, NamespaceError>,
) -> Result<T, NamespaceError> {
    let create = |path: PathBuf| {
        fs::create_dir_all(&path).map_err(|source| NamespaceError::Folder { path, source })
    };
    create(dir.storage())?;
    create(dir.log())?;
    let mounted = mount_at(&dir.storage())?;
    create(dir.stored_log())?;
    bind(&dir.stored_log(), &dir.log())?;
    Ok(mounted)
}

/// Mounts a file system that this process serves.
pub(super) fn mount_stalling(path: &Path) -> Result<Stalling, NamespaceError> {
    Stalling::mount(path, FLAGS).map_err(|source| NamespaceError::Served {
        path: path.to_owned(),
        source,
    })
}

/// Mounts a file system of so many bytes.
pub(super) fn mount_tmpfs(path: &Path, bytes: u64) -> Result<(), NamespaceError> {
    let options = format!("size={bytes},mode=0700");
    mount(
        Some("tmpfs"),
        path,
        Some("tmpfs"),
        FLAGS,
        Some(options.as_str()),
    )
    .map_err(|source| NamespaceError::Tmpfs {
        bytes,
        path: path.to_owned(),
        source,
    })
}

fn bind(path: &Path, place: &Path) -> Result<(), NamespaceError> {
    mount(
        Some(path),
        place,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .map_err(|source| NamespaceError::Bind {
        path: path.to_owned(),
        place: place.to_owned(),
        source,
    })
}

/// Mounts the log folder read-only above itself. The mount that files are open in can't be made
/// read-only: mount(2) answers EBUSY while one of them is open for writing.
pub(super) fn cover_read_only(place: &Path) -> Result<(), NamespaceError> {
    bind(place, place)?;
    let flags = FLAGS | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(None::<&str>, place, None::<&str>, flags, None::<&str>).map_err(|source| {
        NamespaceError::ReadOnly {
            place: place.to_owned(),
            source,
        }
    })
}

/// Takes away the mount that is on top at this place.
pub(super) fn uncover(place: &Path) -> io::Result<()> {
    Ok(umount2(place, MntFlags::MNT_DETACH)?)
}

/// Puts what is in the case's own file system into the case's folder, before it goes with this
/// process. Nothing is to be done where there is none.
pub(super) fn keep_log_folder(dir: &CaseDir) -> io::Result<()> {
    if !dir.stored_log().is_dir() {
        return Ok(());
    }
    // As often as there is one: an interrupted case may have left a cover on it.
    while umount2(&dir.log(), MntFlags::MNT_DETACH).is_ok() {}
    copy_folder(&dir.stored_log(), &dir.log())?;
    umount2(&dir.storage(), MntFlags::MNT_DETACH)?;
    fs::remove_dir(dir.storage())
}

/// Copies regular files and folders; nobody reads anything else afterwards.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The word that makes this program try what this machine allows.
pub const MACHINE_PROBE_WORD: &str = "__machine";

/// Tries what a case does that needs this capability of the machine. This is the whole of a process,
/// because a process with threads can't enter a user namespace; [`machine_allows`] starts it.
///
/// The status is 0 if it works; else the reason is printed to standard error.
#[must_use]
pub fn machine_probe_main(capability: Capability) -> ExitCode {
    let probed = if capability == Capability::ManyDescriptors {
        limited::has_many().map_err(|error| error.to_string())
    } else if capability == Capability::FileWatches {
        Inotify::init(InitFlags::IN_CLOEXEC)
            .map(drop)
            .map_err(|errno| format!("watch files (see /proc/sys/fs/inotify): {errno}"))
    } else {
        probe(capability).map_err(|error| chain(&error))
    };
    match probed {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            // The status says as much if the reason can't be printed.
            io::Write::write_all(&mut io::stderr(), text.as_bytes()).ok();
            ExitCode::FAILURE
        }
    }
}

fn probe(capability: Capability) -> Result<(), NamespaceError> {
    enter()?;
    // The mount covers the folder for this process only.
    let place = std::env::temp_dir();
    if capability != Capability::StallingStorage {
        mount_tmpfs(&place, PROBE_BYTES)?;
        if capability == Capability::ClosedFolders {
            let path = place.clone();
            return Closed::probe(&place).map_err(|source| NamespaceError::Closed { path, source });
        }
        return cover_read_only(&place);
    }
    mount_stalling(&place)?;
    let path = place.join("probe");
    fs::write(&path, "kept")
        .and_then(|()| fs::read(&path))
        .and_then(|bytes| match bytes.as_slice() {
            b"kept" => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        })
        .map_err(|source| NamespaceError::Served { path, source })
}

/// Whether a case can have what this capability of the machine stands for. `reexec` starts this
/// program.
///
/// # Errors
/// Why not, as the end of "failed to …".
pub fn machine_allows(capability: Capability, reexec: &[String]) -> Result<(), String> {
    let [program, rest @ ..] = reexec else {
        return Err("find this program".to_owned());
    };
    let output = Command::new(program)
        .args(rest)
        .args([MACHINE_PROBE_WORD, capability.as_str()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("start {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if why.is_empty() {
        format!("try it: the probe ended with {}", output.status)
    } else {
        why
    })
}

/// The capabilities that are this machine's own. `reexec` starts this program.
#[must_use]
pub fn machine_capabilities(reexec: &[String]) -> BTreeSet<Capability> {
    Capability::ALL
        .iter()
        .copied()
        .filter(|capability| capability.declarer() == Declarer::Machine)
        .filter(|capability| machine_allows(*capability, reexec).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_copied_with_what_lies_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("deep")).unwrap();
        fs::write(from.join("a.0"), "one").unwrap();
        fs::write(from.join("deep/b"), "two").unwrap();
        std::os::unix::fs::symlink("/", from.join("link")).unwrap();
        copy_folder(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("a.0")).unwrap(), b"one");
        assert_eq!(fs::read(to.join("deep/b")).unwrap(), b"two");
        assert!(to.join("link").symlink_metadata().is_err());
    }

    #[test]
    fn a_case_without_a_file_system_of_its_own_keeps_its_log_folder() {
        let folder = tempfile::tempdir().unwrap();
        let dir = CaseDir::new(folder.path());
        fs::create_dir(dir.log()).unwrap();
        fs::write(dir.log().join("a.0"), "one").unwrap();
        keep_log_folder(&dir).unwrap();
        assert_eq!(fs::read(dir.log().join("a.0")).unwrap(), b"one");
    }

    #[test]
    fn a_machine_that_can_not_be_asked_allows_nothing() {
        assert_eq!(
            machine_allows(Capability::StorageFaults, &[]),
            Err("find this program".to_owned())
        );
        assert_eq!(
            machine_capabilities(&["/bin/false".to_owned()]),
            BTreeSet::new()
        );
    }
}
