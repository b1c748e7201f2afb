//! The life of a task of a driver that is spoken to (core).
//!
//! Laws, for every order of events:
//! - a start is told to go on if nobody has asked for its end before, and else is abandoned: never both;
//! - a call of a task that is being started is answered when that is over, or ends it; a stop does so once its patience
//!   is over, as a task that can be started is better ended by its signal;
//! - of two that destroy a task one does it, and the other one waits for what comes of it; what could not be done may be
//!   asked again;
//! - nothing but a refusal follows the end of a start that failed, or of a destroy that was done.

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is being started.
    Starting,
    /// It is being started, and somebody has asked for its end.
    Abandoned,
    /// It was started. It may have ended.
    Kept,
    /// It is being destroyed.
    Destroying,
    /// There is no such task any more.
    Gone,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Its main process runs, and waits for the word to go on.
    Started,
    /// It was not started, or was abandoned; nothing is left of it.
    NotStarted,
    /// Somebody waits for its end.
    WaitAsked,
    /// Somebody stops it.
    StopAsked,
    /// Somebody stops it, and has waited long enough for its start.
    StopOverdue,
    /// Somebody sends it a signal.
    SignalAsked,
    /// Somebody asks what it uses.
    StatsAsked,
    /// Somebody destroys it.
    DestroyAsked,
    /// It is destroyed.
    Destroyed,
    /// Something of it is left.
    NotDestroyed,
}

/// What is to be done.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    Nothing,
    /// Tell it to go on.
    GoOn,
    /// End what was just started.
    Abandon,
    /// Wait until the start is over, and ask again.
    AwaitStart,
    /// Make the start give up, and wait until it has.
    EndStart,
    /// Wait for its end.
    Wait,
    /// Stop it.
    Stop,
    /// Send the signal.
    Signal,
    /// Measure it.
    Measure,
    /// Kill it, and remove what it is found by.
    Destroy,
    /// Wait until somebody else has destroyed it or could not, and ask again.
    AwaitDestroy,
    /// Say that there is no such task.
    Refuse,
}

/// The state of one task.
#[derive(Debug)]
pub(crate) struct Life {
    phase: Phase,
}

impl Life {
    /// One that is being started.
    pub(crate) fn starting() -> Life {
        Life {
            phase: Phase::Starting,
        }
    }

    /// One that was started by a driver before this one.
    pub(crate) fn recovered() -> Life {
        Life { phase: Phase::Kept }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes note of an event; says what is to be done.
    pub(crate) fn handle(&mut self, event: Event) -> Action {
        match event {
            Event::Started => self.started(),
            Event::NotStarted => self.end_of(&[Phase::Starting, Phase::Abandoned], Phase::Gone),
            Event::Destroyed => self.end_of(&[Phase::Destroying], Phase::Gone),
            Event::NotDestroyed => self.end_of(&[Phase::Destroying], Phase::Kept),
            Event::WaitAsked => self.asked(Action::AwaitStart, Action::Wait),
            Event::SignalAsked => self.asked(Action::AwaitStart, Action::Signal),
            Event::StatsAsked => self.asked(Action::AwaitStart, Action::Measure),
            Event::StopAsked => self.asked(Action::AwaitStart, Action::Stop),
            Event::StopOverdue => self.asked(Action::EndStart, Action::Stop),
            Event::DestroyAsked => self.asked(Action::EndStart, Action::Destroy),
        }
    }

    fn started(&mut self) -> Action {
        match self.phase {
            Phase::Starting => {
                self.phase = Phase::Kept;
                Action::GoOn
            }
            Phase::Abandoned => Action::Abandon,
            Phase::Kept | Phase::Destroying | Phase::Gone => Action::Nothing,
        }
    }

    fn end_of(&mut self, phases: &[Phase], next: Phase) -> Action {
        if phases.contains(&self.phase) {
            self.phase = next;
        }
        Action::Nothing
    }

    fn asked(&mut self, at_start: Action, when_kept: Action) -> Action {
        match self.phase {
            Phase::Starting => {
                if at_start == Action::EndStart {
                    self.phase = Phase::Abandoned;
                }
                at_start
            }
            Phase::Abandoned => at_start,
            Phase::Kept => {
                if when_kept == Action::Destroy {
                    self.phase = Phase::Destroying;
                }
                when_kept
            }
            // Whoever waits may still learn of the end.
            Phase::Destroying if when_kept == Action::Wait => Action::Wait,
            Phase::Destroying if when_kept == Action::Destroy => Action::AwaitDestroy,
            Phase::Destroying | Phase::Gone => Action::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn play(life: &mut Life, events: &[(Event, Action, Phase)]) {
        for (event, action, phase) in events {
            assert_eq!(
                (life.handle(*event), life.phase()),
                (*action, *phase),
                "{event:?}"
            );
        }
    }

    #[test]
    fn a_task_is_started_waited_for_stopped_and_destroyed() {
        play(
            &mut Life::starting(),
            &[
                (Event::WaitAsked, Action::AwaitStart, Phase::Starting),
                (Event::Started, Action::GoOn, Phase::Kept),
                (Event::WaitAsked, Action::Wait, Phase::Kept),
                (Event::SignalAsked, Action::Signal, Phase::Kept),
                (Event::StatsAsked, Action::Measure, Phase::Kept),
                (Event::StopAsked, Action::Stop, Phase::Kept),
                (Event::DestroyAsked, Action::Destroy, Phase::Destroying),
                (Event::WaitAsked, Action::Wait, Phase::Destroying),
                (Event::StatsAsked, Action::Refuse, Phase::Destroying),
                (Event::DestroyAsked, Action::AwaitDestroy, Phase::Destroying),
                (Event::NotDestroyed, Action::Nothing, Phase::Kept),
                (Event::DestroyAsked, Action::Destroy, Phase::Destroying),
                (Event::Destroyed, Action::Nothing, Phase::Gone),
                (Event::WaitAsked, Action::Refuse, Phase::Gone),
            ],
        );
    }

    #[test]
    fn a_stop_ends_a_start_that_comes_up_all_the_same() {
        play(
            &mut Life::starting(),
            &[
                (Event::StopAsked, Action::AwaitStart, Phase::Starting),
                (Event::StopOverdue, Action::EndStart, Phase::Abandoned),
                (Event::DestroyAsked, Action::EndStart, Phase::Abandoned),
                (Event::Started, Action::Abandon, Phase::Abandoned),
                (Event::NotStarted, Action::Nothing, Phase::Gone),
                (Event::StopAsked, Action::Refuse, Phase::Gone),
            ],
        );
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Started),
            Just(Event::NotStarted),
            Just(Event::WaitAsked),
            Just(Event::StopAsked),
            Just(Event::StopOverdue),
            Just(Event::SignalAsked),
            Just(Event::StatsAsked),
            Just(Event::DestroyAsked),
            Just(Event::Destroyed),
            Just(Event::NotDestroyed),
        ]
    }

    proptest! {
        #[test]
        fn the_laws_hold_for_every_order_of_events(events in proptest::collection::vec(event(), 0..40)) {
            let mut life = Life::starting();
            let (mut was_end_asked, mut destroying, mut is_gone) = (false, 0, false);
            for event in events {
                let before = life.phase();
                let action = life.handle(event);
                match action {
                    Action::GoOn => prop_assert!(!was_end_asked && before == Phase::Starting),
                    Action::Abandon => prop_assert!(was_end_asked),
                    Action::Destroy => destroying += 1,
                    Action::EndStart => was_end_asked = true,
                    Action::Nothing | Action::AwaitStart | Action::Wait | Action::Stop
                    | Action::Signal | Action::Measure | Action::Refuse => {}
                    Action::AwaitDestroy => prop_assert_eq!(destroying, 1),
                }
                if before == Phase::Destroying && matches!(event, Event::Destroyed | Event::NotDestroyed) {
                    destroying -= 1;
                }
                prop_assert!((0..=1).contains(&destroying));
                if is_gone {
                    prop_assert!(matches!(action, Action::Nothing | Action::Refuse));
                    prop_assert_eq!(life.phase(), Phase::Gone);
                }
                is_gone |= life.phase() == Phase::Gone;
            }
        }
    }
}
