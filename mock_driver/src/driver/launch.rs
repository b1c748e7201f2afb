//! Starts the task with its pipes: an edge.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;

use super::Flow;
use super::destination::Destination;
use crate::disposition::{self, Disposition};
use crate::fault::{Disabled, Policy, Route, Sigpipe, TaskEnd};
use crate::stream::Stream;

/// A running task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) child: Child,
    /// The streams that the driver must read.
    pub(super) flows: Vec<Flow>,
}

/// The task could not be started.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NotStarted {
    #[error("cannot run {program}")]
    Spawn {
        program: String,
        source: Arc<io::Error>,
    },
    #[error("cannot make the pipes of the task")]
    Pipe { source: nix::Error },
}

impl NotStarted {
    /// The status that a shell gives: 127 for a program that is not there, 126 for any other
    /// reason.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Spawn { .. } | Self::Pipe { .. } => 126,
        }
    }
}

impl Task {
    pub(crate) fn launch(
        argv: &[OsString],
        destinations: [Destination; 2],
        policy: &Policy,
    ) -> Result<Self, NotStarted> {
        let [stdout, stderr] = destinations;
        let mut wires = [Wire::new(stdout, policy)?, Wire::new(stderr, policy)?];
        route(&mut wires, policy.route)?;
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]);
        let [stdout, stderr] = wires;
        command.stdout(stdout.task_end);
        command.stderr(stderr.task_end);
        set_signals(&mut command, policy.task_sigpipe);
        let child = command.spawn().map_err(|source| NotStarted::Spawn {
            program: argv[0].to_string_lossy().into_owned(),
            source: Arc::new(source),
        })?;
        let flows = [(Stream::Stdout, stdout.flow), (Stream::Stderr, stderr.flow)]
            .into_iter()
            .filter_map(|(stream, flow)| {
                let (source, path) = flow?;
                Some(Flow {
                    stream,
                    source,
                    path,
                })
            })
            .collect();
        Ok(Self { child, flows })
    }
}

/// How one of the task's streams leaves it.
struct Wire {
    task_end: Stdio,
    /// The driver's end, and the FIFO that it goes to.
    flow: Option<(OwnedFd, Option<std::path::PathBuf>)>,
}

impl Wire {
    fn new(destination: Destination, policy: &Policy) -> Result<Self, NotStarted> {
        let path = match destination {
            Destination::Fifo(path) => Some(path),
            Destination::Device(_) if policy.disabled == Disabled::Discard => None,
            Destination::Device(file) => {
                return Ok(Self {
                    task_end: Stdio::from(file),
                    flow: None,
                });
            }
        };
        let (source, task_end) = match policy.task_end {
            TaskEnd::Pipe => pipe()?,
            TaskEnd::Socket => sockets()?,
        };
        Ok(Self {
            task_end: Stdio::from(task_end),
            flow: Some((source, path)),
        })
    }
}

fn route(wires: &mut [Wire; 2], route: Route) -> Result<(), NotStarted> {
    let [stdout, stderr] = wires;
    let (Some(out), Some(err)) = (&mut stdout.flow, &mut stderr.flow) else {
        return Ok(());
    };
    match route {
        Route::Straight => {}
        Route::Swapped => std::mem::swap(&mut out.1, &mut err.1),
        Route::Merged => {
            // As `2>&1` does: one pipe under both descriptors; the other stays empty.
            let (source, task_end) = pipe()?;
            let copy = task_end.try_clone().map_err(|error| NotStarted::Spawn {
                program: "the task".to_owned(),
                source: Arc::new(error),
            })?;
            out.0 = source;
            stdout.task_end = Stdio::from(task_end);
            stderr.task_end = Stdio::from(copy);
        }
    }
    Ok(())
}

/// A pipe whose reading end does not block; neither end is inherited by itself.
fn pipe() -> Result<(OwnedFd, OwnedFd), NotStarted> {
    let make = || {
        let ends = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&ends.0, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        nix::Result::Ok(ends)
    };
    make().map_err(|source| NotStarted::Pipe { source })
}

/// A pair of sockets in the place of a pipe. `/dev/stdout` can't be opened then: open(2) of a socket is ENXIO.
fn sockets() -> Result<(OwnedFd, OwnedFd), NotStarted> {
    let make = || {
        let flags = SockFlag::SOCK_CLOEXEC;
        let ends = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?;
        fcntl(&ends.0, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        nix::Result::Ok(ends)
    };
    make().map_err(|source| NotStarted::Pipe { source })
}

/// Gives the task no blocked signal and none that it ignores, and SIGPIPE as the policy says (FIFO-11). Whoever started
/// this driver may have ignored some, as a shell does that starts it in the background: a task could not be stopped by
/// those.
///
/// A command inherits the mask of the thread that starts it, and the driver's threads block what
/// the driver watches for; to unblock it for the start would leave a moment in which a stop kills
/// the driver and not the task.
fn set_signals(command: &mut Command, sigpipe: Sigpipe) {
    let prepare = move || {
        let can_be_set = |one: &Signal| !matches!(one, Signal::SIGKILL | Signal::SIGSTOP);
        for one in Signal::iterator().filter(can_be_set) {
            disposition::set(one, Disposition::Default)?;
        }
        if sigpipe == Sigpipe::Ignore {
            disposition::set(Signal::SIGPIPE, Disposition::Ignore)?;
        }
        // Last: what has come meanwhile ends a process that is complete.
        SigSet::all().thread_unblock()?;
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "nothing else runs between fork(2) and execve(2)"
    )]
    // SAFETY: the closure only calls sigprocmask(2) and signal(2), which are async-signal-safe, and
    // allocates nothing.
    unsafe {
        command.pre_exec(prepare)
    };
}
