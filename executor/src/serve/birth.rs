//! Starts the process that keeps a task, and the task (edge).

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::handle::Handle;
use super::kept::Kept;
use super::reexec::Reexec;
use crate::processes;
use crate::waiting::{Cancel, Deadline, Woken, readable};
use crate::warden::{
    Folder, Go, Held, Inode, KeptSpec, Named, Order, Origin, Report, groups_of, kill_below,
    kill_groups_of, read_line, write_line,
};

/// How long the warden may take beyond its wait for the readers of both FIFOs.
const WARDEN_LIMIT: Duration = Duration::from_secs(3);

/// How long a warden may take to end when nobody wants its task.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(2);

/// A task that was started and waits for the word to go on.
#[derive(Debug)]
pub(crate) struct Newborn {
    pub(crate) kept: Arc<Kept>,
    link: Arc<UnixStream>,
}

impl Newborn {
    /// Tells it to go on: from now on the task lives whatever becomes of this process.
    pub(crate) fn go_on(&self) {
        // A warden that is gone already has left its task to whoever asks for its end.
        drop(write_line(&*self.link, &Go { go: true }));
    }

    /// Ends it.
    pub(crate) fn abandon(&self) -> Result<(), String> {
        give_up(&self.link);
        let deadline = Deadline::after(2 * GIVE_UP_LIMIT);
        self.kept.abandon(GIVE_UP_LIMIT, deadline)
    }
}

/// Makes a start give up: the warden kills what it has started, and ends.
pub(crate) fn give_up(link: &UnixStream) {
    // It fails if the warden has closed its end: then it is over.
    drop(link.shutdown(Shutdown::Write));
}

/// Starts a task. Who is given the link may make it give up meanwhile.
pub(crate) fn begin(
    reexec: &Reexec,
    task: &KeptSpec,
    origin: &Origin,
    given: impl FnOnce(&Arc<UnixStream>),
) -> Result<Newborn, String> {
    let folder = Folder::make(Path::new(&task.task_dir))
        .map_err(|error| format!("can't make a folder in {}: {error}", task.task_dir))?;
    let begun = begin_in(&folder, reexec, task, origin, given);
    begun.map_err(|why| match folder.remove() {
        Ok(()) => why,
        Err(error) => format!("{why}; and a folder is left in {}: {error}", task.task_dir),
    })
}

fn begin_in(
    folder: &Folder,
    reexec: &Reexec,
    task: &KeptSpec,
    origin: &Origin,
    given: impl FnOnce(&Arc<UnixStream>),
) -> Result<Newborn, String> {
    let named = folder.named();
    let named = named.ok_or_else(|| format!("{} is no text", task.task_dir))?;
    let limit = Duration::from_millis(task.open_ms).saturating_add(WARDEN_LIMIT);
    let (link, warden, who) = spawn(folder, &named, reexec, limit)
        .map_err(|error| format!("can't start a process to keep the task: {error}"))?;
    let link = Arc::new(link);
    given(&link);
    // What has such a name before the order is of another process that had this number.
    let strangers = groups_of(who.pid);
    let order = Order { task: task.clone() };
    match told(&link, &order) {
        Ok(held) => {
            let handle = Handle::new(origin, who, named, held);
            let kept = Arc::new(Kept::new(handle, warden, Arc::clone(&link)));
            Ok(Newborn { kept, link })
        }
        Err(why) => {
            give_up(&link);
            let ended = end(&warden, who, strangers.as_deref().ok());
            let said = folder.said();
            let said = if said.is_empty() {
                String::new()
            } else {
                format!("; it said: {said}")
            };
            Err(format!("{why}{said}{ended}"))
        }
    }
}

/// Starts the warden, which has so long to answer. It gets a socket, the file for its messages, and no other descriptor of
/// this process.
fn spawn(
    folder: &Folder,
    named: &Inode,
    reexec: &Reexec,
    limit: Duration,
) -> io::Result<(UnixStream, OwnedFd, Named)> {
    let (near, far) = UnixStream::pair()?;
    near.set_read_timeout(Some(limit))?;
    near.set_write_timeout(Some(WARDEN_LIMIT))?;
    let messages = folder.messages()?;
    let mut command = reexec.command("warden");
    command
        .arg(&named.path)
        .stdin(OwnedFd::from(far))
        .stdout(Stdio::null())
        .stderr(messages);
    let child = command.spawn();
    // It holds the warden's end.
    drop(command);
    let mut child = child?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.expect("a pid is positive and fits");
    // Nobody has waited for it, so its number is its own.
    let named = processes::stat(pid.as_raw_nonzero().get()).map(|stat| Named {
        pid: stat.pid,
        birth: stat.birth,
    });
    match (pidfd_open(pid, PidfdFlags::empty()), named) {
        (Ok(pidfd), Some(named)) => Ok((near, pidfd, named)),
        (opened, _) => {
            // Nothing else holds it. That it is gone already is as good.
            drop(child.kill());
            drop(child.wait());
            opened?;
            Err(io::Error::other("can't read its stat"))
        }
    }
}

/// Gives the order, and hears what came of it.
fn told(link: &UnixStream, order: &Order) -> Result<Held, String> {
    let failed = |error: io::Error| {
        let is_late = error.kind() == io::ErrorKind::WouldBlock;
        let why = if is_late {
            "it does not answer".to_owned()
        } else {
            error.to_string()
        };
        format!("can't speak to the process that keeps the task: {why}")
    };
    write_line(link, order).map_err(failed)?;
    match read_line(link).map_err(failed)? {
        Some(Report::Held(held)) => Ok(held),
        Some(Report::Failed(why)) => Err(why),
        None => Err("the process that keeps the task has ended".into()),
    }
}

/// Ends a warden whose task is nobody's, and what it has left in cgroups but these; gives what could not be done, behind
/// a semicolon.
fn end(warden: &OwnedFd, who: Named, strangers: Option<&[PathBuf]>) -> String {
    let ended = |limit: Duration| {
        let woken = readable(warden.as_fd(), Deadline::after(limit), Cancel::never());
        woken.is_ok_and(|woken| woken == Woken::Readable)
    };
    let mut left = String::new();
    if !ended(GIVE_UP_LIMIT) {
        let killed = kill_below(who.pid, Deadline::after(GIVE_UP_LIMIT))
            .and_then(|()| processes::signal(warden, Signal::KILL).map(drop));
        if let Err(error) = killed {
            left = format!("; something may be left of it: {error}");
        } else if !ended(GIVE_UP_LIMIT) {
            left = format!("; process {} does not end", who.pid);
        }
    }
    // It may have been killed when its task ran and nobody knew of it yet. Its number is its own until it is reaped.
    let killed = strangers.map(|but| kill_groups_of(who.pid, but, Deadline::after(GIVE_UP_LIMIT)));
    if let Some(Err(error)) = killed {
        left = format!("{left}; something may be left in its cgroup: {error}");
    }
    processes::reap(warden);
    left
}
