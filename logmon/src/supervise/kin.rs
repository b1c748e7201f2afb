//! Edge: the plugin that was started for a state folder, found among all processes.
//!
//! A record may be lost, and the plugin that it was about lives on. Its environment still says which folder it
//! was started for, and the kernel's list of Unix sockets (`proc_net(5)`, `/proc/net/unix`) says where it
//! listens. What it has started itself has the same environment, but does not listen on a socket of streams.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::nomad::socket_number;

/// The variable that names the state folder to the plugin that is started for it.
pub(super) const MARK: &str = "LOGMON_SUPERVISED_IN";

/// A socket that takes connections, as the list writes its flags.
const LISTENS: &str = "00010000";
/// A socket of streams, as the list writes its type.
const STREAM: &str = "0001";

/// Gives the processes of this user that were started for this folder. Anybody can write the mark, so those of
/// other users are none, and are not looked into.
pub(super) fn marked(folder: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| is_own(*pid) && is_marked(*pid, folder))
        .collect()
}

/// Gives the socket on which a process listens that was started for this folder. Whoever asks holds the process
/// already, so that the number can't be another one's by then.
pub(super) fn reached(pid: i32, folder: &Path) -> Option<PathBuf> {
    if is_own(pid) && is_marked(pid, folder) {
        socket_of(pid)
    } else {
        None
    }
}

/// True for a process of the user that this one is. One that may not be looked into is root's to the kernel,
/// proc(5).
fn is_own(pid: i32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok_and(|facts| facts.uid() == geteuid().as_raw())
}

fn is_marked(pid: i32, folder: &Path) -> bool {
    // It may be gone by now, or somebody else's.
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    names(&environment, folder)
}

/// True if the folder stands in this environment.
fn names(environment: &[u8], folder: &Path) -> bool {
    environment.split(|byte| *byte == 0).any(|variable| {
        let value = variable.strip_prefix(MARK.as_bytes());
        let value = value.and_then(|value| value.strip_prefix(b"="));
        value == Some(folder.as_os_str().as_bytes())
    })
}

fn socket_of(pid: i32) -> Option<PathBuf> {
    let mut own = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()? {
        // One that was closed since it was listed is none.
        let target = fs::read_link(entry.ok()?.path()).unwrap_or_default();
        own.extend(socket_number(&target));
    }
    let list = fs::read(format!("/proc/{pid}/net/unix")).ok()?;
    listening(&String::from_utf8_lossy(&list), &own)
}

/// The first of these sockets that listens. The columns of the list are address, references, protocol, flags,
/// type, state, number and path.
fn listening(list: &str, own: &BTreeSet<u64>) -> Option<PathBuf> {
    list.lines().find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(3);
        let listens = columns.next() == Some(LISTENS) && columns.next() == Some(STREAM);
        let number = columns.nth(1)?;
        let is_own = number.parse().is_ok_and(|number| own.contains(&number));
        // A path may have spaces, so it is all that stands behind the number.
        let (_, path) = line.split_once(&format!(" {number} "))?;
        (listens && is_own && path.starts_with('/')).then(|| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_an_own_socket_of_streams_that_listens_counts() {
        let list = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0005 01 11 /state/keeper.sock
0000000000000000: 00000003 00000000 00000000 0001 03 12 /tmp/plugin1
0000000000000000: 00000002 00000000 00010000 0001 01 13 /tmp/other plugin
0000000000000000: 00000002 00000000 00010000 0001 01 14 @abstract
0000000000000000: 00000002 00000000 00010000 0001 01 15 /tmp/plugin1
";
        let of = |own: &[u64]| listening(list, &own.iter().copied().collect());
        assert_eq!(of(&[11, 12, 14]), None);
        assert_eq!(of(&[12, 15]), Some("/tmp/plugin1".into()));
        assert_eq!(of(&[13]), Some("/tmp/other plugin".into()));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn the_kernel_lists_a_socket_like_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a socket");
        let _server = UnixListener::bind(&path).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(socket_of(pid), Some(path));
    }

    #[test]
    fn a_folder_is_named_as_a_whole() {
        let environment = b"A=/state\0LOGMON_SUPERVISED_IN=/state/web\0B=1\0";
        assert!(names(environment, Path::new("/state/web")));
        for other in ["/state", "/state/we", "/state/web2", ""] {
            assert!(!names(environment, Path::new(other)));
        }
    }
}
