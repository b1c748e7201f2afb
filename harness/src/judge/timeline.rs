//! The lives of logmon and the generations of the task, read from a history. (core)

use std::collections::BTreeMap;

use mock_driver::journal;
use mock_driver::script::Script;
use mock_driver::stream::Stream;

use crate::capability::Capability;
use crate::history::History;
use crate::scenario::{Limits, LogmonOutcome, SignalName};
use crate::trace::{Event, Exit, StartedAgain};

/// One process of logmon.
#[derive(Clone, Debug)]
pub(super) struct Life<'a> {
    pub(super) number: u32,
    pub(super) pid: i32,
    pub(super) expect: LogmonOutcome,
    /// What was added to its command line.
    pub(super) words: &'a [String],
    pub(super) limits: &'a Limits,
    pub(super) started_us: u64,
    pub(super) ready_us: Option<u64>,
    /// When it was sent KILL.
    pub(super) killed_us: Option<u64>,
    /// When and how it ended, whether that was asked for, and its last words.
    pub(super) exited: Option<(u64, Exit, bool, &'a str)>,
}

/// One run of the task.
#[derive(Clone, Debug)]
pub(super) struct Generation<'a> {
    pub(super) number: u32,
    /// `None` if the scenario has no script of the name that the trace gives.
    pub(super) script: Option<&'a Script>,
    pub(super) script_name: &'a str,
    pub(super) exited: Option<(u64, Exit)>,
    pub(super) gone_us: Option<u64>,
    pub(super) stop_asked: bool,
    /// The signals that the host sent to the task itself and that end it.
    pub(super) signalled: Vec<SignalName>,
    /// The limit and who waited for whom, if the driver had to be killed.
    pub(super) overdue: Option<(u64, &'a [String])>,
    pub(super) journal: &'a [journal::Line],
    pub(super) driver_journal: &'a [journal::Line],
}

impl Generation<'_> {
    /// Whether the host did anything that ends a task before its script does.
    pub(super) fn was_ended_by_host(&self) -> bool {
        self.stop_asked || !self.signalled.is_empty() || self.overdue.is_some()
    }

    /// The status that the task itself wrote down as its last act.
    pub(super) fn own_status(&self) -> Option<i32> {
        self.journal
            .iter()
            .rev()
            .find_map(|line| line.event.exit_code())
    }

    /// The task's process, from its own journal.
    pub(super) fn task_pid(&self) -> Option<u32> {
        self.journal.iter().find_map(|line| line.event.pid())
    }

    /// Whether the driver plays the script itself, and its journal is the task's.
    pub(super) fn plays_itself(&self) -> bool {
        self.role() == Some(journal::Role::Play)
    }

    /// Whether the task has begun.
    pub(super) fn has_task(&self) -> bool {
        match self.role() {
            None | Some(journal::Role::Task | journal::Role::Driver) => !self.journal.is_empty(),
            // It says hello before it looks at its paths.
            Some(journal::Role::Play) => self.journal.len() > 1,
        }
    }

    fn role(&self) -> Option<journal::Role> {
        self.journal.iter().find_map(|line| {
            if let journal::Event::Hello { role, .. } = line.event {
                Some(role)
            } else {
                None
            }
        })
    }

    /// Bytes of a stream that the kernel took.
    pub(super) fn accepted(&self, stream: Stream) -> u64 {
        let ends = self.journal.iter();
        ends.filter_map(|line| line.event.accepted(stream))
            .max()
            .unwrap_or(0)
    }

    /// Whether a write of the task to this stream failed.
    pub(super) fn had_error(&self, stream: Stream) -> bool {
        self.journal.iter().any(
            |line| matches!(line.event, journal::Event::Error { stream: at, .. } if at == stream),
        )
    }
}

/// A history, indexed.
#[derive(Clone, Debug)]
pub(super) struct Timeline<'a> {
    pub(super) history: &'a History,
    pub(super) lives: Vec<Life<'a>>,
    pub(super) generations: Vec<Generation<'a>>,
}

impl<'a> Timeline<'a> {
    /// Whether a life was a second start beside a running logmon, which went on, and answered 0: it is no
    /// logmon then.
    pub(super) fn answered(&self, life: &Life<'_>) -> bool {
        let is_second = self.history.entries.iter().any(|entry| {
            matches!(
                entry.event,
                Event::SecondLogmon { life: second, yielded: false } if second == life.number
            )
        });
        is_second && matches!(life.exited, Some((_, Exit::Code(0), false, _)))
    }

    /// The limits that a running logmon was asked to take over, and said that it does.
    pub(super) fn taken_over(&self) -> impl Iterator<Item = &'a Limits> {
        let events = self.history.entries.iter().map(|entry| &entry.event);
        events.filter_map(|event| {
            if let Event::StartedAgain {
                limits: Some(limits),
                outcome: StartedAgain::Done,
                ..
            } = event
            {
                Some(limits)
            } else {
                None
            }
        })
    }

    pub(super) fn new(history: &'a History) -> Self {
        let mut lives: BTreeMap<u32, Life<'a>> = BTreeMap::new();
        let mut generations: BTreeMap<u32, Generation<'a>> = BTreeMap::new();
        for entry in &history.entries {
            let at = entry.at_us;
            match &entry.event {
                Event::LogmonStarted {
                    life,
                    pid,
                    expect,
                    words,
                    limits,
                } => {
                    lives.insert(
                        *life,
                        Life {
                            number: *life,
                            pid: *pid,
                            expect: *expect,
                            words,
                            limits,
                            started_us: at,
                            ready_us: None,
                            killed_us: None,
                            exited: None,
                        },
                    );
                }
                Event::LogmonReady { life, .. } => {
                    if let Some(life) = lives.get_mut(life) {
                        life.ready_us = Some(at);
                    }
                }
                Event::LogmonSignalled {
                    life,
                    signal: SignalName::Kill,
                } => {
                    if let Some(life) = lives.get_mut(life) {
                        life.killed_us = Some(at);
                    }
                }
                Event::LogmonExited {
                    life,
                    exit,
                    asked,
                    stderr,
                    ..
                } => {
                    if let Some(life) = lives.get_mut(life) {
                        life.exited = Some((at, *exit, *asked, stderr));
                    }
                }
                Event::DriverStarted {
                    generation, script, ..
                } => {
                    generations.insert(
                        *generation,
                        Generation {
                            number: *generation,
                            script: history.case.scenario.tasks.get(script),
                            script_name: script,
                            exited: None,
                            gone_us: None,
                            stop_asked: false,
                            signalled: Vec::new(),
                            overdue: None,
                            journal: history.task.get(generation).map_or(&[], Vec::as_slice),
                            driver_journal: history
                                .driver
                                .get(generation)
                                .map_or(&[], Vec::as_slice),
                        },
                    );
                }
                Event::DriverExited {
                    generation, exit, ..
                } => {
                    if let Some(one) = generations.get_mut(generation) {
                        one.exited = Some((at, *exit));
                    }
                }
                Event::DriverStopAsked { generation } => {
                    if let Some(one) = generations.get_mut(generation) {
                        one.stop_asked = true;
                    }
                }
                Event::DriverOverdue {
                    generation,
                    within_ms,
                    last,
                } => {
                    if let Some(one) = generations.get_mut(generation) {
                        one.overdue = Some((*within_ms, last));
                    }
                }
                Event::TaskSignalled { generation, signal } => {
                    if let Some(one) = generations.get_mut(generation)
                        && matches!(signal, SignalName::Term | SignalName::Kill)
                    {
                        one.signalled.push(*signal);
                    }
                }
                Event::TaskGone { generation } => {
                    if let Some(one) = generations.get_mut(generation) {
                        one.gone_us.get_or_insert(at);
                    }
                }
                Event::DriverFrozen { .. }
                | Event::DriverThawed {}
                | Event::Begun { .. }
                | Event::Step { .. }
                | Event::Met { .. }
                | Event::Unmet { .. }
                | Event::LogmonNotReady { .. }
                | Event::LogmonSignalled { .. }
                | Event::LogmonOverdue { .. }
                | Event::KeeperKilled { .. }
                | Event::SecondLogmon { .. }
                | Event::StartedAgain { .. }
                | Event::Released { .. }
                | Event::Pipe { .. }
                | Event::Logged { .. }
                | Event::FifoIs { .. }
                | Event::Holders { .. }
                | Event::SpareReader { .. }
                | Event::WriteEndClosed { .. }
                | Event::Look { .. }
                | Event::Measured { .. }
                | Event::FaultBegan { .. }
                | Event::FaultEnded { .. }
                | Event::PlantTouched { .. }
                | Event::WriteEndsReleased { .. }
                | Event::Direct { .. }
                | Event::LeftBehind { .. }
                | Event::Many(_)
                | Event::Adapter(_)
                | Event::SuiteError { .. }
                | Event::Held { .. }
                | Event::Ended => {}
            }
        }
        Self {
            history,
            lives: lives.into_values().collect(),
            generations: generations.into_values().collect(),
        }
    }

    /// Whether the driver declares this.
    pub(super) fn declares(&self, capability: Capability) -> bool {
        self.history.case.driver_capabilities.contains(&capability)
    }

    /// How many lives were sent KILL.
    pub(super) fn kills(&self) -> usize {
        self.lives
            .iter()
            .filter(|life| life.killed_us.is_some())
            .count()
    }

    /// Whether somebody could read the FIFOs at a time: a ready logmon or the host.
    pub(super) fn had_reader(&self, at_us: u64) -> bool {
        let life = self.lives.iter().any(|life| {
            life.ready_us.is_some_and(|ready| ready <= at_us)
                && life.exited.is_none_or(|(end, ..)| end > at_us)
                && life.killed_us.is_none_or(|killed| killed > at_us)
        });
        life || self.spare_reader(at_us)
    }

    /// Whether the host held spare read ends at a time.
    pub(super) fn spare_reader(&self, at_us: u64) -> bool {
        let mut held_then = false;
        for entry in self
            .history
            .entries
            .iter()
            .filter(|entry| entry.at_us <= at_us)
        {
            if let Event::SpareReader { held } = entry.event {
                held_then = held;
            }
        }
        held_then
    }

    /// The times at which a pipe may have lost its last descriptor: the end of each life and of
    /// each driver.
    pub(super) fn ends(&self) -> Vec<u64> {
        let lives = self
            .lives
            .iter()
            .filter_map(|life| life.exited.map(|(at, ..)| at).or(life.killed_us));
        let drivers = self
            .generations
            .iter()
            .filter_map(|one| one.exited.map(|(at, _)| at));
        lives.chain(drivers).collect()
    }
}
