//! The folder of a process that keeps a task (edge): its socket, and the end of the task.
//!
//! | file | what it is |
//! |---|---|
//! | `socket` | where the process is asked |
//! | `end` | how the task ended, an [`EndNote`] |
//! | `end.1`, `end.2` | the room for it: the disk may be full by then |
//! | `messages` | what the process says when it fails |
//!
//! The mode is 0700 and the owner whoever runs the driver. Whoever opens it checks both, and that it is the folder
//! that was meant: the task may write to the folder around it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{bind, connect, listen, socket_with};
use rustix::process::geteuid;

use super::end::EndNote;
use super::message::Inode;

const SOCKET: &str = "socket";
const END: &str = "end";

/// What is written before it takes the place of the end. A task ends once, and is clean once.
const DRAFTS: [&str; 2] = ["end.1", "end.2"];

/// How much room each of them has, in bytes. An end that says what is left may be longer.
const ROOM: usize = 4096;

const MESSAGES: &str = "messages";

/// How many may wait to be heard.
const BACKLOG: i32 = 64;

/// How much of the messages is told, in bytes.
const TOLD: u64 = 2000;

/// How large an end may be, in bytes.
const LARGEST_END: u64 = 1 << 16;

/// Tells the folders of one process apart.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A folder, whatever becomes of its path.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    inode: u64,
    dir: OwnedFd,
}

impl Folder {
    /// Makes one in the folder of a task: `.executor-PID-NUMBER`.
    pub(crate) fn make(task_dir: &Path) -> io::Result<Folder> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = task_dir.join(format!(".executor-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Folder::at(&path),
                // A driver with this pid was killed, and left it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens the one that is at this path now.
    pub(crate) fn at(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(CWD, path, flags, Mode::empty())?;
        let stat = fstat(&dir)?;
        if stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(io::Error::other("it is not this user's alone"));
        }
        Ok(Folder {
            path: path.to_owned(),
            inode: stat.st_ino,
            dir,
        })
    }

    /// Opens the one that was meant.
    pub(crate) fn meant(meant: &Inode) -> io::Result<Folder> {
        let folder = Folder::at(Path::new(&meant.path))?;
        if folder.inode == meant.inode {
            Ok(folder)
        } else {
            Err(io::Error::other("another folder has its path now"))
        }
    }

    /// What it is found again by; none if its path is no text.
    pub(crate) fn named(&self) -> Option<Inode> {
        Some(Inode {
            path: self.path.to_str()?.to_owned(),
            inode: self.inode,
        })
    }

    /// The address of the socket. A path in it may have 107 bytes, unix(7), and that of the folder may be longer.
    fn address(&self) -> io::Result<SocketAddrUnix> {
        let fd = self.dir.as_raw_fd();
        Ok(SocketAddrUnix::new(format!("/proc/self/fd/{fd}/{SOCKET}"))?)
    }

    /// Makes the socket.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(&socket, &self.address()?)?;
        listen(&socket, BACKLOG)?;
        Ok(socket.into())
    }

    /// Reaches whoever listens, if it is this process; each read and write then has this limit.
    pub(crate) fn reach(&self, pid: i32, limit: Duration) -> io::Result<UnixStream> {
        // Where too many wait already, connect(2) waits as well unless it is told not to.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &self.address()?)?;
        let peer = socket_peercred(&socket)?;
        if peer.pid.as_raw_nonzero().get() != pid || peer.uid != geteuid() {
            return Err(io::Error::other("somebody else listens there"));
        }
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(stream)
    }

    /// Takes the room for the end on the disk.
    pub(crate) fn reserve_end(&self) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for name in DRAFTS {
            let draft = openat(&self.dir, name, flags, Mode::from_raw_mode(0o600))?;
            File::from(draft).write_all(&[b' '; ROOM])?;
        }
        Ok(())
    }

    /// Writes the end: there is the whole of it or none, or the one before.
    pub(crate) fn write_end(&self, note: &EndNote) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let is_reserved = |name: &&str| statat(&self.dir, *name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let draft = DRAFTS.into_iter().find(is_reserved).unwrap_or(DRAFTS[0]);
        let file = openat(&self.dir, draft, flags, Mode::from_raw_mode(0o600))?;
        // What it does not fill of its room was, and stays, blank.
        let mut text = serde_json::to_vec(note)?;
        text.resize(text.len().max(ROOM - 1), b' ');
        text.push(b'\n');
        File::from(file).write_all(&text)?;
        Ok(renameat(&self.dir, draft, &self.dir, END)?)
    }

    /// Reads the end; none if there is no whole one.
    pub(crate) fn read_end(&self) -> Option<EndNote> {
        let text = self.read(END, LARGEST_END)?;
        serde_json::from_slice(&text).ok()
    }

    /// Opens the file for what the process says when it fails.
    pub(crate) fn messages(&self) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.dir, MESSAGES, flags, Mode::from_raw_mode(0o600))?.into())
    }

    /// What the process has said, in one line; empty if nothing.
    pub(crate) fn said(&self) -> String {
        let text = self.read(MESSAGES, TOLD).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn read(&self, name: &str, limit: u64) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.dir, name, flags, Mode::empty()).ok()?;
        let mut text = Vec::new();
        let read = File::from(file).take(limit).read_to_end(&mut text);
        read.ok().map(|_| text)
    }

    /// Removes it with what is in it, whoever has put that there. No link is followed. It is no error that it is gone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        // What it was opened as, whatever has its path now.
        let opened = PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd()));
        for entry in fs::read_dir(&opened)? {
            let name = entry?.file_name();
            match unlinkat(self.dir.as_fd(), &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => match fs::remove_dir_all(opened.join(&name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                },
                Err(errno) => return Err(errno.into()),
            }
        }
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::SystemTime;

    use super::*;
    use crate::status::{End, ExitStatus};

    const LONG: Duration = Duration::from_secs(60);

    fn made() -> (tempfile::TempDir, Folder) {
        let around = tempfile::tempdir().unwrap();
        let folder = Folder::make(around.path()).unwrap();
        (around, folder)
    }

    #[test]
    fn a_socket_is_reached_below_a_path_that_no_address_can_hold() {
        let around = tempfile::tempdir().unwrap();
        let deep = around.path().join("d".repeat(200)).join("e".repeat(200));
        fs::create_dir_all(&deep).unwrap();
        let folder = Folder::make(&deep).unwrap();
        let listener = folder.listen().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let mut near = folder.reach(own, LONG).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(b"x").unwrap();
        let mut byte = [0];
        far.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
        let stranger = folder.reach(own + 1, LONG).unwrap_err();
        assert_eq!(stranger.to_string(), "somebody else listens there");
        folder.remove().unwrap();
        assert!(fs::read_dir(&deep).unwrap().next().is_none());
        folder.remove().unwrap();
    }

    #[test]
    fn a_folder_that_others_may_enter_or_that_has_taken_the_path_is_not_it() {
        let (around, folder) = made();
        let meant = folder.named().unwrap();
        assert!(Folder::meant(&meant).is_ok());
        fs::set_permissions(&meant.path, fs::Permissions::from_mode(0o701)).unwrap();
        assert!(Folder::meant(&meant).is_err());
        let away = around.path().join("away");
        fs::rename(&meant.path, &away).unwrap();
        DirBuilder::new().mode(0o700).create(&meant.path).unwrap();
        let why = Folder::meant(&meant).unwrap_err().to_string();
        assert_eq!(why, "another folder has its path now");
        fs::remove_dir(&meant.path).unwrap();
        std::os::unix::fs::symlink(&away, &meant.path).unwrap();
        assert!(Folder::meant(&meant).is_err());
    }

    #[test]
    fn an_end_takes_the_room_that_was_kept_for_it() {
        let (_around, folder) = made();
        folder.reserve_end().unwrap();
        let path = PathBuf::from(folder.named().unwrap().path);
        let inode = |name: &str| fs::metadata(path.join(name)).unwrap().ino();
        let room = DRAFTS.map(inode);
        assert_eq!(folder.read_end(), None);
        let note = EndNote::of(&ExitStatus {
            end: End::Code(3),
            oom_killed: None,
            seen_at: SystemTime::now(),
        });
        for taken in room {
            folder.write_end(&note).unwrap();
            assert_eq!(inode(END), taken);
            assert_eq!(fs::metadata(path.join(END)).unwrap().len(), 4096);
            assert_eq!(folder.read_end(), Some(note.clone()));
        }
        let long = note.cleaned(Some("7".repeat(2 * ROOM)));
        folder.write_end(&long).unwrap();
        assert_eq!(folder.read_end(), Some(long));
        folder.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn whatever_was_put_into_it_is_removed_with_it_and_no_link_is_followed() {
        let (around, folder) = made();
        let path = PathBuf::from(folder.named().unwrap().path);
        let kept = around.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        fs::write(path.join("a backup~"), "").unwrap();
        fs::create_dir_all(path.join("end.1/deeper")).unwrap();
        std::os::unix::fs::symlink(&kept, path.join("link")).unwrap();
        std::os::unix::fs::symlink(&kept, path.join("end.1/link")).unwrap();
        folder.remove().unwrap();
        assert!(!path.exists());
        assert!(kept.join("file").exists());
    }

    #[test]
    fn an_end_is_there_whole_or_not_at_all() {
        let (around, folder) = made();
        assert_eq!(folder.read_end(), None);
        let note = EndNote::of(&ExitStatus {
            end: End::Code(3),
            oom_killed: None,
            seen_at: SystemTime::now(),
        });
        folder.write_end(&note).unwrap();
        let path = Path::new(&folder.named().unwrap().path).join(END);
        assert!(path.starts_with(around.path()));
        assert_eq!(folder.read_end(), Some(note.clone()));
        folder.write_end(&note.clone().cleaned(None)).unwrap();
        assert_eq!(folder.read_end(), Some(note.cleaned(None)));
        fs::write(path, "{\"exit\":3").unwrap();
        assert_eq!(folder.read_end(), None);
    }
}
