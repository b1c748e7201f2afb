//! One task, and the process that keeps it (edge).

mod measuring;

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use rustix::process::Signal;

use super::handle::Handle;
use crate::error::chain;
use crate::exec::first_readable;
use crate::exec_ends::{Near, WindowSize};
use crate::exec_stream::ExecStream;
use crate::executor::DEFAULT_SIGNAL;
use crate::processes;
use crate::signal;
use crate::stats::Sampler;
use crate::status::{CommandEnd, ExitStatus};
use crate::task::lock;
use crate::waiting::{Cancel, Deadline, Woken, readable};
use crate::warden::{
    Ask, EndNote, Folder, Left, Origin, Reply, kill_below, kill_left, open, read_line,
    read_line_with, write_line,
};

/// How long the warden may take for an answer.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// How long the warden may take to kill a command and to say so.
const EXEC_LIMIT: Duration = Duration::from_secs(20);

/// How long the warden may take beyond the grace until everything of the task is gone: longer than it takes itself to
/// give up, so what it has to tell is heard.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// How long what is killed may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// How long an end that is known waits for the rest of the task to end. It has to be told within five seconds.
const CLEAN_LIMIT: Duration = Duration::from_secs(2);

/// How much is read of what a warden says of an end, in bytes. Only what is left of the task may be longer.
const LONGEST_END: usize = 1 << 16;

/// What is told of a task that is not there any more.
const HAS_ENDED: &str = "the task has ended";

/// How a task ended that outlives whoever starts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// As the process that kept it has seen it.
    Known(ExitStatus),
    /// The process that kept it has seen nothing, and the task lived when it was about to be killed in its place. That
    /// it ended by itself in between is not known, and not told.
    Killed,
    /// Nobody has seen it; why.
    Lost(String),
}

#[derive(Debug, Clone)]
struct Settled {
    ended: Ended,
    /// What of the task can't be ended.
    left: Option<String>,
}

/// A task that was started, by this driver or one before it.
#[derive(Debug)]
pub(crate) struct Kept {
    handle: Handle,
    /// None: it is gone.
    warden: Option<OwnedFd>,
    /// Where the warden says how the task ended, if it could be asked to. Nothing is taken out of it, so all who wait
    /// find it.
    ends: Option<Arc<UnixStream>>,
    settled: Mutex<Option<Settled>>,
    /// Made for the first who asks what it uses.
    sampler: Mutex<Option<Arc<Sampler>>>,
}

impl Kept {
    /// A task whose warden is this process.
    pub(crate) fn new(handle: Handle, warden: OwnedFd, link: Arc<UnixStream>) -> Kept {
        Kept {
            handle,
            warden: Some(warden),
            ends: Some(link),
            settled: Mutex::default(),
            sampler: Mutex::default(),
        }
    }

    /// Finds the warden again, or else the end. The FIFOs are not looked at.
    ///
    /// # Errors
    /// Why the task is lost. What was left of it was killed, unless it is of another pid namespace.
    pub(crate) fn recover(
        handle: Handle,
        here: &Origin,
        deadline: Deadline,
    ) -> Result<Kept, String> {
        let is_same = handle.is_of_boot(here);
        if is_same && !handle.is_of_namespace(here) {
            // Its processes can't be told from strangers here, so nothing is killed and nothing removed.
            return Err(
                "its processes are of another pid namespace; a driver there finds it, and it was left alone"
                    .into(),
            );
        }
        let failed = |error: io::Error| format!("can't look for its process: {error}");
        let warden = if is_same {
            open(handle.warden).map_err(failed)?
        } else {
            None
        };
        let mut kept = Kept {
            handle,
            warden,
            ends: None,
            settled: Mutex::default(),
            sampler: Mutex::default(),
        };
        if !kept.has_ended() {
            // It may be that it stands still, or that its folder is gone. Then its end is that of the warden.
            kept.ends = kept.subscribe().ok().map(Arc::new);
            return Ok(kept);
        }
        if !is_same {
            let status = kept.note().and_then(|note| note.status());
            let ended = status.map_or_else(
                || Ended::Lost("the machine was started again".into()),
                Ended::Known,
            );
            *lock(&kept.settled) = Some(Settled { ended, left: None });
        }
        match kept.settle(deadline, false) {
            Settled {
                ended: Ended::Known(_),
                ..
            } => Ok(kept),
            Settled { ended, left } => {
                // Nobody asks for it any more.
                drop(kept.folder().and_then(|folder| folder.remove()));
                Err(lost(&ended, left))
            }
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for the end, however long that takes. As a rule nothing of the task is left then; but what can't be ended
    /// does not hold the answer for long.
    pub(crate) fn wait(&self) -> Result<Ended, String> {
        let Some(status) = self.await_end()? else {
            if !self.await_warden(Deadline::of(None))? {
                return Err(self.stays());
            }
            return Ok(self.settle(Deadline::after(KILL_LIMIT), false).ended);
        };
        let deadline = Deadline::after(CLEAN_LIMIT);
        if !self.await_warden(deadline)? {
            return Ok(Ended::Known(status));
        }
        Ok(self.settle(deadline, false).ended)
    }

    /// Sends a signal to the main process.
    pub(crate) fn signal(&self, name: &str) -> Result<(), String> {
        if self.has_ended() {
            return Err(HAS_ENDED.into());
        }
        let asked = Ask::Signal {
            signal: name.to_owned(),
        };
        match self.ask(&asked, ASK_LIMIT) {
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Failed(why)) => Err(why),
            Ok(Reply::Taken | Reply::Status(_) | Reply::Speaks | Reply::Executed { .. }) => {
                Err(self.speaks_wrong())
            }
            Err(_) if self.has_ended() => Err(HAS_ENDED.into()),
            Err(error) => Err(self.silent(&error)),
        }
    }

    /// Runs a command in the task, with its user, environment, folder and control group, and waits so long for its
    /// end, or as long as it takes. Gives how it ended, and the end of what it said.
    pub(crate) fn exec(
        &self,
        argv: &[String],
        limit: Option<Duration>,
        cancel: Cancel<'_>,
    ) -> Result<(CommandEnd, Vec<u8>), String> {
        let stream = self.ask_for_command(&Ask::Exec {
            argv: argv.to_vec(),
            limit_ms: milliseconds(limit),
        })?;
        let deadline = Deadline::of(limit.map(|limit| limit.saturating_add(EXEC_LIMIT)));
        match answered(&stream, deadline, cancel) {
            Ok(Reply::Executed { end, output }) => Ok((end, output)),
            Ok(Reply::Failed(why)) => Err(why),
            Ok(Reply::Taken | Reply::Done | Reply::Status(_) | Reply::Speaks) => {
                Err(self.speaks_wrong())
            }
            // It was killed meanwhile, and its task with it.
            Err(_) if self.has_ended() => Ok((CommandEnd::Stopped, Vec::new())),
            Err(error) => Err(self.silent(&error)),
        }
    }

    /// Starts a command in the task that is spoken with while it runs.
    pub(crate) fn speak(
        &self,
        argv: &[String],
        terminal: Option<WindowSize>,
        limit: Option<Duration>,
    ) -> Result<ExecStream, String> {
        let stream = self.ask_for_command(&Ask::Speak {
            argv: argv.to_vec(),
            limit_ms: milliseconds(limit),
            terminal,
        })?;
        let fds = match read_line_with(&stream) {
            Ok(Some((Reply::Speaks, fds))) => fds,
            Ok(Some((Reply::Failed(why), _))) => return Err(why),
            Ok(Some(_)) => return Err(self.speaks_wrong()),
            Ok(None) | Err(_) if self.has_ended() => return Err(HAS_ENDED.into()),
            Ok(None) => return Err(self.silent(&io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(self.silent(&error)),
        };
        let near = Near::of(fds).ok_or_else(|| self.speaks_wrong())?;
        let made = ExecStream::attended(near, stream, read_end);
        made.map_err(|error| format!("can't speak with the command: {error}"))
    }

    /// Asks for a command, whose answer may take longer than any other.
    fn ask_for_command(&self, ask: &Ask) -> Result<UnixStream, String> {
        let asked = self
            .folder()
            .and_then(|folder| folder.reach(self.handle.warden.pid, EXEC_LIMIT))
            .and_then(|stream| write_line(&stream, ask).map(|()| stream));
        match asked {
            Ok(stream) => Ok(stream),
            Err(_) if self.has_ended() => Err(HAS_ENDED.into()),
            Err(error) => Err(self.silent(&error)),
        }
    }

    /// Waits until the main process has ended, or its warden; what else is of the task may live on.
    pub(crate) fn wait_main(&self) -> Result<(), String> {
        let failed = |error: io::Error| format!("can't wait for its main process: {error}");
        if let Some(main) = open(self.handle.held.main).map_err(failed)? {
            let warden = self.warden.as_ref().map(AsFd::as_fd);
            first_readable([Some(main.as_fd()), warden], Deadline::of(None)).map_err(failed)?;
        }
        Ok(())
    }

    /// Stops the task, and returns when nothing is left of it. A signal of no name does not keep it alive.
    pub(crate) fn stop(&self, name: &str, grace: Duration) -> Result<(), String> {
        let known = signal::named(name);
        let asked = Ask::Stop {
            signal: known.map_or(DEFAULT_SIGNAL, |_| name).to_owned(),
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        };
        if !self.has_ended() {
            let taken = self.ask(&asked, ASK_LIMIT);
            let limit = match taken {
                Ok(_) => grace.saturating_add(STOP_LIMIT),
                // It may be about to end.
                Err(_) => ASK_LIMIT,
            };
            if !self.await_warden(Deadline::after(limit))? {
                if taken.is_err() {
                    self.signal_main(known.unwrap_or(Signal::INT), grace)?;
                }
                self.force(Deadline::after(KILL_LIMIT))?;
            }
        }
        self.is_gone(Deadline::after(KILL_LIMIT))?;
        match known {
            Some(_) => Ok(()),
            None => Err(format!(
                "`signal` names no signal: {name:?}; the task was stopped by {DEFAULT_SIGNAL} in its place"
            )),
        }
    }

    /// Kills the task if it runs, and removes what it is found by. The warden has this time; if it does not use it, the
    /// rest is done in its place.
    pub(crate) fn destroy(&self, limit: Duration) -> Result<(), String> {
        let mut patience = limit / 2;
        if !self.has_ended() {
            let kill = Ask::Stop {
                signal: "SIGKILL".into(),
                grace_ms: 0,
            };
            if self.ask(&kill, limit / 4).is_err() {
                // It may be about to end.
                patience = limit / 8;
            }
        }
        self.abandon(patience, Deadline::after(limit.max(KILL_LIMIT)))
    }

    /// Waits so long for the warden to end by itself, ends it otherwise, and removes what the task is found by.
    pub(crate) fn abandon(&self, patience: Duration, deadline: Deadline) -> Result<(), String> {
        if !self.await_warden(Deadline::after(patience))? {
            self.force(deadline)?;
        }
        self.is_gone(deadline)?;
        match self.folder().map(|folder| folder.remove()) {
            Ok(Err(error)) => Err(format!("can't remove {}: {error}", self.handle.folder.path)),
            // It is gone, or something else has its path.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Sees that nothing of the task is left.
    fn is_gone(&self, deadline: Deadline) -> Result<(), String> {
        match self.settle(deadline, false).left {
            None => Ok(()),
            Some(why) => Err(format!("something of the task is left: {why}")),
        }
    }

    fn has_ended(&self) -> bool {
        self.await_warden(Deadline::after(Duration::ZERO))
            .unwrap_or(false)
    }

    /// Waits until the warden has ended; says whether it has.
    fn await_warden(&self, deadline: Deadline) -> Result<bool, String> {
        let Some(warden) = &self.warden else {
            return Ok(true);
        };
        let woken = readable(warden.as_fd(), deadline, Cancel::never());
        let woken = woken.map_err(|error| format!("can't wait for its process: {error}"))?;
        Ok(woken == Woken::Readable)
    }

    /// Has the warden say how the task ends.
    fn subscribe(&self) -> io::Result<UnixStream> {
        let stream = self.folder()?.reach(self.handle.warden.pid, ASK_LIMIT)?;
        write_line(&stream, &Ask::End)?;
        Ok(stream)
    }

    /// Waits until the warden has said how the task ended; none if it says nothing any more.
    fn await_end(&self) -> Result<Option<ExitStatus>, String> {
        let Some(ends) = &self.ends else {
            return Ok(None);
        };
        let woken = readable(ends.as_fd(), Deadline::of(None), Cancel::never());
        woken.map_err(|error| format!("can't wait for its process: {error}"))?;
        Ok(self.heard().and_then(|note| note.status()))
    }

    /// The last that the warden has said of the end.
    fn heard(&self) -> Option<EndNote> {
        let mut text = vec![0; LONGEST_END];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let (bytes, _) = recv(self.ends.as_ref()?, &mut text[..], flags).ok()?;
        let whole = text[..bytes].split_inclusive(|byte| *byte == b'\n');
        let mut notes = whole.filter_map(|line| serde_json::from_slice(line).ok());
        notes.next_back()
    }

    fn folder(&self) -> io::Result<Folder> {
        Folder::meant(&self.handle.folder)
    }

    fn note(&self) -> Option<EndNote> {
        // The file is never newer, and may be lost.
        self.heard().or_else(|| self.folder().ok()?.read_end())
    }

    fn ask(&self, ask: &Ask, limit: Duration) -> io::Result<Reply> {
        let stream = self.folder()?.reach(self.handle.warden.pid, limit)?;
        write_line(&stream, ask)?;
        read_line(&stream)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Says how the task ended, once its warden has. Whatever the warden has left is killed.
    fn settle(&self, deadline: Deadline, was_main_alive: bool) -> Settled {
        let mut settled = lock(&self.settled);
        if let Some(settled) = settled.as_ref().filter(|settled| settled.left.is_none()) {
            return settled.clone();
        }
        if let Some(warden) = &self.warden {
            processes::reap(warden);
        }
        let note = self.note();
        let known = note.as_ref().and_then(EndNote::status).map(Ended::Known);
        let known = known.or_else(|| settled.as_ref().map(|before| before.ended.clone()));
        let is_clean = note.is_some_and(|note| note.is_clean());
        let found = if let (true, Some(ended)) = (is_clean, known.clone()) {
            Settled { ended, left: None }
        } else {
            match kill_left(&self.handle.held, deadline) {
                Ok(left) => Settled {
                    ended: known.unwrap_or_else(|| self.unseen(left, was_main_alive)),
                    left: None,
                },
                Err(error) => Settled {
                    ended: known.unwrap_or_else(|| Ended::Lost(self.killed())),
                    left: Some(error.to_string()),
                },
            }
        };
        *settled = Some(found.clone());
        found
    }

    fn unseen(&self, left: Left, was_main_alive: bool) -> Ended {
        if left.was_main_killed || was_main_alive {
            return Ended::Killed;
        }
        let gap = if left.is_gap {
            "; no cgroup held the task, so what it has started may live on"
        } else {
            ""
        };
        Ended::Lost(format!("{}{gap}", self.killed()))
    }

    /// What is known of a warden that has left no end.
    fn killed(&self) -> String {
        let said = self.folder().map(|folder| folder.said());
        let pid = self.handle.warden.pid;
        match said.unwrap_or_default() {
            said if said.is_empty() => format!("its process {pid} was killed and left no word"),
            said => format!("its process {pid} has ended: {said}"),
        }
    }

    /// Does in the place of a warden that does not answer what comes before the kill.
    fn signal_main(&self, signal: Signal, grace: Duration) -> Result<(), String> {
        let failed = |error: io::Error| format!("can't signal its main process: {error}");
        if let Some(main) = open(self.handle.held.main).map_err(failed)? {
            processes::signal(&main, signal).map_err(failed)?;
            readable(main.as_fd(), Deadline::after(grace), Cancel::never()).map_err(failed)?;
        }
        Ok(())
    }

    /// Kills the warden and all that is the task's.
    fn force(&self, deadline: Deadline) -> Result<(), String> {
        let Some(warden) = &self.warden else {
            return Ok(());
        };
        let failed = |error: io::Error| format!("can't kill the task: {error}");
        let now = Deadline::after(Duration::ZERO);
        let main = open(self.handle.held.main).map_err(failed)?;
        let was_main_alive = match &main {
            Some(main) => {
                readable(main.as_fd(), now, Cancel::never()).map_err(failed)? != Woken::Readable
            }
            None => false,
        };
        let held = &self.handle.held;
        if held.cgroup2.is_none() && held.freezer.is_none() && !self.has_ended() {
            // While the warden lives everything comes back to it.
            kill_below(self.handle.warden.pid, deadline).map_err(failed)?;
        }
        processes::signal(warden, Signal::KILL).map_err(failed)?;
        if !self.await_warden(deadline)? {
            return Err(self.stays());
        }
        self.settle(deadline, was_main_alive);
        Ok(())
    }

    fn stays(&self) -> String {
        let pid = self.handle.warden.pid;
        let status = match self.ask(&Ask::Status, ASK_LIMIT) {
            Ok(Reply::Status(status)) => status,
            Ok(_) => self.speaks_wrong(),
            Err(error) => self.silent(&error),
        };
        format!("process {pid}, which keeps the task, does not end: {status}")
    }

    fn silent(&self, error: &io::Error) -> String {
        let pid = self.handle.warden.pid;
        format!(
            "process {pid}, which keeps the task, does not answer: {}",
            chain(error)
        )
    }

    fn speaks_wrong(&self) -> String {
        let pid = self.handle.warden.pid;
        format!("process {pid}, which keeps the task, answers something else")
    }
}

fn milliseconds(limit: Option<Duration>) -> Option<u64> {
    limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

/// Reads how a command ended. A warden that is gone has been killed, and its task ends with it.
fn read_end(stream: &UnixStream) -> io::Result<CommandEnd> {
    match read_line(stream) {
        Ok(Some(Reply::Executed { end, .. })) => Ok(end),
        Ok(None) => Ok(CommandEnd::Stopped),
        Ok(Some(_)) => Err(io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(CommandEnd::Stopped),
        Err(error) => Err(error),
    }
}

/// Reads the answer to a command when it comes. Whoever cancels it gets the answer to that.
fn answered(stream: &UnixStream, deadline: Deadline, cancel: Cancel<'_>) -> io::Result<Reply> {
    let woken = match readable(stream.as_fd(), deadline, cancel)? {
        Woken::Cancelled => {
            stream.shutdown(Shutdown::Write)?;
            let limit = Deadline::after(EXEC_LIMIT);
            readable(stream.as_fd(), limit, Cancel::never())?
        }
        woken @ (Woken::Readable | Woken::TimedOut) => woken,
    };
    if woken != Woken::Readable {
        return Err(io::ErrorKind::TimedOut.into());
    }
    read_line(stream)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn lost(ended: &Ended, left: Option<String>) -> String {
    let why = match ended {
        Ended::Known(status) => format!("the task {}", status.end),
        Ended::Killed => "the process that kept the task was killed, and the task with it".into(),
        Ended::Lost(why) => why.clone(),
    };
    match left {
        None => why,
        Some(left) => format!("{why}; something of the task is left: {left}"),
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
