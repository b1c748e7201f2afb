//! Wrong ways to open what a driver was given: an edge.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// Opens the FIFO for reading and writing: open(2) then never waits, and EPIPE never comes. No
/// type of `fifo` can do that, and that is its purpose.
pub(crate) fn read_write(path: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
}

/// Opens for writing what stands there, as a shell's `>>` does.
pub(crate) fn anything(path: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
}

/// Makes a regular file and puts it in the place of the FIFO.
pub(crate) fn plain_file(path: &Path) -> nix::Result<OwnedFd> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let new = Path::new(&name);
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND | OFlag::O_CLOEXEC;
    let file = open(new, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    std::fs::rename(new, path).map_err(|error| errno(&error))?;
    Ok(file)
}

/// Removes the FIFO and makes a new one.
pub(crate) fn replace(path: &Path) -> anyhow::Result<()> {
    std::fs::remove_file(path)?;
    fifo::create(path, 0o600)?;
    Ok(())
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
