//! A driver that leaves its tasks, and the next process of it that takes them over. (edge)

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::super::command;
use super::super::stage::{Stage, Stop, millis};
use super::stdio::{ANSWER, ENDS, Open, State, Stdio, done};
use crate::adapter::{Handle, Line, Lost, Recovered, Reply, Request, Trouble};
use crate::observe::lives;
use crate::trace::Event;
use crate::trace::adapter::{AdapterEvent, LostTask};

/// How long a recovery may take: the 10 s of LIFE-9, and a moment for the machine. What speaks for a plugin gives up
/// after 11 s, and then answers: who hangs must have been told by then.
const RECOVER: Duration = Duration::from_millis(10_500);

impl Stage {
    /// Has the driver leave its tasks alone, and waits until its process has ended.
    pub(in super::super) fn detach_driver(&mut self) -> Result<(), Stop> {
        let pid = self.driver_with_handles()?;
        self.ask(&Request::Detach {}, Some(ANSWER), Open::Detach);
        if self.is_in(State::Talks) {
            self.set_state(State::Detaching);
        }
        self.wait(ANSWER + ENDS, |stage| {
            (!stage.is_in(State::Detaching)).then_some(())
        })?;
        let is_over = |stage: &mut Self| (!stage.is_in(State::Left)).then_some(());
        if self.wait(ENDS, is_over)?.is_none() {
            self.adapter_broke(Trouble {
                op: Some("detach".into()),
                is_late: true,
                text: format!(
                    "the adapter did not end within {} ms after it had answered `detach`",
                    ENDS.as_millis()
                ),
                request: None,
                answer: None,
            });
        }
        self.note_away(
            "the driver answers `detach` and ends",
            AdapterEvent::Detached { pid },
        )
    }

    /// Kills the driver's process, and nothing else.
    pub(in super::super) fn kill_adapter(&mut self) -> Result<(), Stop> {
        let pid = self.driver_with_handles()?;
        self.set_state(State::Crashed);
        // Not reaped yet, so the number is still its own.
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        self.wait(ENDS, |stage| stage.is_in(State::Gone).then_some(()))?;
        // What the driver started gets a stdin of its own, so whoever has this one is the driver.
        let is_alone = |stage: &mut Self| {
            let is_heard = |stdio: &Stdio| stdio.client.is_listened_to();
            (!stage.stdio.as_ref().is_some_and(is_heard)).then_some(())
        };
        if self.wait(ENDS, is_alone)?.is_none() {
            let text = "the driver is gone with the process that was started; another one has its \
                        stdin: start the driver itself, or with `exec`, without a wrapper before it";
            return Err(self.unmet(text.into()));
        }
        self.note_away("the driver is killed", AdapterEvent::Killed { pid })
    }

    /// Starts another process of the driver, and has it take the tasks over.
    pub(in super::super) fn recover_driver(&mut self) -> Result<(), Stop> {
        let Some(old) = self.stdio.take_if(|stdio| stdio.is_away) else {
            return Err(self.unmet("the driver has left its tasks".into()));
        };
        let number = self.generation().map_or(0, |generation| generation.number);
        let pid = self.start_adapter(number)?;
        let handles = old
            .known
            .iter()
            .filter_map(|number| {
                Some(Handle {
                    id: command::task_id(*number),
                    handle: old.handles.get(number)?.clone(),
                })
            })
            .collect();
        if let Some(stdio) = &mut self.stdio {
            stdio.known = old.known;
            stdio.handles = old.handles;
        }
        for generation in &mut self.generations {
            generation.pid = pid;
        }
        self.trace
            .add(Event::Adapter(AdapterEvent::RecoverAsked { pid }));
        let request = Request::Recover { handles };
        self.ask(&request, Some(RECOVER), Open::Recover(Instant::now()));
        let is_owed = |open: &Open| matches!(open, Open::Recover(_));
        let answered = self.wait(RECOVER + ENDS, |stage| {
            let stdio = stage.stdio.as_ref()?;
            let is_over = stdio.state != State::Talks || !stdio.open.values().any(is_owed);
            is_over.then_some(stdio.state == State::Talks)
        })?;
        match answered {
            Some(true) => Ok(()),
            Some(false) | None => Err(self.unmet("the driver answers `recover`".into())),
        }
    }

    /// The process that is spoken to, once it has answered for every task that it was to start.
    fn driver_with_handles(&mut self) -> Result<i32, Stop> {
        let is_owed = |open: &Open| matches!(open, Open::Start(_));
        let pid = self.wait(ANSWER, |stage| {
            let stdio = stage.stdio.as_ref()?;
            let is_ready = stdio.state == State::Talks && !stdio.open.values().any(is_owed);
            is_ready.then_some(stdio.pid)
        })?;
        pid.ok_or_else(|| self.unmet("a driver answers that is spoken to".into()))
    }

    fn is_in(&self, state: State) -> bool {
        self.stdio.as_ref().is_some_and(|one| one.state == state)
    }

    fn note_away(&mut self, text: &str, event: AdapterEvent) -> Result<(), Stop> {
        if !self.stdio.as_ref().is_some_and(|stdio| stdio.is_away) {
            return Err(self.unmet(text.into()));
        }
        self.trace.add(Event::Adapter(event));
        Ok(())
    }

    pub(super) fn take_detach(&mut self, line: &Line) -> Result<(), Vec<String>> {
        let detached = done(Reply::to_detach(&line.fields)?)?;
        let Some(stdio) = &mut self.stdio else {
            return Ok(());
        };
        let given = |number: u32| -> Option<Value> {
            let id = command::task_id(number);
            let one = detached.handles.iter().find(|one| one.id == id)?;
            Some(one.handle.clone())
        };
        let mut problems = Vec::new();
        for number in &stdio.known {
            match given(*number) {
                Some(handle) => drop(stdio.handles.insert(*number, handle)),
                None => problems.push(format!(
                    "`handles` must have an entry for {:?}, which was not destroyed",
                    command::task_id(*number)
                )),
            }
        }
        if problems.is_empty() {
            self.set_state(State::Left);
            return Ok(());
        }
        Err(problems)
    }

    pub(super) fn take_recover(&mut self, asked: Instant, line: &Line) -> Result<(), Vec<String>> {
        let known: BTreeSet<u32> = self
            .stdio
            .iter()
            .flat_map(|stdio| stdio.known.iter().copied())
            .collect();
        let ids: Vec<String> = known.iter().copied().map(command::task_id).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let recovered = match Reply::to_recover(&line.fields, &ids)? {
            // Told, and so a clear result: nothing was taken over.
            Reply::Failed(why) => {
                let lost = |id: &&str| Lost {
                    id: (*id).to_owned(),
                    reason: why.clone(),
                };
                Recovered {
                    ok: Vec::new(),
                    lost: ids.iter().map(lost).collect(),
                }
            }
            reply @ (Reply::Done(_) | Reply::Unsupported) => done(reply)?,
        };
        let (mut ok, mut lost) = (Vec::new(), Vec::new());
        for number in known {
            let id = command::task_id(number);
            match recovered.lost.iter().find(|one| one.id == id) {
                None => ok.push(number),
                Some(one) => lost.push(LostTask {
                    generation: number,
                    reason: one.reason.clone(),
                    is_alive: self.is_task_alive(number),
                }),
            }
        }
        self.trace.add(Event::Adapter(AdapterEvent::Recovered {
            after_ms: millis(asked.elapsed()),
            ok: ok.clone(),
            lost: lost.clone(),
        }));
        for number in ok {
            let id = command::task_id(number);
            self.ask(&Request::Wait { id }, None, Open::Wait(number));
        }
        for task in lost {
            if !task.is_alive && !self.case.scenario.expect.may_lose_tasks {
                // It is a clear result, and so no fault; but nothing is shown of the end.
                self.unmet(format!(
                    "the driver reports the end of a task that ended without it: `recover` gave it up \
                     ({})",
                    task.reason
                ));
            }
            self.lose(task.generation);
        }
        Ok(())
    }

    fn is_task_alive(&self, number: u32) -> bool {
        let generation = self.generations.iter().find(|one| one.number == number);
        let writer = generation.and_then(|one| one.tail.progress.writer);
        writer.is_some_and(|(pid, _)| lives(pid))
    }

    /// Takes in that nobody will report the end of a task.
    fn lose(&mut self, number: u32) {
        if let Some(stdio) = &mut self.stdio {
            stdio.known.remove(&number);
        }
        for generation in &mut self.generations {
            generation.is_lost |= generation.number == number;
        }
    }
}
