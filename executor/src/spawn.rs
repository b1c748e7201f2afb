//! Starts one process of a task (edge).
//!
//! What a new process does to itself before it becomes the program, it does in this order, and tells each step
//! before it begins it through a pipe: so an error has the name of its step, where fork(2) and exec(2) leave
//! only a number. The user comes last but the folder, as what is before it needs the rights of this process;
//! the folder is entered as the user that has to be allowed to.

use std::ffi::{CString, OsString};
use std::fmt;
use std::io::{self, PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Pid, PidfdFlags, chdir, ioctl_tiocsctty, pidfd_open, setsid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::descriptors::keep_from_programs;
use crate::user::Credentials;

/// What a new process does before it is the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Be made at all.
    Fork,
    /// Block and ignore no signal.
    Signals,
    /// Keep what this process has open from the program.
    Descriptors,
    /// Become the leader of a session, and so of a process group.
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

    /// What it is told by.
    fn byte(self) -> u8 {
        self as u8
    }

    fn of_byte(byte: Option<&u8>) -> Stage {
        let found = Stage::ALL
            .into_iter()
            .find(|stage| Some(&stage.byte()) == byte);
        found.unwrap_or(Stage::Fork)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Fork => "make a process",
            Stage::Signals => "set its signals to their defaults",
            Stage::Descriptors => "keep what is open from its program",
            Stage::Session => "begin a session",
            Stage::Terminal => "take its terminal",
            Stage::Cgroup => "enter its cgroup",
            Stage::OomScore => "set its oom_score_adj",
            Stage::User => "take on its user and groups",
            Stage::Folder => "enter the folder that it starts in",
            Stage::Program => "become the program",
        })
    }
}

/// A process to be started.
pub(crate) struct Birth<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [OsString],
    pub(crate) env: &'a [(OsString, OsString)],
    pub(crate) cwd: &'a Path,
    pub(crate) credentials: Option<&'a Credentials>,
    pub(crate) oom_score_adj: Option<i16>,
    /// What it enters its control groups by.
    pub(crate) entrances: Vec<OwnedFd>,
}

/// A process that was started. It is this process's child, and not reaped yet.
#[derive(Debug)]
pub(crate) struct Newborn {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
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
    let at = |stage: Stage| move |source: io::Error| SpawnError { stage, source };
    let (mut told, tell) = io::pipe().map_err(at(Stage::Fork))?;
    let cwd = CString::new(birth.cwd.as_os_str().as_bytes())
        .map_err(|error| at(Stage::Folder)(error.into()))?;
    let mut command = Command::new(birth.program);
    command
        .args(birth.args)
        .env_clear()
        .envs(birth.env.iter().map(|(name, value)| (name, value)))
        .stdin(ends.stdin.map_or_else(Stdio::null, Stdio::from))
        .stdout(ends.stdout)
        .stderr(ends.stderr);
    prepare(
        &mut command,
        Preparation {
            tell,
            terminal: ends.terminal,
            entrances: birth.entrances,
            oom_score_adj: birth
                .oom_score_adj
                .map(|score| score.to_string().into_bytes()),
            credentials: birth.credentials.filter(|user| !user.is_own).cloned(),
            cwd,
        },
    );
    let spawned = command.spawn();
    // It holds copies of what the process got: while it lives no reader sees the end of the output.
    drop(command);
    let mut child = spawned.map_err(|source| {
        // All of it is in the pipe by now, and one read takes it. Without a process there is none.
        let mut steps = [0; Stage::ALL.len()];
        let bytes = told.read(&mut steps).unwrap_or(0);
        at(Stage::of_byte(steps[..bytes].last()))(source)
    })?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.expect("a pid is positive and fits");
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Newborn { pid, pidfd }),
        Err(errno) => {
            // Nothing else holds it. That it is gone already is as good.
            drop(child.kill());
            drop(child.wait());
            Err(at(Stage::Fork)(errno.into()))
        }
    }
}

/// Everything that the new process needs, made before it is there: it must not allocate.
struct Preparation {
    tell: PipeWriter,
    terminal: Option<OwnedFd>,
    entrances: Vec<OwnedFd>,
    oom_score_adj: Option<Vec<u8>>,
    credentials: Option<Credentials>,
    cwd: CString,
}

impl Preparation {
    fn run(&self) -> io::Result<()> {
        self.begin(Stage::Signals)?;
        default_signals()?;
        SigSet::empty().thread_set_mask()?;
        self.begin(Stage::Descriptors)?;
        keep_from_programs()?;
        self.begin(Stage::Session)?;
        setsid()?;
        if let Some(terminal) = &self.terminal {
            self.begin(Stage::Terminal)?;
            ioctl_tiocsctty(terminal)?;
        }
        self.begin(Stage::Cgroup)?;
        for entrance in &self.entrances {
            rustix::io::write(entrance, b"0")?;
        }
        if let Some(score) = &self.oom_score_adj {
            self.begin(Stage::OomScore)?;
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = openat(CWD, c"/proc/self/oom_score_adj", flags, Mode::empty())?;
            rustix::io::write(file, score)?;
        }
        if let Some(user) = &self.credentials {
            self.begin(Stage::User)?;
            // The calls of the kernel, which are those of one thread: here is only one.
            set_thread_groups(&user.groups)?;
            set_thread_res_gid(user.gid, user.gid, user.gid)?;
            set_thread_res_uid(user.uid, user.uid, user.uid)?;
        }
        self.begin(Stage::Folder)?;
        chdir(self.cwd.as_c_str())?;
        self.begin(Stage::Program)
    }

    fn begin(&self, stage: Stage) -> io::Result<()> {
        rustix::io::write(&self.tell, &[stage.byte()])?;
        Ok(())
    }
}

/// Whoever started this process may have ignored some, as a shell does that starts it in the background: then a task
/// would not hear what it is stopped by. Those of real time have no name here, and stay.
fn default_signals() -> nix::Result<()> {
    for one in Signal::iterator().filter(|one| !matches!(one, Signal::SIGKILL | Signal::SIGSTOP)) {
        #[expect(
            unsafe_code,
            reason = "signal(2) has no safe cover, not even for SIG_DFL"
        )]
        // SAFETY: it is async-signal-safe and the default runs no code of ours; the process is about to become another
        // program, which no handler survives.
        unsafe { signal(one, SigHandler::SigDfl) }?;
    }
    Ok(())
}

fn prepare(command: &mut Command, preparation: Preparation) {
    #[expect(
        unsafe_code,
        reason = "only the new process can enter a session, a cgroup and another user in time"
    )]
    // SAFETY: the closure makes system calls and sigprocmask(2), which are async-signal-safe, with values that
    // were made before fork(2); it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || preparation.run());
    }
}
