//! The processes of a task as those of a cgroup (edge).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::cgroup_files::{add_processes, of_cpu_stat, of_cpuacct};
use super::error::{ParseError, StatsError};
use super::source::{GroupCpu, Listing, PidSource};
use super::units::Machine;

/// A cgroup with the groups below it, of version 2 or of any hierarchy of version 1.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    cpu_path: PathBuf,
    machine: Machine,
}

impl Cgroup {
    /// Gives the cgroup with this folder. Nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, machine: Machine) -> Cgroup {
        let path = path.into();
        Cgroup {
            cpu_path: path.clone(),
            path,
            machine,
        }
    }

    /// Takes the CPU counter from another folder. In version 1 each controller has its own hierarchy, and only
    /// cpuacct counts.
    #[must_use]
    pub fn with_cpu_of(mut self, path: impl Into<PathBuf>) -> Cgroup {
        self.cpu_path = path.into();
        self
    }

    /// Adds the processes of one group to the listing. Gives false if the group has gone.
    fn add(&self, group: &Path, listing: &mut Listing) -> Result<bool, StatsError> {
        let path = group.join("cgroup.procs");
        match fs::read(&path) {
            Ok(text) => {
                let added = add_processes(&text, listing);
                added.map_err(|source| StatsError::Parse { path, source })?;
                Ok(true)
            }
            Err(error) if is_gone(&error) => Ok(false),
            // The processes of a threaded group are listed by the domain above it, in which the task is.
            Err(error) if has_code(&error, Errno::OPNOTSUPP) && group != self.path => Ok(true),
            Err(source) => Err(StatsError::ListGroup { path, source }),
        }
    }
}

impl PidSource for Cgroup {
    /// Lists the processes of the group and of all groups below it.
    ///
    /// # Errors
    /// [`StatsError::NoGroup`] if the group has gone; [`StatsError::ListGroup`] or [`StatsError::Parse`] if it
    /// can't be read. A group below it may go meanwhile.
    fn list(&mut self) -> Result<Listing, StatsError> {
        let mut listing = Listing::default();
        let mut next = vec![self.path.clone()];
        while let Some(group) = next.pop() {
            let is_there = self.add(&group, &mut listing)?;
            if !is_there && group == self.path {
                return Err(StatsError::NoGroup { path: group });
            }
            if is_there {
                match groups_below(&group) {
                    Ok(below) => next.extend(below),
                    Err(error) if is_gone(&error) => {}
                    Err(source) => {
                        return Err(StatsError::ListGroup {
                            path: group,
                            source,
                        });
                    }
                }
            }
        }
        Ok(listing)
    }

    /// Gives the counter of `cpu.stat`, or that of `cpuacct.usage` and `cpuacct.stat`; none if the group has
    /// neither. All of them count the groups below as well.
    ///
    /// # Errors
    /// [`StatsError::ReadCounter`] or [`StatsError::Parse`] if there is one that can't be read;
    /// [`StatsError::NoGroup`] if the group has gone.
    fn cpu(&mut self) -> Result<Option<GroupCpu>, StatsError> {
        let parse = |path: PathBuf, parsed: Result<_, ParseError>| {
            parsed.map_err(|source| StatsError::Parse { path, source })
        };
        let path = self.cpu_path.join("cpu.stat");
        if let Some(text) = counter(&path)?
            && let Some(cpu) = parse(path, of_cpu_stat(&text))?
        {
            return Ok(Some(cpu));
        }
        let path = self.cpu_path.join("cpuacct.usage");
        let usage = counter(&path)?;
        let stat = counter(&self.cpu_path.join("cpuacct.stat"))?;
        match usage.zip(stat) {
            Some((usage, stat)) => parse(path, of_cpuacct(&usage, &stat, &self.machine).map(Some)),
            // A group that goes meanwhile has not lost its counter: another one would count from elsewhere.
            None if !self.cpu_path.exists() => Err(StatsError::NoGroup {
                path: self.cpu_path.clone(),
            }),
            None => Ok(None),
        }
    }
}

/// The folders in the folder of a group are the groups below it.
fn groups_below(group: &Path) -> io::Result<Vec<PathBuf>> {
    let mut below = Vec::new();
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            below.push(entry.path());
        }
    }
    Ok(below)
}

/// Reads a file of a counter; gives none if there is no such file.
fn counter(path: &Path) -> Result<Option<Vec<u8>>, StatsError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(StatsError::ReadCounter {
            path: path.to_owned(),
            source,
        }),
    }
}

/// True for a file that is not there, or whose group was removed after it was opened.
fn is_gone(error: &io::Error) -> bool {
    has_code(error, Errno::NOENT) || has_code(error, Errno::NODEV)
}

fn has_code(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_group_that_goes_between_list_and_counter_is_gone_and_not_without_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.procs"), "1\n").unwrap();
        let machine = Machine {
            ticks_per_second: NonZeroU32::MIN,
            page_bytes: NonZeroU32::MIN,
            processors: NonZeroU32::MIN,
        };
        let mut group = Cgroup::new(folder.path(), machine);
        group.list().unwrap();
        assert!(group.cpu().unwrap().is_none(), "there is no counter");
        folder.close().unwrap();
        assert!(matches!(group.cpu(), Err(StatsError::NoGroup { .. })));
    }
}
