//! Runs one command in a task, beside its main process (edge).

use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::error::ExecError;
use crate::exec_ends::{Near, pipes, terminal};
use crate::exec_stream::ExecRequest;
use crate::one_task::Starter;
use crate::processes;
use crate::spawn::{ChildEnds, Newborn};
use crate::status::{CommandEnd, End};
use crate::tail::Tail;
use crate::task::{Task, end_of, lock};
use crate::waiting::{Cancel, Deadline, poll_until};

/// How much is read at once, in bytes: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// How much is read after the end of a command, in bytes. What it has started may write on for ever.
const LAST_WORDS: usize = 16 * CHUNK;

/// The number of SIGKILL.
const KILLED: i32 = Signal::KILL.as_raw();

/// How long a killed command may take to end.
const KILL_LIMIT: Duration = Duration::from_secs(15);

/// A command that has come to its end.
pub(crate) struct Done {
    /// The program that was found.
    pub(crate) program: PathBuf,
    pub(crate) end: CommandEnd,
    /// The end of its stdout and stderr together.
    pub(crate) output: Vec<u8>,
}

/// Runs a command until it ends, so long, or until the caller does not want it any more.
pub(crate) fn run(
    starter: &dyn Starter,
    task: &Arc<Task>,
    limit: Option<Duration>,
    cancel: Cancel<'_>,
    (program, args): (&Path, &[OsString]),
) -> Result<Done, ExecError> {
    let program = starter.find(task, program)?;
    let deadline = Deadline::of(limit);
    let failed = |source| ExecError::Wait {
        program: program.clone(),
        source,
    };
    let (output, stdout) = io::pipe().map_err(failed)?;
    ioctl_fionbio(&output, true).map_err(|errno| failed(errno.into()))?;
    let stderr = stdout.try_clone().map_err(failed)?;
    let ends = ChildEnds::of_output(stdout, stderr);
    let command = start(starter, task, (&program, args), ends)?;
    let mut said = Said {
        output: &output,
        tail: Tail::default(),
    };
    let end = command
        .attend(deadline, cancel, Some(&mut said))
        .map_err(failed)?;
    let output = said.tail.into_bytes();
    Ok(Done {
        program,
        end,
        output,
    })
}

/// Starts a command that is spoken with; gives this side of what it speaks by.
pub(crate) fn begin(
    starter: &dyn Starter,
    task: &Arc<Task>,
    request: &ExecRequest,
) -> Result<(Near, Running), ExecError> {
    let program = starter.find(task, &request.program)?;
    let (near, ends) = match request.terminal {
        None => pipes().map_err(|source| ExecError::Wait {
            program: program.clone(),
            source,
        })?,
        Some(size) => terminal(size, task.context.credentials.as_ref())
            .map_err(|source| ExecError::Terminal { source })?,
    };
    let running = start(starter, task, (&program, &request.args), ends)?;
    Ok((near, running))
}

/// Starts it, and has it on the list of the task by the time that anybody could take it for a stray.
fn start(
    starter: &dyn Starter,
    task: &Arc<Task>,
    (program, args): (&Path, &[OsString]),
    ends: ChildEnds,
) -> Result<Running, ExecError> {
    let failed = |source| ExecError::Wait {
        program: program.to_owned(),
        source,
    };
    let mut execs = lock(&task.execs);
    if task.stopping().is_asked().map_err(failed)? {
        return Err(ExecError::NotRunning);
    }
    // It would stand still before it is the program, and its start would wait for that beyond any deadline. So does
    // one whose task is frozen just after this look, until the task is thawed or stopped.
    if task.containment.is_frozen().map_err(failed)? {
        return Err(ExecError::Frozen);
    }
    let newborn = starter.start_beside(task, (program, args), ends)?;
    execs.add(newborn.pid.as_raw_nonzero().get());
    Ok(Running {
        task: Arc::clone(task),
        newborn,
        is_reaped: AtomicBool::new(false),
    })
}

/// A command that runs. When it is dropped it is killed, unless it was seen to end, and is on the list of the task no
/// longer.
pub(crate) struct Running {
    task: Arc<Task>,
    newborn: Newborn,
    is_reaped: AtomicBool,
}

/// What a command says, and what is kept of it.
pub(crate) struct Said<'a> {
    output: &'a PipeReader,
    tail: Tail,
}

/// Why a command is not waited for any longer.
enum Enough {
    Ended,
    Deadline,
    Stopped,
    Cancelled,
}

impl Running {
    fn pid(&self) -> i32 {
        self.newborn.pid.as_raw_nonzero().get()
    }

    /// Waits until it has ended, its time is over, its task is stopped, or the caller does not want it any more, and
    /// takes in what it says meanwhile. It is killed unless it has ended itself, and reaped.
    pub(crate) fn attend(
        &self,
        deadline: Deadline,
        cancel: Cancel<'_>,
        mut said: Option<&mut Said<'_>>,
    ) -> io::Result<CommandEnd> {
        let enough = self.follow(deadline, cancel, said.as_deref_mut());
        if !matches!(enough, Ok(Enough::Ended)) {
            self.kill()?;
        }
        if let Some(said) = said {
            said.drain()?;
        }
        let end = self.reap()?;
        Ok(match enough? {
            // The task's cgroup may have killed it before this thread saw that the task is stopped.
            Enough::Ended if end == End::Signal(KILLED) && self.is_stopped()? => {
                CommandEnd::Stopped
            }
            Enough::Ended => CommandEnd::Ended(end),
            Enough::Deadline => CommandEnd::Deadline,
            Enough::Stopped => CommandEnd::Stopped,
            Enough::Cancelled => CommandEnd::Cancelled,
        })
    }

    fn is_stopped(&self) -> io::Result<bool> {
        self.task.stopping().is_asked()
    }

    fn follow(
        &self,
        deadline: Deadline,
        cancel: Cancel<'_>,
        mut said: Option<&mut Said<'_>>,
    ) -> io::Result<Enough> {
        let stopping = self.task.stopping();
        loop {
            let output = said.as_deref().map(|said| said.output.as_fd());
            let wanted = [
                Some(self.newborn.pidfd.as_fd()),
                stopping.fd(),
                cancel.fd(),
                output,
            ];
            match first_readable(wanted, deadline)? {
                Some(0) => return Ok(Enough::Ended),
                Some(1) => return Ok(Enough::Stopped),
                Some(2) => return Ok(Enough::Cancelled),
                Some(_) => {
                    let bytes = said.as_deref_mut().map(Said::read).transpose()?;
                    if bytes == Some(Some(0)) {
                        // It has closed its output, which would wake this for ever.
                        said = None;
                    } else if deadline.is_over() {
                        return Ok(Enough::Deadline);
                    }
                }
                None => return Ok(Enough::Deadline),
            }
        }
    }

    /// Kills it with its process group, whose number is certain to be its own: it is not reaped yet.
    fn kill(&self) -> io::Result<()> {
        processes::signal(&self.newborn.pidfd, Signal::KILL)?;
        match kill_process_group(self.newborn.pid, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ended = [(self.newborn.pidfd.as_fd(), PollFlags::IN)];
        if poll_until(&ended, Deadline::after(KILL_LIMIT))?[0] {
            Ok(())
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    fn reap(&self) -> io::Result<End> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(self.newborn.pidfd.as_fd()), options);
        // If it is lost, its number may be somebody else's by now.
        let is_reaped = !matches!(status, Ok(None));
        self.is_reaped.store(is_reaped, Ordering::Relaxed);
        let end = status?.as_ref().and_then(end_of);
        end.ok_or_else(|| io::Error::other("it has not ended"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_reaped.load(Ordering::Relaxed) {
            // Nobody is left who could be told that it does not end.
            drop(self.kill().and_then(|()| self.reap()));
        }
        self.task.exec_ended(self.pid());
    }
}

impl Said<'_> {
    /// Reads once; gives how much that was, which is 0 at the end of the output, and none if nothing is there.
    fn read(&mut self) -> io::Result<Option<usize>> {
        let mut chunk = vec![0; CHUNK];
        match self.output.read(&mut chunk) {
            Ok(bytes) => {
                self.tail.push(&chunk[..bytes]);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn drain(&mut self) -> io::Result<()> {
        let mut left = LAST_WORDS;
        while let Some(bytes @ 1..) = self.read()? {
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Waits until one of these is readable; gives the place of the first that is, and none if the time is over.
pub(crate) fn first_readable<const N: usize>(
    wanted: [Option<BorrowedFd<'_>>; N],
    deadline: Deadline,
) -> io::Result<Option<usize>> {
    let there: Vec<(usize, BorrowedFd<'_>)> = wanted
        .into_iter()
        .enumerate()
        .filter_map(|(place, fd)| Some((place, fd?)))
        .collect();
    let fds: Vec<_> = there.iter().map(|(_, fd)| (*fd, PollFlags::IN)).collect();
    let woken = poll_until(&fds, deadline)?;
    let first = woken.into_iter().position(|is_woken| is_woken);
    Ok(first.map(|at| there[at].0))
}
