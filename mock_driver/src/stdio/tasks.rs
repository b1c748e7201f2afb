//! The tasks of a driver that is spoken to: an edge.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer;
use crate::executor::RecoveryFault;
use crate::executor::process::{began, child_of, descendants_of, kill_all, until_readable, watch};
use crate::executor::start;
use crate::executor::status::Status;
use crate::faults::{held_open, watchdog};
use crate::reexec::Reexec;

/// How long what was killed may take to be gone.
const KILLED: Duration = Duration::from_secs(4);
/// What is reported of a task whose executor left no status: both were killed.
const KILLED_STATUS: u8 = 128 + 9;

/// Why an operation failed.
#[derive(Debug)]
pub(super) struct Failed(pub(super) String);

/// What a task is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    id: String,
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    user: Option<String>,
    stdout: String,
    stderr: String,
    task_dir: String,
    log_dir: String,
}

impl Start {
    /// A file of the driver's own for this task.
    fn file(&self, what: &str) -> String {
        let path = Path::new(&self.task_dir).join(format!("{}.{what}", self.id));
        path.to_string_lossy().into_owned()
    }

    fn paths(&self) -> [&Path; 2] {
        [&self.stdout, &self.stderr].map(Path::new)
    }
}

/// What brings a task back.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Handle {
    /// The executor's process, and when it began: a number alone is used again.
    pid: i32,
    began: u64,
    start: Start,
}

/// A task and the process that it has beside the driver.
struct Task {
    handle: Handle,
    /// Readable when the executor has ended; none if it had ended before it was recovered.
    end: Option<OwnedFd>,
    /// Whether it had ended when it was recovered.
    was_found_ended: bool,
    /// Locked while the driver is there, where a fault of the executor depends on that.
    _presence: Option<File>,
}

/// All tasks that are not destroyed, by id.
pub(super) struct Tasks {
    reexec: Reexec,
    fault: Option<RecoveryFault>,
    tasks: BTreeMap<String, Task>,
}

impl Tasks {
    pub(super) fn new(reexec: Reexec, fault: Option<RecoveryFault>) -> Self {
        Self {
            reexec,
            fault,
            tasks: BTreeMap::new(),
        }
    }

    pub(super) fn start(&mut self, request: &Map<String, Value>) -> Result<Value, Failed> {
        let start: Start = serde_json::from_value(Value::Object(request.clone()))
            .map_err(|error| Failed(format!("cannot use the request: {error}")))?;
        if let Some(user) = &start.user {
            return Err(Failed(format!("cannot run a task as {user}")));
        }
        let task = self.launch(start)?;
        let handle = value(&task.handle)?;
        self.tasks.insert(task.handle.start.id.clone(), task);
        Ok(json!({ "handle": handle, "pid": null }))
    }

    /// Starts the executor of a task.
    fn launch(&self, start: Start) -> Result<Task, Failed> {
        let status = start.file("status");
        // An id may have been used by a driver before this one.
        fs::remove_file(&status).ok();
        let presence = self.be_present(&start)?;
        let away = self.fault.and_then(RecoveryFault::away);
        let executor = start::Start {
            argv: start.argv.iter().map(Into::into).collect(),
            outputs: start.paths().map(Into::into),
            status: status.into(),
            fault: None,
            away: away.map(|away| (away, start.file("driver").into())),
            journal: start.env.get("HARNESS_DRIVER_JOURNAL").map(Into::into),
            hosted: false,
        };
        let child = self
            .reexec
            .command(executor.words())
            .envs(&start.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| Failed(format!("cannot start an executor: {error}")))?;
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        let end = watch(pid).ok_or_else(|| Failed("cannot watch an executor".into()))?;
        let began = began(pid).unwrap_or(0);
        let leaks = self.fault == Some(RecoveryFault::LeaksFdIntoNextTask);
        reap(child, held_open::for_the_next_task(leaks, start.paths()[0]));
        Ok(Task {
            handle: Handle { pid, began, start },
            end: Some(end),
            was_found_ended: false,
            _presence: presence,
        })
    }

    /// Locks a task's presence file, where a fault needs it.
    fn be_present(&self, start: &Start) -> Result<Option<File>, Failed> {
        if self.fault.and_then(RecoveryFault::away).is_none() {
            return Ok(None);
        }
        let file = File::create(start.file("driver")).and_then(|file| file.lock().map(|()| file));
        file.map(Some)
            .map_err(|error| Failed(format!("cannot lock a file: {error}")))
    }

    fn get(&self, request: &Map<String, Value>) -> Result<&Task, Failed> {
        let id = request.get("id").and_then(Value::as_str).unwrap_or("");
        let task = self.tasks.get(id);
        task.ok_or_else(|| Failed(format!("there is no task {id:?}")))
    }

    /// Answers when the task has ended, from a thread of its own.
    pub(super) fn wait(&self, request: &Map<String, Value>, seq: Value) {
        let task = match self.get(request) {
            Ok(task) => task,
            Err(failed) => return answer(&seq, Err(failed)),
        };
        let (end, status) = (task.watched(), task.handle.start.file("status"));
        let guesses = self.fault == Some(RecoveryFault::GuessesSuccess) && task.was_found_ended;
        let is_watched = self.fault == Some(RecoveryFault::TakesPauseForDeath);
        thread::spawn(move || {
            let is_seen = if is_watched {
                watchdog::sees_the_end(end.as_ref())
            } else {
                until_readable(end.as_ref(), None)
            };
            let status = is_seen.then(|| fs::read_to_string(status).ok()).flatten();
            let status = status.and_then(|text| Status::parse(&text));
            let own = status.map_or(KILLED_STATUS, |status| status.code);
            let code = if guesses { 0 } else { own };
            answer(&seq, Ok(json!({ "exit": code, "signal": null })));
        });
    }

    /// Asks the executor to end its task, and kills both after the time that was given.
    pub(super) fn stop(&self, request: &Map<String, Value>, seq: Value) {
        let (task, signal) = match (self.get(request), signal_of(request)) {
            (Ok(task), Ok(signal)) => (task, signal),
            (Err(failed), _) | (_, Err(failed)) => return answer(&seq, Err(failed)),
        };
        let timeout_ms = request.get("timeout_ms").and_then(Value::as_u64);
        let timeout = Duration::from_millis(timeout_ms.unwrap_or(0));
        if task.runs() {
            // An executor hands SIGTERM on; anything else is for the task alone.
            if signal == Signal::SIGTERM {
                kill(Pid::from_raw(task.handle.pid), signal).ok();
            } else {
                task.send(signal).ok();
            }
        }
        let (end, pid) = (task.watched(), task.handle.pid);
        thread::spawn(move || {
            if !until_readable(end.as_ref(), Some(timeout)) {
                kill_with_all(pid);
                until_readable(end.as_ref(), Some(KILLED));
            }
            answer(&seq, Ok(json!({})));
        });
    }

    pub(super) fn signal(&self, request: &Map<String, Value>) -> Result<Value, Failed> {
        let (task, signal) = (self.get(request)?, signal_of(request)?);
        task.send(signal)
            .map_err(|errno| Failed(format!("cannot send {signal}: {errno}")))?;
        Ok(json!({}))
    }

    pub(super) fn destroy(&mut self, request: &Map<String, Value>) -> Result<Value, Failed> {
        let id = self.get(request)?.handle.start.id.clone();
        if let Some(task) = self.tasks.remove(&id) {
            task.kill();
        }
        Ok(json!({}))
    }

    pub(super) fn destroy_all(&mut self) {
        let tasks = std::mem::take(&mut self.tasks);
        tasks.values().for_each(Task::kill);
    }

    /// The handles of all tasks, for whoever recovers them.
    pub(super) fn handles(&self) -> Result<Value, Failed> {
        let one = |(id, task): (&String, &Task)| -> Result<Value, Failed> {
            Ok(json!({ "id": id, "handle": value(&task.handle)? }))
        };
        let all = self.tasks.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({ "handles": all }))
    }

    pub(super) fn recover(&mut self, request: &Map<String, Value>) -> Result<Value, Failed> {
        let (mut ok, mut lost) = (Vec::new(), Vec::new());
        let none = Vec::new();
        let handles = request.get("handles").and_then(Value::as_array);
        for one in handles.unwrap_or(&none) {
            let id = one.get("id").cloned().unwrap_or(Value::Null);
            match self.recover_one(one.get("handle")) {
                Ok(()) => ok.push(id),
                Err(Failed(reason)) => lost.push(json!({ "id": id, "reason": reason })),
            }
        }
        Ok(json!({ "ok": ok, "lost": lost }))
    }

    /// Finds the executor again. The FIFOs are the executor's affair, and are not looked at.
    fn recover_one(&mut self, handle: Option<&Value>) -> Result<(), Failed> {
        let handle = handle.cloned().unwrap_or(Value::Null);
        let handle: Handle = serde_json::from_value(handle)
            .map_err(|error| Failed(format!("cannot use the handle: {error}")))?;
        let end = watch(handle.pid).filter(|_| began(handle.pid) == Some(handle.began));
        if end.is_none() && !Path::new(&handle.start.file("status")).exists() {
            return Err(Failed("its executor is gone and left no status".into()));
        }
        let presence = self.be_present(&handle.start)?;
        let mut task = Task {
            was_found_ended: end.is_none() || child_of(handle.pid).is_none(),
            handle,
            end,
            _presence: presence,
        };
        match self.fault {
            Some(RecoveryFault::RestartsOnRecover) => {
                task.kill();
                task = self.launch(task.handle.start)?;
            }
            Some(RecoveryFault::KillsOnRecover)
                if !held_open::are_read(&task.handle.start.paths()) =>
            {
                task.send(Signal::SIGKILL).ok();
            }
            Some(RecoveryFault::HangsInRecover) => {
                // What can't be opened is not waited for.
                held_open::both_blocking(task.handle.start.paths()).ok();
            }
            Some(
                RecoveryFault::KillsOnRecover
                | RecoveryFault::LosesGap
                | RecoveryFault::RepeatsGap
                | RecoveryFault::GuessesSuccess
                | RecoveryFault::TakesPauseForDeath
                | RecoveryFault::LeaksFdIntoNextTask,
            )
            | None => {}
        }
        self.tasks.insert(task.handle.start.id.clone(), task);
        Ok(())
    }
}

impl Task {
    fn watched(&self) -> Option<OwnedFd> {
        self.end.as_ref().and_then(|end| end.try_clone().ok())
    }

    fn runs(&self) -> bool {
        self.end.is_some() && !until_readable(self.end.as_ref(), Some(Duration::ZERO))
    }

    /// Sends a signal to the task itself, if it runs.
    fn send(&self, signal: Signal) -> nix::Result<()> {
        match child_of(self.handle.pid).filter(|_| self.runs()) {
            Some(task) => kill(task, signal),
            None => Ok(()),
        }
    }

    fn kill(&self) {
        if self.runs() {
            kill_with_all(self.handle.pid);
            until_readable(self.end.as_ref(), Some(KILLED));
        }
    }
}

/// Kills an executor that runs, its process group, and whoever of its task has left that. The executor goes last: as
/// long as it lives, what loses its parent stays below it, so that what is started meanwhile is found, too.
#[expect(
    clippy::disallowed_methods,
    reason = "a poller with a deadline: processes that are not children tell nobody of their end"
)]
fn kill_with_all(executor: i32) {
    let until = Instant::now() + KILLED / 2;
    loop {
        let below = descendants_of(executor);
        if below.is_empty() || Instant::now() > until {
            break;
        }
        kill_all(&below);
        thread::sleep(Duration::from_millis(1));
    }
    killpg(Pid::from_raw(executor), Signal::SIGKILL).ok();
}

/// Takes the status of an executor when it ends: what counts stands in its file. Until then the driver holds
/// these descriptors, if it holds any.
fn reap(mut child: Child, held: Vec<OwnedFd>) {
    thread::spawn(move || {
        child.wait().ok();
        drop(held);
    });
}

fn signal_of(request: &Map<String, Value>) -> Result<Signal, Failed> {
    let name = request.get("signal").and_then(Value::as_str).unwrap_or("");
    Signal::from_str(name).map_err(|_| Failed(format!("there is no signal {name:?}")))
}

fn value(handle: &Handle) -> Result<Value, Failed> {
    serde_json::to_value(handle).map_err(|error| Failed(error.to_string()))
}
