//! Core: what a supervisor does next.
//!
//! Laws, for every order of events:
//! - there is never more than one logmon: a start follows only the end of the one before;
//! - `ready` is said once, and only after a logmon was ready;
//! - after a request to stop no logmon is started, except one to drain what a dead one left;
//! - it ends only when no logmon is left.

use std::time::Duration;

use super::restart::Restart;
use crate::exit::Exit;

/// How long a logmon may take to become ready, or to end when it was told to, before it is killed.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How a logmon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With an exit code.
    Code(u8),
    /// By a signal.
    Signal,
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
    /// The logmon is ready.
    Ready,
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
    /// Say that it is ready.
    Announce,
    /// Ask the logmon to drain and end.
    Terminate,
    /// Kill the logmon.
    Kill,
    /// End with this code.
    End(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has happened yet.
    New,
    /// A logmon was started and is not ready.
    Starting {
        since: Duration,
    },
    /// A logmon is at work.
    Running {
        since: Duration,
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
    phase: Phase,
    restart: Restart,
    was_ready: bool,
}

impl Machine {
    /// Makes the state before anything has happened.
    pub(crate) fn new() -> Machine {
        Machine {
            phase: Phase::New,
            restart: Restart::default(),
            was_ready: false,
        }
    }

    /// Gives when [`Event::Tick`] is due; none if only another event matters.
    pub(crate) fn tick_at(&self) -> Option<Duration> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Stopping {
                until,
                is_killed: false,
                ..
            } => Some(until),
            Phase::Stopping { .. }
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
            Event::Ready => self.ready(now),
            Event::Ended(ending) => self.ended(ending, now),
            Event::NotStarted => self.again(Exit::System.code(), now),
            Event::StopAsked => self.stop(now),
            Event::Tick => self.tick(now),
        }
    }

    fn start(&mut self, now: Duration) -> Vec<Action> {
        self.phase = Phase::Starting { since: now };
        vec![Action::Start]
    }

    fn found(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Stopping { may_start, .. } => {
                self.phase = asked(now, may_start);
                vec![Action::Terminate]
            }
            Phase::New
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Waiting { .. }
            | Phase::Ended => {
                self.phase = Phase::Running { since: now };
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
            Phase::Starting { since } => {
                self.phase = Phase::Running { since };
                self.announce()
            }
            Phase::Stopping {
                is_asked: false,
                may_start,
                ..
            } => {
                self.phase = asked(now, may_start);
                vec![Action::Terminate]
            }
            Phase::Stopping { .. }
            | Phase::New
            | Phase::Running { .. }
            | Phase::Waiting { .. }
            | Phase::Ended => Vec::new(),
        }
    }

    fn ended(&mut self, ending: Ending, now: Duration) -> Vec<Action> {
        let code = match ending {
            Ending::Code(code) => code,
            Ending::Signal => Exit::System.code(),
            Ending::Unseen { left_something } => {
                if left_something {
                    Exit::System.code()
                } else {
                    Exit::Drained.code()
                }
            }
        };
        match self.phase {
            Phase::Starting { since } | Phase::Running { since } => {
                let is_done = code == Exit::Drained.code();
                // What is refused at the first start is refused at the next one, too.
                let is_refused = [Exit::Usage, Exit::Config, Exit::Path, Exit::Busy]
                    .iter()
                    .any(|exit| exit.code() == code);
                if is_done || is_refused && !self.was_ready {
                    return self.end(code);
                }
                let pause = self.restart.after(now.saturating_sub(since));
                self.wait(pause, now)
            }
            Phase::Stopping {
                is_killed: false,
                may_start: true,
                ..
            } if died_undrained(ending) => self.start_to_drain(now),
            Phase::Stopping { .. } => self.end(code),
            Phase::New | Phase::Waiting { .. } | Phase::Ended => Vec::new(),
        }
    }

    /// Starts one more logmon, to drain what the keeper holds.
    fn start_to_drain(&mut self, now: Duration) -> Vec<Action> {
        self.phase = Phase::Stopping {
            until: now + STOP_LIMIT,
            is_asked: false,
            is_killed: false,
            may_start: false,
        };
        vec![Action::Start]
    }

    /// A start failed. The system may be short of something for a moment.
    fn again(&mut self, code: u8, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Starting { .. } | Phase::Running { .. } => {
                let pause = self
                    .restart
                    .after(Duration::ZERO)
                    .max(super::restart::FIRST_PAUSE);
                self.wait(pause, now)
            }
            Phase::Stopping { .. } => self.end(code),
            Phase::New | Phase::Waiting { .. } | Phase::Ended => Vec::new(),
        }
    }

    fn wait(&mut self, pause: Duration, now: Duration) -> Vec<Action> {
        if pause.is_zero() {
            return self.start(now);
        }
        self.phase = Phase::Waiting { until: now + pause };
        Vec::new()
    }

    fn stop(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::New => self.end(Exit::Drained.code()),
            Phase::Starting { .. } => {
                self.phase = Phase::Stopping {
                    until: now + STOP_LIMIT,
                    is_asked: false,
                    is_killed: false,
                    may_start: true,
                };
                Vec::new()
            }
            Phase::Running { .. } => {
                self.phase = asked(now, true);
                vec![Action::Terminate]
            }
            Phase::Waiting { .. } => self.start_to_drain(now),
            Phase::Stopping { .. } | Phase::Ended => Vec::new(),
        }
    }

    fn tick(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Waiting { until } if now >= until => self.start(now),
            Phase::Stopping {
                until,
                is_asked,
                is_killed: false,
                may_start,
            } if now >= until => {
                self.phase = Phase::Stopping {
                    until,
                    is_asked,
                    is_killed: true,
                    may_start,
                };
                vec![Action::Kill]
            }
            Phase::Waiting { .. }
            | Phase::Stopping { .. }
            | Phase::New
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Ended => Vec::new(),
        }
    }

    fn end(&mut self, code: u8) -> Vec<Action> {
        self.phase = Phase::Ended;
        vec![Action::End(code)]
    }
}

/// The phase of a logmon that was asked to end now.
fn asked(now: Duration, may_start: bool) -> Phase {
    Phase::Stopping {
        until: now + STOP_LIMIT,
        is_asked: true,
        is_killed: false,
        may_start,
    }
}

/// True if it may have died before it heard that it should drain.
fn died_undrained(ending: Ending) -> bool {
    match ending {
        Ending::Signal => true,
        Ending::Unseen { left_something } => left_something,
        Ending::Code(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn running() -> Machine {
        let mut machine = Machine::new();
        assert_eq!(
            machine.handle(Event::FoundNone, Duration::ZERO),
            [Action::Start]
        );
        assert_eq!(
            machine.handle(Event::Ready, Duration::ZERO),
            [Action::Announce]
        );
        machine
    }

    #[test]
    fn a_killed_logmon_is_started_again_at_once_and_ready_is_said_once() {
        let mut machine = running();
        let ended = machine.handle(Event::Ended(Ending::Signal), SECOND);
        assert_eq!(ended, [Action::Start]);
        assert_eq!(machine.handle(Event::Ready, SECOND), []);
    }

    #[test]
    fn a_refusal_at_the_first_start_is_final_and_later_ones_are_not() {
        for code in [64, 65, 66, 75] {
            let mut machine = Machine::new();
            machine.handle(Event::FoundNone, Duration::ZERO);
            let ended = machine.handle(Event::Ended(Ending::Code(code)), SECOND);
            assert_eq!(ended, [Action::End(code)]);
            let ended = running().handle(Event::Ended(Ending::Code(code)), SECOND);
            assert_eq!(ended, [Action::Start]);
        }
    }

    #[test]
    fn a_logmon_that_drained_on_somebody_elses_word_is_not_brought_back() {
        let ended = running().handle(Event::Ended(Ending::Code(0)), SECOND);
        assert_eq!(ended, [Action::End(0)]);
    }

    #[test]
    fn a_stop_gives_the_code_of_logmon_and_kills_it_only_when_the_time_is_up() {
        let mut machine = running();
        assert_eq!(
            machine.handle(Event::StopAsked, SECOND),
            [Action::Terminate]
        );
        assert_eq!(machine.handle(Event::StopAsked, SECOND), []);
        assert_eq!(machine.handle(Event::Tick, SECOND * 2), []);
        assert_eq!(
            machine.handle(Event::Tick, SECOND + STOP_LIMIT),
            [Action::Kill]
        );
        assert_eq!(machine.tick_at(), None);
        let ended = machine.handle(Event::Ended(Ending::Signal), SECOND * 7);
        assert_eq!(ended, [Action::End(71)]);
    }

    #[test]
    fn a_stop_during_a_start_waits_until_logmon_can_drain() {
        let mut machine = Machine::new();
        machine.handle(Event::FoundNone, Duration::ZERO);
        assert_eq!(machine.handle(Event::StopAsked, SECOND), []);
        assert_eq!(machine.handle(Event::Ready, SECOND), [Action::Terminate]);
        let ended = machine.handle(Event::Ended(Ending::Code(0)), SECOND);
        assert_eq!(ended, [Action::End(0)]);
    }

    #[test]
    fn a_stop_during_a_pause_starts_one_more_logmon_to_drain() {
        let mut machine = running();
        for _ in 0..3 {
            assert_eq!(
                machine.handle(Event::Ended(Ending::Signal), SECOND),
                [Action::Start]
            );
        }
        assert_eq!(machine.handle(Event::Ended(Ending::Signal), SECOND), []);
        assert!(machine.tick_at().is_some());
        assert_eq!(machine.handle(Event::StopAsked, SECOND), [Action::Start]);
        assert_eq!(machine.handle(Event::Ready, SECOND), [Action::Terminate]);
    }

    #[test]
    fn a_logmon_that_was_dead_when_the_stop_came_is_started_once_to_drain() {
        let mut machine = running();
        assert_eq!(
            machine.handle(Event::StopAsked, SECOND),
            [Action::Terminate]
        );
        assert_eq!(
            machine.handle(Event::Ended(Ending::Signal), SECOND),
            [Action::Start]
        );
        assert_eq!(machine.handle(Event::Ready, SECOND), [Action::Terminate]);
        let ended = machine.handle(Event::Ended(Ending::Signal), SECOND);
        assert_eq!(ended, [Action::End(71)]);
    }

    #[test]
    fn an_adopted_logmon_that_left_something_at_the_keeper_did_not_drain() {
        for (left_something, next) in [(false, Action::End(0)), (true, Action::Start)] {
            let mut machine = Machine::new();
            assert_eq!(
                machine.handle(Event::Found, Duration::ZERO),
                [Action::Announce]
            );
            assert_eq!(
                machine.handle(Event::StopAsked, SECOND),
                [Action::Terminate]
            );
            let ending = Ending::Unseen { left_something };
            assert_eq!(machine.handle(Event::Ended(ending), SECOND), [next]);
        }
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Ready),
            1 => Just(Event::Found),
            4 => proptest::sample::select(vec![0_u8, 64, 65, 66, 70, 71, 75]).prop_map(|code| Event::Ended(Ending::Code(code))),
            6 => Just(Event::Ended(Ending::Signal)),
            2 => any::<bool>().prop_map(|left_something| Event::Ended(Ending::Unseen { left_something })),
            1 => Just(Event::NotStarted),
            1 => Just(Event::StopAsked),
            4 => Just(Event::Tick),
        ]
    }

    proptest! {
        #[test]
        fn the_laws_hold_in_any_order_of_events(
            is_found: bool,
            events in proptest::collection::vec((events(), 0_u64..12_000), 0..60),
        ) {
            let mut machine = Machine::new();
            let mut now = Duration::ZERO;
            let first = if is_found { Event::Found } else { Event::FoundNone };
            // Time zero is the beginning, so what comes later has passed some.
            let events = events.into_iter().map(|(event, ms)| (event, ms + 1));
            let mut lives = false;
            let (mut was_ready, mut announced, mut stop_asked, mut ended) = (is_found, 0, false, false);
            let mut starts_after_stop = 0;
            let steps = std::iter::once((first, 0)).chain(events);
            for (event, passes_ms) in steps {
                now += Duration::from_millis(passes_ms);
                // The edge tells only what can be.
                match event {
                    Event::Found if !lives && now > Duration::ZERO => continue,
                    Event::Found => (lives, was_ready) = (true, true),
                    Event::Ready if !lives => continue,
                    Event::Ready => was_ready = true,
                    Event::Ended(_) | Event::NotStarted if !lives => continue,
                    Event::Ended(_) | Event::NotStarted => lives = false,
                    Event::StopAsked => stop_asked = true,
                    Event::FoundNone | Event::Tick => {}
                }
                if ended {
                    break;
                }
                for action in machine.handle(event, now) {
                    match action {
                        Action::Start => {
                            prop_assert!(!lives, "a second logmon");
                            lives = true;
                            starts_after_stop += u32::from(stop_asked);
                            prop_assert!(starts_after_stop <= 1);
                        }
                        Action::Announce => {
                            announced += 1;
                            prop_assert!(announced == 1 && was_ready);
                        }
                        Action::Terminate | Action::Kill => prop_assert!(lives && stop_asked),
                        Action::End(_) => {
                            prop_assert!(!lives, "ends with a logmon alive");
                            ended = true;
                        }
                    }
                }
                prop_assert!(lives || ended || machine.tick_at().is_some(), "nothing will happen any more");
            }
        }
    }
}
