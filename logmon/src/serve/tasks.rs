//! Edge: the tasks of one process. A task is a [`Collector`] with up to two streams, or one that stops.
//!
//! A change and the beginning of a stop are done in one go, without waiting. A start, the end of a stop and
//! the answers of streams take time, and hold no lock: a log folder that hangs must not hold the others.
//! Whatever is asked of a task while it is being started waits for that.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tracing::{error, info};

use super::answer::TaskReport;
use super::descriptors::{NEED_PER_KEPT_STREAM, NEED_PER_STREAM, room_for};
use super::request::LimitChange;
use crate::collector::{
    ANSWER_LIMIT, Asked, Collector, END_LIMIT, START_GRACE, STOP_LIMIT, Started, Summary,
};
use crate::config::StreamConfig;
use crate::error::Error;
use crate::fifo_end;
use crate::keeper::Keeping;
use crate::name::{StreamKind, TaskId};
use crate::status::Reply;
use crate::storage::{self, unless_it_hangs};

/// After so long a start is answered although it has not ended.
const START_LIMIT: Duration = Duration::from_millis(1500);

/// The tasks; a clone is the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Mutex<Table>,
    keeping: Option<Keeping>,
    /// Told when a start has ended.
    start_ended: Notify,
}

#[derive(Debug, Default)]
struct Table {
    tasks: BTreeMap<TaskId, Task>,
    /// Of each stream that runs, and of some that ran, the hash of folder and name, so that a start does
    /// not have to look at every stream.
    files: HashSet<u64>,
    hasher: RandomState,
    /// How many streams are being started, which may not have their descriptors yet.
    starting: usize,
    is_closed: bool,
}

#[derive(Debug)]
enum Task {
    /// It is being started with these streams, some of which may run.
    Starting(Vec<StreamConfig>),
    Running(Collector),
    Stopping,
}

impl Task {
    fn configs(&self) -> Vec<&StreamConfig> {
        match self {
            Task::Starting(configs) => configs.iter().collect(),
            Task::Running(collector) => collector.configs().collect(),
            Task::Stopping => Vec::new(),
        }
    }
}

/// What a start or a change came to: what was done, and what went wrong with the rest.
pub(crate) type Outcome = (Vec<(StreamKind, Started)>, Option<Error>);

/// What a stop came to.
pub(crate) type Stopped = Result<Vec<Summary>, Error>;

impl Tasks {
    /// Makes an empty table.
    pub(crate) fn new(keeping: Option<Keeping>) -> Tasks {
        Tasks(Arc::new(Inner {
            table: Mutex::default(),
            keeping,
            start_ended: Notify::new(),
        }))
    }

    /// How many there are, those that stop included.
    pub(crate) fn count(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Starts the streams of a task that do not run, and leaves those alone that do, but for their
    /// limits. When one can't be started the other is kept, and the outcome says so. If storage hangs for
    /// [`START_LIMIT`] the start goes on, and the outcome says that.
    ///
    /// # Cancel safety
    /// The start goes on; what came of it is lost. It is begun at once, also if nobody waits for it.
    pub(crate) fn start(
        &self,
        id: TaskId,
        streams: Vec<StreamConfig>,
    ) -> impl Future<Output = Outcome> + Send + use<> {
        self.start_as(id, streams, Start::perform_each)
    }

    /// Starts the streams of a task that do not run: all of them, or none. Otherwise it is as
    /// [`Tasks::start`].
    ///
    /// # Cancel safety
    /// As [`Tasks::start`].
    pub(crate) fn start_together(
        &self,
        id: TaskId,
        streams: Vec<StreamConfig>,
    ) -> impl Future<Output = Outcome> + Send + use<> {
        self.start_as(id, streams, Start::perform_together)
    }

    /// How it is performed is a type and no value, so that what waits for a start is no larger for it.
    fn start_as<P: Perform>(
        &self,
        id: TaskId,
        streams: Vec<StreamConfig>,
        perform: P,
    ) -> impl Future<Output = Outcome> + Send + use<P> {
        let waited_for = streams.first().map(|config| config.log_dir.to_path_buf());
        let begun = self
            .begin_start(&id, &streams)
            .map(|(collector, new_streams)| {
                let start = Start {
                    tasks: self.clone(),
                    id,
                    collector: Some(collector),
                    new_streams,
                };
                tokio::spawn(start.perform(streams, perform))
            });
        let limit = Instant::now() + START_LIMIT;
        async move {
            let start = match begun {
                Ok(start) => start,
                Err(error) => return (Vec::new(), Some(error)),
            };
            match unless_it_hangs(limit, start).await {
                Some(Ok(outcome)) => outcome,
                Some(Err(_)) => (Vec::new(), Some(Error::StartDied)),
                None => {
                    let path = waited_for.unwrap_or_default();
                    (Vec::new(), Some(Error::StartStuck { path }))
                }
            }
        }
    }

    /// Finds what forbids a start, and takes the task out of the table for it. Gives, too, how many of the
    /// streams do not run yet.
    fn begin_start(
        &self,
        id: &TaskId,
        streams: &[StreamConfig],
    ) -> Result<(Collector, usize), Error> {
        let mut guard = self.lock();
        let table = &mut *guard;
        table.check(id, streams)?;
        let runs = |config: &&StreamConfig| match table.tasks.get(id) {
            Some(Task::Running(collector)) => collector.has(config.kind),
            Some(Task::Starting(_) | Task::Stopping) | None => false,
        };
        let new_streams = streams.iter().filter(|config| !runs(config)).count();
        if new_streams > 0 {
            let need = self.need_per_stream();
            room_for(new_streams * need, table.starting * need)?;
        }
        let mut configs = streams.to_vec();
        let collector = match table.tasks.remove(id) {
            Some(Task::Running(collector)) => {
                configs.extend(collector.configs().cloned());
                collector
            }
            Some(Task::Starting(_) | Task::Stopping) | None => {
                Collector::kept_by(self.0.keeping.clone())
            }
        };
        for config in streams {
            let hash = table.hash(config);
            table.files.insert(hash);
        }
        table.tasks.insert(id.clone(), Task::Starting(configs));
        table.starting += new_streams;
        Ok((collector, new_streams))
    }

    /// Gives the streams of a task other limits: all of them, or none.
    pub(crate) fn reconfigure(&self, id: &TaskId, change: &LimitChange) -> Outcome {
        let mut table = self.lock();
        let collector = match table.running(id) {
            Ok(collector) => collector,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let wanted: Result<Vec<_>, Error> = collector
            .configs()
            .map(|config| Ok((config.kind, change.apply(&config.limits)?)))
            .collect();
        match wanted {
            Ok(wanted) => {
                let done = wanted
                    .into_iter()
                    .filter_map(|(kind, limits)| Some((kind, collector.set_limits(kind, limits)?)))
                    .collect();
                (done, None)
            }
            Err(error) => (Vec::new(), Some(error)),
        }
    }

    /// Tells a task to stop. It drains and is forgotten whether or not somebody waits for the answer.
    pub(crate) fn stop(&self, id: TaskId) -> Result<oneshot::Receiver<Stopped>, Error> {
        self.stop_by(id, Instant::now() + STOP_LIMIT)
    }

    fn stop_by(&self, id: TaskId, deadline: Instant) -> Result<oneshot::Receiver<Stopped>, Error> {
        let mut table = self.lock();
        table.running(&id)?;
        let Some(Task::Running(collector)) = table.tasks.insert(id.clone(), Task::Stopping) else {
            return Err(Error::NoTask { task: id });
        };
        for config in collector.configs() {
            let hash = table.hash(config);
            table.files.remove(&hash);
        }
        collector.begin_stop();
        let (answer, answered) = oneshot::channel();
        let tasks = self.clone();
        tokio::spawn(async move {
            let stopped = collector.stop_by(deadline).await;
            tasks.lock().tasks.remove(&id);
            match &stopped {
                Ok(_) => info!(task = %id, "stopped a task"),
                Err(cause) => error!(task = %id, %cause, "a task did not stop as it should"),
            }
            // Who asked may be gone.
            drop(answer.send(stopped));
        });
        Ok(answered)
    }

    /// Stops all tasks at once and takes no new ones. Gives the bytes that were lost by that.
    ///
    /// # Errors
    /// [`Error::StreamDied`], [`Error::StorageStuck`], [`Error::StartStuck`]: one task could not be
    /// stopped; the others are.
    pub(crate) async fn stop_all(&self) -> Result<u64, Error> {
        self.lock().is_closed = true;
        self.stop_every().await
    }

    /// Stops all tasks at once, and takes new ones all the same. Gives the bytes that were lost by that.
    ///
    /// # Errors
    /// As [`Tasks::stop_all`].
    pub(crate) async fn stop_every(&self) -> Result<u64, Error> {
        let asked_at = Instant::now();
        let mut waiting = self.begin_stop_of_all(asked_at + STOP_LIMIT);
        let grace = asked_at + START_GRACE;
        let some_start = || self.stuck_start().is_some();
        let all_started = unless_it_hangs(grace, self.wait_while(some_start)).await;
        // Asked before the rest is stopped: a start that ends in between is stopped, too.
        let mut failure = match all_started {
            Some(()) => None,
            None => self.stuck_start(),
        };
        waiting.extend(self.begin_stop_of_all(asked_at + END_LIMIT));
        let mut lost_bytes = 0;
        for stopped in waiting {
            match stopped.await {
                Ok(Ok(summaries)) => {
                    lost_bytes += summaries.iter().map(|one| one.lost_bytes).sum::<u64>();
                }
                Ok(Err(error)) => failure = Some(error),
                Err(_) => {}
            }
        }
        failure.map_or(Ok(lost_bytes), Err)
    }

    fn begin_stop_of_all(&self, deadline: Instant) -> Vec<oneshot::Receiver<Stopped>> {
        let ids: Vec<TaskId> = self.lock().tasks.keys().cloned().collect();
        ids.into_iter()
            .filter_map(|id| self.stop_by(id, deadline).ok())
            .collect()
    }

    /// Waits until the task is not being started by somebody else; for [`START_LIMIT`] while storage hangs.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn settled(&self, id: &TaskId) {
        let limit = Instant::now() + START_LIMIT;
        // What comes next finds out whether it is still so.
        unless_it_hangs(limit, self.wait_while(|| self.is_starting(id))).await;
    }

    /// True while the task is being started.
    pub(crate) fn is_starting(&self, id: &TaskId) -> bool {
        matches!(self.lock().tasks.get(id), Some(Task::Starting(_)))
    }

    /// Waits for the ends of starts while this is so.
    async fn wait_while(&self, is_so: impl Fn() -> bool) {
        loop {
            let mut ended = pin!(self.0.start_ended.notified());
            // Before the look, so that no end is missed between the two.
            ended.as_mut().enable();
            if !is_so() {
                return;
            }
            ended.await;
        }
    }

    /// The error for a task that is being started, if there is one.
    fn stuck_start(&self) -> Option<Error> {
        self.lock().tasks.values().find_map(|task| match task {
            Task::Starting(configs) => {
                let path = configs.first()?.log_dir.to_path_buf();
                Some(Error::StartStuck { path })
            }
            Task::Running(_) | Task::Stopping => None,
        })
    }

    /// Asks one task, or all, how they are, in the order of their ids.
    ///
    /// # Errors
    /// [`Error::NoTask`].
    pub(crate) fn ask(&self, id: Option<&TaskId>) -> Result<Questions, Error> {
        let table = self.lock();
        let ask = |task: &Task| match task {
            Task::Running(collector) => collector.ask(),
            Task::Starting(_) | Task::Stopping => Vec::new(),
        };
        let asked = match id {
            Some(id) => {
                let task = table
                    .tasks
                    .get(id)
                    .ok_or_else(|| Error::NoTask { task: id.clone() })?;
                vec![(id.clone(), ask(task))]
            }
            None => table
                .tasks
                .iter()
                .map(|(id, task)| (id.clone(), ask(task)))
                .collect(),
        };
        Ok(Questions(asked))
    }

    /// True when no task has a byte to read or to write, or a process that could write one. A task that is
    /// being started or stopped, or whose streams do not answer, may have some.
    pub(crate) async fn is_deserted(&self) -> bool {
        let asked = {
            let table = self.lock();
            let asked: Option<Vec<_>> = table
                .tasks
                .values()
                .map(|task| match task {
                    Task::Running(collector) => Some(collector.ask()),
                    Task::Starting(_) | Task::Stopping => None,
                })
                .collect();
            asked
        };
        let Some(asked) = asked else {
            return false;
        };
        let deadline = Instant::now() + ANSWER_LIMIT;
        for asked in asked.into_iter().flatten() {
            let (config, reply) = asked.reply(deadline).await;
            if !matches!(reply, Reply::Status(status) if status.is_idle()) {
                return false;
            }
            // A writer that has come and not written is known to the pipe only.
            let turn = storage::first_turn().await;
            if !turn.call(|| fifo_end::is_deserted(&config)) {
                return false;
            }
        }
        true
    }

    fn need_per_stream(&self) -> usize {
        match self.0.keeping {
            Some(_) => NEED_PER_KEPT_STREAM,
            None => NEED_PER_STREAM,
        }
    }

    /// What is under the lock is whole between any two steps that can panic.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Finds what forbids a start before anything is touched.
    fn check(&self, id: &TaskId, streams: &[StreamConfig]) -> Result<(), Error> {
        let task = id.clone();
        if self.is_closed {
            return Err(Error::TaskStops { task });
        }
        match self.tasks.get(id) {
            Some(Task::Starting(_)) => return Err(Error::TaskStarts { task }),
            Some(Task::Stopping) => return Err(Error::TaskStops { task }),
            Some(Task::Running(collector)) => {
                for config in streams {
                    collector.check(config)?;
                }
            }
            None => {}
        }
        if !streams
            .iter()
            .any(|config| self.files.contains(&self.hash(config)))
        {
            return Ok(());
        }
        for (other, running) in &self.tasks {
            for theirs in running.configs().into_iter().filter(|_| other != id) {
                let is_same = |ours: &&StreamConfig| {
                    ours.name == theirs.name && ours.log_dir == theirs.log_dir
                };
                if let Some(ours) = streams.iter().find(is_same) {
                    return Err(Error::FilesOfOther {
                        name: ours.name.to_string(),
                        task: other.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn hash(&self, config: &StreamConfig) -> u64 {
        self.hasher.hash_one((&config.log_dir, &config.name))
    }

    fn running(&mut self, id: &TaskId) -> Result<&mut Collector, Error> {
        match self.tasks.get_mut(id) {
            Some(Task::Running(collector)) => Ok(collector),
            Some(Task::Starting(_)) => Err(Error::TaskStarts { task: id.clone() }),
            Some(Task::Stopping) => Err(Error::TaskStops { task: id.clone() }),
            None => Err(Error::NoTask { task: id.clone() }),
        }
    }
}

/// What a start does with the streams when its turn has come.
trait Perform: FnOnce(&mut Collector, Vec<StreamConfig>) -> Outcome + Send + 'static {}

impl<P: FnOnce(&mut Collector, Vec<StreamConfig>) -> Outcome + Send + 'static> Perform for P {}

/// A start under way. Its task is in the table again when it is dropped, whatever came of it.
#[derive(Debug)]
struct Start {
    tasks: Tasks,
    id: TaskId,
    /// None once it is in the table again.
    collector: Option<Collector>,
    new_streams: usize,
}

impl Start {
    async fn perform(mut self, streams: Vec<StreamConfig>, perform: impl Perform) -> Outcome {
        let turn = storage::first_turn().await;
        match self.collector.as_mut() {
            Some(collector) => turn.call(|| perform(collector, streams)),
            None => (Vec::new(), None),
        }
    }

    fn perform_each(collector: &mut Collector, streams: Vec<StreamConfig>) -> Outcome {
        let mut started = Vec::with_capacity(streams.len());
        let mut failure = None;
        for (kind, outcome) in collector.start_each(streams) {
            match outcome {
                Ok(what) => started.push((kind, what)),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        (started, failure)
    }

    fn perform_together(collector: &mut Collector, streams: Vec<StreamConfig>) -> Outcome {
        match collector.start_together(streams) {
            Ok(started) => (started, None),
            Err(error) => (Vec::new(), Some(error)),
        }
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        let mut table = self.tasks.lock();
        table.starting -= self.new_streams;
        let begun = table.tasks.remove(&self.id);
        let collector = self.collector.take();
        for config in begun.iter().flat_map(Task::configs) {
            if !collector.as_ref().is_some_and(|one| one.has(config.kind)) {
                let hash = table.hash(config);
                table.files.remove(&hash);
            }
        }
        if let Some(collector) = collector.filter(|one| !one.is_empty()) {
            let task = Task::Running(collector);
            table.tasks.insert(self.id.clone(), task);
        }
        drop(table);
        self.tasks.0.start_ended.notify_waiters();
    }
}

/// Questions to streams, on their way.
#[derive(Debug)]
pub(crate) struct Questions(Vec<(TaskId, Vec<Asked>)>);

impl Questions {
    /// Waits for the answers; for 300 ms at most while storage hangs.
    pub(crate) async fn answers(self) -> Vec<TaskReport> {
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut reports = Vec::with_capacity(self.0.len());
        for (id, asked) in self.0 {
            let mut streams = Vec::with_capacity(asked.len());
            for asked in asked {
                streams.push(asked.reply(deadline).await);
            }
            reports.push(TaskReport::new(&id, streams));
        }
        reports
    }
}

#[cfg(test)]
#[path = "tasks_tests.rs"]
mod tests;
