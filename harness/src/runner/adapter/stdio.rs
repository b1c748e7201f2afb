//! The conversation with a driver that is spoken to, while a case is played. (edge)

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mock_driver::stream::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::super::command;
use super::super::kin::Part;
use super::super::spawn::{chain, end_of, spawn_to_talk};
use super::super::stage::{Stage, Stop};
use crate::adapter::{Asked, Client, DriverPlugin, Heard, Line, Reply, Request, Trouble};
use crate::trace::adapter::{AdapterEvent, UNANSWERED};
use crate::trace::{Event, Exit};

/// How long a greeting or a small order may take.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// How long a start may take while nobody reads: FIFO-3, and a moment for the machine.
const START: Duration = Duration::from_secs(12);
/// How long the adapter may take to end when its stdin is closed.
pub(super) const ENDS: Duration = Duration::from_secs(2);
/// What is reported of a task that could not be started.
const NOT_STARTED: Exit = Exit::Code(127);

/// A driver that is spoken to.
pub(in super::super) struct Stdio {
    pub(super) pid: i32,
    /// The generation that it was started for; its stderr has this number.
    number: u32,
    pub(super) client: Client,
    pub(super) state: State,
    pub(super) open: BTreeMap<u64, Open>,
    /// What brings a task back, by generation.
    pub(super) handles: BTreeMap<u32, Value>,
    /// The tasks that it knows.
    pub(super) known: BTreeSet<u32>,
    /// Whether it is gone as the plan wanted it, and its tasks were left alone.
    pub(in super::super) is_away: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was greeted, and has not answered yet.
    Greeted,
    /// It answers.
    Talks,
    /// It was asked to leave its tasks alone.
    Detaching,
    /// It has answered that it does, and is to end.
    Left,
    /// The plan has killed it, and nothing else.
    Crashed,
    /// Its stdin is closed, and it is to end.
    Closing,
    /// It was killed because of what it did.
    Killed,
    /// It has ended.
    Gone,
}

/// What an answer is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Open {
    Hello,
    Start(u32),
    Wait(u32),
    Stop(u32),
    Detach,
    /// And when it was asked.
    Recover(Instant),
    Order,
}

impl Stage {
    /// The process that is spoken to; it is started and greeted first if there is none.
    pub(super) fn adapter_for(&mut self, number: u32) -> Result<i32, Stop> {
        if let Some(stdio) = &self.stdio
            && stdio.state == State::Talks
        {
            return Ok(stdio.pid);
        }
        if self.stdio.is_some() {
            return Err(self.unmet("the driver answers".into()));
        }
        self.start_adapter(number)
    }

    pub(super) fn start_adapter(&mut self, number: u32) -> Result<i32, Stop> {
        let invocation =
            command::adapter(&self.case, &self.dir).map_err(|error| Stop::Suite(chain(&error)))?;
        let strace = self.case.strace.then(|| self.dir.strace("driver", number));
        let invocation = invocation.traced(strace.as_deref());
        let stderr = self.dir.output("driver", number, Stream::Stderr);
        let (pid, stdin, stdout) =
            spawn_to_talk(&invocation, &stderr).map_err(|error| Stop::Suite(chain(&error)))?;
        self.kin.register(pid, Part::Driver);
        let client = Client::over(stdin, stdout).map_err(|error| Stop::Suite(chain(&error)))?;
        self.stdio = Some(Stdio {
            pid,
            number,
            client,
            state: State::Greeted,
            open: BTreeMap::new(),
            handles: BTreeMap::new(),
            known: BTreeSet::new(),
            is_away: false,
        });
        self.ask(&Request::hello(), Some(ANSWER), Open::Hello);
        let answered = self.wait(ANSWER + ENDS, |stage| match stage.stdio.as_ref()?.state {
            State::Greeted => None,
            State::Talks => Some(true),
            State::Detaching
            | State::Left
            | State::Crashed
            | State::Closing
            | State::Killed
            | State::Gone => Some(false),
        })?;
        match answered {
            Some(true) => Ok(pid),
            Some(false) | None => Err(self.unmet("the driver answers `hello`".into())),
        }
    }

    pub(super) fn start_over_stdio(&mut self, number: u32, request: &Request) {
        self.destroy_ended();
        if let Some(stdio) = &mut self.stdio {
            stdio.known.insert(number);
        }
        self.ask(request, Some(START), Open::Start(number));
    }

    /// Has every task forgotten that has ended. A restart is that, and then a start.
    fn destroy_ended(&mut self) {
        let ended = |number: &u32| {
            let generation = self.generations.iter().find(|one| one.number == *number);
            generation.is_some_and(|one| one.exit.is_some())
        };
        let known = self.stdio.iter().flat_map(|stdio| &stdio.known);
        let ended: Vec<u32> = known.copied().filter(ended).collect();
        for number in ended {
            self.destroy(number);
        }
    }

    fn destroy(&mut self, number: u32) {
        if let Some(stdio) = &mut self.stdio {
            stdio.known.remove(&number);
        }
        let id = command::task_id(number);
        self.ask(&Request::Destroy { id }, Some(ANSWER), Open::Order);
    }

    pub(super) fn stop_over_stdio(&mut self, number: u32, within_ms: u64) {
        let request = Request::Stop {
            id: command::task_id(number),
            signal: "SIGTERM".into(),
            // The rest is for what the driver still has to do when the task is killed.
            timeout_ms: within_ms / 2,
        };
        // Whether the task ends in time is judged by its exit.
        self.ask(&request, None, Open::Stop(number));
    }

    pub(super) fn ask(&mut self, request: &Request, limit: Option<Duration>, open: Open) {
        let Some(stdio) = &mut self.stdio else {
            return;
        };
        match stdio.state {
            State::Greeted | State::Talks | State::Closing => {}
            State::Detaching | State::Left | State::Crashed | State::Killed | State::Gone => return,
        }
        match stdio.client.ask(request, limit) {
            Ok(seq) => drop(stdio.open.insert(seq, open)),
            Err(trouble) => self.adapter_broke(trouble),
        }
    }

    /// Takes in what the adapter has said by now.
    pub(in super::super) fn hear_adapter(&mut self) {
        let heard = match &mut self.stdio {
            Some(stdio) => stdio.client.poll(),
            None => return,
        };
        for one in heard {
            match one {
                Heard::Answer { asked, text, line } => {
                    if let Err(problems) = self.take_answer(&line) {
                        let text = trouble_of(&asked, &text, &problems);
                        self.adapter_broke(text);
                    }
                }
                Heard::Trouble(trouble) => self.adapter_broke(trouble),
                // Its end tells more.
                Heard::End => {}
            }
        }
    }

    fn take_answer(&mut self, line: &Line) -> Result<(), Vec<String>> {
        let open = match &mut self.stdio {
            Some(stdio) => stdio.open.remove(&line.seq),
            None => None,
        };
        match open {
            None => Ok(()),
            Some(Open::Hello) => {
                done(Reply::to_hello(&line.fields)?)?;
                self.set_state(State::Talks);
                Ok(())
            }
            Some(Open::Start(number)) => self.take_start(number, line),
            Some(Open::Wait(number)) => {
                let exit = done(Reply::to_wait(&line.fields)?)?;
                self.generation_ended(number, exit);
                Ok(())
            }
            Some(Open::Detach) => self.take_detach(line),
            Some(Open::Recover(asked)) => self.take_recover(asked, line),
            // A task may have ended before it was stopped, so a refusal says nothing.
            Some(Open::Order | Open::Stop(_)) => Reply::to_order(&line.fields).map(|_| ()),
        }
    }

    /// What the driver owes an answer to; of a plugin, with the call that it stands for. The end of a task that
    /// lives is not owed yet.
    pub(in super::super) fn unanswered(&self) -> Option<String> {
        let stdio = self.stdio.as_ref()?;
        match stdio.state {
            State::Greeted | State::Talks | State::Detaching => {}
            State::Left | State::Crashed | State::Closing | State::Killed | State::Gone => {
                return None;
            }
        }
        let is_plugin = DriverPlugin::behind(&self.case.driver).is_some();
        let call = |name: &str| match is_plugin {
            true => format!(" (call {name})"),
            false => String::new(),
        };
        let lives = |number: u32| {
            let mut generations = self.generations.iter();
            generations.any(|one| one.number == number && one.task_gone.is_none())
        };
        let told = |open: &Open| match *open {
            Open::Hello => Some("`hello`".to_owned()),
            Open::Start(number) => Some(format!("`start` of task {number}{}", call("StartTask"))),
            Open::Wait(number) if lives(number) => None,
            Open::Wait(number) => Some(format!("`wait` for task {number}{}", call("WaitTask"))),
            Open::Stop(number) => Some(format!("`stop` of task {number}{}", call("StopTask"))),
            Open::Detach => Some("`detach`".to_owned()),
            Open::Recover(_) => Some(format!("`recover`{}", call("RecoverTask"))),
            // Each has a deadline of its own.
            Open::Order => None,
        };
        let all: Vec<String> = stdio.open.values().filter_map(told).collect();
        (!all.is_empty()).then(|| format!("{UNANSWERED}{}", all.join(", ")))
    }

    fn take_start(&mut self, number: u32, line: &Line) -> Result<(), Vec<String>> {
        match Reply::to_start(&line.fields)? {
            Reply::Done(started) => {
                if let Some(stdio) = &mut self.stdio {
                    stdio.handles.insert(number, started.handle);
                }
                let id = command::task_id(number);
                self.ask(&Request::Wait { id }, None, Open::Wait(number));
                Ok(())
            }
            Reply::Failed(text) => {
                let generation = number;
                self.trace
                    .add(Event::Adapter(AdapterEvent::Refused { generation, text }));
                if let Some(stdio) = &mut self.stdio {
                    stdio.known.remove(&number);
                }
                self.generation_ended(number, NOT_STARTED);
                Ok(())
            }
            unsupported @ Reply::Unsupported => done(unsupported).map(|_| ()),
        }
    }

    fn generation_ended(&mut self, number: u32, exit: Exit) {
        let index = self
            .generations
            .iter()
            .position(|one| one.number == number && one.exit.is_none());
        if let Some(index) = index {
            self.driver_ended(index, exit);
        }
    }

    pub(super) fn set_state(&mut self, state: State) {
        if let Some(stdio) = &mut self.stdio {
            stdio.state = state;
        }
    }

    /// Records what the adapter did wrong, and kills it with everything that it started: nothing that
    /// it says later can be relied on.
    pub(super) fn adapter_broke(&mut self, trouble: Trouble) {
        let Some(stdio) = &self.stdio else {
            return;
        };
        if matches!(stdio.state, State::Crashed | State::Killed | State::Gone) {
            return;
        }
        let lines = trouble.lines();
        self.trace.add(Event::Adapter(AdapterEvent::Broke {
            op: trouble.op,
            is_late: trouble.is_late,
            text: trouble.text,
            lines,
        }));
        self.set_state(State::Killed);
        self.look_at_processes();
        for pid in self.kin.pids(&[Part::Driver, Part::Task]) {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }

    /// Whether this is the process that is spoken to.
    pub(in super::super) fn is_adapter(&self, pid: i32) -> bool {
        let is_it = |stdio: &Stdio| stdio.pid == pid && stdio.state != State::Gone;
        self.stdio.as_ref().is_some_and(is_it)
    }

    /// Takes in that the adapter has ended. What it said before is heard first.
    pub(in super::super) fn adapter_ended(&mut self, exit: Exit) {
        self.hear_adapter();
        let Some(stdio) = &mut self.stdio else {
            return;
        };
        let before = std::mem::replace(&mut stdio.state, State::Gone);
        let number = stdio.number;
        stdio.is_away = before == State::Crashed || before == State::Left && exit == Exit::Code(0);
        if stdio.is_away {
            return;
        }
        let op = match before {
            State::Detaching | State::Left => Some("detach".to_owned()),
            State::Greeted | State::Talks | State::Crashed => None,
            State::Closing | State::Killed | State::Gone => None,
        };
        let was_early = matches!(before, State::Greeted | State::Talks) || op.is_some();
        if was_early && !self.was_killed_by_the_plan(exit) {
            let stderr = end_of(&self.dir.output("driver", number, Stream::Stderr));
            let how = match exit {
                Exit::Code(code) => format!("exited {code}"),
                Exit::Signal(signal) => format!("was killed by signal {signal}"),
            };
            let said = match stderr.lines().last() {
                Some(line) => format!("; on stderr it said last `{line}`"),
                None => "; it said nothing on stderr".into(),
            };
            let what = match before {
                State::Detaching => "before it had answered `detach`",
                State::Left => "after `detach`; wanted is exit code 0",
                State::Greeted | State::Talks | State::Crashed => "before its stdin was closed",
                State::Closing | State::Killed | State::Gone => "before its stdin was closed",
            };
            self.trace.add(Event::Adapter(AdapterEvent::Broke {
                op,
                is_late: false,
                text: format!("the adapter {how} {what}{said}"),
                lines: Vec::new(),
            }));
        }
        let open: Vec<u32> = self
            .generations
            .iter()
            .filter(|one| one.exit.is_none())
            .map(|one| one.number)
            .collect();
        for number in open {
            self.generation_ended(number, exit);
        }
    }

    /// An overdue driver is killed with its adapter, which is then not to blame for its end.
    fn was_killed_by_the_plan(&self, exit: Exit) -> bool {
        exit == Exit::Signal(Signal::SIGKILL as i32) && self.is_killing
    }

    /// Waits until the driver has answered all that it was only told to do, such as to forget a task. Nobody does so
    /// between one task and the next.
    pub(in super::super) fn await_orders(&mut self) -> Result<(), Stop> {
        let is_owed = |open: &Open| matches!(open, Open::Order);
        let answered = self.wait(ANSWER + ENDS, |stage| {
            let owes = stage.stdio.as_ref().is_some_and(|stdio| {
                stdio.state == State::Talks && stdio.open.values().any(is_owed)
            });
            (!owes).then_some(())
        });
        // Who does not answer in time has broken the protocol by then.
        answered.map(drop)
    }

    /// Has every task forgotten and the adapter ended, once the plan is over.
    pub(in super::super) fn close_adapter(&mut self) -> Result<(), Stop> {
        let Some(stdio) = &self.stdio else {
            return Ok(());
        };
        if stdio.state != State::Talks {
            return Ok(());
        }
        for number in stdio.known.clone() {
            self.destroy(number);
        }
        self.await_orders()?;
        if let Some(stdio) = &mut self.stdio
            && stdio.state == State::Talks
        {
            stdio.client.close();
            stdio.state = State::Closing;
        }
        let is_gone = |stage: &mut Self| (stage.stdio.as_ref()?.state == State::Gone).then_some(());
        if self.wait(ENDS, is_gone)?.is_none() {
            self.adapter_broke(Trouble {
                op: None,
                is_late: true,
                text: format!(
                    "the adapter did not end within {} ms after its stdin was closed",
                    ENDS.as_millis()
                ),
                request: None,
                answer: None,
            });
            self.wait(ENDS, is_gone)?;
        }
        Ok(())
    }
}

fn trouble_of(asked: &Asked, answer: &str, problems: &[String]) -> Trouble {
    let text = format!("wrong answer to `{}`: {}", asked.op, problems.join("; "));
    Trouble::with_answer(asked, answer, text)
}

/// What an operation that every driver must know has led to.
pub(super) fn done<T>(reply: Reply<T>) -> Result<T, Vec<String>> {
    match reply {
        Reply::Done(value) => Ok(value),
        Reply::Unsupported => Err(vec!["every driver must support it".into()]),
        Reply::Failed(why) => Err(vec![format!("it failed: {why}")]),
    }
}
