//! How full a pipe is. (edge)

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use fifo::{Identity, Reader};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use super::descriptor::has_reader;
use super::folder::standing;

/// A pipe's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Bytes in it.
    pub bytes: u64,
    /// Bytes that it can hold at most.
    pub capacity: u64,
}

/// One FIFO under watch.
#[derive(Clone, Debug)]
pub struct PipeWatch {
    path: PathBuf,
    identity: Identity,
}

impl PipeWatch {
    /// Watches the FIFO that stands at this path now; none if there is no FIFO.
    #[must_use]
    pub fn new(path: &Path) -> Option<Self> {
        let standing = standing(path);
        (standing.kind == "fifo").then(|| Self {
            path: path.to_owned(),
            identity: Identity {
                dev: standing.dev,
                ino: standing.ino,
            },
        })
    }

    /// Which FIFO it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// How full the pipe is, if one of `readers` holds a read end; none if nobody does.
    ///
    /// The level can only be asked for through a descriptor. This opens a read end for some
    /// microseconds beside one that is there anyway: without that one it would itself be the
    /// reader that a writer waits for, so it is then not opened.
    #[must_use]
    pub fn fill(&self, readers: impl IntoIterator<Item = i32>) -> Option<Fill> {
        let same = standing(&self.path);
        if same.kind != "fifo" || (same.dev, same.ino) != (self.identity.dev, self.identity.ino) {
            return None;
        }
        if !has_reader(self.identity, readers) {
            return None;
        }
        fill_of(&Reader::open(&self.path).ok()?)
    }
}

/// Whether this user can have so many more pipes of so many bytes each. Only the kernel knows: it
/// counts the pages of all pipes of a user, and neither bound holds for root.
pub(crate) fn may_raise(pipes: usize, bytes: u32) -> bool {
    let Ok(bytes) = i32::try_from(bytes) else {
        return false;
    };
    let raised = |_| {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&write, FcntlArg::F_SETPIPE_SZ(bytes))?;
        Ok((read, write))
    };
    // All at a time, until the last one is there.
    let all: nix::Result<Vec<(OwnedFd, OwnedFd)>> = (0..pipes).map(raised).collect();
    all.is_ok()
}

/// The level seen through an open end.
pub(crate) fn fill_of(reader: &Reader) -> Option<Fill> {
    Some(Fill {
        bytes: reader.fill_level().ok()? as u64,
        capacity: reader.capacity().ok()? as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_seen_only_while_somebody_else_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.fifo");
        fifo::create(&path, 0o600).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let watch = PipeWatch::new(&path).unwrap();
        assert_eq!(watch.fill([me]), None);
        let reader = Reader::open(&path).unwrap();
        let writer = fifo::Writer::try_open(&path).unwrap();
        assert_eq!(writer.try_write(b"12345").unwrap(), fifo::Written::Bytes(5));
        let fill = watch.fill([me]).unwrap();
        assert_eq!(fill.bytes, 5);
        assert!(fill.capacity >= 4096);
        assert_eq!(watch.fill([]), None);
        drop(reader);
        assert_eq!(watch.fill([me]), None);
    }

    #[test]
    fn what_can_be_raised_once_can_be_raised_again() {
        // Whatever this machine allows, asking leaves nothing behind that changes the answer.
        let first = may_raise(2, 1 << 20);
        for _ in 0..100 {
            assert_eq!(may_raise(2, 1 << 20), first);
        }
        assert!(!may_raise(1, u32::MAX), "more than the kernel counts");
    }

    #[test]
    fn a_replaced_fifo_is_not_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.fifo");
        fifo::create(&path, 0o600).unwrap();
        let watch = PipeWatch::new(&path).unwrap();
        let _reader = Reader::open(&path).unwrap();
        std::fs::rename(&path, folder.path().join("y.fifo")).unwrap();
        fifo::create(&path, 0o600).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(watch.fill([me]), None);
        assert!(PipeWatch::new(folder.path()).is_none());
    }
}
