//! Makes a FIFO, or accepts one that is there already. This module is an edge.
//!
//! It must never change, replace or remove a file that it did not make, but for a FIFO of its own user
//! that has not got the owner who was asked for; and never give a FIFO more permission bits than were asked
//! for, not even for a moment. A FIFO that it made and could not finish is removed again.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, geteuid, mkfifoat, unlinkat};

use crate::access::{Access, Owner};
use crate::open::{Identity, Place};
use crate::{Error, FileKind};

/// How often a name may come and vanish between "what is it" and "make it" before that is an error.
const ADOPT_ATTEMPTS: u32 = 16;
/// What of its mode a FIFO has until it has its owner: nobody else gets in.
const UNOWNED_BITS: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// Says whether [`create_or_adopt`] made the FIFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The FIFO is new and has the mode and the owner that were asked for.
    Created,
    /// A FIFO was there already. Its content was left as it is, and so were its mode and owner, unless an
    /// owner was asked for that it had not got yet.
    Adopted,
}

/// Makes a FIFO with exactly this mode, whatever the process's umask is.
///
/// `mode` holds permission bits only, `0..=0o777`. The FIFO never has more bits than these: it is made
/// with what the umask leaves, and the missing bits are added on its handle (this step needs `/proc`).
/// The process's umask is neither read nor changed.
///
/// # Errors
/// - [`Error::Create`] with EEXIST when anything has that name, a dangling link included; nothing is
///   changed.
/// - [`Error::InvalidMode`], [`Error::NoFileName`]: the arguments can't be used.
/// - [`Error::OpenFolder`], [`Error::Create`], [`Error::SetMode`], [`Error::Inspect`],
///   [`Error::NotAFifo`]: the system refused, or something replaced the new FIFO at once.
pub fn create(path: &Path, mode: u32) -> Result<(), Error> {
    let access = checked(path, Access::of_mode(mode))?;
    create_in(&Place::open(path)?, access)
}

/// Makes a FIFO as [`create`] does, or accepts a FIFO that is there already, as a restart needs.
///
/// An adopted FIFO keeps its mode and its owner, the bytes in it and its open ends. Compare
/// [`Identity`] of an opened end to know that it is still the same one.
///
/// # Errors
/// As [`create`], but an existing FIFO is no error, and [`Error::NotAFifo`] names whatever else has
/// that name. A symbolic link is refused even if it points to a FIFO. [`Error::ForeignOwner`]: it is
/// neither this process's user's nor root's. [`Error::WorldReadable`]: everybody may take its bytes.
pub fn create_or_adopt(path: &Path, mode: u32) -> Result<Origin, Error> {
    let access = checked(path, Access::of_mode(mode))?;
    create_or_adopt_in(&Place::open(path)?, access)
}

/// Does what [`create_or_adopt`] does, in a folder that is open. A new FIFO is given to its owner before
/// it has any bits for others, and a FIFO of this owner is adopted, too (contract MON-6). One that is there
/// and belongs to this process's user is given to the owner as well: its maker may have been killed before
/// it came to that. If nobody else has any bits yet, it gets the mode, too.
///
/// Root may give a FIFO to anybody, others only to a group of theirs (`chown(2)`).
///
/// # Errors
/// As [`create_or_adopt`]; [`Error::SetOwner`]: the FIFO could not be given away. A new one is gone.
pub fn create_or_adopt_in(place: &Place<'_>, access: Access) -> Result<Origin, Error> {
    let access = checked(place.path, access)?;
    let mut attempts_left = ADOPT_ATTEMPTS;
    loop {
        // A restart, and a host that makes the FIFOs itself, find one there.
        let missing = match place.open_name(OFlag::O_PATH) {
            Ok(handle) => {
                let stat = place.require_fifo(&handle)?;
                place.require_access(&stat, access)?;
                return complete(place, &handle, &stat, access).map(|()| Origin::Adopted);
            }
            Err(errno) => errno,
        };
        match create_in(place, access) {
            Ok(()) => return Ok(Origin::Created),
            Err(Error::Create { source, .. })
                if source.raw_os_error() == Some(Errno::EEXIST as i32) => {}
            Err(other) => return Err(other),
        }
        // It came between the two calls; so there is one to adopt.
        if missing != Errno::ENOENT || attempts_left == 0 {
            return Err(Error::Inspect {
                path: place.path.to_owned(),
                source: missing.into(),
            });
        }
        attempts_left -= 1;
    }
}

fn checked(path: &Path, access: Access) -> Result<Access, Error> {
    if access.mode > 0o777 {
        return Err(Error::InvalidMode {
            path: path.to_owned(),
            mode: access.mode,
        });
    }
    Ok(access)
}

fn create_in(place: &Place<'_>, access: Access) -> Result<(), Error> {
    let failed = |errno: Errno| Error::Create {
        path: place.path.to_owned(),
        source: errno.into(),
    };
    mkfifoat(&place.folder, place.name, first_mode(access)).map_err(failed)?;
    let handle = place
        .open_name(OFlag::O_PATH)
        .map_err(|errno| Error::Inspect {
            path: place.path.to_owned(),
            source: errno.into(),
        })?;
    let stat = place.require_fifo(&handle)?;
    if stat.st_uid != geteuid().as_raw() || stat.st_nlink != 1 {
        // Another one has taken the name at once; it is not ours to change.
        return Err(failed(Errno::EEXIST));
    }
    set_owner(place, &handle, access.owner)
        .and_then(|()| set_mode(place, &handle, &stat, mode_of(access)))
        .inspect_err(|_| remove(place, &stat))
}

/// Gives an own FIFO to its owner, if it has not got it. One that has its owner keeps its mode: whether
/// somebody chose it, or a maker was killed before its last step, can't be seen.
fn complete(
    place: &Place<'_>,
    handle: &OwnedFd,
    stat: &FileStat,
    access: Access,
) -> Result<(), Error> {
    let owner = access.owner;
    let has_owner = owner.user.is_none_or(|user| user == stat.st_uid)
        && owner.group.is_none_or(|group| group == stat.st_gid);
    if has_owner || stat.st_uid != geteuid().as_raw() {
        return Ok(());
    }
    if stat.st_nlink != 1 {
        // It has a name elsewhere, where it may be meant for somebody else.
        return Err(Error::SetOwner {
            path: place.path.to_owned(),
            owner,
            source: Errno::EMLINK.into(),
        });
    }
    set_owner(place, handle, owner)?;
    let mode = Mode::from_bits_truncate(stat.st_mode & 0o777);
    if UNOWNED_BITS.contains(mode) {
        set_mode(place, handle, stat, mode_of(access))
    } else {
        Ok(())
    }
}

fn mode_of(access: Access) -> Mode {
    Mode::from_bits_truncate(access.mode)
}

/// The mode that a FIFO is made with.
fn first_mode(access: Access) -> Mode {
    if access.owner.is_unchanged() {
        mode_of(access)
    } else {
        mode_of(access) & UNOWNED_BITS
    }
}

fn set_owner(place: &Place<'_>, handle: &OwnedFd, owner: Owner) -> Result<(), Error> {
    if owner.is_unchanged() {
        return Ok(());
    }
    let user = owner.user.map(Uid::from_raw);
    let group = owner.group.map(Gid::from_raw);
    fchownat(handle, "", user, group, AtFlags::AT_EMPTY_PATH).map_err(|errno| Error::SetOwner {
        path: place.path.to_owned(),
        owner,
        source: errno.into(),
    })
}

fn set_mode(place: &Place<'_>, handle: &OwnedFd, stat: &FileStat, mode: Mode) -> Result<(), Error> {
    if Mode::from_bits_truncate(stat.st_mode) == mode {
        return Ok(());
    }
    // fchmod(2) refuses O_PATH handles, and a real open would look like a reader or need one. The
    // entry in /proc leads to this very file, whatever its name stands for by now.
    let entry = format!("/proc/self/fd/{}", handle.as_raw_fd());
    fchmodat(AT_FDCWD, entry.as_str(), mode, FchmodatFlags::FollowSymlink).map_err(|errno| {
        Error::SetMode {
            path: place.path.to_owned(),
            source: errno.into(),
        }
    })
}

/// Removes the FIFO that was just made, if the name still stands for it.
fn remove(place: &Place<'_>, made: &FileStat) {
    let named = fstatat(&place.folder, place.name, AtFlags::AT_SYMLINK_NOFOLLOW);
    let is_it = named.is_ok_and(|named| {
        FileKind::of(&named) == FileKind::Fifo && Identity::of(&named) == Identity::of(made)
    });
    if is_it {
        // What is left then has the narrow mode, and the error that is told is the one before.
        let _removed: nix::Result<()> =
            unlinkat(&place.folder, place.name, UnlinkatFlags::NoRemoveDir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_gets_into_a_fifo_before_it_has_its_owner() {
        let group = Some(7);
        for (mode, expected) in [(0o600, 0o600), (0o662, 0o600), (0o777, 0o600), (0o020, 0)] {
            let owner = Owner { user: None, group };
            assert_eq!(first_mode(Access { mode, owner }).bits(), expected);
            assert_eq!(first_mode(Access::of_mode(mode)).bits(), mode);
        }
    }
}
