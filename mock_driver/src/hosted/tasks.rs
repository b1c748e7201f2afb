//! All tasks of the driver, by their ids: an edge.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ::executor::kept::Keeper;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugin::Status;
use plugin::failure::{plain, recoverable, required, task_not_found};
use plugin::hclog::Level;
use plugin::proto::driver::{DriverTaskEvent, TaskConfig, TaskHandle};
use plugin::server::Log;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;

use super::config::{Plan, Settings};
use super::executed;
use super::fault::AnyFault;
use super::launch::{check, launch, take_answers};
use super::state::State;
use super::task::{Task, timestamp};
use crate::executor::RecoveryFault;
use crate::faults::held_open;
use crate::reexec::Reexec;

/// Events that a slow listener may be behind.
const EVENTS: usize = 64;

/// The tasks that are not destroyed; one that is about to begin has its id already.
pub(super) struct Tasks {
    pub(super) reexec: Reexec,
    /// Has the commands that the executor runs.
    keeper: Arc<Keeper>,
    /// The fault that the command line names.
    fault: Option<AnyFault>,
    log: Log,
    settings: watch::Sender<Settings>,
    tasks: Mutex<BTreeMap<String, Option<Arc<Task>>>>,
    events: broadcast::Sender<DriverTaskEvent>,
    stop: watch::Receiver<bool>,
}

/// An id that is taken while its task begins.
struct Taken<'a> {
    tasks: &'a Tasks,
    id: &'a str,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut all = self.tasks.lock();
        if all.get(self.id).is_some_and(Option::is_none) {
            all.remove(self.id);
        }
    }
}

impl Tasks {
    pub(super) fn new(
        (reexec, keeper): (Reexec, Keeper),
        fault: Option<AnyFault>,
        log: Log,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let settings = Settings {
            is_enabled: true,
            fault: None,
        };
        Self {
            reexec,
            keeper: Arc::new(keeper),
            fault,
            log,
            settings: watch::Sender::new(settings),
            tasks: Mutex::default(),
            events: broadcast::Sender::new(EVENTS),
            stop,
        }
    }

    pub(super) fn configure(&self, settings: Settings) {
        self.settings.send_replace(settings);
    }

    pub(super) fn settings(&self) -> watch::Receiver<Settings> {
        self.settings.subscribe()
    }

    pub(super) fn events(&self) -> broadcast::Receiver<DriverTaskEvent> {
        self.events.subscribe()
    }

    /// Ends when the plugin is to end.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.clone();
        async move {
            // Nobody being left to stop it is a stop, too.
            drop(stop.wait_for(|stop| *stop).await);
        }
    }

    /// Does something for as long as the plugin goes on.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        tokio::select! {
            done = work => done,
            () = self.stopped() => Err(Status::unavailable("the plugin ends, and its tasks live on")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<Arc<Task>>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &str) -> Result<Arc<Task>, Status> {
        let all = self.lock();
        all.get(id).cloned().flatten().ok_or_else(task_not_found)
    }

    /// Takes an id; nothing if a task has it.
    fn take<'a>(&'a self, id: &'a str) -> Option<Taken<'a>> {
        let mut all = self.lock();
        if all.contains_key(id) {
            return None;
        }
        all.insert(id.to_owned(), None);
        Some(Taken { tasks: self, id })
    }

    pub(super) async fn start(&self, config: TaskConfig) -> Result<Arc<Task>, Status> {
        check(&config)?;
        let mut plan = Plan::read(&config.msgpack_driver_config).map_err(plain)?;
        take_answers(&config, &mut plan);
        let id = config.id.clone();
        let taken = self.take(&id);
        let taken = taken.ok_or_else(|| plain(format!("task {id:?} was started already")))?;
        sleep(plan.start_block_for).await;
        if let Some((why, is_recoverable)) = &plan.start_error {
            return Err(recoverable(why, *is_recoverable));
        }
        let fault = self.fault_of(&plan);
        let plugin_exit_after = plan.plugin_exit_after;
        let executed = plan.executed(fault).map(<[String]>::to_vec);
        let task = match executed {
            Some(argv) => executed::launch(config, plan, argv, &self.keeper).await?,
            None => launch(config, plan, fault, &self.reexec).await?,
        };
        let task = self.settle(task);
        drop(taken);
        self.tell(&task, "started");
        if let Some(after) = plugin_exit_after {
            let log = self.log.clone();
            tokio::spawn(async move {
                sleep(after).await;
                log.write(Level::Error, "plugin_exit_after: the plugin dies", []);
                // As a crash: nothing is put in order.
                kill(Pid::this(), Signal::SIGKILL).ok();
            });
        }
        Ok(task)
    }

    fn fault_of(&self, plan: &Plan) -> Option<AnyFault> {
        let of_all = self.fault.or(self.settings.borrow().fault);
        plan.fault.or(of_all)
    }

    /// The task has its id from now on.
    fn settle(&self, task: Task) -> Arc<Task> {
        let task = Arc::new(task);
        let id = task.config.id.clone();
        self.lock().insert(id, Some(Arc::clone(&task)));
        task
    }

    /// Takes a task over. One that this process has already is as good.
    pub(super) async fn recover(&self, handle: Option<TaskHandle>) -> Result<(), Status> {
        let handle = required(handle, "RecoverTask", "handle")?;
        let config = required(handle.config, "RecoverTask", "handle.config")?;
        let state = State::decode(&handle.driver_state).map_err(plain)?;
        let mut plan = Plan::read(&config.msgpack_driver_config).map_err(plain)?;
        take_answers(&config, &mut plan);
        let id = config.id.clone();
        let Some(_taken) = self.take(&id) else {
            return Ok(());
        };
        let fault = self.fault_of(&plan);
        let keeper = Arc::clone(&self.keeper);
        let found = tokio::task::spawn_blocking(move || match state.kept {
            Some(handle) => executed::find(config, plan, (handle, state.started_ms), &keeper),
            None => Task::find(config, plan, fault, state),
        });
        let task = found.await.map_err(|error| plain(error.to_string()))??;
        let task = self.recover_badly(task).await?;
        let task = self.settle(task);
        self.tell(&task, "recovered");
        Ok(())
    }

    async fn recover_badly(&self, task: Task) -> Result<Task, Status> {
        let paths = [&task.config.stdout_path, &task.config.stderr_path].map(Into::into);
        match task.fault.and_then(AnyFault::recovering) {
            Some(RecoveryFault::RestartsOnRecover) => {
                task.destroy().await?;
                let Task {
                    config,
                    plan,
                    fault,
                    ..
                } = task;
                return launch(config, plan, fault, &self.reexec).await;
            }
            Some(RecoveryFault::KillsOnRecover) => {
                if !held_open::are_read(&paths) {
                    task.stop(std::time::Duration::ZERO, Signal::SIGKILL)
                        .await?;
                }
            }
            Some(RecoveryFault::HangsInRecover) => {
                let hanging = tokio::task::spawn_blocking(move || {
                    let [stdout, stderr]: &[std::path::PathBuf; 2] = &paths;
                    // What can't be opened is not waited for.
                    held_open::both_blocking([stdout, stderr]).ok();
                });
                hanging.await.ok();
            }
            Some(
                RecoveryFault::LosesGap
                | RecoveryFault::RepeatsGap
                | RecoveryFault::GuessesSuccess
                | RecoveryFault::TakesPauseForDeath
                | RecoveryFault::LeaksFdIntoNextTask,
            )
            | None => {}
        }
        Ok(task)
    }

    pub(super) async fn destroy(&self, id: &str, force: bool) -> Result<(), Status> {
        let task = self.get(id)?;
        if task.runs() && !force {
            return Err(plain("cannot destroy a running task without force"));
        }
        task.destroy().await?;
        self.lock().remove(id);
        Ok(())
    }

    /// Tells who listens, and the log.
    pub(super) fn tell(&self, task: &Task, message: &str) {
        let config = &task.config;
        let pid = task.state.task.pid;
        let id = config.id.as_str().into();
        self.log
            .write(Level::Info, message, [("task_id", id), ("pid", pid.into())]);
        let event = DriverTaskEvent {
            task_id: config.id.clone(),
            alloc_id: config.alloc_id.clone(),
            task_name: config.name.clone(),
            timestamp: Some(timestamp(SystemTime::now())),
            message: message.to_owned(),
            annotations: [("pid".to_owned(), pid.to_string())].into(),
        };
        // Nobody has to listen.
        self.events.send(event).ok();
    }
}
