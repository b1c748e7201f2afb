//! Which step of a shutdown is the next one (core).
//!
//! Laws, for every outcome of every step:
//! - the steps come in the order of [`Step::ALL`], each at most once, and the last one is always come to;
//! - only a main process that lives is signalled, waited for or killed;
//! - the group is killed before the main process is reaped;
//! - what fails is noted, and the steps behind it are done all the same: a process that does not die must
//!   not protect the others.

use std::time::Duration;

use super::report::{Outcome, Step, StopReport};

/// How a shutdown is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// True if the main process has ended before.
    pub(super) has_ended: bool,
    /// How long it may take to end after the signal; none: it is killed at once after it.
    pub(super) grace: Duration,
}

/// A shutdown under way.
#[derive(Debug)]
pub(super) struct Machine {
    wanted: Wanted,
    report: StopReport,
}

impl Machine {
    /// Gives the shutdown, and its first step.
    pub(super) fn begin(wanted: Wanted) -> (Machine, Step) {
        let mut machine = Machine {
            wanted,
            report: StopReport::default(),
        };
        if !wanted.has_ended {
            return (machine, Step::Signal);
        }
        machine.skip(&[Step::Signal, Step::Grace, Step::KillLeader]);
        (machine, Step::KillGroup)
    }

    /// Takes note of what came of a step; gives the next one, or none after the last one.
    pub(super) fn handle(&mut self, step: Step, outcome: Outcome) -> Option<Step> {
        let is_done = outcome == Outcome::Done;
        let is_unneeded = outcome == Outcome::Unneeded;
        self.report.note(step, outcome);
        match step {
            // It has ended by itself just now.
            Step::Signal if is_unneeded => {
                self.skip(&[Step::Grace, Step::KillLeader]);
                Some(Step::KillGroup)
            }
            // Nobody waits for what a signal does that was not sent.
            Step::Signal if !is_done || self.wanted.grace.is_zero() => {
                self.skip(&[Step::Grace]);
                Some(Step::KillLeader)
            }
            Step::Signal => Some(Step::Grace),
            Step::Grace if is_done => {
                self.skip(&[Step::KillLeader]);
                Some(Step::KillGroup)
            }
            Step::Grace => Some(Step::KillLeader),
            Step::KillLeader => Some(Step::KillGroup),
            Step::KillGroup => Some(Step::KillRest),
            Step::KillRest => Some(Step::AwaitEmpty),
            Step::AwaitEmpty => Some(Step::Reap),
            Step::Reap => Some(Step::Release),
            Step::Release => None,
        }
    }

    /// What came of all steps.
    pub(super) fn into_report(self) -> StopReport {
        self.report
    }

    fn skip(&mut self, steps: &[Step]) {
        for step in steps {
            self.report.note(*step, Outcome::Unneeded);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn play(wanted: Wanted, outcome_of: impl Fn(Step) -> Outcome) -> (Vec<Step>, StopReport) {
        let (mut machine, mut step) = Machine::begin(wanted);
        let mut played = vec![step];
        while let Some(next) = machine.handle(step, outcome_of(step)) {
            step = next;
            played.push(step);
        }
        (played, machine.into_report())
    }

    fn alive(grace: Duration) -> Wanted {
        Wanted {
            has_ended: false,
            grace,
        }
    }

    #[test]
    fn a_process_that_obeys_is_not_killed() {
        let (played, report) = play(alive(GRACE), |_| Outcome::Done);
        assert!(!played.contains(&Step::KillLeader));
        assert_eq!(report.outcome(Step::KillLeader), Some(&Outcome::Unneeded));
    }

    #[test]
    fn a_process_that_does_not_obey_is_killed_when_its_time_is_over() {
        let (played, report) = play(alive(GRACE), |step| match step {
            Step::Grace => Outcome::RanOut,
            Step::KillGroup | Step::KillRest | Step::Release => Outcome::Unneeded,
            Step::Signal | Step::KillLeader | Step::AwaitEmpty | Step::Reap => Outcome::Done,
        });
        assert_eq!(played, Step::ALL);
        assert_eq!(
            report.needed(),
            [
                Step::Signal,
                Step::Grace,
                Step::KillLeader,
                Step::AwaitEmpty,
                Step::Reap
            ]
        );
    }

    #[test]
    fn without_grace_the_kill_follows_the_signal_at_once() {
        let (played, _) = play(alive(Duration::ZERO), |_| Outcome::Done);
        assert_eq!(played[..2], [Step::Signal, Step::KillLeader]);
    }

    #[test]
    fn a_signal_that_could_not_be_sent_is_waited_for_by_nobody() {
        let (played, _) = play(alive(GRACE), |step| match step {
            Step::Signal => Outcome::Failed { why: "no".into() },
            Step::Grace
            | Step::KillLeader
            | Step::KillGroup
            | Step::KillRest
            | Step::AwaitEmpty
            | Step::Reap
            | Step::Release => Outcome::Done,
        });
        assert_eq!(played[..2], [Step::Signal, Step::KillLeader]);
    }

    #[test]
    fn what_an_ended_process_left_is_killed_without_a_signal() {
        let wanted = Wanted {
            has_ended: true,
            grace: GRACE,
        };
        let (played, _) = play(wanted, |_| Outcome::Done);
        assert_eq!(played, Step::ALL[3..]);
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Unneeded),
            Just(Outcome::Done),
            Just(Outcome::RanOut),
            Just(Outcome::Failed { why: "why".into() }),
        ]
    }

    proptest! {
        #[test]
        fn every_step_is_noted_once_in_order_whatever_comes_of_it(
            has_ended in any::<bool>(),
            grace_ms in 0_u64..3,
            outcomes in proptest::collection::vec(outcome(), Step::ALL.len()),
        ) {
            let wanted = Wanted { has_ended, grace: Duration::from_millis(grace_ms) };
            let (played, report) = play(wanted, |step| {
                let at = Step::ALL.iter().position(|one| *one == step).expect("all are in it");
                outcomes[at].clone()
            });
            let noted: Vec<Step> = report.steps().iter().map(|(step, _)| *step).collect();
            prop_assert_eq!(&noted, &Step::ALL);
            let last = [Step::KillGroup, Step::KillRest, Step::AwaitEmpty, Step::Reap, Step::Release];
            prop_assert!(played.ends_with(&last));
            if has_ended {
                prop_assert_eq!(played.len(), last.len());
            }
        }
    }
}
