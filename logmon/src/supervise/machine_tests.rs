//! Laws of the supervisor's machine, and what it does in the cases that matter.

use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const STOP_LIMIT: Duration = Duration::from_secs(5);
const CHECK_EVERY: Duration = Duration::from_secs(3);
/// That of a logmon of our own.
const OWN: Pace = Pace {
    stop_limit: STOP_LIMIT,
    check_every: None,
};
/// That of a plugin.
const PLUGIN: Pace = Pace {
    stop_limit: STOP_LIMIT,
    check_every: Some(CHECK_EVERY),
};

fn running() -> Machine {
    running_at(OWN)
}

fn running_at(pace: Pace) -> Machine {
    let mut machine = Machine::new(pace);
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
        let mut machine = Machine::new(OWN);
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
    let mut machine = Machine::new(OWN);
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
        let mut machine = Machine::new(OWN);
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

/// A machine, a plugin of which refused what it was told.
fn refused(machine: &mut Machine, code: u8) {
    assert_eq!(
        machine.handle(Event::Refused(code), SECOND),
        [Action::Dismiss]
    );
}

#[test]
fn a_plugin_that_is_well_is_asked_again_and_again() {
    let mut machine = running_at(PLUGIN);
    let mut now = Duration::ZERO;
    for _ in 0..3 {
        now += CHECK_EVERY;
        assert_eq!(machine.tick_at(), Some(now));
        assert_eq!(machine.handle(Event::Tick, now), [Action::Check]);
        assert_eq!(machine.tick_at(), None);
        assert_eq!(machine.handle(Event::Tick, now), []);
        now += SECOND;
        assert_eq!(machine.handle(Event::Well, now), [Action::Repeat]);
        assert_eq!(machine.handle(Event::Repeated, now), []);
    }
}

#[test]
fn a_plugin_that_is_well_is_told_again_what_it_collects_and_not_asked_meanwhile() {
    let mut machine = running_at(PLUGIN);
    machine.handle(Event::Tick, CHECK_EVERY);
    let well = machine.handle(Event::Well, SECOND * 4);
    assert_eq!(well, [Action::Repeat]);
    assert_eq!(machine.handle(Event::Well, SECOND * 4), []);
    assert_eq!(machine.tick_at(), None);
    assert_eq!(machine.handle(Event::Tick, SECOND * 9), []);
    assert_eq!(machine.handle(Event::Repeated, SECOND * 9), []);
    assert_eq!(machine.tick_at(), Some(SECOND * 9 + CHECK_EVERY));
    // It is told once for each time that it was well.
    assert_eq!(machine.handle(Event::Repeated, SECOND * 10), []);
    assert_eq!(machine.tick_at(), Some(SECOND * 9 + CHECK_EVERY));
}

#[test]
fn a_stop_does_not_wait_until_a_plugin_was_told_again() {
    let mut machine = running_at(PLUGIN);
    machine.handle(Event::Tick, CHECK_EVERY);
    machine.handle(Event::Well, CHECK_EVERY);
    let stop = machine.handle(Event::StopAsked, SECOND * 4);
    assert_eq!(stop, [Action::Terminate]);
    assert_eq!(machine.handle(Event::Repeated, SECOND * 4), []);
    assert_eq!(machine.tick_at(), Some(SECOND * 4 + STOP_LIMIT));
}

#[test]
fn a_plugin_that_ends_while_it_is_told_again_is_followed_by_another_one() {
    let mut machine = running_at(PLUGIN);
    machine.handle(Event::Tick, CHECK_EVERY);
    machine.handle(Event::Well, CHECK_EVERY);
    let ended = machine.handle(Event::Ended(Ending::Undrained), CHECK_EVERY);
    assert_eq!(ended, [Action::Start]);
}

#[test]
fn a_plugin_that_does_not_answer_is_killed_before_another_one_is_started() {
    let mut machine = running_at(PLUGIN);
    assert_eq!(machine.handle(Event::Tick, CHECK_EVERY), [Action::Check]);
    assert_eq!(machine.handle(Event::Unwell, SECOND * 5), [Action::Kill]);
    assert_eq!(machine.handle(Event::Unwell, SECOND * 5), []);
    assert_eq!(machine.tick_at(), None);
    let ended = machine.handle(Event::Ended(Ending::Undrained), SECOND * 6);
    assert_eq!(ended, [Action::Start]);
    assert_eq!(machine.handle(Event::Ready, SECOND * 6), []);
}

#[test]
fn a_plugin_that_does_not_answer_at_the_stop_is_killed_and_another_one_drains() {
    let mut machine = running_at(PLUGIN);
    machine.handle(Event::StopAsked, SECOND);
    assert_eq!(machine.handle(Event::Unwell, SECOND * 4), [Action::Kill]);
    let ended = machine.handle(Event::Ended(Ending::Undrained), SECOND * 5);
    assert_eq!(ended, [Action::Start]);
    assert_eq!(
        machine.handle(Event::Ready, SECOND * 5),
        [Action::Terminate]
    );
    assert_eq!(machine.handle(Event::Unwell, SECOND * 8), [Action::Kill]);
    let ended = machine.handle(Event::Ended(Ending::Undrained), SECOND * 9);
    assert_eq!(ended, [Action::End(71)]);
}

#[test]
fn what_a_plugin_refuses_at_its_first_start_is_the_end_and_later_it_is_not() {
    let mut machine = Machine::new(PLUGIN);
    machine.handle(Event::FoundNone, Duration::ZERO);
    refused(&mut machine, 65);
    let ended = machine.handle(Event::Ended(Ending::Undrained), SECOND);
    assert_eq!(ended, [Action::End(65)]);

    let mut machine = running_at(PLUGIN);
    machine.handle(Event::Ended(Ending::Undrained), SECOND);
    refused(&mut machine, 65);
    let ended = machine.handle(Event::Ended(Ending::Undrained), SECOND);
    assert_eq!(ended, [Action::Start]);
}

#[test]
fn a_plugin_that_refuses_and_stays_is_killed() {
    let mut machine = Machine::new(PLUGIN);
    machine.handle(Event::FoundNone, Duration::ZERO);
    refused(&mut machine, 71);
    assert_eq!(machine.tick_at(), Some(SECOND + STOP_LIMIT));
    let tick = machine.handle(Event::Tick, SECOND + STOP_LIMIT);
    assert_eq!(tick, [Action::Kill]);
}

#[test]
fn a_refusal_at_the_first_start_is_the_end_however_the_plugin_goes() {
    for gone in [Event::Ended(Ending::Signal), Event::NotStarted] {
        let mut machine = Machine::new(PLUGIN);
        machine.handle(Event::FoundNone, Duration::ZERO);
        refused(&mut machine, 65);
        assert_eq!(machine.handle(Event::StopAsked, SECOND), []);
        assert_eq!(machine.handle(gone, SECOND), [Action::End(65)]);
    }
}

#[test]
fn a_plugin_that_was_found_is_told_again_and_only_then_it_is_ready() {
    let mut machine = Machine::new(PLUGIN);
    let found = machine.handle(Event::FoundPlugin, Duration::ZERO);
    assert_eq!(found, [Action::Resume]);
    assert_eq!(machine.handle(Event::Ready, SECOND), [Action::Announce]);
}

#[test]
fn a_plugin_that_was_found_and_refuses_makes_room_for_another_one() {
    let mut machine = Machine::new(PLUGIN);
    machine.handle(Event::FoundPlugin, Duration::ZERO);
    refused(&mut machine, 71);
    let ended = machine.handle(Event::Ended(Ending::Undrained), SECOND);
    assert_eq!(ended, [Action::Start]);
    // This one is of our own making, and the first one.
    refused(&mut machine, 65);
    let ended = machine.handle(Event::Ended(Ending::Undrained), SECOND);
    assert_eq!(ended, [Action::End(65)]);
}

#[test]
fn a_stop_while_a_plugin_has_to_go_has_another_one_drain() {
    let mut machine = running_at(PLUGIN);
    assert_eq!(machine.handle(Event::Unwell, SECOND), [Action::Kill]);
    assert_eq!(machine.handle(Event::StopAsked, SECOND), []);
    let ended = machine.handle(Event::Ended(Ending::Undrained), SECOND);
    assert_eq!(ended, [Action::Start]);
    assert_eq!(machine.handle(Event::Ready, SECOND), [Action::Terminate]);
}

fn events() -> impl Strategy<Value = Event> {
    let codes = || proptest::sample::select(vec![0_u8, 64, 65, 66, 69, 70, 71, 75]);
    prop_oneof![
        8 => Just(Event::Ready),
        1 => Just(Event::Found),
        4 => codes().prop_map(|code| Event::Ended(Ending::Code(code))),
        6 => Just(Event::Ended(Ending::Signal)),
        3 => Just(Event::Ended(Ending::Undrained)),
        2 => any::<bool>().prop_map(|left_something| Event::Ended(Ending::Unseen { left_something })),
        1 => Just(Event::NotStarted),
        2 => codes().prop_map(Event::Refused),
        12 => Just(Event::Well),
        12 => Just(Event::Repeated),
        3 => Just(Event::Unwell),
        1 => Just(Event::StopAsked),
        6 => Just(Event::Tick),
    ]
}

/// The logmon of the moment, as who obeys the machine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    is_ready: bool,
    has_refused: bool,
    is_unwell: bool,
    is_checked: bool,
    /// It has said that it is well, and was not told anything since.
    is_well: bool,
    is_told_again: bool,
    is_told_to_end: bool,
    is_killed: bool,
}

impl Seen {
    const NEW: Seen = Seen {
        is_ready: false,
        has_refused: false,
        is_unwell: false,
        is_checked: false,
        is_well: false,
        is_told_again: false,
        is_told_to_end: false,
        is_killed: false,
    };
    const AT_WORK: Seen = Seen {
        is_ready: true,
        ..Seen::NEW
    };

    /// True if it is at work, and nothing is asked of it.
    fn is_idle(self) -> bool {
        let is_told = self.is_checked || self.is_told_again || self.is_told_to_end;
        self.is_ready && !is_told && !self.is_killed
    }

    /// Takes note of what it did; gives false if it can't have.
    fn sees(&mut self, event: Event) -> bool {
        match event {
            Event::Ready => {
                let can_be = !self.is_ready && !self.has_refused && !self.is_killed;
                self.is_ready |= can_be;
                can_be
            }
            Event::Refused(_) => {
                let can_be = !self.is_ready && !self.has_refused && !self.is_killed;
                self.has_refused |= can_be;
                can_be
            }
            Event::Well => {
                self.is_well |= self.is_checked;
                std::mem::take(&mut self.is_checked)
            }
            Event::Repeated => std::mem::take(&mut self.is_told_again),
            // It does not answer what it was told: to collect, whether it is well, to drain.
            Event::Unwell => {
                let is_told = !self.is_ready || self.is_checked || self.is_told_to_end;
                let can_be = is_told && !self.has_refused && !self.is_killed;
                self.is_unwell |= can_be;
                can_be
            }
            Event::FoundNone
            | Event::Found
            | Event::FoundPlugin
            | Event::Ended(_)
            | Event::NotStarted
            | Event::StopAsked
            | Event::Tick => true,
        }
    }
}

#[derive(Debug, Default)]
struct Told {
    logmon: Option<Seen>,
    was_ready: bool,
    announced: u32,
    stop_asked: bool,
    starts_after_stop: u32,
    ended: bool,
}

impl Told {
    /// Takes note of what happened; gives false if it can't have.
    fn happens(&mut self, event: Event, is_first: bool) -> bool {
        match event {
            Event::Found => {
                // Later it is the one that has the keeper, when one of ours was refused for that.
                let is_refused = |one: &Seen| !(one.has_refused || one.is_unwell || one.is_killed);
                if !is_first && !self.logmon.as_ref().is_some_and(is_refused) {
                    return false;
                }
                self.logmon = Some(Seen::AT_WORK);
            }
            Event::FoundPlugin => self.logmon = Some(Seen::NEW),
            Event::Ended(_) | Event::NotStarted => return self.logmon.take().is_some(),
            Event::Ready | Event::Refused(_) | Event::Well | Event::Repeated | Event::Unwell => {
                let can_be = self.logmon.as_mut().is_some_and(|one| one.sees(event));
                self.was_ready |= can_be && event == Event::Ready;
                return can_be;
            }
            Event::StopAsked => self.stop_asked = true,
            Event::FoundNone | Event::Tick => {}
        }
        self.was_ready |= self.logmon.is_some_and(|one| one.is_ready);
        true
    }

    fn obeys(&mut self, action: Action) -> Result<(), TestCaseError> {
        match action {
            Action::Start => {
                prop_assert!(self.logmon.is_none(), "a second logmon");
                self.logmon = Some(Seen::NEW);
                self.starts_after_stop += u32::from(self.stop_asked);
                prop_assert!(self.starts_after_stop <= 1);
            }
            Action::Announce => {
                self.announced += 1;
                prop_assert!(self.announced == 1 && self.was_ready);
            }
            Action::End(_) => {
                prop_assert!(self.logmon.is_none(), "ends with a logmon alive");
                self.ended = true;
            }
            Action::Resume
            | Action::Check
            | Action::Repeat
            | Action::Terminate
            | Action::Dismiss
            | Action::Kill => {
                let Some(one) = &mut self.logmon else {
                    return Err(TestCaseError::fail("there is nobody to be told"));
                };
                prop_assert!(!one.is_killed, "a dead one is told {:?}", action);
                tell(one, action, self.stop_asked)?;
            }
        }
        Ok(())
    }
}

/// Has the logmon told something, and says whether it may be.
fn tell(one: &mut Seen, action: Action, stop_asked: bool) -> Result<(), TestCaseError> {
    match action {
        Action::Check => {
            prop_assert!(one.is_ready && !one.is_checked && !one.is_told_to_end);
            prop_assert!(!one.is_told_again, "two questions at a time");
            one.is_checked = true;
        }
        Action::Repeat => {
            prop_assert!(one.is_well && !one.is_told_again && !one.is_told_to_end);
            one.is_well = false;
            one.is_told_again = true;
        }
        Action::Terminate => {
            prop_assert!(one.is_ready && stop_asked && !one.is_told_to_end);
            one.is_checked = false;
            one.is_told_again = false;
            one.is_told_to_end = true;
        }
        Action::Dismiss => {
            prop_assert!(one.has_refused && !one.is_ready);
            one.is_told_to_end = true;
        }
        Action::Kill => {
            prop_assert!(one.is_unwell || one.has_refused || stop_asked);
            one.is_killed = true;
        }
        Action::Resume => prop_assert!(*one == Seen::NEW),
        Action::Start | Action::Announce | Action::End(_) => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_laws_hold_in_any_order_of_events(
        first in proptest::sample::select(vec![Event::FoundNone, Event::Found, Event::FoundPlugin]),
        is_plugin: bool,
        events in proptest::collection::vec((events(), 0_u64..12_000), 0..80),
    ) {
        let mut machine = Machine::new(if is_plugin { PLUGIN } else { OWN });
        let mut now = Duration::ZERO;
        let mut told = Told::default();
        // Time zero is the beginning, so what comes later has passed some.
        let events = events.into_iter().map(|(event, ms)| (event, ms + 1));
        for (event, passes_ms) in std::iter::once((first, 0)).chain(events) {
            now += Duration::from_millis(passes_ms);
            // The edge tells only what can be.
            if !told.happens(event, now.is_zero()) {
                continue;
            }
            for action in machine.handle(event, now) {
                told.obeys(action)?;
            }
            if told.ended {
                break;
            }
            let is_unwell = told.logmon.is_some_and(|one| one.is_unwell && !one.is_killed);
            prop_assert!(!is_unwell, "one that does not answer lives on");
            let is_left = told.logmon.is_some_and(|one| one.is_well && !one.is_killed);
            prop_assert!(!is_left, "one that is well was not told again");
            let is_idle = told.logmon.is_some_and(Seen::is_idle);
            let is_asked = !(is_idle && is_plugin) || machine.tick_at().is_some();
            prop_assert!(is_asked, "one that is at work will never be asked again");
            let waits = told.logmon.is_some() || machine.tick_at().is_some();
            prop_assert!(waits, "nothing will happen any more");
        }
    }
}

#[test]
fn a_stop_for_which_no_plugin_can_drain_is_no_wrong_program() {
    let mut machine = running_at(PLUGIN);
    assert_eq!(machine.handle(Event::Unwell, SECOND), [Action::Kill]);
    assert_eq!(machine.handle(Event::StopAsked, SECOND), []);
    let ended = machine.handle(Event::Ended(Ending::Undrained), SECOND);
    assert_eq!(ended, [Action::Start]);
    // Its program has been removed meanwhile.
    let ended = machine.handle(Event::Ended(Ending::Code(69)), SECOND);
    assert_eq!(ended, [Action::End(71)]);
}
