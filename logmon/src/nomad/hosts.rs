//! Edge: whether a host is connected.
//!
//! The kernel's list of Unix sockets says it (`proc_net(5)`, `/proc/net/unix`). A connection that a server
//! has accepted has the server's name, and one that this process has made has none (`unix(7)`), so each
//! connected socket of this process with a name is a host. Those that it was started with are not.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

/// The state of a socket that is connected, as the list writes it.
const CONNECTED: &str = "03";
/// Descriptors that this process was started with.
const STDIO: [&str; 3] = ["0", "1", "2"];

/// True when a host is connected, and when nobody can tell.
pub(super) fn is_one_connected() -> bool {
    let found = own_sockets().and_then(|own| {
        let all = fs::read("/proc/self/net/unix")?;
        Ok(count(&String::from_utf8_lossy(&all), &own))
    });
    match found {
        Ok(count) => count > 0,
        Err(error) => {
            tracing::debug!(%error, "can't tell whether a host is connected");
            true
        }
    }
}

/// The numbers of the sockets that this process has open.
fn own_sockets() -> io::Result<BTreeSet<u64>> {
    let mut own = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        if STDIO.iter().any(|one| entry.file_name() == *one) {
            continue;
        }
        // One that was closed since it was listed is none.
        let target = fs::read_link(entry.path()).unwrap_or_default();
        own.extend(socket_number(&target));
    }
    Ok(own)
}

/// Reads `socket:[4711]`.
pub(crate) fn socket_number(target: &Path) -> Option<u64> {
    let text = target.to_str()?;
    text.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// How many of these sockets are connected and have a name. The columns of the list are address,
/// references, protocol, flags, type, state, number and name.
fn count(list: &str, own: &BTreeSet<u64>) -> usize {
    let is_host = |line: &&str| {
        let mut columns = line.split_ascii_whitespace().skip(5);
        let is_connected = columns.next() == Some(CONNECTED);
        let number = columns.next().and_then(|number| number.parse().ok());
        let has_name = columns.next().is_some();
        is_connected && has_name && number.is_some_and(|number| own.contains(&number))
    };
    list.lines().filter(is_host).count()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn only_own_connections_with_a_name_are_hosts() {
        let list = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 11 /tmp/plugin1
0000000000000000: 00000003 00000000 00000000 0001 03 12 /tmp/plugin1
0000000000000000: 00000003 00000000 00000000 0001 03 13
0000000000000000: 00000003 00000000 00000000 0001 03 14 /tmp/plugin2
";
        assert_eq!(count(list, &BTreeSet::from([11, 12, 13])), 1);
        assert_eq!(count(list, &BTreeSet::from([11, 13])), 0);
        assert_eq!(count(list, &BTreeSet::from([12, 14])), 2);
        assert_eq!(count("", &BTreeSet::from([12])), 0);
    }

    #[test]
    fn the_kernel_gives_an_accepted_connection_the_name_of_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let server = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        let (accepted, _) = server.accept().unwrap();
        let number = |socket: &dyn std::os::fd::AsRawFd| {
            let link = format!("/proc/self/fd/{}", socket.as_raw_fd());
            socket_number(&fs::read_link(link).unwrap()).unwrap()
        };
        let list = fs::read_to_string("/proc/self/net/unix").unwrap();
        let counts = |socket| count(&list, &BTreeSet::from([socket]));
        assert_eq!(counts(number(&server)), 0);
        assert_eq!(counts(number(&client)), 0);
        assert_eq!(counts(number(&accepted)), 1);
        assert!(own_sockets().unwrap().contains(&number(&accepted)));
    }
}
