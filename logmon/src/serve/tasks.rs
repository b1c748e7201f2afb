//! Edge: the tasks of one process. A task is a [`Collector`] with up to two streams, or one that stops.
//!
//! A start, a change and the beginning of a stop are done in one go, without waiting; only the end of a
//! stop and the answers of streams take time, and they hold no lock.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tracing::{error, info};

use super::answer::TaskReport;
use super::descriptors::{NEED_PER_KEPT_STREAM, NEED_PER_STREAM, room_for};
use super::request::LimitChange;
use crate::collector::{Asked, Collector, Started, Summary};
use crate::config::StreamConfig;
use crate::error::Error;
use crate::keeper::Keeping;
use crate::name::{StreamKind, TaskId};

/// The tasks; a clone is the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Mutex<Table>,
    /// Any descriptor, to find out by how many more there may be.
    probe: OwnedFd,
    keeping: Option<Keeping>,
}

#[derive(Debug, Default)]
struct Table {
    tasks: BTreeMap<TaskId, Task>,
    /// Of each stream that runs, and of some that ran, the hash of folder and name, so that a start does
    /// not have to look at every stream.
    files: HashSet<u64>,
    hasher: RandomState,
    is_closed: bool,
}

#[derive(Debug)]
enum Task {
    Running(Collector),
    Stopping,
}

/// What a start or a change came to: what was done, and what went wrong with the rest.
pub(crate) type Outcome = (Vec<(StreamKind, Started)>, Option<Error>);

/// What a stop came to.
pub(crate) type Stopped = Result<Vec<Summary>, Error>;

impl Tasks {
    /// Makes an empty table. The descriptor is any that stays open.
    pub(crate) fn new(probe: OwnedFd, keeping: Option<Keeping>) -> Tasks {
        Tasks(Arc::new(Inner {
            table: Mutex::default(),
            probe,
            keeping,
        }))
    }

    /// How many there are, those that stop included.
    pub(crate) fn count(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Starts the streams of a task that do not run, and leaves those alone that do, but for their
    /// limits. When one can't be started the other is kept, and the outcome says so.
    pub(crate) fn start(&self, id: TaskId, streams: Vec<StreamConfig>) -> Outcome {
        let mut guard = self.lock();
        let table = &mut *guard;
        if let Err(error) = table.check(&id, &streams) {
            return (Vec::new(), Some(error));
        }
        let new_streams = match table.tasks.get(&id) {
            Some(Task::Running(collector)) => streams
                .iter()
                .filter(|config| !collector.has(config.kind))
                .count(),
            Some(Task::Stopping) | None => streams.len(),
        };
        if new_streams > 0
            && let Err(error) = room_for(new_streams * self.need_per_stream(), &self.0.probe)
        {
            return (Vec::new(), Some(error));
        }
        let hashes: Vec<u64> = streams.iter().map(|config| table.hash(config)).collect();
        let mut entry = match table.tasks.entry(id) {
            Entry::Vacant(vacant) => {
                let keeping = self.0.keeping.clone();
                vacant.insert_entry(Task::Running(Collector::kept_by(keeping)))
            }
            Entry::Occupied(occupied) => occupied,
        };
        let Task::Running(collector) = entry.get_mut() else {
            return (Vec::new(), None);
        };
        let mut started = Vec::with_capacity(streams.len());
        let mut failure = None;
        for (config, hash) in streams.into_iter().zip(hashes) {
            let kind = config.kind;
            match collector.start(config) {
                Ok(what) => {
                    table.files.insert(hash);
                    started.push((kind, what));
                }
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        if collector.is_empty() {
            entry.remove();
        }
        (started, failure)
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
            let stopped = collector.stop().await;
            tasks.lock().tasks.remove(&id);
            match &stopped {
                Ok(_) => info!(task = %id, "stopped a task"),
                Err(cause) => error!(task = %id, %cause, "a stream had died"),
            }
            // Who asked may be gone.
            drop(answer.send(stopped));
        });
        Ok(answered)
    }

    /// Stops all tasks at once and takes no new ones. Gives the bytes that were lost by that.
    ///
    /// # Errors
    /// [`Error::StreamDied`].
    pub(crate) async fn stop_all(&self) -> Result<u64, Error> {
        self.lock().is_closed = true;
        let ids: Vec<TaskId> = self.lock().tasks.keys().cloned().collect();
        let waiting: Vec<_> = ids
            .into_iter()
            .filter_map(|id| self.stop(id).ok())
            .collect();
        let mut lost_bytes = 0;
        let mut died = None;
        for stopped in waiting {
            match stopped.await {
                Ok(Ok(summaries)) => {
                    lost_bytes += summaries.iter().map(|one| one.lost_bytes).sum::<u64>();
                }
                Ok(Err(error)) => died = Some(error),
                Err(_) => {}
            }
        }
        died.map_or(Ok(lost_bytes), Err)
    }

    /// Asks one task, or all, how they are, in the order of their ids.
    ///
    /// # Errors
    /// [`Error::NoTask`].
    pub(crate) fn ask(&self, id: Option<&TaskId>) -> Result<Questions, Error> {
        let table = self.lock();
        let ask = |task: &Task| match task {
            Task::Running(collector) => collector.ask(),
            Task::Stopping => Vec::new(),
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
        match self.tasks.get(id) {
            Some(Task::Stopping) => return Err(Error::TaskStops { task }),
            Some(Task::Running(collector)) => {
                for config in streams {
                    collector.check(config)?;
                }
            }
            None if self.is_closed => return Err(Error::TaskStops { task }),
            None => {}
        }
        if !streams
            .iter()
            .any(|config| self.files.contains(&self.hash(config)))
        {
            return Ok(());
        }
        for (other, running) in &self.tasks {
            let Task::Running(collector) = running else {
                continue;
            };
            for theirs in collector.configs().filter(|_| other != id) {
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
            Some(Task::Stopping) => Err(Error::TaskStops { task: id.clone() }),
            None => Err(Error::NoTask { task: id.clone() }),
        }
    }
}

/// Questions to streams, on their way.
#[derive(Debug)]
pub(crate) struct Questions(Vec<(TaskId, Vec<Asked>)>);

impl Questions {
    /// Waits for the answers.
    pub(crate) async fn answers(self) -> Vec<TaskReport> {
        let mut reports = Vec::with_capacity(self.0.len());
        for (id, asked) in self.0 {
            let mut streams = Vec::with_capacity(asked.len());
            for Asked { config, answer } in asked {
                streams.push((config, answer.await.ok()));
            }
            reports.push(TaskReport::new(&id, streams));
        }
        reports
    }
}
