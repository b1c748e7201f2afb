//! Makes a FIFO, or accepts one that is there already. This module is an edge.
//!
//! It must never change, replace or remove a file that it did not make, and never give a FIFO more
//! permission bits than were asked for, not even for a moment.

use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::mkfifoat;

use crate::Error;
use crate::open::Place;

/// How often a name may vanish between "it exists" and "what is it" before that is an error.
const ADOPT_ATTEMPTS: u32 = 16;

/// Says whether [`create_or_adopt`] made the FIFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The FIFO is new and has the mode that was asked for.
    Created,
    /// A FIFO was there already. Its mode, owner and content were left as they are.
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
    let mode = permission_bits(path, mode)?;
    create_in(&Place::open(path)?, mode)
}

/// Makes a FIFO as [`create`] does, or accepts a FIFO that is there already, as a restart needs.
///
/// An adopted FIFO keeps its mode and its owner, the bytes in it and its open ends. Compare
/// [`Identity`](crate::Identity) of an opened end to know that it is still the same one.
///
/// # Errors
/// As [`create`], but an existing FIFO is no error, and [`Error::NotAFifo`] names whatever else has
/// that name. A symbolic link is refused even if it points to a FIFO.
pub fn create_or_adopt(path: &Path, mode: u32) -> Result<Origin, Error> {
    permission_bits(path, mode)?;
    create_or_adopt_in(&Place::open(path)?, mode)
}

/// Does what [`create_or_adopt`] does, in a folder that is open.
///
/// # Errors
/// As [`create_or_adopt`].
pub fn create_or_adopt_in(place: &Place<'_>, mode: u32) -> Result<Origin, Error> {
    let mode = permission_bits(place.path, mode)?;
    let mut attempts_left = ADOPT_ATTEMPTS;
    loop {
        match create_in(place, mode) {
            Ok(()) => return Ok(Origin::Created),
            Err(Error::Create { source, .. })
                if source.raw_os_error() == Some(Errno::EEXIST as i32) => {}
            Err(other) => return Err(other),
        }
        match place.open_name(OFlag::O_PATH) {
            Ok(handle) => return place.require_fifo(&handle).map(|_| Origin::Adopted),
            // It was removed between the two calls; so there is room for a new one.
            Err(Errno::ENOENT) if attempts_left > 0 => attempts_left -= 1,
            Err(errno) => {
                return Err(Error::Inspect {
                    path: place.path.to_owned(),
                    source: errno.into(),
                });
            }
        }
    }
}

fn permission_bits(path: &Path, mode: u32) -> Result<Mode, Error> {
    if mode > 0o777 {
        return Err(Error::InvalidMode {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(Mode::from_bits_truncate(mode))
}

fn create_in(place: &Place<'_>, mode: Mode) -> Result<(), Error> {
    mkfifoat(&place.folder, place.name, mode).map_err(|errno| Error::Create {
        path: place.path.to_owned(),
        source: errno.into(),
    })?;
    let handle = place
        .open_name(OFlag::O_PATH)
        .map_err(|errno| Error::Inspect {
            path: place.path.to_owned(),
            source: errno.into(),
        })?;
    let stat = place.require_fifo(&handle)?;
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
