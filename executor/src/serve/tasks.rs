//! All tasks of a driver, by id (edge). What may be done with one is decided in `life`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{Answer, done, ended, measured};
use super::birth::{begin, give_up};
use super::handle::Handle;
use super::kept::Kept;
use super::life::{Action, Event, Life, Phase};
use super::reexec::Reexec;
use super::request::{Claim, Start};
use crate::signal;
use crate::task::lock;
use crate::waiting::Deadline;
use crate::warden::Origin;

/// How long a call waits for a start that is under way: longer than one takes.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long a stop waits for a start that is under way, unless it has less time: then the task is ended by its signal.
/// Only a start that waits for a reader takes longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a warden may take to destroy its task.
const DESTROY_LIMIT: Duration = Duration::from_secs(4);

/// The same when nobody is left to ask for it, and the driver has to end.
const CLOSE_LIMIT: Duration = Duration::from_millis(1600);

/// How long recovering may take, all tasks together.
const RECOVER_LIMIT: Duration = Duration::from_secs(8);

/// How long a detach waits for starts to give up.
const DETACH_LIMIT: Duration = Duration::from_millis(1500);

#[derive(Debug)]
struct Entry {
    life: Life,
    /// While it is being started: what makes that give up.
    link: Option<Arc<UnixStream>>,
    /// Once it was started.
    kept: Option<Arc<Kept>>,
}

/// The tasks that are not destroyed.
#[derive(Debug)]
pub(crate) struct Tasks {
    reexec: Reexec,
    origin: Origin,
    entries: Mutex<BTreeMap<String, Entry>>,
    changed: Condvar,
    recovering: Recovering,
}

/// How many are about to take tasks over: those would be missed by who looks for all.
#[derive(Debug, Default)]
struct Recovering {
    count: Mutex<usize>,
    none: Condvar,
}

impl Recovering {
    /// Waits until nobody is; says whether that came.
    fn await_none(&self, limit: Duration) -> bool {
        let waited = self
            .none
            .wait_timeout_while(lock(&self.count), limit, |count| *count > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}

/// Somebody is about to take tasks over, until this is dropped.
#[derive(Debug)]
pub(crate) struct TakingOver(Arc<Tasks>);

impl Drop for TakingOver {
    fn drop(&mut self) {
        *lock(&self.0.recovering.count) -= 1;
        self.0.recovering.none.notify_all();
    }
}

impl Tasks {
    pub(crate) fn new(reexec: Reexec, origin: Origin) -> Tasks {
        Tasks {
            reexec,
            origin,
            entries: Mutex::default(),
            changed: Condvar::new(),
            recovering: Recovering::default(),
        }
    }

    /// Takes note of a request to recover before it is done. Who destroys all tasks, or leaves them alone, waits for it.
    pub(crate) fn take_over(self: &Arc<Tasks>) -> TakingOver {
        *lock(&self.recovering.count) += 1;
        TakingOver(Arc::clone(self))
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        lock(&self.entries)
    }

    /// Takes note of a task that is about to be started. Calls that come later find it.
    pub(crate) fn admit(&self, id: &str) -> Result<(), String> {
        let mut entries = self.entries();
        if entries.contains_key(id) {
            return Err(format!("`id` is that of another task: {id:?}"));
        }
        let entry = Entry {
            life: Life::starting(),
            link: None,
            kept: None,
        };
        entries.insert(id.to_owned(), entry);
        Ok(())
    }

    /// Forgets a task that was admitted and is not started.
    pub(crate) fn withdraw(&self, id: &str) {
        self.happened(id, Event::NotStarted);
    }

    /// Starts a task that was admitted.
    pub(crate) fn start(&self, start: &Start) -> Answer {
        let begun = begin(&self.reexec, &start.task, &self.origin, |link| {
            self.linked(&start.id, link);
        });
        let newborn = match begun {
            Ok(newborn) => newborn,
            Err(why) => {
                let was_ended = self.happened(&start.id, Event::NotStarted) == Phase::Abandoned;
                return Err(if was_ended {
                    format!("the task was stopped before it was started: {why}")
                } else {
                    why
                });
            }
        };
        let action = {
            let mut entries = self.entries();
            entries.get_mut(&start.id).map(|entry| {
                entry.link = None;
                let action = entry.life.handle(Event::Started);
                if action == Action::GoOn {
                    // Whoever finds it may be about to detach.
                    newborn.go_on();
                    entry.kept = Some(Arc::clone(&newborn.kept));
                }
                action
            })
        };
        if action == Some(Action::GoOn) {
            self.changed.notify_all();
            let handle = newborn.kept.handle();
            return Ok(json!({ "handle": handle.to_value()?, "pid": handle.held.main.pid }));
        }
        let abandoned = newborn.abandon();
        self.happened(&start.id, Event::NotStarted);
        match abandoned {
            Ok(()) => Err("the task was stopped before it was started".into()),
            Err(why) => Err(why),
        }
    }

    /// Takes what makes the start give up, and uses it if somebody has asked for that already.
    fn linked(&self, id: &str, link: &Arc<UnixStream>) {
        if let Some(entry) = self.entries().get_mut(id) {
            entry.link = Some(Arc::clone(link));
            if entry.life.phase() == Phase::Abandoned {
                give_up(link);
            }
        }
    }

    /// Says that something has happened to a task; gives where it was before.
    fn happened(&self, id: &str, event: Event) -> Phase {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(id) else {
            return Phase::Gone;
        };
        let before = entry.life.phase();
        let _nothing = entry.life.handle(event);
        if entry.life.phase() == Phase::Gone {
            entries.remove(id);
        }
        drop(entries);
        self.changed.notify_all();
        before
    }

    /// Asks for something; gives the task to do it with, once its start is over; none if the call has ended that.
    fn ask(&self, id: &str, event: Event) -> Result<Option<Arc<Kept>>, String> {
        self.ask_patiently(id, event, START_LIMIT)
    }

    /// The same for a call whose patience may be over before the start is.
    fn ask_patiently(
        &self,
        id: &str,
        mut event: Event,
        patience: Duration,
    ) -> Result<Option<Arc<Kept>>, String> {
        let mut deadline = Deadline::after(patience);
        // What this call wanted is done once the task is gone.
        let mut is_end_awaited = false;
        let mut entries = self.entries();
        loop {
            let Some(entry) = entries.get_mut(id) else {
                return if is_end_awaited {
                    Ok(None)
                } else {
                    Err(unknown(id))
                };
            };
            match entry.life.handle(event) {
                Action::EndStart => {
                    is_end_awaited = true;
                    entry.link.iter().for_each(|link| give_up(link));
                }
                Action::AwaitStart => {}
                Action::AwaitDestroy => is_end_awaited = true,
                Action::Refuse => return Err(unknown(id)),
                Action::Wait
                | Action::Stop
                | Action::Signal
                | Action::Measure
                | Action::Destroy => {
                    return entry.kept.clone().map(Some).ok_or_else(|| unknown(id));
                }
                Action::Nothing | Action::GoOn | Action::Abandon => return Err(unknown(id)),
            }
            let Some(left) = deadline.left_of(START_LIMIT) else {
                if event != Event::StopAsked {
                    return Err(format!(
                        "the start of task {id:?}, or its end by another request, does not come to its end"
                    ));
                }
                (event, deadline) = (Event::StopOverdue, Deadline::after(START_LIMIT));
                continue;
            };
            let waited = self.changed.wait_timeout(entries, left);
            entries = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the end of a task, however long that takes.
    pub(crate) fn wait(&self, id: &str) -> Answer {
        match self.ask(id, Event::WaitAsked)? {
            Some(kept) => ended(&kept.wait()?),
            None => Err(unknown(id)),
        }
    }

    /// Stops a task.
    pub(crate) fn stop(&self, id: &str, name: &str, timeout: Duration) -> Answer {
        let patience = PATIENCE.min(timeout);
        if let Some(kept) = self.ask_patiently(id, Event::StopAsked, patience)? {
            kept.stop(name, timeout)?;
        }
        Ok(done())
    }

    /// Sends a signal to the main process of a task.
    pub(crate) fn signal(&self, id: &str, name: &str) -> Answer {
        if signal::named(name).is_none() {
            return Err(format!("`signal` names no signal: {name:?}"));
        }
        match self.ask(id, Event::SignalAsked)? {
            Some(kept) => kept.signal(name).map(|()| done()),
            None => Err(unknown(id)),
        }
    }

    /// Says what a task uses.
    pub(crate) fn stats(&self, id: &str) -> Answer {
        match self.ask(id, Event::StatsAsked)? {
            Some(kept) => kept.sample().map(|sample| measured(&sample)),
            None => Err(unknown(id)),
        }
    }

    /// Kills a task if it runs, and forgets it.
    pub(crate) fn destroy(&self, id: &str) -> Answer {
        self.destroy_within(id, DESTROY_LIMIT)
    }

    fn destroy_within(&self, id: &str, limit: Duration) -> Answer {
        let Some(kept) = self.ask(id, Event::DestroyAsked)? else {
            return Ok(done());
        };
        let destroyed = kept.destroy(limit);
        self.happened(
            id,
            match destroyed {
                Ok(()) => Event::Destroyed,
                Err(_) => Event::NotDestroyed,
            },
        );
        destroyed.map(|()| done())
    }

    /// Kills all tasks; gives what could not be done.
    pub(crate) fn destroy_all(&self) -> Vec<String> {
        let are_known = self.recovering.await_none(CLOSE_LIMIT);
        let ids: Vec<String> = self.entries().keys().cloned().collect();
        std::thread::scope(|scope| {
            let one = |id: String| {
                let why = self.destroy_within(&id, CLOSE_LIMIT).err()?;
                // A request that was made before may have destroyed it since it was looked up.
                let is_there = self.entries().contains_key(&id);
                is_there.then(|| format!("task {id:?}: {why}"))
            };
            let threads: Vec<_> = ids
                .into_iter()
                .map(|id| scope.spawn(move || one(id)))
                .collect();
            let ends = threads.into_iter().map(|thread| thread.join());
            let left = ends.filter_map(|end| end.expect("destroying does not panic"));
            let unknown = (!are_known)
                .then(|| "a `recover` does not end; what it takes over lives on".to_owned());
            left.chain(unknown).collect()
        })
    }

    /// Gives the handles of all tasks, for whoever recovers them. Starts that are under way are ended.
    pub(crate) fn detach(&self) -> Answer {
        // What it takes over is among the tasks then. What it has not come to in time has the handle that it came with.
        self.recovering.await_none(RECOVER_LIMIT);
        let deadline = Deadline::after(DETACH_LIMIT);
        let mut entries = self.entries();
        for entry in entries.values_mut() {
            if entry.life.phase() == Phase::Starting {
                let _end_start = entry.life.handle(Event::StopOverdue);
                entry.link.iter().for_each(|link| give_up(link));
            }
        }
        while entries.values().any(|entry| entry.kept.is_none()) {
            let Some(left) = deadline.left_of(DETACH_LIMIT) else {
                break;
            };
            let waited = self.changed.wait_timeout(entries, left);
            entries = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let kept = entries
            .iter()
            .filter_map(|(id, entry)| Some((id, entry.kept.as_ref()?)));
        let handles: Result<Vec<Value>, String> = kept
            .map(|(id, kept)| Ok(json!({ "id": id, "handle": kept.handle().to_value()? })))
            .collect();
        Ok(json!({ "handles": handles? }))
    }

    /// Takes over the tasks of a driver before this one.
    pub(crate) fn recover(&self, claims: Vec<Claim>) -> Answer {
        let deadline = Deadline::after(RECOVER_LIMIT);
        let (mut ok, mut lost) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for Claim { id, handle } in claims {
            // An id is answered once. What stands there again was asked for before.
            if !seen.insert(id.clone()) {
                continue;
            }
            match self.recover_one(&id, handle, deadline) {
                Ok(()) => ok.push(id),
                Err(reason) => lost.push(json!({ "id": id, "reason": reason })),
            }
        }
        Ok(json!({ "ok": ok, "lost": lost }))
    }

    fn recover_one(&self, id: &str, handle: Value, deadline: Deadline) -> Result<(), String> {
        let taken = || format!("`id` is that of another task: {id:?}");
        if self.entries().contains_key(id) {
            return Err(taken());
        }
        let kept = Kept::recover(Handle::parse(handle)?, &self.origin, deadline)?;
        let mut entries = self.entries();
        if entries.contains_key(id) {
            return Err(taken());
        }
        let entry = Entry {
            life: Life::recovered(),
            link: None,
            kept: Some(Arc::new(kept)),
        };
        entries.insert(id.to_owned(), entry);
        Ok(())
    }
}

fn unknown(id: &str) -> String {
    format!("there is no task {id:?}")
}
