//! The files and folders of a file system that lies in memory. (core)

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use nix::errno::Errno;

/// The number of a node. Numbers are not used again.
pub(super) type Number = u64;

/// The folder that everything lies in.
pub(super) const ROOT: Number = 1;

/// Whose a node is, and who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) user: u32,
    pub(super) group: u32,
    /// The permission bits.
    pub(super) mode: u16,
}

/// What lies in a node.
#[derive(Debug)]
pub(super) enum Content {
    File(Vec<u8>),
    Folder(BTreeMap<OsString, Number>),
    /// A symbolic link: the path that it leads to.
    Link(OsString),
}

/// A file, a folder or a link.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) rights: Rights,
    /// How many names it has; with none it lives on for whoever has it open.
    pub(super) links: u32,
    pub(super) changed: SystemTime,
}

impl Node {
    /// Bytes of a file, or of the path that a link leads to; a folder has none.
    pub(super) fn len(&self) -> u64 {
        match &self.content {
            Content::File(bytes) => bytes.len() as u64,
            Content::Folder(_) => 0,
            Content::Link(to) => to.len() as u64,
        }
    }
}

/// All nodes. Nothing is ever forgotten: a case is short, and its log small.
#[derive(Debug)]
pub(super) struct Nodes(BTreeMap<Number, Node>);

impl Nodes {
    /// A file system with an empty folder.
    pub(super) fn new(rights: Rights, now: SystemTime) -> Self {
        let root = Node {
            content: Content::Folder(BTreeMap::new()),
            rights,
            links: 1,
            changed: now,
        };
        Self(BTreeMap::from([(ROOT, root)]))
    }

    pub(super) fn node(&self, number: Number) -> Result<&Node, Errno> {
        self.0.get(&number).ok_or(Errno::ENOENT)
    }

    pub(super) fn node_mut(&mut self, number: Number) -> Result<&mut Node, Errno> {
        self.0.get_mut(&number).ok_or(Errno::ENOENT)
    }

    /// The node of this name in a folder.
    pub(super) fn find(&self, folder: Number, name: &OsStr) -> Result<Number, Errno> {
        let names = self.names(folder)?;
        names.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// The names in a folder with their nodes.
    pub(super) fn names(&self, folder: Number) -> Result<&BTreeMap<OsString, Number>, Errno> {
        match &self.node(folder)?.content {
            Content::Folder(names) => Ok(names),
            Content::File(_) | Content::Link(_) => Err(Errno::ENOTDIR),
        }
    }

    /// Where a link leads to: readlink(2).
    pub(super) fn leads_to(&self, number: Number) -> Result<&OsStr, Errno> {
        match &self.node(number)?.content {
            Content::Link(to) => Ok(to),
            Content::File(_) | Content::Folder(_) => Err(Errno::EINVAL),
        }
    }

    /// Gives a node one more name: link(2).
    pub(super) fn link(
        &mut self,
        number: Number,
        folder: Number,
        name: &OsStr,
    ) -> Result<(), Errno> {
        match self.node(number)?.content {
            Content::File(_) | Content::Link(_) => {}
            Content::Folder(_) => return Err(Errno::EPERM),
        }
        if self.names(folder)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.names_mut(folder)?.insert(name.to_owned(), number);
        self.node_mut(number)?.links += 1;
        Ok(())
    }

    /// Makes a node under a name that is free.
    pub(super) fn make(
        &mut self,
        folder: Number,
        name: &OsStr,
        content: Content,
        rights: Rights,
        now: SystemTime,
    ) -> Result<Number, Errno> {
        if self.names(folder)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let number = self.0.last_key_value().map_or(ROOT, |(last, _)| last + 1);
        let node = Node {
            content,
            rights,
            links: 1,
            changed: now,
        };
        self.0.insert(number, node);
        self.names_mut(folder)?.insert(name.to_owned(), number);
        Ok(number)
    }

    /// Takes a file's name away: unlink(2).
    pub(super) fn remove_file(&mut self, folder: Number, name: &OsStr) -> Result<(), Errno> {
        match self.node(self.find(folder, name)?)?.content {
            Content::File(_) | Content::Link(_) => self.forget_name(folder, name),
            Content::Folder(_) => Err(Errno::EISDIR),
        }
    }

    /// Takes an empty folder's name away: rmdir(2).
    pub(super) fn remove_folder(&mut self, folder: Number, name: &OsStr) -> Result<(), Errno> {
        if !self.names(self.find(folder, name)?)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.forget_name(folder, name)
    }

    /// Gives a node another name; what has that name loses it, if `replaces` allows it: rename(2).
    pub(super) fn rename(
        &mut self,
        from: (Number, &OsStr),
        to: (Number, &OsStr),
        replaces: bool,
    ) -> Result<(), Errno> {
        let number = self.find(from.0, from.1)?;
        match self.find(to.0, to.1) {
            Ok(same) if same == number => return Ok(()),
            Ok(_) if !replaces => return Err(Errno::EEXIST),
            Ok(other) => match (&self.node(number)?.content, &self.node(other)?.content) {
                (Content::Folder(_), Content::Folder(_)) => self.remove_folder(to.0, to.1)?,
                (Content::File(_) | Content::Link(_), Content::Folder(_)) => {
                    return Err(Errno::EISDIR);
                }
                (Content::Folder(_), Content::File(_) | Content::Link(_)) => {
                    return Err(Errno::ENOTDIR);
                }
                (Content::File(_) | Content::Link(_), Content::File(_) | Content::Link(_)) => {
                    self.remove_file(to.0, to.1)?
                }
            },
            Err(Errno::ENOENT) => {}
            Err(other) => return Err(other),
        }
        self.names_mut(from.0)?.remove(from.1);
        self.names_mut(to.0)?.insert(to.1.to_owned(), number);
        Ok(())
    }

    /// The bytes of a file from an offset on, at most so many.
    pub(super) fn read(&self, number: Number, offset: u64, most: u32) -> Result<&[u8], Errno> {
        let Content::File(bytes) = &self.node(number)?.content else {
            return Err(Errno::EISDIR);
        };
        let begin = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let end = bytes.len().min(begin.saturating_add(most as usize));
        Ok(&bytes[begin..end])
    }

    /// Puts bytes at an offset of a file; a hole before it reads as zeros.
    pub(super) fn write(
        &mut self,
        number: Number,
        offset: u64,
        bytes: &[u8],
        now: SystemTime,
    ) -> Result<(), Errno> {
        let begin = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
        let end = begin.checked_add(bytes.len()).ok_or(Errno::EFBIG)?;
        let node = self.node_mut(number)?;
        let Content::File(file) = &mut node.content else {
            return Err(Errno::EISDIR);
        };
        if file.len() < end {
            file.resize(end, 0);
        }
        file[begin..end].copy_from_slice(bytes);
        node.changed = now;
        Ok(())
    }

    /// Cuts a file or lets it grow: ftruncate(2).
    pub(super) fn resize(
        &mut self,
        number: Number,
        len: u64,
        now: SystemTime,
    ) -> Result<(), Errno> {
        let len = usize::try_from(len).map_err(|_| Errno::EFBIG)?;
        let node = self.node_mut(number)?;
        let Content::File(file) = &mut node.content else {
            return Err(Errno::EISDIR);
        };
        file.resize(len, 0);
        node.changed = now;
        Ok(())
    }

    fn names_mut(&mut self, folder: Number) -> Result<&mut BTreeMap<OsString, Number>, Errno> {
        match &mut self.node_mut(folder)?.content {
            Content::Folder(names) => Ok(names),
            Content::File(_) | Content::Link(_) => Err(Errno::ENOTDIR),
        }
    }

    fn forget_name(&mut self, folder: Number, name: &OsStr) -> Result<(), Errno> {
        let number = self.names_mut(folder)?.remove(name).ok_or(Errno::ENOENT)?;
        self.node_mut(number)?.links -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHTS: Rights = Rights {
        user: 7,
        group: 8,
        mode: 0o600,
    };
    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    /// A file system with these files in its root.
    fn with(files: &[(&str, &[u8])]) -> Nodes {
        let mut nodes = Nodes::new(RIGHTS, NOW);
        for (file, bytes) in files {
            let content = Content::File(bytes.to_vec());
            nodes.make(ROOT, name(file), content, RIGHTS, NOW).unwrap();
        }
        nodes
    }

    #[test]
    fn bytes_are_read_where_they_were_written() {
        let mut nodes = with(&[("a", b"one")]);
        let file = nodes.find(ROOT, name("a")).unwrap();
        nodes.write(file, 2, b"E!", NOW).unwrap();
        assert_eq!(nodes.read(file, 0, 99), Ok(&b"onE!"[..]));
        nodes.write(file, 5, b"x", NOW).unwrap();
        assert_eq!(nodes.read(file, 3, 2), Ok(&b"!\0"[..]));
        assert_eq!(nodes.read(file, 9, 2), Ok(&b""[..]));
        nodes.resize(file, 1, NOW).unwrap();
        assert_eq!(nodes.node(file).unwrap().len(), 1);
        assert_eq!(nodes.write(ROOT, 0, b"x", NOW), Err(Errno::EISDIR));
    }

    #[test]
    fn a_name_is_given_once_and_a_nameless_file_can_still_be_written() {
        let mut nodes = with(&[("a", b"one")]);
        let again = nodes.make(ROOT, name("a"), Content::File(Vec::new()), RIGHTS, NOW);
        assert_eq!(again, Err(Errno::EEXIST));
        let file = nodes.find(ROOT, name("a")).unwrap();
        nodes.remove_file(ROOT, name("a")).unwrap();
        assert_eq!(nodes.find(ROOT, name("a")), Err(Errno::ENOENT));
        assert_eq!(nodes.node(file).unwrap().links, 0);
        nodes.write(file, 3, b"!", NOW).unwrap();
        assert_eq!(nodes.read(file, 0, 99), Ok(&b"one!"[..]));
    }

    #[test]
    fn a_link_leads_somewhere_and_a_second_name_keeps_a_file() {
        let mut nodes = with(&[("a.0", b"one"), ("a.1", b"two")]);
        let content = Content::Link("a.0".into());
        let link = nodes.make(ROOT, name("new"), content, RIGHTS, NOW).unwrap();
        assert_eq!(nodes.leads_to(link), Ok(name("a.0")));
        assert_eq!(nodes.node(link).unwrap().len(), 3);
        let file = nodes.find(ROOT, name("a.0")).unwrap();
        assert_eq!(nodes.leads_to(file), Err(Errno::EINVAL));
        // As it is done to change a link at once.
        nodes
            .rename((ROOT, name("new")), (ROOT, name("current")), true)
            .unwrap();
        assert_eq!(nodes.find(ROOT, name("current")), Ok(link));

        nodes.link(file, ROOT, name("b")).unwrap();
        assert_eq!(nodes.link(file, ROOT, name("a.1")), Err(Errno::EEXIST));
        assert_eq!(nodes.link(ROOT, ROOT, name("c")), Err(Errno::EPERM));
        nodes.remove_file(ROOT, name("a.0")).unwrap();
        assert_eq!(nodes.node(file).unwrap().links, 1);
        assert_eq!(nodes.find(ROOT, name("b")), Ok(file));
        nodes.remove_file(ROOT, name("b")).unwrap();
        assert_eq!(nodes.node(file).unwrap().links, 0);
    }

    #[test]
    fn a_folder_is_removed_only_when_it_is_empty() {
        let mut nodes = with(&[]);
        let folder = Content::Folder(BTreeMap::new());
        let log = nodes.make(ROOT, name("log"), folder, RIGHTS, NOW).unwrap();
        let content = Content::File(Vec::new());
        nodes.make(log, name("a"), content, RIGHTS, NOW).unwrap();
        assert_eq!(nodes.remove_file(ROOT, name("log")), Err(Errno::EISDIR));
        assert_eq!(
            nodes.remove_folder(ROOT, name("log")),
            Err(Errno::ENOTEMPTY)
        );
        nodes.remove_file(log, name("a")).unwrap();
        nodes.remove_folder(ROOT, name("log")).unwrap();
        assert!(nodes.names(ROOT).unwrap().is_empty());
    }

    #[test]
    fn a_rename_replaces_what_is_there_only_when_it_may() {
        let mut nodes = with(&[("a", b"one"), ("b", b"two")]);
        let file = nodes.find(ROOT, name("a")).unwrap();
        let (from, to) = ((ROOT, name("a")), (ROOT, name("b")));
        assert_eq!(nodes.rename(from, to, false), Err(Errno::EEXIST));
        nodes.rename(from, to, true).unwrap();
        assert_eq!(nodes.find(ROOT, name("b")), Ok(file));
        assert_eq!(nodes.find(ROOT, name("a")), Err(Errno::ENOENT));
        assert_eq!(nodes.node(file).unwrap().links, 1);
        assert_eq!(nodes.rename(from, to, true), Err(Errno::ENOENT));
    }
}
