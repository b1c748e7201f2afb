//! Edge: the socket that a dead plugin has left, as nobody could remove it who saw the plugin die.
//!
//! Its path was written down when it was the plugin's. By now it may be anybody's, so it is removed only if it is
//! a socket of this user on which nobody listens.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use plugin::handshake::Address;
use plugin::host::is_deserted;
use plugin::reattach::Reattach;
use tracing::{debug, warn};

/// Gives the path of the socket in what was kept of a plugin; none if it has none, or can't be read.
pub(super) fn socket_in(reattach: &str) -> Option<PathBuf> {
    match Reattach::parse(reattach).ok()?.address {
        Address::Unix(path) => Some(path),
        Address::Tcp(_) => None,
    }
}

/// Removes the socket of a plugin that is dead. Whatever else has its path now is left alone.
pub(super) fn remove(path: &Path) {
    if !is_own(path) || !is_deserted(path) {
        debug!(path = %path.display(), "there is no socket left of the dead plugin");
        return;
    }
    if let Err(error) = fs::remove_file(path) {
        warn!(path = %path.display(), %error, "can't remove the socket of the dead plugin");
    }
}

fn is_own(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|facts| facts.uid() == geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    #[test]
    fn only_a_socket_on_which_nobody_listens_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        drop(UnixListener::bind(path("deserted")).unwrap());
        drop(UnixListener::bind(path("linked")).unwrap());
        symlink(path("linked"), path("link")).unwrap();
        let _listener = UnixListener::bind(path("listens")).unwrap();
        let _other = UnixDatagram::bind(path("no stream")).unwrap();
        fs::write(path("file"), "").unwrap();
        for name in [
            "deserted",
            "link",
            "listens",
            "no stream",
            "file",
            "missing",
        ] {
            remove(&path(name));
        }
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["file", "link", "linked", "listens", "no stream"]);
    }

    #[test]
    fn who_listens_and_is_busy_is_no_dead_plugin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("busy");
        let listener = UnixListener::bind(&path).unwrap();
        // One that takes no connection at all: its queue is full with the first one.
        rustix::net::listen(&listener, 0).unwrap();
        let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
        remove(&path);
        assert!(path.exists());
    }

    #[test]
    fn the_socket_stands_in_what_was_kept() {
        let kept = r#"{"Protocol":"grpc","Network":"unix","Addr":"/tmp/plugin1","Pid":7}"#;
        assert_eq!(socket_in(kept), Some("/tmp/plugin1".into()));
        let tcp = r#"{"Protocol":"grpc","Network":"tcp","Addr":"127.0.0.1:1","Pid":7}"#;
        assert_eq!(socket_in(tcp), None);
        assert_eq!(socket_in("{"), None);
    }
}
