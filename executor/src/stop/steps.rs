//! Does the steps of a shutdown (edge). Each does no harm when it is done twice, so two shutdowns may be at work at
//! once: until the main process has ended, the one that waits less is the one that counts; then one cleans up after
//! the other.

use std::io;
use std::time::Duration;

use rustix::process::Signal;

use super::machine::{Machine, Wanted};
use super::report::{Outcome, Step, StopReport};
use crate::kin::Stat;
use crate::task::Task;
use crate::waiting::{Cancel, Deadline, Woken};

/// How long a killed process may take to end: one that waits for a disk does not until it answers.
const KILL_LIMIT: Duration = Duration::from_secs(15);

/// How long the kernel may take to let go of a cgroup that is empty, and whoever was missed to die.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);

/// Stops a task, and all that it has started; says what came of each step.
pub(crate) fn stop(task: &Task, signal: Signal, grace: Duration) -> StopReport {
    task.stop_execs();
    let grace = task.grace_after(signal, grace);
    let wanted = Wanted {
        // Who can't be looked at gets the signal.
        has_ended: task.has_ended().unwrap_or(false),
        grace,
    };
    let mut stop = Stop {
        task,
        signal,
        grace,
        inside: Vec::new(),
        outside: Vec::new(),
    };
    let (mut machine, mut step) = Machine::begin(wanted);
    let mut cleaning = None;
    loop {
        if step == Step::KillGroup {
            cleaning = Some(task.begin_cleaning());
        }
        let outcome = stop.perform(step).unwrap_or_else(|error| Outcome::Failed {
            why: error.to_string(),
        });
        match machine.handle(step, outcome) {
            Some(next) => step = next,
            None => break,
        }
    }
    drop(cleaning);
    machine.into_report()
}

struct Stop<'a> {
    task: &'a Task,
    signal: Signal,
    grace: Duration,
    /// Who was found beside the main process, in its process group and outside of it.
    inside: Vec<Stat>,
    outside: Vec<Stat>,
}

impl Stop<'_> {
    fn perform(&mut self, step: Step) -> io::Result<Outcome> {
        match step {
            Step::Signal => Ok(needed(self.task.signal(self.signal)?)),
            Step::Grace => self.await_end(self.grace, Outcome::RanOut),
            Step::KillLeader => {
                if !self.task.signal(Signal::KILL)? {
                    return Ok(Outcome::Unneeded);
                }
                // That the task can't be thawed shows in what follows.
                drop(self.task.containment.thaw());
                let why = format!(
                    "process {} has not ended within {KILL_LIMIT:?} of being killed",
                    self.task.pid()
                );
                self.await_end(KILL_LIMIT, Outcome::Failed { why })
            }
            Step::KillGroup => self.kill_group(),
            Step::KillRest => {
                // It is done in any case: there may be more than were found.
                self.task.containment.kill_rest(self.task.pid())?;
                Ok(needed(!self.outside.is_empty()))
            }
            Step::AwaitEmpty => self.await_empty(),
            Step::Reap => self.task.reap().map(needed),
            Step::Release => {
                let (task, deadline) = (self.task, Deadline::after(REMOVE_LIMIT));
                task.containment
                    .release(task.pid(), &task.execs, deadline)?;
                Ok(needed(task.containment.has_group()))
            }
        }
    }

    fn await_end(&self, limit: Duration, otherwise: Outcome) -> io::Result<Outcome> {
        match self
            .task
            .await_end(Deadline::after(limit), Cancel::never())?
        {
            Woken::Readable => Ok(Outcome::Done),
            Woken::Cancelled | Woken::TimedOut => Ok(otherwise),
        }
    }

    /// Kills the group, and takes note of who was in it and who was not.
    fn kill_group(&mut self) -> io::Result<Outcome> {
        if self.task.is_reaped() {
            return Ok(Outcome::Unneeded);
        }
        let pid = self.task.pid();
        let members = self.task.containment.members(pid);
        // It must be killed even if nobody can say who is in it.
        self.task.kill_group()?;
        let is_inside = |stat: &Stat| stat.group == pid;
        (self.inside, self.outside) = members?.into_iter().partition(is_inside);
        Ok(needed(!self.inside.is_empty()))
    }

    fn await_empty(&self) -> io::Result<Outcome> {
        let deadline = Deadline::after(KILL_LIMIT);
        let (task, pid) = (self.task, self.task.pid());
        let execs_ended = task.await_execs(deadline);
        // A command may have started something behind the kill.
        task.containment.kill_rest(pid)?;
        // Nobody else's process group may be taken for this task's.
        let is_empty = (!task.containment.has_group() && task.is_reaped())
            || task.containment.await_empty(pid, &task.execs, deadline)?;
        if is_empty && execs_ended {
            return Ok(needed(!self.inside.is_empty() || !self.outside.is_empty()));
        }
        let left = task.containment.members(pid)?;
        let left: Vec<String> = left.iter().map(|stat| stat.pid.to_string()).collect();
        Ok(Outcome::Failed {
            why: format!(
                "processes {} have not ended within {KILL_LIMIT:?} of being killed",
                left.join(", ")
            ),
        })
    }
}

fn needed(is_needed: bool) -> Outcome {
    if is_needed {
        Outcome::Done
    } else {
        Outcome::Unneeded
    }
}
