//! Edge: the file beside the log files that says what is missing in them, `NAME.gaps`.
//!
//! It is treated as a log file is (SEC-1, SEC-2): reached through the folder's handle, never through a
//! link, made with `O_EXCL`, and used only if it is a regular file of this user with one name. It is
//! opened for one record and closed again, so it costs no descriptor. A record is one line and one write.
//! With the record that would make it larger than [`MAX_BYTES`] it becomes `NAME.gaps.old` in the place
//! of the older one, and a new one begins.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{ftruncate, geteuid, write};

use crate::error::Error;
use crate::log_dir::{LOG_FILE_MODE, LogDir, ends_mid_line, is_regular};
use crate::name::StreamName;

/// Bytes that the file may have: records of some hundred gaps. Two such files exist at most.
const MAX_BYTES: usize = 64 * 1024;

/// Appends a line, which ends in a newline. If it can't be written whole, nothing is written.
///
/// # Errors
/// [`Error::RecordLoss`] with the error of `openat(2)`, `fstat(2)`, `renameat(2)` or `write(2)`, or with
/// what is in the way.
pub(crate) fn append(dir: &LogDir, name: &StreamName, line: &str) -> Result<(), Error> {
    try_append(dir.folder(), name, line.as_bytes()).map_err(|source| Error::RecordLoss {
        path: dir.path().join(name.gap_file_name()),
        source,
    })
}

fn try_append(folder: BorrowedFd, name: &StreamName, line: &[u8]) -> io::Result<()> {
    let (file_name, old_name) = (name.gap_file_name(), name.old_gap_file_name());
    let mut file = open_or_make(folder, &file_name)?;
    let mut length = fstat(&file)?.st_size;
    if length > 0 && usize::try_from(length).unwrap_or(usize::MAX) + line.len() > MAX_BYTES {
        match fstatat(folder, old_name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => {}
            other => check_ours(&other?, &old_name)?,
        }
        renameat(folder, file_name.as_str(), folder, old_name.as_str())?;
        file = open_or_make(folder, &file_name)?;
        length = fstat(&file)?.st_size;
    }
    // A kill in the middle of a write may have left a torn line.
    let is_torn = ends_mid_line(&file, length)?;
    let line = if is_torn {
        [b"\n", line].concat()
    } else {
        line.to_vec()
    };
    let written = loop {
        match write(&file, &line) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    if written < line.len() {
        ftruncate(&file, length)?;
        return Err(Errno::ENOSPC.into());
    }
    Ok(())
}

fn open_or_make(folder: BorrowedFd, name: &str) -> io::Result<OwnedFd> {
    // O_NONBLOCK: if it is a FIFO, the open must not wait for its other end.
    let flags =
        OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = match openat(folder, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => openat(
            folder,
            name,
            flags | OFlag::O_CREAT | OFlag::O_EXCL,
            Mode::from_bits_truncate(LOG_FILE_MODE),
        )?,
        other => other?,
    };
    check_ours(&fstat(&file)?, name)?;
    Ok(file)
}

fn check_ours(stat: &FileStat, name: &str) -> io::Result<()> {
    if is_regular(stat) && stat.st_uid == geteuid().as_raw() && stat.st_nlink == 1 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("{name} is no regular file of this user with one name; move it away"),
    ))
}

#[cfg(test)]
#[path = "gap_file_tests.rs"]
mod tests;
