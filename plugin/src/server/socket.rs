//! The socket of a plugin (edge). It has a name that nobody guesses, only its user may use it, and it is
//! gone when the plugin has ended.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use tokio::net::{UnixListener, UnixStream};

use super::ServeError;

/// How often a name may be taken already.
const ATTEMPTS: usize = 100;

/// A socket that listens; removes its file when dropped.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Socket {
    /// Makes the socket in this folder.
    pub(super) fn listen_in(folder: &Path) -> Result<Self, ServeError> {
        let text = folder.to_str().unwrap_or("|");
        if text.contains(['|', '\n', '\r']) {
            let folder = folder.to_owned();
            return Err(ServeError::SocketPath { folder });
        }
        let failed = |source| ServeError::Socket {
            folder: folder.to_owned(),
            source,
        };
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..ATTEMPTS {
            let path = folder.join(format!("plugin{}", rand::random::<u64>()));
            match UnixListener::bind(&path) {
                Ok(listener) => return Self::made(listener, path).map_err(failed),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(last))
    }

    fn made(listener: UnixListener, path: PathBuf) -> io::Result<Self> {
        let mut socket = Self {
            listener,
            path,
            identity: None,
        };
        let metadata = fs::symlink_metadata(&socket.path)?;
        socket.identity = Some((metadata.dev(), metadata.ino()));
        // Who came before this has another user, and is turned away in `accept`.
        fs::set_permissions(&socket.path, fs::Permissions::from_mode(0o600))?;
        Ok(socket)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the next connection of this user or of root; others are closed without a word.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let user = rustix::process::geteuid().as_raw();
            if stream
                .peer_cred()
                .is_ok_and(|peer| [0, user].contains(&peer.uid()))
            {
                return Ok(stream);
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path).ok();
        let there = there.map(|metadata| (metadata.dev(), metadata.ino()));
        if there.is_some() && there == self.identity {
            // Gone already is as good.
            drop(fs::remove_file(&self.path));
        }
    }
}
