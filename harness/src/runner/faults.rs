//! Brings about faults of the host, and undoes them. (edge)

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mock_driver::stream::Stream;
use nix::fcntl::{FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::kin::Part;
use super::misplaced::Misplaced;
use super::namespace;
use super::stage::{Stage, Stop, millis};
use super::stalling::Stalling;
use crate::observe::{cpu_ms, hard_limit, has_reader, lowest_free_fd, runs_program_in};
use crate::scenario::HostFault;
use crate::trace::Event;

/// Bytes of logmon's own output that are copied at one look.
const AT_ONCE: usize = 1 << 20;

/// A fault that lasts.
pub(super) struct Broken {
    what: HostFault,
    since: Instant,
    undo: Undo,
    /// What logmon had used and printed when it began.
    cpu_ms: u64,
    lines: u64,
}

/// How a fault is undone.
enum Undo {
    Limits(Resource, Vec<(i32, Rlimit)>),
    /// Rename this back, or join it with what stands at its old path by then.
    Folder(PathBuf),
    /// Make the folder if nobody did.
    NewFolder,
    /// Remove the file that takes all the room.
    Filler(File),
    /// Uncover the log folder and open it to its owner again.
    Closed(Closed),
    /// Answer what waits for the file system.
    Stalled,
    /// Move the FIFOs back.
    Fifos(Misplaced),
    Nothing,
}

/// What logmon prints, through pipes that the host reads.
pub(super) struct Printed {
    pipe: File,
    file: File,
}

impl Printed {
    /// The read end of a pipe that is copied to a file.
    pub(super) fn new(pipe: OwnedFd, file: File) -> io::Result<Self> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self {
            pipe: pipe.into(),
            file,
        })
    }

    /// Copies what there is, up to [`AT_ONCE`]: whoever prints without a pause must not keep the host
    /// busy for ever. What can't be written is left out: it is only quoted and counted.
    fn copy(&mut self) {
        let mut chunk = [0; 4096];
        for _ in 0..AT_ONCE / chunk.len() {
            match self.pipe.read(&mut chunk) {
                Ok(bytes) if bytes > 0 && self.file.write_all(&chunk[..bytes]).is_ok() => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

impl Stage {
    /// Copies what logmon printed into pipes.
    pub(super) fn read_printed(&mut self) {
        for printed in &mut self.printed {
            printed.copy();
        }
    }

    /// Takes the room that became free on a disk that is to be full.
    pub(super) fn keep_full(&mut self) {
        for broken in &mut self.broken {
            if let Undo::Filler(file) = &mut broken.undo {
                // Tried again at the next look.
                fill(file).ok();
            }
        }
    }

    /// Whether a fault keeps the log folder from being looked at.
    pub(super) fn is_log_hidden(&self) -> bool {
        self.broken.iter().any(|one| one.what.hides_the_log())
    }

    /// Whether a fault keeps the pipes from being looked at.
    pub(super) fn are_pipes_hidden(&self) -> bool {
        // The FIFOs of many tasks are looked at by whoever writes to them.
        self.case.scenario.many.is_some()
            || self.broken.iter().any(|one| one.what.hides_the_pipes())
    }

    /// Brings a fault about.
    pub(super) fn break_host(&mut self, what: HostFault) -> Result<(), Stop> {
        if what.hides_the_log() {
            // The last look before nothing can be seen.
            self.poll()?;
        }
        if what == HostFault::OwnBinary && !self.is_copy_reading() {
            let text = "the logmon that reads is not the program that its command names; name that \
                        program itself in --logmon, without a wrapper before it";
            return Err(self.unmet(text.to_owned()));
        }
        let (cpu_ms, lines) = self.logmon_activity();
        let undo = self
            .bring_about(what)
            .map_err(|error| Stop::Suite(format!("bring about {what}: {error}")))?;
        self.trace.add(Event::FaultBegan { what });
        self.broken.push(Broken {
            what,
            since: Instant::now(),
            undo,
            cpu_ms,
            lines,
        });
        Ok(())
    }

    /// Ends a fault.
    pub(super) fn mend_host(&mut self, what: HostFault) -> Result<(), Stop> {
        let Some(place) = self.broken.iter().position(|one| one.what == what) else {
            return Ok(());
        };
        let (cpu_ms, lines) = self.logmon_activity();
        let broken = &self.broken[place];
        let lasted_ms = millis(broken.since.elapsed());
        self.undo(&broken.undo)
            .map_err(|error| Stop::Suite(format!("mend {what}: {error}")))?;
        let broken = self.broken.remove(place);
        self.trace.add(Event::FaultEnded {
            what,
            lasted_ms,
            cpu_ms: cpu_ms.saturating_sub(broken.cpu_ms),
            lines: lines.saturating_sub(broken.lines),
        });
        Ok(())
    }

    /// Ends every fault that the plan left.
    pub(super) fn mend_all(&mut self) -> Result<(), Stop> {
        while let Some(what) = self.broken.last().map(|one| one.what) {
            self.mend_host(what)?;
        }
        Ok(())
    }

    /// Whether a logmon that reads runs the copy of its program that the host can replace.
    fn is_copy_reading(&mut self) -> bool {
        let programs = self.dir.programs();
        let mut pids = self.logmon_pids();
        pids.retain(|&pid| runs_program_in(&programs, pid));
        Stream::BOTH.into_iter().any(|stream| {
            let pids = pids.iter().copied();
            self.watch(stream)
                .is_some_and(|watch| has_reader(watch.identity(), pids))
        })
    }

    pub(super) fn logmon_pids(&mut self) -> Vec<i32> {
        let snapshot = self.look_at_processes();
        let mut pids = self.kin.pids(&[Part::Logmon]);
        pids.retain(|&pid| snapshot.get(pid).is_some_and(|stat| stat.lives()));
        pids
    }

    /// Milliseconds of the processor and lines so far, of every logmon.
    fn logmon_activity(&mut self) -> (u64, u64) {
        self.read_printed();
        let lines = self
            .lives
            .iter()
            .flat_map(|life| {
                Stream::BOTH.map(|stream| self.dir.output("logmon", life.number, stream))
            })
            .map(|path| self.outputs.lines(&path))
            .sum();
        (cpu_ms(&self.logmon_pids()), lines)
    }

    fn bring_about(&mut self, what: HostFault) -> io::Result<Undo> {
        match what {
            HostFault::FileSizeLimit => self.limit(Resource::Fsize, "Max file size", |_| 0),
            HostFault::NoDescriptors => {
                self.limit(Resource::Nofile, "Max open files", lowest_free_fd)
            }
            HostFault::LogFolderAway => {
                let away = self.dir.path().join("log.away");
                fs::rename(self.dir.log(), &away)?;
                Ok(Undo::Folder(away))
            }
            HostFault::LogFolderRemoved => {
                fs::remove_dir_all(self.dir.log())?;
                Ok(Undo::NewFolder)
            }
            HostFault::DiskFull => {
                let mut filler = File::create_new(self.dir.filler())?;
                fill(&mut filler)?;
                Ok(Undo::Filler(filler))
            }
            HostFault::ReadOnly => {
                let closed = Closed::close(&self.dir.stored_log())?;
                namespace::cover_read_only(&self.dir.log()).map_err(io::Error::other)?;
                Ok(Undo::Closed(closed))
            }
            HostFault::StorageStalled => {
                let storage = self
                    .storage
                    .as_ref()
                    .ok_or_else(|| io::Error::other("the log folder can't stall"))?;
                storage.stall();
                Ok(Undo::Stalled)
            }
            HostFault::FifosAway => Misplaced::move_away(&self.dir, false).map(Undo::Fifos),
            HostFault::FifosStale => Misplaced::move_away(&self.dir, true).map(Undo::Fifos),
            HostFault::OwnOutput => {
                self.read_printed();
                self.printed.clear();
                Ok(Undo::Nothing)
            }
            HostFault::OwnBinary => {
                for entry in fs::read_dir(self.dir.programs())? {
                    replace(&entry?.path())?;
                }
                Ok(Undo::Nothing)
            }
        }
    }

    /// Lowers the soft limit of logmon's processes. The name is that of `/proc/PID/limits`.
    fn limit(
        &mut self,
        resource: Resource,
        name: &str,
        soft: impl Fn(i32) -> u64,
    ) -> io::Result<Undo> {
        let mut changed = Vec::new();
        for pid in self.logmon_pids() {
            let Some(process) = Pid::from_raw(pid) else {
                continue;
            };
            // It may have lowered its hard limit, and without privileges nobody raises that again.
            let maximum = hard_limit(pid, name)?;
            let soft = soft(pid);
            let new = Rlimit {
                current: Some(maximum.map_or(soft, |maximum| soft.min(maximum))),
                maximum,
            };
            changed.push((pid, prlimit(Some(process), resource, new)?));
        }
        Ok(Undo::Limits(resource, changed))
    }

    fn undo(&self, undo: &Undo) -> io::Result<()> {
        match undo {
            Undo::Limits(resource, changed) => {
                for (pid, before) in changed {
                    if let Some(process) = Pid::from_raw(*pid) {
                        // Whoever has ended meanwhile has no limits.
                        prlimit(Some(process), *resource, *before).ok();
                    }
                }
                Ok(())
            }
            Undo::Folder(away) => join(away, &self.dir.log()),
            Undo::NewFolder => fs::create_dir_all(self.dir.log()),
            Undo::Filler(_) => fs::remove_file(self.dir.filler()),
            Undo::Closed(closed) => {
                namespace::uncover(&self.dir.log())?;
                closed.open()
            }
            Undo::Stalled => {
                self.storage.iter().for_each(Stalling::go_on);
                if self.storage.as_ref().is_some_and(Stalling::gave_up) {
                    return Err(io::Error::other(
                        "it was to stall for too long, and went on",
                    ));
                }
                Ok(())
            }
            Undo::Fifos(fifos) => fifos.move_back(),
            Undo::Nothing => Ok(()),
        }
    }
}

/// A folder in which its owner can make nothing.
pub(super) struct Closed {
    folder: File,
    permissions: Permissions,
    /// The flags that it had, if it could be made immutable.
    flags: Option<IFlags>,
}

impl Closed {
    /// Closes a folder. Root heeds no permissions, but an immutable folder is closed to root too. Only
    /// root can make it immutable, and not on every kernel; one that stays open is an error.
    fn close(folder: &Path) -> io::Result<Self> {
        let folder = File::open(folder)?;
        let permissions = folder.metadata()?.permissions();
        folder.set_permissions(Permissions::from_mode(0o500))?;
        let flags = ioctl_getflags(&folder)
            .and_then(|before| ioctl_setflags(&folder, before | IFlags::IMMUTABLE).map(|()| before))
            .ok();
        let closed = Self {
            folder,
            permissions,
            flags,
        };
        // Another user has such rights in this process only, and loses them with the next program.
        if geteuid().is_root() && closed.takes_files() {
            closed.open()?;
            return Err(io::Error::other(
                "root can make files in it all the same; run the suite as another user",
            ));
        }
        Ok(closed)
    }

    /// Whether a folder can be closed here at all.
    pub(super) fn probe(folder: &Path) -> io::Result<()> {
        Self::close(folder)?.open()
    }

    /// Whether a file can be made in it by who has it open.
    fn takes_files(&self) -> bool {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let made = openat(&self.folder, ".probe", flags, Mode::S_IRUSR).is_ok();
        // It may be gone already, by retention.
        made && unlinkat(&self.folder, ".probe", UnlinkatFlags::NoRemoveDir).is_ok()
    }

    fn open(&self) -> io::Result<()> {
        if let Some(before) = self.flags {
            ioctl_setflags(&self.folder, before)?;
        }
        self.folder.set_permissions(self.permissions.clone())
    }
}

/// Writes to a file until its file system takes nothing more.
#[expect(
    clippy::disallowed_methods,
    reason = "how much of a write was taken does not matter to who goes on until none is"
)]
fn fill(file: &mut File) -> io::Result<()> {
    let chunk = [0; 64 << 10];
    loop {
        match file.write(&chunk) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Another file takes the program's name, as an upgrade does it.
fn replace(program: &Path) -> io::Result<()> {
    let mut new = program.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, "This is no program.\n")?;
    fs::rename(&new, program)
}

/// Renames a folder back. Where a new one stands by now, what is in the old one moves there, and
/// nothing that stands there is replaced.
fn join(away: &Path, place: &Path) -> io::Result<()> {
    match fs::create_dir(place) {
        Ok(()) => return fs::rename(away, place),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for entry in fs::read_dir(away)? {
        let entry = entry?;
        let target = place.join(entry.file_name());
        if target.symlink_metadata().is_err() {
            fs::rename(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A copy of a program, or another name for it, in the case's folder.
pub(super) fn copy_program(word: &str, folder: &Path) -> io::Result<PathBuf> {
    let found = if word.contains('/') {
        PathBuf::from(word)
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|folder| folder.join(word))
            .find(|path| path.is_file())
            .ok_or(io::ErrorKind::NotFound)?
    };
    let name = found.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let copy = folder.join(name);
    fs::create_dir_all(folder)?;
    if copy.exists() {
        fs::remove_file(&copy)?;
    }
    // A second name is as good as a copy: replacing one leaves the other. It takes another user's
    // file or another file system to need a real one.
    // The name stays the called one, by which some programs know what to be.
    let found = found.canonicalize()?;
    if fs::hard_link(&found, &copy).is_err() {
        fs::copy(&found, &copy)?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_comes_back_and_what_stands_at_its_place_by_then_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (away, place) = (folder.path().join("away"), folder.path().join("log"));
        fs::create_dir(&away).unwrap();
        fs::write(away.join("a.0"), "old").unwrap();
        join(&away, &place).unwrap();
        assert_eq!(fs::read(place.join("a.0")).unwrap(), b"old");

        fs::rename(&place, &away).unwrap();
        fs::write(away.join("a.1"), "old").unwrap();
        fs::create_dir(&place).unwrap();
        fs::write(place.join("a.1"), "new").unwrap();
        join(&away, &place).unwrap();
        assert_eq!(fs::read(place.join("a.0")).unwrap(), b"old");
        assert_eq!(fs::read(place.join("a.1")).unwrap(), b"new");
    }

    #[test]
    fn a_copied_program_runs_and_its_original_outlives_a_replacement() {
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("program");
        // Another process writes it: a child of another test might hold it open for writing, execve(2).
        let copied = std::process::Command::new("cp")
            .arg("/bin/true")
            .arg(&original)
            .status();
        assert!(copied.unwrap().success());
        let copy = copy_program(original.to_str().unwrap(), &folder.path().join("bin")).unwrap();
        assert!(
            std::process::Command::new(&copy)
                .status()
                .unwrap()
                .success()
        );
        replace(&copy).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), b"This is no program.\n");
        assert!(
            std::process::Command::new(&original)
                .status()
                .unwrap()
                .success()
        );
        assert!(copy_program("no-such-program-here", folder.path()).is_err());
    }
}
