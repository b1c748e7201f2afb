//! Starts the process that builds a container, and hears what came of it (edge).
//!
//! The container library makes processes as one of many threads must not: what a new process does before it becomes the
//! program takes locks that another thread may have held when it was made, and nobody is left to give them back. So it
//! is called in a process of its own, which has one thread and no environment, and ends when the container runs. What
//! it makes are children of this process: the task, and one that has only stood between.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use super::message::{Order, Outcome, Place, Report, outcome};
use crate::cgroup::Entrance;
use crate::containment::Containment;
use crate::processes;
use crate::serve::Reexec;
use crate::signal_state::Mask;
use crate::spawn::{Birth, ChildEnds, Leads, Newborn, SpawnError, spawn};
use crate::waiting::{Cancel, Deadline, Pauses, Woken, readable};
use crate::warden::{write_line, write_line_with};

/// How long building a container may take. It is a fraction of a second on a machine that is not short of anything.
const BUILD_LIMIT: Duration = Duration::from_secs(20);

/// How long what was begun may take to end once it was killed.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(5);

/// How much may be said of what went wrong, in bytes.
const LONGEST: usize = 1 << 16;

/// Why a container has no process.
#[derive(Debug, thiserror::Error)]
pub enum BirthError {
    /// The process that builds it could not be started, or not be heard.
    #[error("can't {what} the process that builds the container")]
    Builder {
        /// What failed.
        what: &'static str,
        /// The error of the system call.
        source: io::Error,
    },
    /// It has said why it could not.
    #[error("can't build the container: {why}")]
    Failed {
        /// All that was said.
        why: String,
    },
    /// It does not end.
    #[error("the container was not built within {limit:?}")]
    Late {
        /// How long it had.
        limit: Duration,
    },
}

/// What became of the program.
#[derive(Debug)]
pub(crate) enum Born {
    /// The process is it.
    Runs(Newborn),
    /// It is nowhere in the root of the task.
    NotFound,
    /// It is there, and can't be executed.
    NotExecuted { source: io::Error, place: String },
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> BirthError {
    move |source| BirthError::Builder { what, source }
}

/// Has a process made in a container, and waits until it is its program.
pub(crate) fn bear(
    reexec: &Reexec,
    order: &Order,
    containment: &Containment,
    ends: ChildEnds,
) -> Result<Born, BirthError> {
    let (link, far) = UnixStream::pair().map_err(failed("speak to"))?;
    let entrances = containment
        .entrances()
        .map_err(|error| failed("contain")(io::Error::other(error.to_string())))?;
    let own = ChildEnds {
        stdin: Some(far.into()),
        stdout: ends.stdout,
        stderr: ends.stderr,
        terminal: None,
    };
    let builder = start(reexec, entrances, own)?;
    let attempt = Attempt {
        builder,
        containment,
        is_alone: matches!(order.place, Place::Container { .. }),
        deadline: Deadline::after(BUILD_LIMIT),
    };
    let (outcome, made) = match attempt.hear(&link, order, ends.stdin) {
        Ok(heard) => heard,
        Err(error) => {
            attempt.give_up(None);
            return Err(error);
        }
    };
    if let Outcome::Runs(pid) = outcome {
        return attempt.take(pid).map(Born::Runs);
    }
    attempt.give_up(made);
    match outcome {
        Outcome::NotFound => Ok(Born::NotFound),
        Outcome::NotExecuted { errno, place } => Ok(Born::NotExecuted {
            source: io::Error::from_raw_os_error(errno),
            place,
        }),
        Outcome::Failed(why) => Err(BirthError::Failed { why }),
        Outcome::Runs(_) => unreachable!("it was taken before"),
    }
}

/// Starts the builder: a copy of this program that nothing can write to. A task whose program is the link
/// `/proc/self/exe` would become this very program, and could open its file then.
fn start(
    reexec: &Reexec,
    entrances: Vec<Entrance>,
    ends: ChildEnds,
) -> Result<Newborn, BirthError> {
    let (program, mut args) = reexec.line();
    args.push("container".into());
    let copy = sealed_copy(&program).map_err(failed("copy the program for"))?;
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    let birth = Birth {
        program: Path::new(&path),
        name: None,
        args: &args,
        env: &[],
        cwd: Some(Path::new("/")),
        leads: Leads::Session,
        blocked: Mask::default(),
        credentials: None,
        oom_score_adj: None,
        entrances,
    };
    spawn(birth, ends).map_err(|SpawnError { source, .. }| failed("start")(source))
}

fn sealed_copy(program: &Path) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Before Linux 6.3 there is no such flag, and every such file can be executed.
    let memory = match memfd_create(c"executor", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create(c"executor", flags),
        made => made,
    }?;
    let mut copy = File::from(memory);
    io::copy(&mut File::open(program)?, &mut copy)?;
    fcntl_add_seals(
        &copy,
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL,
    )?;
    Ok(copy)
}

struct Attempt<'a> {
    builder: Newborn,
    containment: &'a Containment,
    /// True if nothing but this attempt is in the control group.
    is_alone: bool,
    deadline: Deadline,
}

impl Attempt<'_> {
    /// Gives the order, and hears what came of it until nobody is left who could say more.
    fn hear(
        &self,
        link: &UnixStream,
        order: &Order,
        stdin: Option<OwnedFd>,
    ) -> Result<(Outcome, Option<i32>), BirthError> {
        link.set_write_timeout(Some(BUILD_LIMIT))
            .map_err(failed("speak to"))?;
        let told = match &stdin {
            None => write_line(link, order),
            Some(stdin) => write_line_with(link, order, &[stdin.as_fd()]),
        };
        // Whoever writes to it must see when the new process does not read any more.
        drop(stdin);
        let text = self.read_all(link)?;
        let reports: Vec<Report> = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        if reports.is_empty() {
            told.map_err(failed("speak to"))?;
        }
        Ok(outcome(&reports))
    }

    fn read_all(&self, mut link: &UnixStream) -> Result<Vec<u8>, BirthError> {
        let mut text = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let woken = readable(link.as_fd(), self.deadline, Cancel::never());
            if woken.map_err(failed("hear"))? != Woken::Readable || text.len() > LONGEST {
                return Err(BirthError::Late { limit: BUILD_LIMIT });
            }
            match link.read(&mut chunk) {
                Ok(0) => return Ok(text),
                Ok(bytes) => text.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It was killed with something of ours unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(text),
                Err(source) => return Err(failed("hear")(source)),
            }
        }
    }

    /// Takes over the process that was made.
    fn take(&self, pid: i32) -> Result<Newborn, BirthError> {
        let pid = Pid::from_raw(pid).ok_or_else(|| BirthError::Failed {
            why: format!("{pid} is no pid"),
        })?;
        // It is a child of this process, and nobody has waited for it: so its number is its own.
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| {
            self.give_up(None);
            failed("follow")(errno.into())
        })?;
        if let Err(error) = self.reap(self.deadline) {
            self.give_up(Some(pid.as_raw_nonzero().get()));
            return Err(failed("wait for")(error));
        }
        Ok(Newborn { pid, pidfd })
    }

    /// Reaps the builder and what has stood between it and the task: those that are still in the process group of the
    /// builder, which nobody else can be in while it is not reaped. The task leads a group of its own.
    fn reap(&self, deadline: Deadline) -> io::Result<()> {
        let mut pauses = Pauses::until(deadline);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        loop {
            match waitid(WaitId::Pgid(Some(self.builder.pid)), options) {
                Ok(Some(_)) => {}
                Ok(None) if pauses.pause() => {}
                Ok(None) => return Err(io::ErrorKind::TimedOut.into()),
                Err(Errno::CHILD) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Kills and reaps all that was made. What does not end in time is left to whoever removes the control group.
    fn give_up(&self, made: Option<i32>) {
        let deadline = Deadline::after(GIVE_UP_LIMIT);
        // The builder is not reaped yet, or its group has nobody left.
        let _is_gone = kill_process_group(self.builder.pid, Signal::KILL);
        // It is a child of this process that nobody has waited for.
        let mut pids: Vec<i32> = made.into_iter().collect();
        if self.is_alone {
            let members = self.containment.members(0).unwrap_or_default();
            pids.extend(members.iter().map(|stat| stat.pid));
        }
        let open = processes::open_all(processes::few(&pids), |_| Ok(true)).unwrap_or_default();
        if self.is_alone {
            let _all_were_tried = self.containment.kill_rest(0);
        }
        for (_, pidfd) in &open {
            let _is_gone = processes::signal(pidfd, Signal::KILL);
            let _ended = readable(pidfd.as_fd(), deadline, Cancel::never());
            processes::reap(pidfd);
        }
        let _is_reaped = self.reap(deadline);
    }
}
