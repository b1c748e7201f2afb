//! Who holds a pipe open, read from `/proc/PID/fd`. (edge)

use std::fs;
use std::path::Path;

use fifo::Identity;
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxFlags, makedev, statx};

/// A process's descriptor of a FIFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The process.
    pub pid: i32,
    /// The descriptor's number.
    pub fd: i32,
    /// Whether it can read.
    pub reads: bool,
    /// Whether it can write.
    pub writes: bool,
}

/// The descriptors of one FIFO that these processes hold. Processes that may not be looked at are
/// left out, as if they held none.
#[must_use]
pub fn descriptors_of(fifo: Identity, pids: impl IntoIterator<Item = i32>) -> Vec<Descriptor> {
    pids.into_iter()
        .flat_map(|pid| descriptors(fifo, pid))
        .collect()
}

/// The descriptors that these processes have of what was opened at an absolute path, by the names that
/// `/proc` gives: unlike [`descriptors_of`] this asks no file system, and so waits for none that hangs.
#[must_use]
pub fn descriptors_named(path: &Path, pids: impl IntoIterator<Item = i32>) -> Vec<Descriptor> {
    let of_process = |pid: i32| {
        let entries = fs::read_dir(format!("/proc/{pid}/fd"));
        entries.into_iter().flatten().filter_map(move |entry| {
            let entry = entry.ok()?;
            if fs::read_link(entry.path()).ok()? != path {
                return None;
            }
            opened(pid, entry.file_name().to_str()?.parse().ok()?)
        })
    };
    pids.into_iter().flat_map(of_process).collect()
}

/// Whether one of these processes can read from the FIFO.
#[must_use]
pub fn has_reader(fifo: Identity, pids: impl IntoIterator<Item = i32>) -> bool {
    pids.into_iter()
        .any(|pid| descriptors(fifo, pid).iter().any(|held| held.reads))
}

/// Whether one of these processes holds a deleted regular file of a folder open.
#[must_use]
pub fn holds_deleted(folder: &Path, pids: impl IntoIterator<Item = i32>) -> bool {
    let is_deleted = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let target = fs::read_link(&path).ok()?;
        let name = target.to_str()?.strip_suffix(" (deleted)")?;
        let is_file = kind(&facts(&path)?) == FileType::RegularFile;
        (is_file && Path::new(name).parent() == Some(folder)).then_some(())
    };
    pids.into_iter().any(|pid| {
        let entries = fs::read_dir(format!("/proc/{pid}/fd"));
        entries
            .into_iter()
            .flatten()
            .any(|entry| is_deleted(entry).is_some())
    })
}

fn descriptors(fifo: Identity, pid: i32) -> Vec<Descriptor> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let descriptor = |entry: std::io::Result<fs::DirEntry>| {
        let fd: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let facts = facts(Path::new(&format!("/proc/{pid}/fd/{fd}")))?;
        let dev = makedev(facts.stx_dev_major, facts.stx_dev_minor);
        let same = kind(&facts) == FileType::Fifo && dev == fifo.dev && facts.stx_ino == fifo.ino;
        if !same {
            return None;
        }
        opened(pid, fd)
    };
    entries.filter_map(descriptor).collect()
}

/// What the kernel knows by itself of what a link of `/proc/PID/fd` leads to. A file system may hang, one
/// of a stranger too, and stat(2) would wait for it: type and inode never change, so nobody need be asked
/// for them (`AT_STATX_DONT_SYNC`, statx(2)).
fn facts(link: &Path) -> Option<Statx> {
    let wanted = StatxFlags::TYPE | StatxFlags::INO;
    statx(CWD, link, AtFlags::STATX_DONT_SYNC, wanted).ok()
}

fn kind(facts: &Statx) -> FileType {
    FileType::from_raw_mode(facts.stx_mode.into())
}

/// What a descriptor can do.
fn opened(pid: i32, fd: i32) -> Option<Descriptor> {
    let access = access(&fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?)?;
    Some(Descriptor {
        pid,
        fd,
        reads: access != 1,
        writes: access != 0,
    })
}

/// The access mode in the text of `/proc/PID/fdinfo/N`: 0 reads, 1 writes, 2 both.
fn access(text: &str) -> Option<u32> {
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    Some(u32::from_str_radix(flags.trim(), 8).ok()? & 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_fifo_are_seen_with_what_they_can_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.fifo");
        fifo::create(&path, 0o600).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let reader = fifo::Reader::open(&path).unwrap();
        let identity = reader.identity();
        let see = || -> Vec<(bool, bool)> {
            descriptors_of(identity, [me])
                .iter()
                .map(|held| (held.reads, held.writes))
                .collect()
        };
        assert_eq!(see(), [(true, false)]);
        assert!(has_reader(identity, [me]));
        let writer = fifo::Writer::try_open(&path).unwrap();
        assert_eq!(see().len(), 2);
        let path = path.canonicalize().unwrap();
        assert_eq!(
            descriptors_named(&path, [me]),
            descriptors_of(identity, [me])
        );
        assert!(see().contains(&(false, true)));
        drop(reader);
        assert_eq!(see(), [(false, true)]);
        assert!(!has_reader(identity, [me]));
        drop(writer);
        assert_eq!(see(), []);
    }

    #[test]
    fn a_deleted_file_is_seen_while_it_is_held_open() {
        let folder = tempfile::tempdir().unwrap();
        let (path, me) = (
            folder.path().join("x"),
            i32::try_from(std::process::id()).unwrap(),
        );
        let file = fs::File::create(&path).unwrap();
        assert!(!holds_deleted(folder.path(), [me]));
        fs::remove_file(&path).unwrap();
        assert!(holds_deleted(folder.path(), [me]));
        assert!(!holds_deleted(Path::new("/elsewhere"), [me]));
        drop(file);
        assert!(!holds_deleted(folder.path(), [me]));
    }

    #[test]
    fn access_is_the_last_octal_digits() {
        assert_eq!(access("pos:\t0\nflags:\t02100001\nmnt_id:\t15\n"), Some(1));
        assert_eq!(access("flags:\t0100000\n"), Some(0));
        assert_eq!(access("flags:\t0100002\n"), Some(2));
        assert_eq!(access("pos: 0\n"), None);
    }
}
