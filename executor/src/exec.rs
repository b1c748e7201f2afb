//! Runs one command in a task, beside its main process (edge).

use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::environment;
use crate::error::ExecError;
use crate::executor::Executed;
use crate::processes;
use crate::program;
use crate::spawn::{Birth, Newborn, SpawnError, spawn};
use crate::status::End;
use crate::tail::Tail;
use crate::task::{Task, end_of, lock};
use crate::waiting::{Deadline, poll_until};

/// How much is read at once, in bytes: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// How much is read after the end of a command, in bytes. What it has started may write on for ever.
const LAST_WORDS: usize = 16 * CHUNK;

/// The number of SIGKILL.
const KILLED: i32 = Signal::KILL.as_raw();

/// How long a killed command may take to end.
const KILL_LIMIT: Duration = Duration::from_secs(15);

/// Runs a command, and waits so long for its end.
pub(crate) fn run(
    task: &Task,
    limit: Duration,
    program: &Path,
    args: &[OsString],
) -> Result<Executed, ExecError> {
    let context = &task.context;
    let path = environment::value(&context.env, "PATH").map(ToOwned::to_owned);
    let path = path.or_else(|| std::env::var_os("PATH"));
    let program = program::find(program, context.task_folder.as_deref(), path.as_deref())?;
    let deadline = Deadline::after(limit);
    let (output, newborn) = start(task, &program, args)?;
    let command = Command {
        task,
        program,
        newborn,
        output,
    };
    let outcome = command.attend(deadline, limit);
    task.exec_ended(command.pid());
    outcome
}

/// Starts it, and has it on the list of the task by the time that anybody could take it for a stray.
fn start(
    task: &Task,
    program: &Path,
    args: &[OsString],
) -> Result<(PipeReader, Newborn), ExecError> {
    let failed = |source| ExecError::Wait {
        program: program.to_owned(),
        source,
    };
    let (output, stdout) = io::pipe().map_err(failed)?;
    ioctl_fionbio(&output, true).map_err(|errno| failed(errno.into()))?;
    let stderr = stdout.try_clone().map_err(failed)?;
    let context = &task.context;
    let mut execs = lock(&task.execs);
    if task.stopping().is_asked().map_err(failed)? {
        return Err(ExecError::NotRunning);
    }
    let birth = Birth {
        program,
        args,
        env: &context.env,
        cwd: &context.cwd,
        credentials: context.credentials.as_ref(),
        oom_score_adj: context.oom_score_adj,
        entrances: task.containment.entrances()?,
    };
    let newborn = spawn(birth, Stdio::from(stdout), Stdio::from(stderr)).map_err(
        |SpawnError { stage, source }| ExecError::Start {
            program: program.to_owned(),
            stage,
            source,
        },
    )?;
    execs.add(newborn.pid.as_raw_nonzero().get());
    Ok((output, newborn))
}

struct Command<'a> {
    task: &'a Task,
    program: PathBuf,
    newborn: Newborn,
    output: PipeReader,
}

/// Why a command is not waited for any longer.
enum Enough {
    Ended,
    Deadline,
    Stopped,
}

impl Command<'_> {
    fn pid(&self) -> i32 {
        self.newborn.pid.as_raw_nonzero().get()
    }

    fn attend(&self, deadline: Deadline, limit: Duration) -> Result<Executed, ExecError> {
        let mut tail = Tail::default();
        let failed = |source| ExecError::Wait {
            program: self.program.clone(),
            source,
        };
        let enough = self.follow(deadline, &mut tail);
        if !matches!(enough, Ok(Enough::Ended)) {
            self.kill().map_err(failed)?;
        }
        self.drain(&mut tail).map_err(failed)?;
        let end = self.reap().map_err(failed)?;
        let program = self.program.clone();
        let output = tail.into_bytes();
        match enough.map_err(failed)? {
            // The task's cgroup may have killed it before this thread saw that the task is stopped.
            Enough::Ended if end == End::Signal(KILLED) && self.is_stopped().map_err(failed)? => {
                Err(ExecError::Stopped { program, output })
            }
            Enough::Ended => Ok(Executed { output, end }),
            Enough::Deadline => Err(ExecError::Deadline {
                program,
                limit,
                output,
            }),
            Enough::Stopped => Err(ExecError::Stopped { program, output }),
        }
    }

    fn is_stopped(&self) -> io::Result<bool> {
        self.task.stopping().is_asked()
    }

    /// Takes in what it writes until it has ended, its time is over, or its task is stopped.
    fn follow(&self, deadline: Deadline, tail: &mut Tail) -> io::Result<Enough> {
        let stopping = self.task.stopping();
        let mut wanted = vec![(self.newborn.pidfd.as_fd(), PollFlags::IN)];
        wanted.extend(stopping.fd().map(|fd| (fd, PollFlags::IN)));
        wanted.push((self.output.as_fd(), PollFlags::IN));
        loop {
            let woken = poll_until(&wanted, deadline)?;
            match woken.as_slice() {
                [true, ..] => return Ok(Enough::Ended),
                [_, true, ..] => return Ok(Enough::Stopped),
                [_, _, true] => {
                    if self.read(tail)? == Some(0) {
                        // It has closed its output, which would wake this for ever.
                        wanted.pop();
                    } else if deadline.is_over() {
                        return Ok(Enough::Deadline);
                    }
                }
                _ => return Ok(Enough::Deadline),
            }
        }
    }

    /// Reads once; gives how much that was, which is 0 at the end of the output, and none if nothing is there.
    fn read(&self, tail: &mut Tail) -> io::Result<Option<usize>> {
        let mut chunk = vec![0; CHUNK];
        match (&self.output).read(&mut chunk) {
            Ok(bytes) => {
                tail.push(&chunk[..bytes]);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn drain(&self, tail: &mut Tail) -> io::Result<()> {
        let mut left = LAST_WORDS;
        while let Some(bytes @ 1..) = self.read(tail)? {
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
        }
        Ok(())
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
        let status = waitid(WaitId::PidFd(self.newborn.pidfd.as_fd()), options)?;
        let end = status.as_ref().and_then(end_of);
        end.ok_or_else(|| io::Error::other("it has not ended"))
    }
}
