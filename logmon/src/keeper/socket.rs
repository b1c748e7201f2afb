//! Edge: the keeper's socket, and packets with descriptors on it.
//!
//! The socket lies in a folder that only its owner can enter. The folder is opened once, without
//! following a link, and everything in it is reached through that handle: bind(2) and connect(2) know
//! paths only, so they get `/proc/self/fd/N/NAME`, which also keeps a long path under the 108 bytes of
//! an address (`unix(7)`).

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::error::KeeperError;
use super::wire::{MAX_DESCRIPTORS, MAX_MESSAGE_BYTES};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 16;

/// A folder that belongs to this user and that nobody else can enter.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    handle: OwnedFd,
    path: PathBuf,
}

/// Makes a folder with mode 0700, unless there is one.
pub(crate) fn create_folder(path: &Path) -> Result<(), KeeperError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(KeeperError::Folder {
            path: path.to_owned(),
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl PrivateFolder {
    /// Opens it, without following a link, and checks owner and mode.
    pub(crate) fn open(path: &Path) -> Result<PrivateFolder, KeeperError> {
        let failed = |errno: Errno| KeeperError::Folder {
            path: path.to_owned(),
            source: errno.into(),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = openat(AT_FDCWD, path, flags, Mode::empty()).map_err(failed)?;
        let stat = fstat(&handle).map_err(failed)?;
        if stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(KeeperError::OpenToOthers {
                path: path.to_owned(),
            });
        }
        Ok(PrivateFolder {
            handle,
            path: path.to_owned(),
        })
    }

    /// The path that it was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for PrivateFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Where a keeper serves, or may serve.
#[derive(Debug)]
pub(crate) struct Address {
    folder: PrivateFolder,
    name: OsString,
}

impl Address {
    /// Opens the folder of this socket. The folder is made if it is missing.
    pub(crate) fn open(path: &Path) -> Result<Address, KeeperError> {
        let name = path.file_name().ok_or_else(|| KeeperError::NoFileName {
            path: path.to_owned(),
        })?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        create_folder(folder)?;
        Ok(Address {
            folder: PrivateFolder::open(folder)?,
            name: name.to_owned(),
        })
    }

    /// The path of the socket.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path.join(&self.name)
    }

    fn for_the_kernel(&self) -> io::Result<SocketAddrUnix> {
        let mut path = PathBuf::from(format!("/proc/self/fd/{}", self.folder.handle.as_raw_fd()));
        path.push(&self.name);
        Ok(SocketAddrUnix::new(path)?)
    }

    /// Connects, if a keeper of this user listens; gives none if nobody does.
    pub(crate) fn connect(&self) -> Result<Option<(OwnedFd, i32)>, KeeperError> {
        let connected = new_socket().and_then(|socket| {
            rustix::net::connect(&socket, &self.for_the_kernel()?)?;
            Ok(socket)
        });
        let socket = match connected {
            Ok(socket) => socket,
            Err(source) => {
                return match source.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(None),
                    // So many wait to be accepted that it can't be at work.
                    Some(Errno::EAGAIN) => Err(KeeperError::Silent { path: self.path() }),
                    Some(_) | None => Err(KeeperError::Connect {
                        path: self.path(),
                        source,
                    }),
                };
            }
        };
        let (pid, uid) = peer(&socket).map_err(|source| KeeperError::Connect {
            path: self.path(),
            source,
        })?;
        if uid != geteuid().as_raw() {
            return Err(KeeperError::OtherUser {
                path: self.path(),
                uid,
            });
        }
        Ok(Some((socket, pid)))
    }

    /// Becomes the one that serves here. A socket that a dead keeper left is replaced.
    pub(crate) fn serve(self) -> Result<Listener, KeeperError> {
        let mut lock_name = self.name.clone();
        lock_name.push(".lock");
        let Some(lock) = lock(&self.folder, &lock_name)? else {
            return Err(KeeperError::Busy { path: self.path() });
        };
        let listening = || -> io::Result<OwnedFd> {
            match unlinkat(&self.folder.handle, &*self.name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
            let socket = new_socket()?;
            rustix::net::bind(&socket, &self.for_the_kernel()?)?;
            rustix::net::listen(&socket, BACKLOG)?;
            Ok(socket)
        };
        match listening() {
            Ok(socket) => Ok(Listener {
                socket,
                address: self,
                lock_name,
                _lock: lock,
            }),
            Err(source) => Err(KeeperError::Serve {
                path: self.path(),
                source,
            }),
        }
    }
}

/// Takes the lock of this name in the folder; gives none if another process has it.
///
/// A lock file is removed by who holds the lock, so the name is looked at again afterwards: a lock on a
/// file that has no name any more keeps nobody out.
fn lock(folder: &PrivateFolder, name: &OsStr) -> Result<Option<File>, KeeperError> {
    let failed = |source: io::Error| KeeperError::Lock {
        path: folder.path.join(name),
        source,
    };
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    loop {
        let file = openat(folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map(File::from)
            .map_err(|errno| failed(errno.into()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let ours = fstat(&file).map_err(|errno| failed(errno.into()))?;
        match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(named) if (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino) => {
                return Ok(Some(file));
            }
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}

/// The socket that a keeper serves. Dropping it removes the names that it made.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    address: Address,
    lock_name: OsString,
    _lock: File,
}

impl Listener {
    /// Accepts a connection of the same user, with the pid of its maker; gives none if nobody waits, or
    /// if it was somebody else's.
    pub(crate) fn accept(&self) -> io::Result<Option<(OwnedFd, i32)>> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match rustix::net::accept_with(&self.socket, flags) {
            Ok(socket) => socket,
            Err(
                rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED,
            ) => {
                return Ok(None);
            }
            Err(errno) => return Err(errno.into()),
        };
        let (pid, uid) = peer(&socket)?;
        Ok((uid == geteuid().as_raw()).then_some((socket, pid)))
    }

    /// The path that it serves.
    pub(crate) fn path(&self) -> PathBuf {
        self.address.path()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for name in [&self.address.name, &self.lock_name] {
            // What is left is replaced by the next keeper.
            let _removed: nix::Result<()> = unlinkat(
                &self.address.folder,
                name.as_os_str(),
                UnlinkatFlags::NoRemoveDir,
            );
        }
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?)
}

/// The pid and the user of the process at the other end.
fn peer(socket: &OwnedFd) -> io::Result<(i32, u32)> {
    let peer = rustix::net::sockopt::socket_peercred(socket)?;
    Ok((peer.pid.as_raw_nonzero().get(), peer.uid.as_raw()))
}

/// Sends one packet, and does not wait.
pub(crate) fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        match rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut beside, flags) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A packet that was received.
#[derive(Debug)]
pub(crate) struct Packet {
    /// The bytes; none at the end of the connection.
    pub(crate) bytes: Vec<u8>,
    /// The descriptors that came with it, close-on-exec.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// True if bytes or descriptors are missing.
    pub(crate) is_cut: bool,
}

/// Receives one packet, and does not wait: the error is then `WouldBlock`.
pub(crate) fn receive(socket: impl AsFd) -> io::Result<Packet> {
    let mut bytes = vec![0; MAX_MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        let mut room = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(&socket, &mut room, &mut beside, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    bytes.truncate(received.bytes);
    Ok(Packet {
        bytes,
        descriptors,
        is_cut: received
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC),
    })
}
