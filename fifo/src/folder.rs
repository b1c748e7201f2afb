//! Opens a folder below a trusted root without following any link. This module is an edge.
//!
//! It must never open a folder that a symbolic link leads to, nor one outside of the root, whoever
//! renames or replaces folders meanwhile. The path of the root itself belongs to the host and is resolved
//! as usual, but for its last part, which must be no link either.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, fstatat};

use crate::open::FileKind;

/// How a folder is opened: only to reach what lies in it.
const FOLDER: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// Why a folder is not opened.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The path does not begin with the root, or leads back up.
    #[error(
        "open {}: it is not below the trusted root {}; write it as that root and names without .., or \
         name another root", path.display(), root.display()
    )]
    OutsideRoot {
        /// The path as it was given.
        path: PathBuf,
        /// The root as it was given.
        root: PathBuf,
    },
    /// The root or a part of the path below it is a symbolic link, which was not followed.
    #[error(
        "open {}: it is a symbolic link, and none is followed from the trusted root {} on; put the folder \
         itself there", link.display(), root.display()
    )]
    Link {
        /// The path up to the link.
        link: PathBuf,
        /// The root as it was given.
        root: PathBuf,
    },
    /// A part of the path can't be opened as a folder.
    #[error("open {}", part.display())]
    Open {
        /// The path up to that part.
        part: PathBuf,
        /// The error of `openat(2)`.
        source: io::Error,
    },
}

impl FolderError {
    /// The error of the system call, when there was one.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            FolderError::OutsideRoot { .. } | FolderError::Link { .. } => None,
            FolderError::Open { source, .. } => Some(source),
        }
    }
}

/// Opens a folder below a root, or the root itself, without following a link (contract SEC-1). The handle
/// has `O_PATH`: what lies in the folder is reached through it.
///
/// The kernel resolves the path in one call where it can (`openat2(2)`). Where it can't, or refuses, the
/// path is walked part by part (`openat(2)` with `O_NOFOLLOW`), which gives the same handle or says
/// which part is in the way. So an old kernel, or a filter of system calls, changes nothing.
///
/// # Errors
/// - [`FolderError::OutsideRoot`]: the path is not the root followed by names. It is compared as
///   written: a relative path lies below a relative root only.
/// - [`FolderError::Link`], [`FolderError::Open`]: a part is a link, or can't be opened as a folder.
pub fn open_folder_below(root: &Path, path: &Path) -> Result<OwnedFd, FolderError> {
    let names = names_below(root, path)?;
    let handle = open_part(AT_FDCWD, root, root, root)?;
    if names.as_os_str().is_empty() {
        return Ok(handle);
    }
    at_once(&handle, names).or_else(|_| part_by_part(handle, root, names))
}

/// The part of the path below the root; empty if it is the root.
fn names_below<'a>(root: &Path, path: &'a Path) -> Result<&'a Path, FolderError> {
    path.strip_prefix(root)
        .ok()
        .filter(|names| {
            names
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
        })
        .ok_or_else(|| FolderError::OutsideRoot {
            path: path.to_owned(),
            root: root.to_owned(),
        })
}

fn at_once(root: &OwnedFd, names: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    openat2(root, names, OpenHow::new().flags(FOLDER).resolve(resolve))
}

fn part_by_part(handle: OwnedFd, root: &Path, names: &Path) -> Result<OwnedFd, FolderError> {
    let mut reached = (handle, root.to_owned());
    for name in names {
        let (folder, so_far) = &reached;
        let part = so_far.join(name);
        let next = open_part(folder.as_fd(), Path::new(name), &part, root)?;
        reached = (next, part);
    }
    Ok(reached.0)
}

/// Opens one part of a path in the folder before it.
fn open_part(
    folder: BorrowedFd<'_>,
    name: &Path,
    part: &Path,
    root: &Path,
) -> Result<OwnedFd, FolderError> {
    openat(folder, name, FOLDER, Mode::empty()).map_err(|errno| {
        // With O_DIRECTORY a link gives ENOTDIR, as anything that is no folder does.
        let stat = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        if stat.is_ok_and(|stat| FileKind::of(&stat) == FileKind::Symlink) {
            return FolderError::Link {
                link: part.to_owned(),
                root: root.to_owned(),
            };
        }
        FolderError::Open {
            part: part.to_owned(),
            source: errno.into(),
        }
    })
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
