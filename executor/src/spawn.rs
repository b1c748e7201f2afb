//! Starts one process of a task (edge).
//!
//! What a new process does to itself before it becomes the program, it does in this order, and an error has the name of
//! its step, where exec(2) leaves only a number. The user comes last but the folder, as what is before it needs the
//! rights of this process; the folder is entered as the user that has to be allowed to. Signals are unblocked when all
//! is done: one that has come meanwhile ends a process that is complete.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{chdir, ioctl_tiocsctty, setpgid, setsid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::cgroup::Entrance;
use crate::descriptors::{FIRST, keep_from_programs};
use crate::image::Image;
use crate::log_paths::NULL_DEVICE;
use crate::signal_state::{Mask, block_only, default_all};
use crate::user::Credentials;
use crate::vfork::{self, Memory, Place, Unborn};

pub(crate) use crate::vfork::Newborn;

/// What a new process does before it is the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Be made at all.
    Fork,
    /// Ignore no signal, and block none that it was not told to.
    Signals,
    /// Keep what this process has open from the program.
    Descriptors,
    /// Become the leader of a session, and so of a process group, or of a process group alone.
    Session,
    /// Have its terminal control the session, if it has one.
    Terminal,
    /// Enter the control groups of the task.
    Cgroup,
    /// Set who is killed first without memory.
    OomScore,
    /// Take on the groups of the user, and its user id.
    User,
    /// Enter the folder that it starts in.
    Folder,
    /// Become the program.
    Program,
}

impl Stage {
    const ALL: [Stage; 10] = [
        Stage::Fork,
        Stage::Signals,
        Stage::Descriptors,
        Stage::Session,
        Stage::Terminal,
        Stage::Cgroup,
        Stage::OomScore,
        Stage::User,
        Stage::Folder,
        Stage::Program,
    ];

    fn of_number(number: u32) -> Stage {
        let found = Stage::ALL.into_iter().find(|stage| *stage as u32 == number);
        found.unwrap_or(Stage::Fork)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Fork => "make a process",
            Stage::Signals => "set its signals to their defaults",
            Stage::Descriptors => "keep what is open from its program",
            Stage::Session => "begin a session or a process group",
            Stage::Terminal => "take its terminal",
            Stage::Cgroup => "enter its cgroup",
            Stage::OomScore => "set its oom_score_adj",
            Stage::User => "take on its user and groups",
            Stage::Folder => "enter the folder that it starts in",
            Stage::Program => "become the program",
        })
    }
}

/// What a new process is the leader of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// A session, and so a process group: no terminal of this process reaches it.
    Session,
    /// A process group in the session of this process.
    ProcessGroup,
}

impl Leads {
    /// Has the process that calls it lead. It is async-signal-safe.
    fn become_leader(self) -> Result<(), Errno> {
        match self {
            Leads::Session => setsid().map(drop),
            Leads::ProcessGroup => setpgid(None, None),
        }
    }
}

/// A process to be started.
pub(crate) struct Birth<'a> {
    pub(crate) program: &'a Path,
    /// What it is told as its own name; none: the path of the program.
    pub(crate) name: Option<&'a OsStr>,
    pub(crate) args: &'a [OsString],
    pub(crate) env: &'a [(OsString, OsString)],
    /// None: where this process is.
    pub(crate) cwd: Option<&'a Path>,
    pub(crate) leads: Leads,
    /// What it begins with blocked.
    pub(crate) blocked: Mask,
    pub(crate) credentials: Option<&'a Credentials>,
    pub(crate) oom_score_adj: Option<i16>,
    /// What it enters its control groups by.
    pub(crate) entrances: Vec<Entrance>,
}

/// What failed, and in which step.
#[derive(Debug)]
pub(crate) struct SpawnError {
    pub(crate) stage: Stage,
    pub(crate) source: io::Error,
}

/// What a process gets as stdin, stdout and stderr.
pub(crate) struct ChildEnds {
    /// None: the null device.
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// The terminal that controls its session.
    pub(crate) terminal: Option<OwnedFd>,
}

impl ChildEnds {
    /// Those of a process that hears nothing.
    pub(crate) fn of_output(stdout: impl Into<OwnedFd>, stderr: impl Into<OwnedFd>) -> ChildEnds {
        ChildEnds {
            stdin: None,
            stdout: stdout.into(),
            stderr: stderr.into(),
            terminal: None,
        }
    }
}

/// Starts a process. What it gets as stdin, stdout and stderr is closed here by then.
pub(crate) fn spawn(birth: Birth<'_>, ends: ChildEnds) -> Result<Newborn, SpawnError> {
    let preparation = Preparation::new(birth, ends)?;
    let memory = match preparation.credentials {
        None => Memory::Shared,
        Some(_) => Memory::Copied,
    };
    let mut groups = preparation.entrances.iter();
    let group = groups.find_map(Entrance::folder);
    let child = |place| {
        let Err(failure) = preparation.run(place);
        failure.code()
    };
    #[expect(
        unsafe_code,
        reason = "only the new process can enter a session, a cgroup and another user in time"
    )]
    // SAFETY: it makes system calls, with values that were made before; it allocates nothing, takes no lock, writes to
    // nothing but its stack, and unblocks signals behind the step that leaves none a handler.
    let started = unsafe { vfork::start(memory, group, &child) };
    started.map_err(|unborn| match unborn {
        Unborn::Refused(source) => SpawnError {
            stage: Stage::Fork,
            source,
        },
        Unborn::Failed(code) => Failure::of_code(code).into(),
    })
}

/// A step that a new process could not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failure {
    stage: Stage,
    errno: Errno,
}

impl Failure {
    /// How it is told.
    fn code(self) -> NonZeroU32 {
        let number = self.errno.raw_os_error().cast_unsigned() & 0xffff;
        NonZeroU32::MIN.saturating_add(((self.stage as u32) << 16) | number)
    }

    fn of_code(code: NonZeroU32) -> Failure {
        let code = code.get() - 1;
        Failure {
            stage: Stage::of_number(code >> 16),
            errno: Errno::from_raw_os_error((code & 0xffff).cast_signed()),
        }
    }
}

impl From<Failure> for SpawnError {
    fn from(failure: Failure) -> SpawnError {
        SpawnError {
            stage: failure.stage,
            source: failure.errno.into(),
        }
    }
}

/// Everything that the new process needs, made before it is there: it must not allocate.
struct Preparation<'a> {
    image: Image,
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    terminal: Option<OwnedFd>,
    entrances: Vec<Entrance>,
    oom_score_adj: Option<Vec<u8>>,
    credentials: Option<&'a Credentials>,
    cwd: Option<CString>,
    leads: Leads,
    blocked: Mask,
}

impl<'a> Preparation<'a> {
    fn new(birth: Birth<'a>, ends: ChildEnds) -> Result<Preparation<'a>, SpawnError> {
        let at = |stage: Stage| move |source: io::Error| SpawnError { stage, source };
        let name = birth.name.unwrap_or(birth.program.as_os_str());
        let image = Image::new(birth.program, name, birth.args, birth.env)
            .map_err(|error| at(Stage::Program)(error.into()))?;
        let cwd = birth
            .cwd
            .map(|cwd| CString::new(cwd.as_os_str().as_bytes()));
        let cwd = cwd
            .transpose()
            .map_err(|error| at(Stage::Folder)(error.into()))?;
        let kept = |end: OwnedFd| above_standard(end).map_err(at(Stage::Fork));
        let stdin = match ends.stdin {
            Some(end) => end,
            None => File::open(NULL_DEVICE).map_err(at(Stage::Fork))?.into(),
        };
        Ok(Preparation {
            image,
            stdin: kept(stdin)?,
            stdout: kept(ends.stdout)?,
            stderr: kept(ends.stderr)?,
            terminal: ends.terminal.map(kept).transpose()?,
            entrances: birth
                .entrances
                .into_iter()
                .map(|entrance| entrance.with_list(above_standard).map_err(at(Stage::Fork)))
                .collect::<Result<_, _>>()?,
            oom_score_adj: birth
                .oom_score_adj
                .map(|score| score.to_string().into_bytes()),
            credentials: birth.credentials.filter(|user| !user.is_own),
            cwd,
            leads: birth.leads,
            blocked: birth.blocked,
        })
    }

    /// The steps of the new process.
    fn run(&self, place: Place) -> Result<Infallible, Failure> {
        let at = |stage: Stage| move |errno: Errno| Failure { stage, errno };
        default_all().map_err(at(Stage::Signals))?;
        self.keep_three().map_err(at(Stage::Descriptors))?;
        self.leads.become_leader().map_err(at(Stage::Session))?;
        if let Some(terminal) = &self.terminal {
            ioctl_tiocsctty(terminal).map_err(at(Stage::Terminal))?;
        }
        for entrance in &self.entrances {
            entrance.enter(place).map_err(at(Stage::Cgroup))?;
        }
        if let Some(score) = &self.oom_score_adj {
            set_oom_score(score).map_err(at(Stage::OomScore))?;
        }
        if let Some(user) = self.credentials {
            become_user(user).map_err(at(Stage::User))?;
        }
        if let Some(cwd) = &self.cwd {
            chdir(cwd.as_c_str()).map_err(at(Stage::Folder))?;
        }
        block_only(self.blocked).map_err(at(Stage::Signals))?;
        let errno = self.image.replace_process();
        Err(at(Stage::Program)(errno))
    }

    /// Has what is for the program in its place, and all else closed when it begins.
    fn keep_three(&self) -> Result<(), Errno> {
        let put = dup2_stdin(&self.stdin)
            .and_then(|()| dup2_stdout(&self.stdout))
            .and_then(|()| dup2_stderr(&self.stderr));
        put.map_err(|errno| Errno::from_raw_os_error(errno as i32))?;
        keep_from_programs().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// Whoever of the three is put in its place must not take that of another one which is needed yet.
fn above_standard(end: OwnedFd) -> io::Result<OwnedFd> {
    if end.as_raw_fd() >= FIRST {
        return Ok(end);
    }
    Ok(fcntl_dupfd_cloexec(&end, FIRST)?)
}

fn set_oom_score(score: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, c"/proc/self/oom_score_adj", flags, Mode::empty())?;
    rustix::io::write(file, score).map(drop)
}

fn become_user(user: &Credentials) -> Result<(), Errno> {
    // The calls of the kernel, which are those of one thread: here is only one.
    set_thread_groups(&user.groups)?;
    set_thread_res_gid(user.gid, user.gid, user.gid)?;
    set_thread_res_uid(user.uid, user.uid, user.uid)
}

#[cfg(test)]
#[path = "spawn_tests.rs"]
mod tests;
