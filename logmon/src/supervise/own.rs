//! Edge: a logmon of our own, `logmon run`, as a supervisor has it: a process that says on its stdout when it
//! is ready, is told by signals, and has a keeper.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::unix::pipe;
use tracing::{info, warn};

use super::error::SuperviseError;
use super::machine::{Action, Ending, Event, Pace};
use super::process::{Process, boot_id};
use super::record::{Record, command_number};
use super::run::Ward;
use super::state_folder::StateFolder;
use crate::exit::Exit;
use crate::keeper::keeper_at;
use crate::relaunch;

/// How long a logmon may take to end when it was told to, or to become ready when it is to end, before it is
/// killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What can be supervised: a command that a new life can go on with from its words alone.
const COMMANDS: [&str; 1] = ["run"];

/// The logmon that is looked after.
#[derive(Debug)]
struct Logmon {
    process: Process,
    /// None if it is the child of an earlier supervisor.
    child: Option<Child>,
    /// Its stdout, until it has said that it is ready.
    stdout: Option<pipe::Receiver>,
}

/// A logmon, the words that it is started with, and what is left for the next supervisor.
#[derive(Debug)]
pub(super) struct Own {
    folder: StateFolder,
    words: Vec<OsString>,
    boot: String,
    command: u64,
    logmon: Option<Logmon>,
    /// True from a failed start until the machine is told.
    failed_to_start: bool,
}

impl Own {
    /// Becomes the only supervisor in this folder, of a logmon that is started with these words.
    pub(super) fn open(state: &Path, mut words: Vec<OsString>) -> Result<Own, SuperviseError> {
        let first = words.first().cloned().unwrap_or_default();
        if !COMMANDS.iter().any(|command| first == *command) {
            return Err(SuperviseError::of_command(&words));
        }
        let folder = StateFolder::open(state)?;
        words.extend(["--keeper".into(), folder.socket().into_os_string()]);
        words.extend(["--controller".into(), folder.path().as_os_str().to_owned()]);
        Ok(Own {
            command: command_number(words.iter().map(|word| word.as_bytes())),
            boot: boot_id()?,
            folder,
            words,
            logmon: None,
            failed_to_start: false,
        })
    }

    fn adopt(&mut self, process: Process) {
        info!(pid = process.identity().pid, "found a running logmon");
        self.save(&process);
        self.logmon = Some(Logmon {
            process,
            child: None,
            stdout: None,
        });
    }

    /// The logmon that uses the keeper. It is the only one, as the keeper is only for this folder.
    fn user_of_the_keeper(&self) -> Result<Option<Process>, SuperviseError> {
        let Some(keeper) = keeper_at(&self.folder.socket())? else {
            return Ok(None);
        };
        for pid in keeper.users {
            let found =
                Process::of_pid(pid).map_err(|source| SuperviseError::Watch { pid, source })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn start(&mut self) -> io::Result<()> {
        let mut child = relaunch::command(self.words.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // What the terminal sends to the supervisor's group is for the supervisor.
            .process_group(0)
            .spawn()?;
        match open_child(&mut child) {
            Ok((process, stdout)) => {
                self.save(&process);
                self.logmon = Some(Logmon {
                    process,
                    child: Some(child),
                    stdout: Some(stdout),
                });
                Ok(())
            }
            Err(error) => {
                drop(child.kill());
                drop(child.wait());
                Err(error)
            }
        }
    }

    /// A successor that finds no record asks the keeper, so a record that can't be written hurts nobody.
    fn save(&self, process: &Process) {
        let record = Record {
            boot: self.boot.clone(),
            command: self.command,
            logmon: process.identity(),
            reattach: None,
        };
        if let Err(error) = self.folder.save(&record) {
            warn!(%error, "can't write the state");
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(logmon) = &self.logmon
            && let Err(error) = logmon.process.signal(signal)
        {
            warn!(%error, ?signal, "can't signal logmon");
        }
    }

    fn ended(&mut self) -> Event {
        let Some(logmon) = self.logmon.take() else {
            return Event::NotStarted;
        };
        let pid = logmon.process.identity().pid;
        let ending = match logmon.child.map(|mut child| child.wait()) {
            Some(Ok(status)) => match status.code() {
                Some(code) => Ending::Code(u8::try_from(code).unwrap_or(u8::MAX)),
                None => Ending::Signal,
            },
            Some(Err(error)) => {
                warn!(%error, "can't wait for logmon");
                Ending::Signal
            }
            None => Ending::Unseen {
                left_something: self.left_something(),
            },
        };
        if ending == Ending::Code(Exit::Busy.code())
            && let Ok(Some(process)) = self.user_of_the_keeper()
        {
            self.adopt(process);
            return Event::Found;
        }
        if ending != Ending::Code(Exit::Drained.code()) {
            warn!(pid, ?ending, "logmon ended");
        }
        Event::Ended(ending)
    }

    fn left_something(&self) -> bool {
        match keeper_at(&self.folder.socket()) {
            Ok(keeper) => keeper.is_some_and(|keeper| keeper.held > 0),
            Err(error) => {
                warn!(%error, "can't ask the keeper");
                true
            }
        }
    }
}

impl Ward for Own {
    fn pace(&self) -> Pace {
        Pace {
            stop_limit: STOP_LIMIT,
            // Its answer would say less than the bytes that it moves.
            check_every: None,
        }
    }

    async fn find(&mut self) -> Result<Event, SuperviseError> {
        let recorded = self
            .folder
            .load()?
            .filter(|record| record.boot == self.boot);
        if let Some(record) = recorded {
            let pid = record.logmon.pid;
            let found = Process::of_identity(record.logmon)
                .map_err(|source| SuperviseError::Watch { pid, source })?;
            if let Some(process) = found {
                if record.command != self.command {
                    let path = self.folder.path().to_owned();
                    return Err(SuperviseError::OtherOptions { path, pid });
                }
                self.adopt(process);
                return Ok(Event::Found);
            }
        }
        Ok(match self.user_of_the_keeper()? {
            Some(process) => {
                self.adopt(process);
                Event::Found
            }
            None => Event::FoundNone,
        })
    }

    fn obey(&mut self, order: Action) {
        match order {
            Action::Start => {
                if let Err(error) = self.start() {
                    warn!(%error, "can't start logmon");
                    self.failed_to_start = true;
                }
            }
            Action::Terminate => self.signal(Signal::TERM),
            Action::Kill => self.signal(Signal::KILL),
            // Nobody tells it anything else.
            Action::Resume
            | Action::Announce
            | Action::Check
            | Action::Repeat
            | Action::Dismiss
            | Action::End(_) => {}
        }
    }

    async fn next(&mut self) -> Event {
        if std::mem::take(&mut self.failed_to_start) {
            return Event::NotStarted;
        }
        let Some(logmon) = &mut self.logmon else {
            return std::future::pending().await;
        };
        let Logmon {
            process, stdout, ..
        } = logmon;
        tokio::select! {
            ready = said_ready(stdout) => {
                *stdout = None;
                if ready {
                    return Event::Ready;
                }
            }
            ended = process.ended() => {
                if let Err(error) = ended {
                    warn!(%error, "can't watch logmon");
                }
                return self.ended();
            }
        }
        // It has closed its stdout and not said it, so it is about to end.
        let ended = process.ended().await;
        if let Err(error) = ended {
            warn!(%error, "can't watch logmon");
        }
        self.ended()
    }

    fn leave(&mut self, code: u8) {
        if let Err(error) = self.folder.forget() {
            warn!(%error, "can't remove the state");
        }
        match keeper_at(&self.folder.socket()) {
            Ok(Some(keeper)) if keeper.held > 0 => {
                let streams = keeper.held;
                warn!(
                    code,
                    streams,
                    keeper = keeper.pid,
                    "the keeper still holds what was not written"
                );
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Opens a child that was just started, and its stdout.
fn open_child(child: &mut Child) -> io::Result<(Process, pipe::Receiver)> {
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let stdout = pipe::Receiver::from_owned_fd(stdout.into())?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    // A child keeps its pid until it is waited for.
    let process = Process::of_pid(pid)?.ok_or(io::ErrorKind::NotFound)?;
    Ok((process, stdout))
}

/// Waits for the line; gives false when stdout is closed without it, and never returns without one.
async fn said_ready(stdout: &Option<pipe::Receiver>) -> bool {
    let Some(stdout) = stdout else {
        return std::future::pending().await;
    };
    loop {
        if stdout.readable().await.is_err() {
            return false;
        }
        let mut line = [0; 64];
        match stdout.try_read(&mut line) {
            // logmon prints nothing else, and prints it with one write.
            Ok(count) => return line[..count].starts_with(b"ready\n"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
}
