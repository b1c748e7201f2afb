//! The process that keeps one task (edge): it launches it, waits for it, contains it, and leaves its end in a file.
//!
//! Once the task runs, all that it has of the driver is the socket between them, so the driver may end at any time. It
//! ends itself when the task has ended, and it has done what it can so that nothing is left of it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::{geteuid, setsid};

use super::descriptors::write_line_with;
use super::end::EndNote;
use super::folder::Folder;
use super::message::{Ask, Go, Held, Inode, Named, Order, Reply, Report, read_line, write_line};
use super::subscribers::Subscribers;
use crate::cgroup::{Allowed, Kind};
use crate::environment;
use crate::error::chain;
use crate::exec::Done;
use crate::exec_stream::ExecRequest;
use crate::executor::{Executor, Waited};
use crate::incoming::Incoming;
use crate::log_paths::LogPaths;
use crate::one_task::Options;
use crate::processes;
use crate::signal::Meaning;
use crate::spec::LaunchSpec;
use crate::standard::StandardExecutor;
use crate::status::ExitStatus;
use crate::task::lock;
use crate::waiting::{Cancel, Deadline, Pauses};

/// How long the driver may take for its order, and for its word to go on.
const DRIVER_LIMIT: Duration = Duration::from_secs(20);

/// How long whoever asks may take for its question, and to take the answer.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// How long an end that could be written nowhere waits for somebody who asks for it.
const LATE_LIMIT: Duration = Duration::from_secs(20);

/// How long the task may take to end when this process is told to.
const GRACE: Duration = Duration::from_secs(5);

/// Keeps a task until its end. Its stdin is a socket to the driver, and the folder is there and its own.
pub(crate) fn keep(folder: &Path) -> ExitCode {
    match try_keep(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Its folder has it. It may be gone, or its disk full.
            drop(writeln!(io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

fn try_keep(path: &Path) -> io::Result<()> {
    setsid()?;
    let signals = Incoming::watch()?;
    let link = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    link.set_read_timeout(Some(DRIVER_LIMIT))?;
    link.set_write_timeout(Some(DRIVER_LIMIT))?;
    let folder = Folder::at(path)?;
    let order = match read_line::<Order>(&link) {
        Ok(Some(order)) => order,
        // The driver is gone, and nobody else knows of the folder.
        Ok(None) => return folder.remove(),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return folder.remove(),
        Err(error) => return Err(error),
    };
    let prepared = folder
        .reserve_end()
        .and_then(|()| folder.listen())
        .map_err(|error| format!("can't use {}: {error}", path.display()));
    let listener = match prepared {
        Ok(listener) => listener,
        Err(why) => return write_line(&link, &Report::Failed(why)),
    };
    let executor = StandardExecutor::new(Options {
        allowed: Allowed {
            // This process has one task, and no children of its own.
            subreaper: true,
            ..Allowed::default()
        },
    });
    let report = match launch(&executor, &order, &link) {
        Ok(held) => Report::Held(held),
        Err(why) => Report::Failed(why),
    };
    let is_told = write_line(&link, &report).is_ok();
    if !is_told || !matches!(read_line::<Go>(&link), Ok(Some(Go { go: true }))) {
        // No driver knows of the task, if there is one. This kills it; and nobody else may be left to remove the
        // folder.
        drop(executor);
        return folder.remove();
    }
    let kept = Arc::new(Kept {
        executor,
        answers: Answers::default(),
        subscribers: Subscribers::default(),
    });
    kept.subscribers.add(link)?;
    Warden {
        kept,
        folder,
        signals,
    }
    .play(listener)
}

/// Launches the task, unless the driver closes the socket meanwhile.
fn launch(executor: &StandardExecutor, order: &Order, link: &UnixStream) -> Result<Held, String> {
    let task = &order.task;
    let mut spec = LaunchSpec::new(
        task.argv.first().map(String::as_str).unwrap_or_default(),
        LogPaths::of_fifos(&task.stdout, &task.stderr),
    )
    .args(task.argv.iter().skip(1).cloned());
    if task.inherits_env {
        let inherited = std::env::vars_os();
        spec.env = match task.user {
            Some(_) => environment::without_identity(inherited),
            None => inherited.collect(),
        };
    }
    let own = task.env.iter();
    spec.env
        .extend(own.map(|(name, value)| (name.into(), value.into())));
    spec.user.clone_from(&task.user);
    spec.task_folder = Some(task.task_dir.clone().into());
    spec.cwd = task.cwd.clone().map(Into::into);
    spec.open_limit = Duration::from_millis(task.open_ms);
    spec.trusted_root = task.trusted_root.clone().map(Into::into);
    let launched = executor
        .launch(&spec, Cancel::when_readable(link))
        .map_err(|error| chain(&error))?;
    held(executor, launched.pid)
}

/// Names what holds the task. Its main process is not reaped before it is let go.
fn held(executor: &StandardExecutor, pid: i32) -> Result<Held, String> {
    let main = processes::stat(pid).map(|stat| Named {
        pid,
        birth: stat.birth,
    });
    let main = main.ok_or_else(|| format!("can't read /proc/{pid}/stat"))?;
    let contained = executor.contained().ok_or("there is no task")?;
    let group = |path: Option<&Path>| -> Result<Option<Inode>, String> {
        let Some(path) = path else {
            return Ok(None);
        };
        let failed = |why: String| format!("can't use {}: {why}", path.display());
        let found = path.metadata().map_err(|error| failed(error.to_string()))?;
        let text = path
            .to_str()
            .ok_or_else(|| failed("it is no text".into()))?;
        Ok(Some(Inode {
            path: text.to_owned(),
            inode: found.ino(),
        }))
    };
    let of_kind = |kind: Kind| group(contained.cgroup().filter(|_| contained.kind() == kind));
    Ok(Held {
        main,
        cgroup2: of_kind(Kind::Cgroup2)?,
        freezer: of_kind(Kind::Freezer)?,
        counter: group(contained.counter())?,
    })
}

/// What the threads share that answer.
struct Kept {
    executor: StandardExecutor,
    answers: Answers,
    subscribers: Subscribers,
}

struct Warden {
    kept: Arc<Kept>,
    folder: Folder,
    signals: Incoming,
}

impl Warden {
    fn play(&self, listener: UnixListener) -> io::Result<()> {
        let kept = Arc::clone(&self.kept);
        let answering = std::thread::Builder::new().spawn(move || answer_all(&kept, &listener));
        let status = answering.and_then(|_| self.await_end());
        if let Ok(status) = &status {
            // Should this process be killed now, it is known how the task ended, and that something may be left. If
            // it can't be told, it is tried again when all is done.
            drop(self.tell(&EndNote::of(status)));
        }
        // Whatever has failed: nobody else ends what is left.
        let left = self.kept.executor.shutdown(None, Duration::ZERO).err();
        let left = left.map(|error| chain(&error));
        let note = EndNote::of(&status?).cleaned(left);
        let told = match self.tell(&note) {
            // A driver may have just found this process.
            Err(_) if self.kept.subscribers.await_one(LATE_LIMIT) => Ok(()),
            Err(_) => self.tell(&note),
            Ok(()) => Ok(()),
        };
        // Whoever has asked is answered, though the task is gone.
        self.kept.answers.await_all(Deadline::after(ASK_LIMIT));
        told
    }

    /// Tells how the task ended. It is an error if neither the file nor anybody who listens has it.
    fn tell(&self, note: &EndNote) -> io::Result<()> {
        let is_heard = self.kept.subscribers.tell(note);
        match self.folder.write_end(note) {
            Err(error) if !is_heard => Err(io::Error::new(
                error.kind(),
                format!("can't write down how the task ended: {error}"),
            )),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn await_end(&self) -> io::Result<ExitStatus> {
        loop {
            let cancel = Cancel::when_readable(&self.signals);
            match self.kept.executor.wait(None, cancel) {
                Ok(Waited::Ended(status)) => return Ok(status),
                Ok(Waited::Cancelled | Waited::TimedOut) => {}
                Err(error) => return Err(io::Error::other(chain(&error))),
            }
            match self.signals.next()? {
                Some(Meaning::Stop(signal)) => {
                    let kept = Arc::clone(&self.kept);
                    // What it could not do is told by the shutdown that follows the end.
                    std::thread::Builder::new().spawn(move || {
                        drop(kept.executor.shutdown(Some(signal.as_str()), GRACE));
                    })?;
                }
                // It may have ended by now.
                Some(Meaning::HandOn(signal)) => drop(self.kept.executor.signal(signal.as_str())),
                Some(Meaning::Child | Meaning::Nothing) | None => {
                    drop(self.kept.executor.reap_adopted());
                }
            }
        }
    }
}

/// Answers whoever asks, as long as this process lives.
fn answer_all(kept: &Arc<Kept>, listener: &UnixListener) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Somebody went away again; or descriptors ran out, and one comes free when an answer was given.
            Pauses::until(Deadline::of(None)).pause();
            continue;
        };
        let kept = Arc::clone(kept);
        let spawned = std::thread::Builder::new().spawn(move || {
            if let Err(error) = answer(&kept, stream) {
                // Whoever asked has seen the connection end.
                drop(writeln!(io::stderr(), "can't answer: {error}"));
            }
        });
        if let Err(error) = spawned {
            drop(writeln!(io::stderr(), "can't answer: {error}"));
        }
    }
}

fn answer(kept: &Kept, stream: UnixStream) -> io::Result<()> {
    if socket_peercred(&stream)?.uid != geteuid() {
        return Ok(());
    }
    stream.set_read_timeout(Some(ASK_LIMIT))?;
    stream.set_write_timeout(Some(ASK_LIMIT))?;
    let Some(ask) = read_line::<Ask>(&stream)? else {
        return Ok(());
    };
    let executor = &kept.executor;
    match ask {
        Ask::Status => {
            let phase = format!("{:?}", executor.phase());
            write_line(&stream, &Reply::Status(phase))
        }
        Ask::End => kept.subscribers.add(stream),
        Ask::Signal { signal } => {
            // The signal may end the task, and this process with it.
            let _answer = kept.answers.begin();
            let sent = executor.signal(&signal);
            let failed = |error| Reply::Failed(chain(&error));
            write_line(&stream, &sent.map_or_else(failed, |()| Reply::Done))
        }
        Ask::Stop { signal, grace_ms } => {
            let answer = kept.answers.begin();
            write_line(&stream, &Reply::Taken)?;
            drop(answer);
            // What it could not do is told by the shutdown that follows the end.
            drop(executor.shutdown(Some(&signal), Duration::from_millis(grace_ms)));
            Ok(())
        }
        Ask::Exec { argv, limit_ms } => {
            let _answer = kept.answers.begin();
            write_line(&stream, &exec(executor, &argv, limit_ms, &stream))
        }
        Ask::Speak {
            argv,
            limit_ms,
            terminal,
        } => {
            let _answer = kept.answers.begin();
            let (program, args) = split(&argv);
            let request = ExecRequest {
                program,
                args,
                terminal,
                limit: limit_ms.map(Duration::from_millis),
            };
            write_line(&stream, &speak(executor, &request, &stream)?)
        }
    }
}

/// Starts a command, hands over what it is spoken with by, and attends to it unless whoever asked goes away.
fn speak(
    executor: &StandardExecutor,
    request: &ExecRequest,
    stream: &UnixStream,
) -> io::Result<Reply> {
    let deadline = Deadline::of(request.limit);
    let (near, command) = match executor.begin(request) {
        Ok(begun) => begun,
        Err(error) => return Ok(Reply::Failed(chain(&error))),
    };
    write_line_with(stream, &Reply::Speaks, &near.fds())?;
    // The other side has it now.
    drop(near);
    let end = command.attend(deadline, Cancel::when_readable(stream), None)?;
    Ok(Reply::Executed {
        end,
        output: Vec::new(),
    })
}

/// Runs a command in the task, unless whoever asked for it goes away.
fn exec(
    executor: &StandardExecutor,
    argv: &[String],
    limit_ms: Option<u64>,
    stream: &UnixStream,
) -> Reply {
    let (program, args) = split(argv);
    let limit = limit_ms.map(Duration::from_millis);
    let done = executor.command(limit, Cancel::when_readable(stream), (&program, &args));
    match done {
        Ok(Done { end, output, .. }) => Reply::Executed { end, output },
        Err(error) => Reply::Failed(chain(&error)),
    }
}

/// A program and its arguments.
fn split(argv: &[String]) -> (PathBuf, Vec<OsString>) {
    let mut words = argv.iter();
    let program = words.next().map(PathBuf::from).unwrap_or_default();
    (program, words.map(Into::into).collect())
}

/// How many answers are on their way that the end of the task must not cut off.
#[derive(Default)]
struct Answers {
    open: Mutex<usize>,
    changed: Condvar,
}

/// An answer that is not given yet.
struct Open<'a>(&'a Answers);

impl Answers {
    fn begin(&self) -> Open<'_> {
        *lock(&self.open) += 1;
        Open(self)
    }

    /// Waits until all are given, or the time is over.
    fn await_all(&self, deadline: Deadline) {
        let mut open = lock(&self.open);
        while *open > 0 {
            let Some(left) = deadline.left_of(ASK_LIMIT) else {
                return;
            };
            let waited = self.changed.wait_timeout(open, left);
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        *lock(&self.0.open) -= 1;
        self.0.changed.notify_all();
    }
}
