//! Core: what a supervisor does next, for a logmon of our own and for a plugin.
//!
//! The two differ in what they are told, not in what is decided. A logmon of our own begins by itself, and
//! is told to drain and end by a signal. A plugin is told by calls: what to collect, to drain, to end; so it
//! can refuse, and it can be asked whether it is well.
//!
//! Laws, for every order of events:
//! - there is never more than one logmon: a start follows only the end of the one before;
//! - `ready` is said once, and only after a logmon was ready;
//! - after a request to stop no logmon is started, except one to drain what a dead one left;
//! - one that does not answer is killed, and only its end is followed by a start;
//! - one is told to drain only after it was ready, and one that refused is only told to end;
//! - it is asked whether it is well only while it is ready, and one question at a time;
//! - it is told again what it collects after each time that it was well, and what comes of that is no reason to
//!   end it: only whether it is well is;
//! - it ends only when no logmon is left.

use std::time::Duration;

use super::restart::{FIRST_PAUSE, Restart};
use crate::exit::Exit;

/// How long what may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How long a logmon may take to end when it was told to, and to become ready when it is to end, before
    /// it is killed.
    pub(crate) stop_limit: Duration,
    /// How long after it was ready, or well, it is asked whether it is well; never if none.
    pub(crate) check_every: Option<Duration>,
}

/// How a logmon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With an exit code, and on its own or because it was asked to.
    Code(u8),
    /// By a signal.
    Signal,
    /// It is a plugin, and nothing was drained: nobody had asked it to, or it was not able to.
    Undrained,
    /// It was another process's child, so nobody told. True if the keeper still holds something.
    Unseen {
        /// What the keeper says.
        left_something: bool,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// No logmon runs at the beginning.
    FoundNone,
    /// A logmon of an earlier supervisor runs, at the beginning or when one more was refused.
    Found,
    /// A plugin of an earlier supervisor runs at the beginning, and is to be told again what it collects.
    FoundPlugin,
    /// The logmon is ready.
    Ready,
    /// The plugin refuses what it is told to collect; with the exit code for that.
    Refused(u8),
    /// The plugin is well.
    Well,
    /// The plugin was told again what it collects, whatever it made of that.
    Repeated,
    /// The plugin does not answer in time, or answers wrongly.
    Unwell,
    /// The logmon has ended.
    Ended(Ending),
    /// No logmon could be started.
    NotStarted,
    /// Somebody asked the supervisor to stop.
    StopAsked,
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a logmon.
    Start,
    /// Tell the plugin that was found what it collects.
    Resume,
    /// Say that it is ready.
    Announce,
    /// Ask the plugin whether it is well.
    Check,
    /// Tell the plugin that is at work once more what it collects. A good one changes nothing (contract MON-4);
    /// Nomad's has ended its copy when the last writer left, and opens a FIFO again only then.
    Repeat,
    /// Ask the logmon to drain and end.
    Terminate,
    /// Ask the plugin to end; it collects nothing.
    Dismiss,
    /// Kill the logmon.
    Kill,
    /// End with this code.
    End(u8),
}

/// When a plugin that is ready is asked whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Never,
    At(Duration),
    /// It is asked, and has not answered.
    Asked,
    /// It is well, and is being told again what it collects.
    Repeating,
}

/// What follows the end of a logmon that has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Another one.
    Again,
    /// The end, with this code.
    End(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has happened yet.
    New,
    /// A logmon was started and is not ready.
    Starting {
        since: Duration,
        /// True if it was there already.
        is_found: bool,
    },
    /// A logmon is at work.
    Running {
        since: Duration,
        check: Check,
    },
    /// A logmon that does not do has to go.
    Going {
        since: Duration,
        until: Duration,
        is_killed: bool,
        then: Then,
    },
    /// No logmon runs; the next one is started then.
    Waiting {
        until: Duration,
    },
    /// A logmon is to end. It is not asked before it is ready: until then a signal kills it undrained.
    Stopping {
        until: Duration,
        is_asked: bool,
        is_killed: bool,
        /// True if one more may be started, should this one die undrained.
        may_start: bool,
    },
    Ended,
}

/// The supervisor's state.
#[derive(Debug)]
pub(crate) struct Machine {
    pace: Pace,
    phase: Phase,
    restart: Restart,
    was_ready: bool,
}

impl Machine {
    /// Makes the state before anything has happened.
    pub(crate) fn new(pace: Pace) -> Machine {
        Machine {
            pace,
            phase: Phase::New,
            restart: Restart::default(),
            was_ready: false,
        }
    }

    /// Gives when [`Event::Tick`] is due; none if only another event matters.
    pub(crate) fn tick_at(&self) -> Option<Duration> {
        match self.phase {
            Phase::Waiting { until }
            | Phase::Running {
                check: Check::At(until),
                ..
            }
            | Phase::Going {
                until,
                is_killed: false,
                ..
            }
            | Phase::Stopping {
                until,
                is_killed: false,
                ..
            } => Some(until),
            Phase::Stopping { .. }
            | Phase::Going { .. }
            | Phase::New
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Ended => None,
        }
    }

    /// Takes note of what happened; gives what to do, in order.
    pub(crate) fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match event {
            Event::FoundNone => self.start(now),
            Event::Found => self.found(now),
            Event::FoundPlugin => self.begin(now, true),
            Event::Ready => self.ready(now),
            Event::Refused(code) => self.refused(code, now),
            Event::Well => self.well(),
            Event::Repeated => self.repeated(now),
            Event::Unwell => self.unwell(now),
            Event::Ended(ending) => self.ended(ending, now),
            Event::NotStarted => self.not_started(now),
            Event::StopAsked => self.stop(now),
            Event::Tick => self.tick(now),
        }
    }

    fn start(&mut self, now: Duration) -> Vec<Action> {
        self.begin(now, false)
    }

    fn begin(&mut self, now: Duration, is_found: bool) -> Vec<Action> {
        let since = now;
        self.phase = Phase::Starting { since, is_found };
        vec![if is_found {
            Action::Resume
        } else {
            Action::Start
        }]
    }

    /// The phase of a logmon that is at work since then.
    fn running(&self, since: Duration, now: Duration) -> Phase {
        let check = self
            .pace
            .check_every
            .map_or(Check::Never, |every| Check::At(now + every));
        Phase::Running { since, check }
    }

    fn found(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Stopping { may_start, .. } => {
                self.phase = self.asked(now, may_start);
                vec![Action::Terminate]
            }
            Phase::New
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Going { .. }
            | Phase::Waiting { .. }
            | Phase::Ended => {
                self.phase = self.running(now, now);
                self.announce()
            }
        }
    }

    fn announce(&mut self) -> Vec<Action> {
        if std::mem::replace(&mut self.was_ready, true) {
            Vec::new()
        } else {
            vec![Action::Announce]
        }
    }

    fn ready(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Starting { since, .. } => {
                self.phase = self.running(since, now);
                self.announce()
            }
            Phase::Stopping {
                is_asked: false,
                is_killed: false,
                may_start,
                ..
            } => {
                self.phase = self.asked(now, may_start);
                vec![Action::Terminate]
            }
            Phase::Stopping { .. }
            | Phase::New
            | Phase::Running { .. }
            | Phase::Going { .. }
            | Phase::Waiting { .. }
            | Phase::Ended => Vec::new(),
        }
    }

    /// What is refused at the first start is refused at the next one, too. Later the options are those that
    /// were good before, so another plugin may take them; and so may one in the place of one that was found.
    fn refused(&mut self, code: u8, now: Duration) -> Vec<Action> {
        let (since, then) = match self.phase {
            Phase::Starting { since, is_found } if is_found || self.was_ready => {
                (since, Then::Again)
            }
            Phase::Starting { since, .. } => (since, Then::End(code)),
            Phase::Stopping {
                is_asked: false,
                is_killed: false,
                ..
            } => (now, Then::End(code)),
            Phase::Stopping { .. }
            | Phase::New
            | Phase::Running { .. }
            | Phase::Going { .. }
            | Phase::Waiting { .. }
            | Phase::Ended => return Vec::new(),
        };
        self.phase = Phase::Going {
            since,
            until: now + self.pace.stop_limit,
            is_killed: false,
            then,
        };
        vec![Action::Dismiss]
    }

    fn well(&mut self) -> Vec<Action> {
        if let Phase::Running {
            since,
            check: Check::Asked,
        } = self.phase
        {
            let check = Check::Repeating;
            self.phase = Phase::Running { since, check };
            return vec![Action::Repeat];
        }
        Vec::new()
    }

    fn repeated(&mut self, now: Duration) -> Vec<Action> {
        if let Phase::Running {
            since,
            check: Check::Repeating,
        } = self.phase
        {
            self.phase = self.running(since, now);
        }
        Vec::new()
    }

    fn unwell(&mut self, now: Duration) -> Vec<Action> {
        let phase = match self.phase {
            Phase::Starting { since, .. } | Phase::Running { since, .. } => Phase::Going {
                since,
                until: now,
                is_killed: true,
                then: Then::Again,
            },
            Phase::Going {
                since,
                until,
                is_killed: false,
                then,
            } => Phase::Going {
                since,
                until,
                is_killed: true,
                then,
            },
            // Another one may drain what this one did not.
            Phase::Stopping {
                until,
                is_asked,
                is_killed: false,
                may_start,
            } => Phase::Stopping {
                until,
                is_asked,
                is_killed: true,
                may_start,
            },
            Phase::Stopping { .. }
            | Phase::Going { .. }
            | Phase::New
            | Phase::Waiting { .. }
            | Phase::Ended => return Vec::new(),
        };
        self.phase = phase;
        vec![Action::Kill]
    }

    fn ended(&mut self, ending: Ending, now: Duration) -> Vec<Action> {
        let code = match ending {
            Ending::Code(code) => code,
            Ending::Signal | Ending::Undrained => Exit::System.code(),
            Ending::Unseen { left_something } => {
                if left_something {
                    Exit::System.code()
                } else {
                    Exit::Drained.code()
                }
            }
        };
        match self.phase {
            Phase::Starting { since, .. } | Phase::Running { since, .. } => {
                let is_done = code == Exit::Drained.code();
                // What is refused at the first start is refused at the next one, too.
                if is_done || is_refusal(code) && !self.was_ready {
                    return self.end(code);
                }
                self.again(now.saturating_sub(since), now)
            }
            Phase::Going { since, then, .. } => self.gone(since, then, now),
            Phase::Stopping {
                may_start: true, ..
            } if died_undrained(ending) => self.start_to_drain(now),
            // There was one before, so what is wrong is that nobody drained in its place.
            Phase::Stopping { .. } if code == Exit::Unavailable.code() => {
                self.end(Exit::System.code())
            }
            Phase::Stopping { .. } => self.end(code),
            Phase::New | Phase::Waiting { .. } | Phase::Ended => Vec::new(),
        }
    }

    fn gone(&mut self, since: Duration, then: Then, now: Duration) -> Vec<Action> {
        match then {
            Then::Again => self.again(now.saturating_sub(since), now),
            Then::End(code) => self.end(code),
        }
    }

    /// Starts one more logmon, to drain what a dead one left.
    fn start_to_drain(&mut self, now: Duration) -> Vec<Action> {
        self.phase = Phase::Stopping {
            until: now + self.pace.stop_limit,
            is_asked: false,
            is_killed: false,
            may_start: false,
        };
        vec![Action::Start]
    }

    /// A start failed. The system may be short of something for a moment.
    fn not_started(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Going { since, then, .. } => self.gone(since, then, now),
            Phase::Starting { .. } | Phase::Running { .. } => {
                let pause = self.restart.after(Duration::ZERO).max(FIRST_PAUSE);
                self.wait(pause, now)
            }
            Phase::Stopping { .. } => self.end(Exit::System.code()),
            Phase::New | Phase::Waiting { .. } | Phase::Ended => Vec::new(),
        }
    }

    fn again(&mut self, lived: Duration, now: Duration) -> Vec<Action> {
        let pause = self.restart.after(lived);
        self.wait(pause, now)
    }

    fn wait(&mut self, pause: Duration, now: Duration) -> Vec<Action> {
        if pause.is_zero() {
            return self.start(now);
        }
        self.phase = Phase::Waiting { until: now + pause };
        Vec::new()
    }

    fn stop(&mut self, now: Duration) -> Vec<Action> {
        let until = now + self.pace.stop_limit;
        match self.phase {
            Phase::New => self.end(Exit::Drained.code()),
            Phase::Starting { .. } => {
                self.phase = Phase::Stopping {
                    until,
                    is_asked: false,
                    is_killed: false,
                    may_start: true,
                };
                Vec::new()
            }
            Phase::Running { .. } => {
                self.phase = self.asked(now, true);
                vec![Action::Terminate]
            }
            // It drains nothing, so one more does.
            Phase::Going {
                is_killed,
                then: Then::Again,
                ..
            } => {
                self.phase = Phase::Stopping {
                    until,
                    is_asked: true,
                    is_killed,
                    may_start: true,
                };
                Vec::new()
            }
            Phase::Waiting { .. } => self.start_to_drain(now),
            Phase::Going { .. } | Phase::Stopping { .. } | Phase::Ended => Vec::new(),
        }
    }

    fn tick(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Waiting { until } if now >= until => self.start(now),
            Phase::Running {
                since,
                check: Check::At(at),
            } if now >= at => {
                let check = Check::Asked;
                self.phase = Phase::Running { since, check };
                vec![Action::Check]
            }
            Phase::Going {
                since,
                until,
                is_killed: false,
                then,
            } if now >= until => {
                self.phase = Phase::Going {
                    since,
                    until,
                    is_killed: true,
                    then,
                };
                vec![Action::Kill]
            }
            // Whatever held this one up in time holds up the next one.
            Phase::Stopping {
                until,
                is_asked,
                is_killed: false,
                ..
            } if now >= until => {
                self.phase = Phase::Stopping {
                    until,
                    is_asked,
                    is_killed: true,
                    may_start: false,
                };
                vec![Action::Kill]
            }
            Phase::Waiting { .. }
            | Phase::Running { .. }
            | Phase::Going { .. }
            | Phase::Stopping { .. }
            | Phase::New
            | Phase::Starting { .. }
            | Phase::Ended => Vec::new(),
        }
    }

    fn end(&mut self, code: u8) -> Vec<Action> {
        self.phase = Phase::Ended;
        vec![Action::End(code)]
    }

    /// The phase of a logmon that was asked to end now.
    fn asked(&self, now: Duration, may_start: bool) -> Phase {
        Phase::Stopping {
            until: now + self.pace.stop_limit,
            is_asked: true,
            is_killed: false,
            may_start,
        }
    }
}

/// True for the code of a logmon that was started wrongly, and would be again.
fn is_refusal(code: u8) -> bool {
    [
        Exit::Usage,
        Exit::Config,
        Exit::Path,
        Exit::Unavailable,
        Exit::Busy,
    ]
    .iter()
    .any(|exit| exit.code() == code)
}

/// True if it may have died before it heard that it should drain.
fn died_undrained(ending: Ending) -> bool {
    match ending {
        Ending::Signal | Ending::Undrained => true,
        Ending::Unseen { left_something } => left_something,
        Ending::Code(_) => false,
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
