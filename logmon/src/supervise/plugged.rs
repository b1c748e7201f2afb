//! Edge: a plugin, Nomad's or ours, as a supervisor has it: a process that is told by calls, and reached again
//! by its socket.
//!
//! A call has its deadline, and one that is not answered in time is told to the machine, which has the
//! process killed. Only the process itself says that it has ended: through a pidfd, whoever started it.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use plugin::host::{Attach, Birth, CallError, Deadlines, End, EndError, Ended, Manner};
use plugin::host::{HostError, Launch, Plugin};
use plugin::proto::logmon::StartRequest;
use plugin::reattach::Reattach;
use rustix::process::Signal;
use tokio::time::timeout;
use tracing::{info, warn};

use super::error::SuperviseError;
use super::heard::hear;
use super::kin::{MARK, marked, reached};
use super::leftover;
use super::machine::{Action, Ending, Event, Pace};
use super::process::{Process, boot_id};
use super::record::{Identity, Record, command_number};
use super::run::Ward;
use super::state_folder::StateFolder;
use super::verdict::{self, Leaving};
use crate::diagnostics;
use crate::error::{Error, chain};
use crate::exit::Exit;

/// How long after one answer a plugin is asked again whether it is well.
const CHECK_EVERY: Duration = Duration::from_secs(3);
/// How long that answer may take, twice: when this process itself was stopped, or its machine, the first span
/// is over before anything was read.
const CHECK_LIMIT: Duration = Duration::from_secs(2);
/// How long a repeated Start may take. Whether the plugin is well is asked behind it.
const REPEAT_LIMIT: Duration = Duration::from_secs(5);
/// How long a Stop may take. Nomad's own log collector waits up to 4 s for FIFOs that nobody opened.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How long the rest of a process's end may take to be told by what was asked of it.
const LAST_ANSWER: Duration = Duration::from_secs(2);

const DEADLINES: Deadlines = Deadlines {
    // Longer than a busy machine takes, and no minute, as nothing is collected meanwhile.
    handshake: Duration::from_secs(30),
    connect: Duration::from_secs(2),
    // A Start is answered at once by a good one.
    call: Duration::from_secs(10),
    shutdown: Duration::from_secs(2),
    exit: Duration::from_secs(2),
    kill: Duration::from_secs(2),
};

/// What was asked of the plugin, and is not answered.
type Asked = Pin<Box<dyn Future<Output = Answer>>>;

/// What came of it.
enum Answer {
    Launched(Result<Arc<Plugin>, HostError>),
    Started(Result<(), CallError>),
    Checked(Result<(), CallError>),
    Repeated(Result<(), CallError>),
    Stopped(Result<(), CallError>),
    Over(Result<Ended, EndError>),
}

/// A plugin, what it is told, and what is left for the next supervisor.
pub(super) struct Plugged {
    folder: StateFolder,
    /// Program and arguments.
    words: Vec<String>,
    start: StartRequest,
    boot: String,
    command: u64,
    /// The plugin's process, from its handshake to its end.
    process: Option<Process>,
    /// None if the process can't be reached, or is about to end.
    plugin: Option<Arc<Plugin>>,
    /// The socket of a plugin of before that can't be reached: nobody else removes it when the process is dead.
    unreached: Option<PathBuf>,
    asked: Option<Asked>,
    leaving: Leaving,
    /// What happened already, and is to be told.
    known: Option<Event>,
    /// Why the plugin was of no use.
    trouble: Option<SuperviseError>,
    /// Why it did not take what it was told again, as it was told of last.
    not_taken: Option<String>,
}

impl Plugged {
    /// Becomes the only supervisor in this folder, of a plugin that is started with these words, of which
    /// there is at least one, and told this.
    pub(super) fn open(
        state: &Path,
        words: Vec<String>,
        start: StartRequest,
    ) -> Result<Plugged, SuperviseError> {
        let sizes = [start.max_files, start.max_file_size_mb].map(|size| size.to_string());
        let told = [
            &start.log_dir,
            &start.stdout_file_name,
            &start.stderr_file_name,
            &start.stdout_fifo,
            &start.stderr_fifo,
        ];
        let all = words.iter().chain(told).chain(&sizes);
        let command = command_number(all.map(|word| word.as_bytes()));
        Ok(Plugged {
            folder: StateFolder::open(state)?,
            boot: boot_id()?,
            command,
            words,
            start,
            process: None,
            plugin: None,
            unreached: None,
            asked: None,
            leaving: Leaving::No,
            known: None,
            trouble: None,
            not_taken: None,
        })
    }

    /// Gives the process that the record is about, if it lives, and where it is reached. The socket of one that
    /// does not is removed.
    fn recorded(&self) -> Result<Option<(Process, Option<String>)>, SuperviseError> {
        let Some(record) = self.folder.load()? else {
            return Ok(None);
        };
        let pid = record.logmon.pid;
        let process = if record.boot == self.boot {
            Process::of_identity(record.logmon)
                .map_err(|source| SuperviseError::Watch { pid, source })?
        } else {
            None
        };
        match process {
            Some(_) if record.command != self.command => {
                let path = self.folder.path().to_owned();
                Err(SuperviseError::OtherOptions { path, pid })
            }
            Some(process) => Ok(Some((process, record.reattach))),
            None => {
                let socket = record.reattach.as_deref().and_then(leftover::socket_in);
                if let Some(socket) = socket {
                    leftover::remove(&socket);
                }
                Ok(None)
            }
        }
    }

    /// Gives the process that was started for this folder, if one lives, and where it is reached.
    fn among_all(&self) -> Result<Option<(Process, Option<String>)>, SuperviseError> {
        for pid in marked(self.folder.path()) {
            let process =
                Process::of_pid(pid).map_err(|source| SuperviseError::Watch { pid, source })?;
            let socket = reached(pid, self.folder.path());
            if let (Some(process), Some(socket)) = (process, socket) {
                let address = plugin::handshake::Address::Unix(socket);
                let reattach = Reattach { address, pid };
                return Ok(Some((process, Some(reattach.to_json()))));
            }
        }
        Ok(None)
    }

    /// Connects to a plugin of before. Whoever else listens there now is left alone.
    async fn reach(&self, process: &Process, reattach: Option<&str>) -> Option<Plugin> {
        let Identity { pid, start_time } = process.identity();
        let reattach = reattach.map(Reattach::parse)?;
        let reached = match reattach {
            Ok(reattach) if reattach.pid == pid => {
                let attach = Attach::new(reattach, Some(Birth(start_time)));
                let attach = attach.deadlines(DEADLINES).listener(hear);
                attach.start().await.map_err(|error| chain(&error))
            }
            Ok(other) => Err(format!("it is said to be process {}", other.pid)),
            Err(error) => Err(chain(&error)),
        };
        reached
            .inspect_err(|error| warn!(pid, error, "can't reach the plugin of before"))
            .ok()
    }

    fn launch(&mut self) {
        let Some((program, arguments)) = self.words.split_first() else {
            self.known = Some(Event::NotStarted);
            return;
        };
        let launch = Launch::new(program)
            .arguments(arguments)
            .variable(MARK, self.folder.path())
            // What the terminal sends to the supervisor's group is for the supervisor.
            .group_of_its_own()
            .deadlines(DEADLINES)
            .listener(hear);
        self.ask(async { Answer::Launched(launch.start().await.map(Arc::new)) });
    }

    /// Asks something in the place of what was asked before.
    fn ask(&mut self, asked: impl Future<Output = Answer> + 'static) {
        self.asked = Some(Box::pin(asked));
    }

    /// Asks something of a plugin that can be reached; one that can't does not answer.
    fn ask_plugin<F>(&mut self, ask: impl FnOnce(Arc<Plugin>) -> F)
    where
        F: Future<Output = Answer> + 'static,
    {
        match &self.plugin {
            Some(plugin) => {
                let asked = ask(Arc::clone(plugin));
                self.ask(asked);
            }
            None => self.known = Some(Event::Unwell),
        }
    }

    fn start(&mut self) {
        let start = self.start.clone();
        self.ask_plugin(
            |plugin| async move { Answer::Started(plugin.log_mon().start(start).await) },
        );
    }

    /// Has the plugin end: asks it to, and kills it if it does not.
    fn shut_down(&mut self, leaving: Leaving) {
        self.leaving = leaving;
        // What was asked holds the plugin, too.
        self.asked = None;
        match self.plugin.take().and_then(Arc::into_inner) {
            Some(plugin) => self.ask(async { Answer::Over(plugin.end().await) }),
            None => self.known = Some(Event::Unwell),
        }
    }

    fn kill(&mut self) {
        match &self.process {
            Some(process) => {
                if let Err(error) = process.signal(Signal::KILL) {
                    warn!(%error, "can't kill the plugin");
                }
            }
            None => {
                // It has not shaken hands. What started it kills it when it is dropped.
                self.asked = None;
                self.known = Some(Event::Ended(Ending::Undrained));
            }
        }
    }

    /// A successor that finds no record looks among all processes, so one that can't be written hurts nobody.
    fn save(&self, logmon: Identity, reattach: Option<String>) {
        let record = Record {
            boot: self.boot.clone(),
            command: self.command,
            logmon,
            reattach,
        };
        if let Err(error) = self.folder.save(&record) {
            warn!(error = chain(&error), "can't write the state");
        }
    }

    /// Takes note of an answer; gives what it means, if that is all.
    fn answered(&mut self, answer: Answer) -> Option<Event> {
        match answer {
            Answer::Launched(Ok(plugin)) => self.launched(plugin),
            Answer::Launched(Err(error)) => Some(self.not_launched(error)),
            Answer::Started(Ok(())) => {
                self.trouble = None;
                Some(Event::Ready)
            }
            Answer::Started(Err(error)) => self.not_started(error),
            Answer::Checked(Ok(())) => Some(Event::Well),
            Answer::Stopped(Ok(())) => {
                self.shut_down(Leaving::Drained { has_lost: false });
                None
            }
            Answer::Stopped(Err(error @ CallError::Refused { .. })) => {
                warn!(error = chain(&error), "not all was written");
                self.shut_down(Leaving::Drained { has_lost: true });
                None
            }
            Answer::Repeated(Ok(())) => {
                self.not_taken = None;
                Some(Event::Repeated)
            }
            // Its process says so, too.
            Answer::Checked(Err(CallError::Ended { .. }))
            | Answer::Repeated(Err(CallError::Ended { .. }))
            | Answer::Stopped(Err(CallError::Ended { .. })) => None,
            Answer::Checked(Err(error)) | Answer::Stopped(Err(error)) => {
                warn!(error = chain(&error), "the plugin is not well; killing it");
                Some(Event::Unwell)
            }
            Answer::Repeated(Err(error)) => {
                self.not_repeated(&error);
                Some(Event::Repeated)
            }
            Answer::Over(Ok(ended)) => Some(self.over(ended)),
            Answer::Over(Err(error)) => {
                warn!(error = chain(&error), "waiting for its end");
                None
            }
        }
    }

    fn launched(&mut self, plugin: Arc<Plugin>) -> Option<Event> {
        let saved = plugin.saved();
        let pid = plugin.reattach().pid;
        // It keeps its pid until it is waited for, which nobody has done.
        match Process::of_pid(pid) {
            Ok(Some(process)) => {
                info!(pid, "started the plugin");
                self.save(process.identity(), Some(saved.reattach));
                self.process = Some(process);
                self.plugin = Some(plugin);
                self.not_taken = None;
                self.start();
                None
            }
            Ok(None) => Some(Event::Ended(Ending::Undrained)),
            Err(error) => {
                warn!(pid, %error, "can't watch the plugin");
                Some(Event::NotStarted)
            }
        }
    }

    fn not_launched(&mut self, error: HostError) -> Event {
        let ending = verdict::of_launch(&error);
        let program = self.words.join(" ");
        let source = error;
        self.trouble = Some(SuperviseError::NoPlugin { program, source });
        Event::Ended(ending)
    }

    fn not_started(&mut self, error: CallError) -> Option<Event> {
        let event = verdict::of_start(&error);
        let program = self.words.join(" ");
        let source = error;
        let trouble = SuperviseError::Refused { program, source };
        // A refusal may be the end, and is told by whoever makes it that.
        if !matches!(event, Some(Event::Refused(_))) {
            warn!(error = chain(&trouble), "the plugin could not start");
        }
        self.trouble = Some(trouble);
        event
    }

    /// It may still collect what it did, so it is let be, and told again later. The same reason is told once.
    fn not_repeated(&mut self, error: &CallError) {
        let why = chain(error);
        if self.not_taken.as_ref() != Some(&why) {
            warn!(
                error = why,
                "the plugin does not take what it is told again; a task that restarts may not be collected"
            );
            self.not_taken = Some(why);
        }
    }

    /// It has ended, after it was told to.
    fn over(&mut self, ended: Ended) -> Event {
        self.process = None;
        if ended.manner == Manner::Killed {
            warn!(took = ?ended.took, "the plugin did not end by itself, and was killed");
        }
        let leaving = std::mem::replace(&mut self.leaving, Leaving::No);
        Event::Ended(verdict::of_end(leaving, ended.end))
    }

    /// The process has ended. What was asked of it says with which words, if anything does.
    async fn died(&mut self) -> Event {
        while let Some(asked) = &mut self.asked
            && let Ok(answer) = timeout(LAST_ANSWER, asked).await
        {
            self.asked = None;
            if let Some(event) = self.answered(answer) {
                return event;
            }
        }
        let end = match &self.plugin {
            Some(plugin) => plugin.end_within(LAST_ANSWER).await,
            None => None,
        };
        let pid = self.process.take().map(|process| process.identity().pid);
        let end = end.unwrap_or(End::Unknown);
        let words = self.plugin.take().map(|plugin| plugin.words());
        let words = words.unwrap_or_default();
        warn!(pid, "the plugin {end}{words}");
        if let Some(socket) = self.unreached.take() {
            leftover::remove(&socket);
        }
        self.asked = None;
        let leaving = std::mem::replace(&mut self.leaving, Leaving::No);
        Event::Ended(verdict::of_end(leaving, end))
    }
}

impl Ward for Plugged {
    fn pace(&self) -> Pace {
        Pace {
            // A Stop, and after it a Shutdown and a kill.
            stop_limit: STOP_LIMIT + DEADLINES.shutdown + DEADLINES.exit,
            check_every: Some(CHECK_EVERY),
        }
    }

    async fn find(&mut self) -> Result<Event, SuperviseError> {
        let found = match self.recorded()? {
            Some(found) => Some(found),
            None => self.among_all()?,
        };
        let Some((process, reattach)) = found else {
            return Ok(Event::FoundNone);
        };
        let plugin = self.reach(&process, reattach.as_deref()).await;
        info!(pid = process.identity().pid, "found a running plugin");
        if plugin.is_none() {
            self.unreached = reattach.as_deref().and_then(leftover::socket_in);
        }
        self.save(process.identity(), reattach);
        self.plugin = plugin.map(Arc::new);
        self.process = Some(process);
        Ok(Event::FoundPlugin)
    }

    fn obey(&mut self, order: Action) {
        match order {
            Action::Start => {
                if let Some(trouble) = self.trouble.take() {
                    warn!(error = chain(&trouble), "starting another plugin");
                }
                self.launch();
            }
            Action::Resume => {
                let start = self.start.clone();
                self.ask_plugin(|plugin| async move {
                    match check(&plugin).await {
                        Ok(()) => Answer::Started(plugin.log_mon().start(start).await),
                        unwell => Answer::Checked(unwell),
                    }
                });
            }
            Action::Check => {
                self.ask_plugin(|plugin| async move { Answer::Checked(check(&plugin).await) });
            }
            Action::Repeat => {
                let start = self.start.clone();
                self.ask_plugin(|plugin| async move {
                    let (call, within) = ("Start", REPEAT_LIMIT);
                    let started = timeout(within, plugin.log_mon().start(start)).await;
                    Answer::Repeated(started.unwrap_or(Err(CallError::Deadline { call, within })))
                });
            }
            Action::Terminate => self.ask_plugin(|plugin| async move {
                let call = "Stop";
                let stopped = timeout(STOP_LIMIT, plugin.log_mon().stop()).await;
                let within = STOP_LIMIT;
                Answer::Stopped(stopped.unwrap_or(Err(CallError::Deadline { call, within })))
            }),
            Action::Dismiss => self.shut_down(Leaving::Undrained),
            Action::Kill => self.kill(),
            Action::Announce | Action::End(_) => {}
        }
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.known.take() {
                return event;
            }
            let answer = tokio::select! {
                biased;
                // The end is waited for by what asked for it.
                () = ended(&self.process), if !self.is_ending() => None,
                answer = answer(&mut self.asked) => Some(answer),
            };
            let event = match answer {
                Some(answer) => {
                    self.asked = None;
                    self.answered(answer)
                }
                None => Some(self.died().await),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    fn leave(&mut self, code: u8) {
        if let Some(trouble) = self.trouble.take()
            && code != Exit::Drained.code()
        {
            diagnostics::tell(&Error::from(trouble));
        }
        if let Err(error) = self.folder.forget() {
            warn!(error = chain(&error), "can't remove the state");
        }
    }
}

impl Plugged {
    /// True while the end is under way that it was asked for.
    fn is_ending(&self) -> bool {
        self.leaving != Leaving::No && self.asked.is_some()
    }
}

/// Asks whether a plugin is well.
async fn check(plugin: &Plugin) -> Result<(), CallError> {
    let mut ping = Box::pin(plugin.ping());
    for _ in 0..2 {
        if let Ok(answer) = timeout(CHECK_LIMIT, &mut ping).await {
            return answer;
        }
    }
    Err(CallError::Deadline {
        call: "Check",
        within: 2 * CHECK_LIMIT,
    })
}

/// Waits for the end of a process; for ever if there is none.
async fn ended(process: &Option<Process>) {
    match process {
        Some(process) => {
            if let Err(error) = process.ended().await {
                warn!(%error, "can't watch the plugin");
            }
        }
        None => std::future::pending().await,
    }
}

/// Waits for an answer; for ever if nothing is asked.
async fn answer(asked: &mut Option<Asked>) -> Answer {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}
