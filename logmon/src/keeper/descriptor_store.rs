//! Edge: the service manager's descriptor store in place of a keeper (`sd_notify(3)`, FDSTORE).
//!
//! The unit needs `FileDescriptorStoreMax=` (three for each stream) and `NotifyAccess=main`. The manager
//! must not watch what it stores (FDPOLL=0): it would close a FIFO's read end as soon as the last writer
//! leaves. After each change logmon waits until the manager has taken it (BARRIER=1), because a message
//! from a process that is dead by then belongs to no unit.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};

use super::error::KeeperError;
use super::inherited::{Inherited, PARTS, inherited, stored_name};
use super::key::Key;

/// How long the manager may take for a message.
const LIMIT: Duration = Duration::from_secs(1);

/// The manager's store, with what it gave to this process at its start.
#[derive(Debug)]
pub(crate) struct DescriptorStore {
    socket: OwnedFd,
    manager: SocketAddrUnix,
    /// What an earlier life left: the FIFO's read end, then the ends of the staging pipe.
    left: BTreeMap<Key, Vec<OwnedFd>>,
}

impl DescriptorStore {
    /// Finds the manager and takes over what it has kept.
    pub(crate) fn open() -> Result<DescriptorStore, KeeperError> {
        let address = env::var_os("NOTIFY_SOCKET").ok_or(KeeperError::NoStore)?;
        let store = |source| KeeperError::Store { source };
        let manager = manager_address(&address).map_err(store)?;
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|errno| store(errno.into()))?;
        Ok(DescriptorStore {
            socket,
            manager,
            left: take_inherited().map_err(store)?,
        })
    }

    /// Gives copies of what an earlier life left under this key.
    pub(crate) fn fetch(&self, key: &Key) -> Option<Vec<OwnedFd>> {
        let left = self.left.get(key)?;
        left.iter().map(|one| one.try_clone().ok()).collect()
    }

    /// Has descriptors stored under a key. What is stored already is not stored again; something else
    /// under this key is taken out first.
    pub(crate) fn deposit(
        &mut self,
        key: &Key,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), KeeperError> {
        if let Some(left) = self.left.get(key) {
            if are_same(left, descriptors) {
                return Ok(());
            }
            self.release(key)?;
        }
        for (part, descriptor) in PARTS.iter().zip(descriptors) {
            let name = stored_name(part, key);
            self.send(
                &format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}"),
                &[*descriptor],
            )?;
        }
        self.barrier()
    }

    /// Has what is stored under a key closed.
    pub(crate) fn release(&mut self, key: &Key) -> Result<(), KeeperError> {
        self.left.remove(key);
        for part in PARTS {
            let name = stored_name(part, key);
            self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[])?;
        }
        self.barrier()
    }

    /// Waits until the manager has taken everything that was sent before.
    fn barrier(&self) -> Result<(), KeeperError> {
        let store = |source: io::Error| KeeperError::Store { source };
        let (ours, theirs) =
            nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| store(errno.into()))?;
        self.send("BARRIER=1", &[theirs.as_fd()])?;
        drop(theirs);
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            let mut waiting = [PollFd::new(ours.as_fd(), PollFlags::empty())];
            match poll(&mut waiting, timeout) {
                Ok(0) if left.is_zero() => return Err(store(io::ErrorKind::TimedOut.into())),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(store(errno.into())),
            }
        }
    }

    fn send(&self, text: &str, descriptors: &[BorrowedFd<'_>]) -> Result<(), KeeperError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(KeeperError::Store {
                source: io::ErrorKind::InvalidInput.into(),
            });
        }
        let text = [IoSlice::new(text.as_bytes())];
        let flags = SendFlags::NOSIGNAL;
        loop {
            let sent =
                rustix::net::sendmsg_addr(&self.socket, &self.manager, &text, &mut beside, flags);
            match sent {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => {
                    return Err(KeeperError::Store {
                        source: errno.into(),
                    });
                }
            }
        }
    }
}

/// A path, or a name of the abstract kind after an at sign.
fn manager_address(text: &OsStr) -> io::Result<SocketAddrUnix> {
    match text.as_bytes() {
        [b'@', name @ ..] => Ok(SocketAddrUnix::new_abstract_name(name)?),
        [b'/', ..] => Ok(SocketAddrUnix::new(text)?),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// True if both are ends of the same pipes.
fn are_same(left: &[OwnedFd], descriptors: &[BorrowedFd<'_>]) -> bool {
    left.len() == descriptors.len()
        && left.iter().zip(descriptors).all(|(left, descriptor)| {
            match (fstat(left), fstat(descriptor)) {
                (Ok(left), Ok(other)) => (left.st_dev, left.st_ino) == (other.st_dev, other.st_ino),
                _ => false,
            }
        })
}

/// Takes over the descriptors that the manager gave at the start, once in a process.
fn take_inherited() -> io::Result<BTreeMap<Key, Vec<OwnedFd>>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let mut left = BTreeMap::new();
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(left);
    }
    let variable = |name| env::var(name).ok();
    let found = inherited(
        std::process::id(),
        variable("LISTEN_PID").as_deref(),
        variable("LISTEN_FDS").as_deref(),
        variable("LISTEN_FDNAMES").as_deref(),
    );
    for Inherited { key, numbers } in found {
        let mut descriptors = Vec::new();
        for number in numbers {
            descriptors.push(take(number)?);
        }
        left.insert(key, descriptors);
    }
    Ok(left)
}

/// Takes over one descriptor that this process was started with.
#[expect(
    unsafe_code,
    reason = "the manager hands descriptors over by their numbers"
)]
fn take(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: LISTEN_FDS names the descriptors that were opened for this process before it began; each
    // is taken once, because `take_inherited` goes through the list once, and nothing else uses them.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(descriptor)
}
