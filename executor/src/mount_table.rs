//! The table of mounts, which is read again only when it has changed (edge).
//!
//! The kernel writes it anew for each reader, a microsecond or so for each mount, and there may be hundreds. So what was
//! read is kept with the descriptor that it was read by: poll(2) says POLLPRI of that once something was mounted or
//! unmounted since, proc_pid_mounts(5). It is of the namespace that it was opened in, and of what was the root then; a
//! thread that is elsewhere reads anew.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::task::lock;
use crate::waiting::{Deadline, poll_until};

/// The table of this thread.
pub(crate) const MOUNTS: &str = "/proc/thread-self/mountinfo";

/// How much is read at once, in bytes. Most tables are shorter.
const BYTES: usize = 16 * 1024;

/// The last reading of this process.
static LAST: Mutex<Option<Reading>> = Mutex::new(None);

/// Reads the table. A path in it that is no text is not as it was.
///
/// # Errors
/// The error of opening or reading it, or of asking for the root of this thread.
pub(crate) fn mounts() -> io::Result<Arc<str>> {
    let root = Root::now()?;
    let mut last = lock(&LAST);
    let of_here = |reading: &&Reading| root.mount != 0 && reading.root == root;
    if let Some(reading) = last.as_ref().filter(of_here)
        && !reading.has_changed()?
    {
        return Ok(Arc::clone(&reading.text));
    }
    // An error leaves nothing that could be taken for the table.
    *last = None;
    let reading = last.insert(Reading::new(root)?);
    Ok(Arc::clone(&reading.text))
}

/// What a thread sees as `/`: the mount and the inode. Each namespace has mounts of its own, and the descriptor of a table
/// keeps those of its namespace, so no other one can get the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Root {
    /// 0 before Linux 5.8, which does not say it.
    mount: u64,
    inode: u64,
}

impl Root {
    fn now() -> io::Result<Root> {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let facts = statx(CWD, c"/", AtFlags::empty(), wanted)?;
        Ok(Root {
            mount: facts.stx_mnt_id,
            inode: facts.stx_ino,
        })
    }
}

struct Reading {
    file: File,
    root: Root,
    text: Arc<str>,
}

impl Reading {
    fn new(root: Root) -> io::Result<Reading> {
        // What changes from here on, the descriptor tells.
        let mut file = File::open(MOUNTS)?;
        let mut bytes = Vec::with_capacity(BYTES);
        file.read_to_end(&mut bytes)?;
        Ok(Reading {
            file,
            root,
            text: String::from_utf8_lossy(&bytes).into(),
        })
    }

    /// True if something was mounted or unmounted since it was opened.
    fn has_changed(&self) -> io::Result<bool> {
        let now = Deadline::after(Duration::ZERO);
        Ok(poll_until(&[(self.file.as_fd(), PollFlags::PRI)], now)?[0])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::{fs, thread};

    use nix::mount::{MsFlags, mount, umount};
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn what_is_read_once_is_the_table_until_that_changes() {
        // Somebody else on this machine may mount something between two of these.
        let is_kept = (0..100).any(|_| {
            let before = mounts().unwrap();
            let now = fs::read_to_string(MOUNTS).unwrap();
            Arc::ptr_eq(&before, &mounts().unwrap()) && *before == *now
        });
        assert!(is_kept, "it is read anew each time, or is not the table");
    }

    #[test]
    #[expect(
        clippy::print_stderr,
        reason = "whoever runs the tests is told what was left out"
    )]
    fn a_mount_that_comes_or_goes_is_a_change() {
        // In a namespace of a thread of its own: this process and its machine are to see none of it.
        let play = |ask: mpsc::Sender<mpsc::Sender<Arc<str>>>| {
            if let Err(errno) = unshare(CloneFlags::CLONE_NEWNS) {
                return eprintln!(
                    "skipped: a_mount_that_comes_or_goes_is_a_change: this user can make no namespace: {errno}"
                );
            }
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let name = folder.path().to_str().unwrap();
            let is_there = || mounts().unwrap().contains(name);

            assert!(!is_there());
            let kind = Some("tmpfs");
            mount(Some("none"), folder.path(), kind, MsFlags::empty(), none).unwrap();
            assert!(is_there());
            // Who is elsewhere sees something else, and so does this thread after that.
            let (tell, told) = mpsc::channel();
            ask.send(tell).unwrap();
            assert!(!told.recv().unwrap().contains(name));
            assert!(is_there());
            umount(folder.path()).unwrap();
            assert!(!is_there());
        };
        let (ask, asked) = mpsc::channel();
        thread::scope(|scope| {
            let player = scope.spawn(|| play(ask));
            for tell in asked {
                tell.send(mounts().unwrap()).unwrap();
            }
            player.join().unwrap();
        });
    }
}
