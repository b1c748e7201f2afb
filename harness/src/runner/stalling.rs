//! A file system that this process serves itself, and that can stall. (edge)
//!
//! The kernel sends every call on it to /dev/fuse, and whoever made the call waits there as it would for
//! a disk. While the file system is stalled nothing is answered. When this process ends, however it
//! ends, the kernel answers all that waits with an error. That needs one thing: no thread of this process
//! may wait for the file system itself, nor for a pipe whose lock is held by somebody who does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, Session, SessionACL,
    TimeOrNow, WriteFlags,
};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::unistd::{getgid, getuid};

use super::nodes::{Content, Nodes, Number, ROOT, Rights};

/// How long the kernel may rely on what it was told: nobody else changes anything.
const VALID: Duration = Duration::from_secs(3_600);
/// How long it stalls at most, whatever the plan says: nobody shall wait for ever because this process
/// waits for a pipe whose lock is held by who waits for this process.
const LONGEST: Duration = Duration::from_secs(30);
/// Bytes of a block, and the longest name, as statfs(2) tells them.
const BLOCK: u32 = 4_096;
const NAME_BYTES: u32 = 255;
/// Blocks and nodes that are free, as statfs(2) tells them: 4 GiB.
const ROOM: u64 = 1 << 20;
/// Bytes that one block counts in stat(2).
const STAT_BLOCK: u64 = 512;

/// A file system that is mounted, and whoever serves it.
pub(super) struct Stalling {
    gate: Arc<Gate>,
}

impl Stalling {
    /// Mounts an empty file system at a folder. To be called in a mount namespace of one's own; starts
    /// a thread.
    pub(super) fn mount(place: &Path, flags: MsFlags) -> io::Result<Self> {
        let device: OwnedFd = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .map_err(|error| io::Error::new(error.kind(), format!("open /dev/fuse: {error}")))?
            .into();
        let (user, group) = (getuid().as_raw(), getgid().as_raw());
        // `rootmode` is the root's file type, S_IFDIR in octal; mount(8) calls the others by their names.
        let options = format!(
            "fd={},rootmode=40000,user_id={user},group_id={group},default_permissions",
            device.as_raw_fd()
        );
        mount(
            Some("stalling"),
            place,
            Some("fuse"),
            flags,
            Some(options.as_str()),
        )?;
        let gate = Arc::new(Gate::default());
        let rights = Rights {
            user,
            group,
            mode: 0o700,
        };
        let served = Served {
            nodes: Mutex::new(Nodes::new(rights, SystemTime::now())),
            gate: Arc::clone(&gate),
        };
        let session = Session::from_fd(served, device, SessionACL::Owner, Config::default())?;
        // It ends with the mount or with this process; nobody needs to know which.
        thread::spawn(move || session.run());
        Ok(Self { gate })
    }

    /// Lets no call come back from now on.
    pub(super) fn stall(&self) {
        self.gate.state().is_closed = true;
    }

    /// Answers what waits, and all that comes.
    pub(super) fn go_on(&self) {
        self.gate.state().is_closed = false;
        self.gate.opened.notify_all();
    }

    /// Whether it went on by itself, because it had been stalled for too long.
    pub(super) fn gave_up(&self) -> bool {
        self.gate.state().gave_up
    }

    /// Whether a call waits for an answer.
    pub(super) fn hangs(&self) -> bool {
        self.gate.state().waits
    }
}

/// What every call passes.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    opened: Condvar,
}

#[derive(Default)]
struct GateState {
    is_closed: bool,
    waits: bool,
    gave_up: bool,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self) {
        let mut state = self.state();
        state.waits = state.is_closed;
        let (mut state, waited) = self
            .opened
            .wait_timeout_while(state, LONGEST, |state| state.is_closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.gave_up |= waited.timed_out();
        (state.is_closed, state.waits) = (false, false);
    }
}

/// Answers the kernel, one call after the other.
struct Served {
    nodes: Mutex<Nodes>,
    gate: Arc<Gate>,
}

impl Served {
    /// The nodes, as soon as the file system does not stall.
    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.gate.pass();
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(
        &self,
        request: &Request,
        (folder, name): (INodeNo, &OsStr),
        mode: u32,
        content: Content,
    ) -> Result<FileAttr, fuser::Errno> {
        let mut nodes = self.nodes();
        let rights = Rights {
            user: request.uid(),
            group: request.gid(),
            mode: permissions(mode),
        };
        let number = nodes
            .make(folder.0, name, content, rights, SystemTime::now())
            .map_err(as_reply)?;
        attributes(&nodes, number)
    }
}

/// The permission bits of a mode.
fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or_default()
}

fn as_reply(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno as i32)
}

fn file_type(content: &Content) -> FileType {
    match content {
        Content::File(_) => FileType::RegularFile,
        Content::Folder(_) => FileType::Directory,
        Content::Link(_) => FileType::Symlink,
    }
}

fn attributes(nodes: &Nodes, number: Number) -> Result<FileAttr, fuser::Errno> {
    let node = nodes.node(number).map_err(as_reply)?;
    Ok(FileAttr {
        ino: INodeNo(number),
        size: node.len(),
        blocks: node.len().div_ceil(STAT_BLOCK),
        atime: node.changed,
        mtime: node.changed,
        ctime: node.changed,
        crtime: node.changed,
        kind: file_type(&node.content),
        perm: node.rights.mode,
        nlink: node.links,
        uid: node.rights.user,
        gid: node.rights.group,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn entry(reply: ReplyEntry, answer: Result<FileAttr, fuser::Errno>) {
    match answer {
        Ok(attributes) => reply.entry(&VALID, &attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn empty(reply: ReplyEmpty, answer: Result<(), Errno>) {
    match answer {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(as_reply(errno)),
    }
}

impl Filesystem for Served {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let nodes = self.nodes();
        let found = nodes.find(parent.0, name).map_err(as_reply);
        entry(reply, found.and_then(|number| attributes(&nodes, number)));
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(&self.nodes(), ino.0) {
            Ok(attributes) => reply.attr(&VALID, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut nodes = self.nodes();
        let resized = size.map_or(Ok(()), |len| nodes.resize(ino.0, len, SystemTime::now()));
        let set = resized.and_then(|()| nodes.node_mut(ino.0)).map(|node| {
            let rights = &mut node.rights;
            rights.mode = mode.map_or(rights.mode, permissions);
            rights.user = uid.unwrap_or(rights.user);
            rights.group = gid.unwrap_or(rights.group);
        });
        match set
            .map_err(as_reply)
            .and_then(|()| attributes(&nodes, ino.0))
        {
            Ok(attributes) => reply.attr(&VALID, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let content = Content::Folder(BTreeMap::new());
        entry(
            reply,
            self.make(request, (parent, name), mode & !umask, content),
        );
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        // A link has all rights; those of what it leads to count, symlink(7).
        let content = Content::Link(target.as_os_str().to_owned());
        entry(
            reply,
            self.make(request, (parent, link_name), 0o777, content),
        );
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        match self.nodes().leads_to(ino.0) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(errno) => reply.error(as_reply(errno)),
        }
    }

    fn link(
        &self,
        _request: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let mut nodes = self.nodes();
        let linked = nodes.link(ino.0, newparent.0, newname).map_err(as_reply);
        entry(reply, linked.and_then(|()| attributes(&nodes, ino.0)));
    }

    /// There is always room, as there is on a disk that only hangs.
    fn statfs(&self, _request: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.gate.pass();
        reply.statfs(ROOM, ROOM, ROOM, ROOM, ROOM, BLOCK, NAME_BYTES, BLOCK);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let content = Content::File(Vec::new());
        match self.make(request, (parent, name), mode & !umask, content) {
            Ok(attributes) => {
                let (handle, flags) = (FileHandle(0), FopenFlags::empty());
                reply.created(&VALID, &attributes, Generation(0), handle, flags);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.nodes().remove_file(parent.0, name);
        empty(reply, removed);
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.nodes().remove_folder(parent.0, name);
        empty(reply, removed);
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let replaces = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        let renamed = if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            Err(Errno::EINVAL)
        } else {
            self.nodes()
                .rename((parent.0, name), (newparent.0, newname), replaces)
        };
        empty(reply, renamed);
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.nodes().read(ino.0, offset, size) {
            Ok(bytes) => reply.data(bytes),
            Err(errno) => reply.error(as_reply(errno)),
        }
    }

    fn write(
        &self,
        _request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self
            .nodes()
            .write(ino.0, offset, data, SystemTime::now())
            .and_then(|()| u32::try_from(data.len()).map_err(|_| Errno::EINVAL));
        match written {
            Ok(bytes) => reply.written(bytes),
            Err(errno) => reply.error(as_reply(errno)),
        }
    }

    fn open(&self, _request: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.gate.pass();
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn opendir(&self, _request: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.gate.pass();
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn fsync(&self, _request: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.gate.pass();
        reply.ok();
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let nodes = self.nodes();
        let names = match nodes.names(ino.0) {
            Ok(names) => names,
            Err(errno) => return reply.error(as_reply(errno)),
        };
        // Who reads a folder takes `..` from the path, so its number tells nobody anything.
        let dots = [(".", ino.0), ("..", ROOT)].map(|(name, number)| (OsStr::new(name), number));
        let all = names
            .iter()
            .map(|(name, number)| (name.as_os_str(), *number));
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, (name, number)) in (1..).zip(dots.into_iter().chain(all)).skip(skipped) {
            let Ok(node) = nodes.node(number) else {
                continue;
            };
            if reply.add(INodeNo(number), place, file_type(&node.content), name) {
                break;
            }
        }
        reply.ok();
    }
}
