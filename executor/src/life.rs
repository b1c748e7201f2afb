//! The life of a task (core).
//!
//! Laws, for every order of events:
//! - there is at most one successful launch, and none after a shutdown;
//! - a shutdown is never refused, and a second one is as good as the first;
//! - a task that comes up while a shutdown waits for it is abandoned, so a shutdown leaves none behind;
//! - nothing but the task's own calls is refused before there is a task.

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing was launched, or a launch failed; it may be tried again.
    Idle,
    /// A launch is under way.
    Launching,
    /// A launch is under way, and a shutdown waits for it to give up.
    Abandoning,
    /// The main process lives, as far as anybody who waited for it has seen.
    Running,
    /// The main process has ended. What it has left behind may live on until a shutdown.
    Exited,
    /// A shutdown is at work, or did not get all of it done.
    Stopping,
    /// A shutdown is over, and nothing is left. True if there was a task.
    Closed {
        /// Whether a task was launched before.
        was_launched: bool,
    },
}

/// What happens to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody asks for the launch.
    LaunchAsked,
    /// The main process was started.
    Launched,
    /// It was not started, and nothing is left of the attempt.
    LaunchFailed,
    /// The main process was seen to have ended.
    LeaderEnded,
    /// Somebody asks for the shutdown.
    StopAsked,
    /// A shutdown is over, and nothing is left.
    StopDone,
    /// A shutdown is over, and something is left.
    StopFailed,
}

/// What is to be done.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    Nothing,
    /// Start the main process; say [`Event::Launched`] or [`Event::LaunchFailed`] then.
    Launch,
    /// Say that there was a launch before.
    RefuseSecond,
    /// Say that there was a shutdown before.
    RefuseClosed,
    /// Make the launch give up, and wait until it has.
    CancelLaunch,
    /// Kill what was just launched; say how that went then.
    Abandon,
    /// Go through the steps of a shutdown; say how that went then.
    Stop,
}

/// The state of a task.
#[derive(Debug)]
pub(crate) struct Life {
    phase: Phase,
}

impl Life {
    pub(crate) fn new() -> Life {
        Life { phase: Phase::Idle }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// True if there is a task to be waited for; its status may be known by now.
    pub(crate) fn has_task(&self) -> bool {
        match self.phase {
            Phase::Running | Phase::Exited | Phase::Stopping => true,
            Phase::Closed { was_launched } => was_launched,
            Phase::Idle | Phase::Launching | Phase::Abandoning => false,
        }
    }

    /// Takes note of what happened; gives what to do.
    pub(crate) fn handle(&mut self, event: Event) -> Action {
        match event {
            Event::LaunchAsked => self.launch_asked(),
            Event::Launched => self.launched(),
            Event::LaunchFailed => self.launch_failed(),
            Event::LeaderEnded => {
                if self.phase == Phase::Running {
                    self.phase = Phase::Exited;
                }
                Action::Nothing
            }
            Event::StopAsked => self.stop_asked(),
            Event::StopDone => {
                if self.phase == Phase::Stopping {
                    self.phase = Phase::Closed { was_launched: true };
                }
                Action::Nothing
            }
            // It stays `Stopping`: the next shutdown goes through the same steps again.
            Event::StopFailed => Action::Nothing,
        }
    }

    fn launch_asked(&mut self) -> Action {
        match self.phase {
            Phase::Idle => {
                self.phase = Phase::Launching;
                Action::Launch
            }
            Phase::Launching | Phase::Running | Phase::Exited => Action::RefuseSecond,
            Phase::Abandoning | Phase::Stopping | Phase::Closed { .. } => Action::RefuseClosed,
        }
    }

    fn launched(&mut self) -> Action {
        match self.phase {
            Phase::Launching => {
                self.phase = Phase::Running;
                Action::Nothing
            }
            Phase::Abandoning => {
                self.phase = Phase::Stopping;
                Action::Abandon
            }
            Phase::Idle
            | Phase::Running
            | Phase::Exited
            | Phase::Stopping
            | Phase::Closed { .. } => Action::Nothing,
        }
    }

    fn launch_failed(&mut self) -> Action {
        match self.phase {
            Phase::Launching => self.phase = Phase::Idle,
            Phase::Abandoning => {
                self.phase = Phase::Closed {
                    was_launched: false,
                };
            }
            Phase::Idle
            | Phase::Running
            | Phase::Exited
            | Phase::Stopping
            | Phase::Closed { .. } => {}
        }
        Action::Nothing
    }

    fn stop_asked(&mut self) -> Action {
        match self.phase {
            Phase::Idle => {
                self.phase = Phase::Closed {
                    was_launched: false,
                };
                Action::Nothing
            }
            Phase::Launching | Phase::Abandoning => {
                self.phase = Phase::Abandoning;
                Action::CancelLaunch
            }
            Phase::Running | Phase::Exited | Phase::Stopping => {
                self.phase = Phase::Stopping;
                Action::Stop
            }
            Phase::Closed { .. } => Action::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEVER: Phase = Phase::Closed {
        was_launched: false,
    };
    const OVER: Phase = Phase::Closed { was_launched: true };

    fn life(phase: Phase) -> Life {
        Life { phase }
    }

    #[test]
    fn a_task_is_launched_runs_ends_and_is_closed() {
        let mut life = Life::new();
        for (event, action, phase) in [
            (Event::LaunchAsked, Action::Launch, Phase::Launching),
            (Event::Launched, Action::Nothing, Phase::Running),
            (Event::LeaderEnded, Action::Nothing, Phase::Exited),
            (Event::StopAsked, Action::Stop, Phase::Stopping),
            (Event::StopDone, Action::Nothing, OVER),
            (Event::StopAsked, Action::Nothing, OVER),
        ] {
            assert_eq!(
                (life.handle(event), life.phase()),
                (action, phase),
                "{event:?}"
            );
        }
    }

    #[test]
    fn a_second_launch_is_refused_and_changes_nothing() {
        for phase in [Phase::Launching, Phase::Running, Phase::Exited] {
            let mut life = life(phase);
            assert_eq!(life.handle(Event::LaunchAsked), Action::RefuseSecond);
            assert_eq!(life.phase(), phase);
        }
        for phase in [Phase::Abandoning, Phase::Stopping, NEVER, OVER] {
            let mut life = life(phase);
            assert_eq!(life.handle(Event::LaunchAsked), Action::RefuseClosed);
            assert_eq!(life.phase(), phase);
        }
    }

    #[test]
    fn a_failed_launch_may_be_tried_again() {
        let mut life = life(Phase::Launching);
        assert_eq!(life.handle(Event::LaunchFailed), Action::Nothing);
        assert_eq!(life.handle(Event::LaunchAsked), Action::Launch);
    }

    #[test]
    fn a_shutdown_cancels_a_launch_and_abandons_what_comes_up_all_the_same() {
        let mut failing = life(Phase::Launching);
        assert_eq!(failing.handle(Event::StopAsked), Action::CancelLaunch);
        assert_eq!(failing.handle(Event::LaunchFailed), Action::Nothing);
        assert_eq!(failing.phase(), NEVER);

        let mut late = life(Phase::Launching);
        assert_eq!(late.handle(Event::StopAsked), Action::CancelLaunch);
        assert_eq!(late.handle(Event::StopAsked), Action::CancelLaunch);
        assert_eq!(late.handle(Event::Launched), Action::Abandon);
        assert_eq!(late.handle(Event::StopDone), Action::Nothing);
        assert_eq!(late.phase(), OVER);
    }

    #[test]
    fn a_shutdown_that_left_something_is_done_again() {
        let mut life = life(Phase::Stopping);
        assert_eq!(life.handle(Event::StopFailed), Action::Nothing);
        assert_eq!(life.handle(Event::StopAsked), Action::Stop);
        assert!(life.has_task());
    }

    #[test]
    fn there_is_nothing_to_wait_for_before_a_launch() {
        for phase in [Phase::Idle, Phase::Launching, Phase::Abandoning, NEVER] {
            assert!(!life(phase).has_task(), "{phase:?}");
        }
        for phase in [Phase::Running, Phase::Exited, Phase::Stopping, OVER] {
            assert!(life(phase).has_task(), "{phase:?}");
        }
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::LaunchAsked),
            Just(Event::Launched),
            Just(Event::LaunchFailed),
            Just(Event::LeaderEnded),
            Just(Event::StopAsked),
            Just(Event::StopDone),
            Just(Event::StopFailed),
        ]
    }

    proptest! {
        #[test]
        fn the_laws_hold_for_every_order_of_events(events in proptest::collection::vec(event(), 0..60)) {
            let mut life = Life::new();
            let (mut is_under_way, mut launches, mut was_asked_to_stop) = (false, 0, false);
            for event in events {
                // An edge tells the end of a launch only once it was told to begin one.
                if matches!(event, Event::Launched | Event::LaunchFailed) && !is_under_way {
                    continue;
                }
                let action = life.handle(event);
                match event {
                    Event::LaunchAsked => {
                        let may = !is_under_way && launches == 0 && !was_asked_to_stop;
                        prop_assert_eq!(action == Action::Launch, may);
                        is_under_way |= may;
                    }
                    Event::Launched => {
                        is_under_way = false;
                        launches += 1;
                        prop_assert_eq!(action == Action::Abandon, was_asked_to_stop);
                    }
                    Event::LaunchFailed => is_under_way = false,
                    Event::StopAsked => {
                        was_asked_to_stop = true;
                        prop_assert!(!matches!(action, Action::RefuseSecond | Action::RefuseClosed));
                        prop_assert_eq!(action == Action::CancelLaunch, is_under_way);
                    }
                    Event::LeaderEnded | Event::StopDone | Event::StopFailed => {
                        prop_assert_eq!(action, Action::Nothing);
                    }
                }
                prop_assert!(launches <= 1);
                prop_assert_eq!(life.has_task(), launches == 1);
            }
        }
    }
}
