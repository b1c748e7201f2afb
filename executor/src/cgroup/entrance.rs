//! What a new process gets into a control group by (edge). The rights are those of who opened it, so a process that has
//! become another user may still enter.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, write};

use super::group::GroupError;
use crate::vfork::Place;

/// An open entrance.
#[derive(Debug)]
pub(crate) struct Entrance {
    list: OwnedFd,
    folder: Option<OwnedFd>,
}

impl Entrance {
    /// Opens a group of version 2: a process can be made in its folder, or enters by its list of processes.
    pub(super) fn version_2(group: &Path) -> Result<Entrance, GroupError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(group, flags, Mode::empty()).map_err(|errno| GroupError {
            what: "open the cgroup",
            path: group.to_owned(),
            source: errno.into(),
        })?;
        Ok(Entrance {
            list: list_of_processes(group)?,
            folder: Some(folder),
        })
    }

    /// Opens a group of version 1, which is entered by its list of threads. A process of one thread is moved by that, too;
    /// for the list of processes the kernel would stop all that begins and ends on the machine, and wait for all
    /// processors before it can.
    pub(super) fn version_1(group: &Path) -> Result<Entrance, GroupError> {
        Ok(Entrance {
            list: to_write(group, "tasks")?,
            folder: None,
        })
    }

    /// Has its list of processes as another descriptor.
    pub(crate) fn with_list(
        self,
        other: impl FnOnce(OwnedFd) -> io::Result<OwnedFd>,
    ) -> io::Result<Entrance> {
        Ok(Entrance {
            list: other(self.list)?,
            ..self
        })
    }

    /// What clone3(2) makes a process in the group by, if it can.
    pub(crate) fn folder(&self) -> Option<BorrowedFd<'_>> {
        self.folder.as_ref().map(AsFd::as_fd)
    }

    /// Has the process that calls it enter, which has one thread, unless it was made inside. It is async-signal-safe.
    pub(crate) fn enter(&self, place: Place) -> Result<(), Errno> {
        let is_inside = self.folder.is_some() && place == Place::InGroup;
        if is_inside {
            return Ok(());
        }
        write(&self.list, b"0").map(drop)
    }
}

/// Opens the file of a group that lists its processes. Who can do that may move processes there.
pub(crate) fn list_of_processes(group: &Path) -> Result<OwnedFd, GroupError> {
    to_write(group, "cgroup.procs")
}

fn to_write(group: &Path, name: &str) -> Result<OwnedFd, GroupError> {
    let path = group.join(name);
    let open = OpenOptions::new().write(true).open(&path);
    open.map(OwnedFd::from).map_err(|source| GroupError {
        what: "open the cgroup's list of processes,",
        path,
        source,
    })
}
