//! Commands that the executor runs: their start, and what is asked of them: an edge.
//!
//! Each has a process of its own, its warden, which outlives the plugin. Its output goes into the FIFOs as the
//! command writes it. The executor's calls block, so each is made on a thread that may.

use std::ffi::OsString;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::executor::kept::{
    Ended as Over, GiveUp, KeepError, Keeper, KeptSpec, KeptTask, NewTask, check_user,
};
use ::executor::{Cancel, CancelSource, End};
use nix::sys::signal::Signal;
use plugin::Status;
use plugin::failure::plain;
use plugin::proto::driver::{ExecTaskResponse, ExitResult, TaskConfig};
use serde_json::Value as Json;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::config::Plan;
use super::exec::argv_of;
use super::launch::{Made, check_work_dir, environment, now_ms};
use super::observer::{Ended, Progress, killed, unknown};
use super::state::{Process, State};
use super::task::{Task, boot, folder_of, start_folder, task_folder};
use crate::executor::process::began;
use crate::reexec::Reexec;

/// How long a start waits for the readers of both FIFOs, in milliseconds: as late as a collector may come (FIFO-4), and
/// no longer, as a host has no way to stop a task before its start is answered (LIFE-5).
const OPEN_MS: u64 = 5000;
/// How long it may take to kill what is left of a task that is lost.
const FIND: Duration = Duration::from_secs(8);
/// How long a warden may take to destroy its task, before that is done in its place.
const DESTROY: Duration = Duration::from_secs(4);

/// Starts a task. Cancelled, it kills what it has started.
pub(super) async fn launch(
    config: TaskConfig,
    plan: Plan,
    argv: Vec<String>,
    keeper: &Arc<Keeper>,
) -> Result<Task, Status> {
    if !config.user.is_empty() {
        check_user(&config.user).map_err(|error| plain(format!("user: {error}")))?;
    }
    check_work_dir(&plan)?;
    let spec = spec_of(&config, &plan, argv)?;
    let made = Made::new(&config, &plan)?;
    let kept = start(keeper, spec).await?.go_on();
    let begun = kept.handle().map_err(failed);
    let begun = begun.and_then(|handle| task_of(config, plan, kept.clone(), handle, now_ms()));
    match &begun {
        Ok(_) => made.keep(),
        Err(_) => {
            // Nobody would know of it.
            blocking(&kept, |kept| kept.destroy(DESTROY)).await.ok();
        }
    }
    begun
}

/// Finds a task again by what a driver before has left. It blocks.
pub(super) fn find(
    config: TaskConfig,
    plan: Plan,
    (handle, started_ms): (Json, u64),
    keeper: &Keeper,
) -> Result<Task, Status> {
    let found = keeper.find(handle.clone(), FIND);
    let kept = found.map_err(|error| plain(format!("cannot recover the task: {error}")))?;
    task_of(config, plan, kept, handle, started_ms)
}

fn task_of(
    config: TaskConfig,
    plan: Plan,
    kept: KeptTask,
    handle: Json,
    started_ms: u64,
) -> Result<Task, Status> {
    let [warden, main] = [kept.warden_pid(), kept.main_pid()].map(|pid| Process {
        pid,
        began: began(pid).unwrap_or(0),
    });
    Ok(Task {
        state: State::new(boot(), warden, main, started_ms).executed(handle),
        folder: folder_of(&config),
        progress: observe(kept.clone())
            .map_err(|error| plain(format!("cannot watch the task: {error}")))?,
        config,
        plan,
        fault: None,
        was_killed: Arc::new(AtomicBool::new(false)),
        kept: Some(kept),
        _presence: None,
    })
}

/// The task as the executor is told it: its own environment and nothing of the plugin's.
fn spec_of(config: &TaskConfig, plan: &Plan, argv: Vec<String>) -> Result<KeptSpec, Status> {
    let text = |key: &str, path: std::path::PathBuf| {
        let path = path.into_os_string().into_string();
        path.map_err(|path| plain(format!("{key}: {} is not UTF-8", path.display())))
    };
    for (key, path) in [
        ("stdout_path", &config.stdout_path),
        ("stderr_path", &config.stderr_path),
    ] {
        if !path.starts_with('/') {
            return Err(plain(format!("{key}: {path:?} is no absolute path")));
        }
    }
    let env = environment(config).into_iter();
    Ok(KeptSpec {
        argv,
        env: env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        inherits_env: false,
        user: Some(config.user.clone()).filter(|user| !user.is_empty()),
        stdout: config.stdout_path.clone(),
        stderr: config.stderr_path.clone(),
        task_dir: text("alloc_dir", task_folder(config))?,
        cwd: Some(text("work_dir", start_folder(config, plan))?),
        open_ms: OPEN_MS,
        trusted_root: None,
    })
}

async fn start(keeper: &Arc<Keeper>, spec: KeptSpec) -> Result<Starting, Status> {
    let link = Arc::new(Link::default());
    let cancels = Cancels(Arc::clone(&link));
    let keeper = Arc::clone(keeper);
    let started = spawn_blocking(move || {
        let started = keeper.start(&spec, |give_up| link.take(give_up));
        started.map(|new| Starting(Some(new)))
    });
    let starting = started.await.map_err(|error| plain(error.to_string()))?;
    cancels.0.set(StartLink::Over);
    starting.map_err(failed)
}

/// How far a start is that may have to give up.
#[derive(Debug, Default)]
enum StartLink {
    #[default]
    Begins,
    Linked(GiveUp),
    Cancelled,
    Over,
}

#[derive(Debug, Default)]
struct Link(Mutex<StartLink>);

impl Link {
    fn set(&self, next: StartLink) -> StartLink {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut now, next)
    }

    fn take(&self, give_up: GiveUp) {
        if let StartLink::Cancelled = self.set(StartLink::Linked(give_up.clone())) {
            give_up.give_up();
        }
    }
}

/// Makes a start give up that nobody waits for any more.
struct Cancels(Arc<Link>);

impl Drop for Cancels {
    fn drop(&mut self) {
        if let StartLink::Linked(give_up) = self.0.set(StartLink::Cancelled) {
            give_up.give_up();
        }
    }
}

/// A task of which nobody knows yet. It is killed when this is dropped, on a thread that may wait for that.
struct Starting(Option<NewTask>);

impl Starting {
    fn go_on(mut self) -> KeptTask {
        let new = self.0.take().expect("it is there until this");
        new.go_on()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(new) = self.0.take() {
            std::thread::spawn(move || drop(new));
        }
    }
}

/// Waits for the task on a thread.
fn observe(kept: KeptTask) -> io::Result<Progress> {
    let (tell_gone, is_gone) = watch::channel(false);
    let (tell_end, ended) = watch::channel(None);
    std::thread::Builder::new().spawn(move || {
        // What can't be looked at is told with the end.
        kept.wait_main().ok();
        tell_gone.send_replace(true);
        let end = match kept.wait() {
            Ok(over) => end_of(over),
            Err(error) => unknown(&error.to_string()),
        };
        tell_end.send_replace(Some(end));
    })?;
    Ok(Progress { is_gone, ended })
}

fn end_of(over: Over) -> Ended {
    match over {
        Over::Known(status) => Ended {
            code: status.code(),
            signal: status.end.signal().unwrap_or(0),
            oom_killed: status.oom_killed == Some(true),
            err: String::new(),
            at: status.seen_at,
        },
        Over::Killed => killed(),
        Over::Lost(why) => unknown(&format!("how the task ended is lost: {why}")),
    }
}

/// Sends a signal to the main process.
pub(super) async fn signal(kept: &KeptTask, signal: Signal) -> Result<(), Status> {
    let failed = |why: Status| plain(format!("cannot send {signal}: {}", why.message()));
    let sent = blocking(kept, move |kept| kept.signal(signal.as_str())).await;
    sent.map_err(failed)
}

/// Stops a task, at once if there is no time. Done when nothing of it is left.
pub(super) async fn stop(kept: &KeptTask, limit: Duration, signal: Signal) -> Result<(), Status> {
    let signal = if limit.is_zero() {
        Signal::SIGKILL
    } else {
        signal
    };
    blocking(kept, move |kept| kept.stop(signal.as_str(), limit)).await
}

/// Kills what runs, and removes what it is found by.
pub(super) async fn destroy(kept: &KeptTask) -> Result<(), Status> {
    blocking(kept, |kept| kept.destroy(DESTROY)).await
}

/// Runs a command within the task to its end, or kills it when the time is over or the call goes away.
pub(super) async fn run(
    task: &Task,
    kept: &KeptTask,
    command: &[String],
    limit: Option<Duration>,
    reexec: &Reexec,
) -> Result<ExecTaskResponse, Status> {
    task.must_run()?;
    let argv = words(argv_of(task, command, reexec))?;
    let cancels = CancelsCommand::new()?;
    let source = Arc::clone(&cancels.0);
    let ran = blocking(kept, move |kept| {
        kept.exec(&argv, limit, Cancel::when_readable(&*source))
    });
    let ran = ran.await?;
    Ok(ExecTaskResponse {
        stdout: ran.output,
        // Both came through one pipe.
        stderr: Vec::new(),
        result: Some(result_of(ran.end.end())),
    })
}

/// The words of a command as texts.
pub(super) fn words(argv: Vec<OsString>) -> Result<Vec<String>, Status> {
    if argv.is_empty() {
        return Err(plain("command: it is empty"));
    }
    let text = |word: OsString| {
        let word = word.into_string();
        word.map_err(|word| plain(format!("command: {} is not UTF-8", word.display())))
    };
    argv.into_iter().map(text).collect()
}

pub(super) fn result_of(end: End) -> ExitResult {
    ExitResult {
        exit_code: end.code(),
        signal: end.signal().unwrap_or(0),
        oom_killed: false,
    }
}

/// Ends a command that nobody wants any more when this is dropped.
pub(super) struct CancelsCommand(pub(super) Arc<CancelSource>);

impl CancelsCommand {
    pub(super) fn new() -> Result<Self, Status> {
        let source = CancelSource::new();
        let source = source.map_err(|error| plain(format!("cannot make an eventfd: {error}")))?;
        Ok(Self(Arc::new(source)))
    }
}

impl Drop for CancelsCommand {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    kept: &KeptTask,
    act: impl FnOnce(&KeptTask) -> Result<T, KeepError> + Send + 'static,
) -> Result<T, Status> {
    let kept = kept.clone();
    let done = spawn_blocking(move || act(&kept)).await;
    let done = done.map_err(|error| plain(error.to_string()))?;
    done.map_err(failed)
}

fn failed(error: KeepError) -> Status {
    plain(error.to_string())
}
