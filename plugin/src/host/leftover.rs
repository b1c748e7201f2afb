//! What a plugin that was killed leaves behind (edge): it could not remove its socket itself.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::process::Process;
use crate::handshake::Address;

/// The socket of a plugin that this host is to end, from the moment that its path is known. When this is dropped,
/// the process is killed and the socket removed, unless the process was released.
pub(super) struct Leftover {
    pub(super) process: Arc<Process>,
    address: Address,
    identity: Option<(u64, u64)>,
}

impl Leftover {
    pub(super) fn of(address: &Address, process: Process) -> Self {
        Self {
            process: Arc::new(process),
            address: address.clone(),
            identity: identity(address),
        }
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        // A caller may still hold the process, so that it would not be killed with the plugin.
        let ended = self.process.end_now();
        if let (true, Address::Unix(path)) = (ended, &self.address)
            && self.identity.is_some()
            && self.identity == identity(&self.address)
            && is_deserted(path)
        {
            drop(fs::remove_file(path));
        }
    }
}

/// Which socket it is: another plugin may have made one of the same name. A line may name what is no socket.
fn identity(address: &Address) -> Option<(u64, u64)> {
    match address {
        Address::Unix(path) => {
            let metadata = fs::symlink_metadata(path).ok()?;
            let is_socket = metadata.file_type().is_socket();
            is_socket.then(|| (metadata.dev(), metadata.ino()))
        }
        Address::Tcp(_) => None,
    }
}

/// Says whether this is a socket on which nobody listens any more. Whoever removes the socket of a plugin asks first, as
/// the path may be somebody else's. connect(2) is refused then; it is refused, too, where the file is no socket at all,
/// so that is looked at before. It does not wait: who listens and takes no connection makes connect(2) say EAGAIN. What
/// is no socket, leads to one only by a link, or can't be asked, is not deserted.
#[must_use]
pub fn is_deserted(path: &Path) -> bool {
    if !fs::symlink_metadata(path).is_ok_and(|facts| facts.file_type().is_socket()) {
        return false;
    }
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let Ok(socket) = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None) else {
        return false;
    };
    SocketAddrUnix::new(path)
        .is_ok_and(|address| connect(&socket, &address) == Err(Errno::CONNREFUSED))
}
