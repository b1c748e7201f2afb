//! Where the plugins of the suite make their sockets. (edge)
//!
//! A plugin that is killed, or that fails before it has told its socket, leaves it. So it lies where it goes with
//! what it belongs to: with the case, or with a folder that is made for one plugin.

use std::ffi::{OsStr, OsString};

use plugin::host::Launch;
use tempfile::TempDir;

/// Bytes of a socket's path, its end included: unix(7).
const MOST_OF_A_SOCKET: usize = 108;
/// Those of its name, `/plugin` and up to 20 digits.
const SOCKET_NAME: usize = 27;

/// The folder for the socket of a plugin. Drop it behind the plugin.
#[derive(Debug)]
pub(super) struct SocketFolder {
    path: Option<OsString>,
    /// Removed with this.
    _own: Option<TempDir>,
}

impl SocketFolder {
    /// The folder that the case gives to its task; without a case a folder of its own, as if [`SocketFolder::own`]
    /// had been asked for.
    pub(super) fn of_the_case() -> Self {
        match std::env::var_os("HARNESS_TASK_DIR") {
            Some(path) if has_room(&path) => Self {
                path: Some(path),
                _own: None,
            },
            Some(_) | None => Self::own(),
        }
    }

    /// A folder that is removed when this is dropped, with all that is in it. If none can be made, or its path is
    /// too long for a socket, the plugin makes its socket where it likes.
    pub(super) fn own() -> Self {
        let own = tempfile::tempdir().ok();
        let path = own.as_ref().map(|own| own.path().as_os_str().to_owned());
        Self {
            path: path.filter(|path| has_room(path)),
            _own: own,
        }
    }

    /// The same launch, with the plugin's socket in here.
    pub(super) fn applied(&self, launch: Launch) -> Launch {
        match &self.path {
            Some(path) => launch.socket_folder(path),
            None => launch,
        }
    }
}

/// Whether a socket may lie there.
fn has_room(folder: &OsStr) -> bool {
    folder.len() + SOCKET_NAME < MOST_OF_A_SOCKET
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_folder_has_room_if_the_longest_name_of_a_socket_can_be_bound_there() {
        let folder = tempfile::tempdir().unwrap();
        for (length, expected) in [(80, true), (81, false)] {
            let missing = length - folder.path().as_os_str().len() - 1;
            let deep = folder.path().join("d".repeat(missing));
            std::fs::create_dir(&deep).unwrap();
            assert_eq!(deep.as_os_str().len(), length);
            let socket = deep.join(format!("plugin{}", u64::MAX));
            assert_eq!(UnixListener::bind(socket).is_ok(), expected, "{length}");
            assert_eq!(has_room(deep.as_os_str()), expected, "{length}");
        }
    }

    #[test]
    fn a_folder_of_its_own_is_removed_with_all_that_is_in_it() {
        let own = SocketFolder::own();
        let path = own.path.clone().unwrap();
        let socket = std::path::Path::new(&path).join("plugin1");
        let _listener = UnixListener::bind(&socket).unwrap();
        drop(own);
        assert!(!std::path::Path::new(&path).exists());
    }
}
