//! What came of each step of a shutdown (core).

use std::fmt;

/// One step of a shutdown, in the order in which they are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Send the polite signal to the main process, and to no other.
    Signal,
    /// Wait so long for its end.
    Grace,
    /// Kill it, and wait for its end.
    KillLeader,
    /// Kill its process group, while its number can't be anybody else's: the main process is not reaped yet.
    KillGroup,
    /// Kill what has left the group, through the cgroup or as children that came back to this process.
    KillRest,
    /// Wait until none of them is left.
    AwaitEmpty,
    /// Take note of the end of the main process, which gives its number free.
    Reap,
    /// Remove the cgroup of the task. A child subreaper makes sure that it has no child any more.
    Release,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Step; 8] = [
        Step::Signal,
        Step::Grace,
        Step::KillLeader,
        Step::KillGroup,
        Step::KillRest,
        Step::AwaitEmpty,
        Step::Reap,
        Step::Release,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Signal => "signal the main process",
            Step::Grace => "wait for its end",
            Step::KillLeader => "kill the main process",
            Step::KillGroup => "kill its process group",
            Step::KillRest => "kill what has left the group",
            Step::AwaitEmpty => "wait until none is left",
            Step::Reap => "reap the main process",
            Step::Release => "release what contained it",
        })
    }
}

/// What came of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to do.
    Unneeded,
    /// It was needed, and done.
    Done,
    /// The time was over. Of [`Step::Grace`] only: the next step is what helps then.
    RanOut,
    /// It was needed, and could not be done.
    Failed {
        /// What is left, and why.
        why: String,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Unneeded => f.write_str("not needed"),
            Outcome::Done => f.write_str("done"),
            Outcome::RanOut => f.write_str("the time was over"),
            Outcome::Failed { why } => write!(f, "failed: {why}"),
        }
    }
}

/// What came of a shutdown: each step that was come to, in order. It is empty if there was no task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopReport {
    steps: Vec<(Step, Outcome)>,
}

impl StopReport {
    pub(crate) fn note(&mut self, step: Step, outcome: Outcome) {
        self.steps.push((step, outcome));
    }

    /// The steps, each with what came of it.
    #[must_use]
    pub fn steps(&self) -> &[(Step, Outcome)] {
        &self.steps
    }

    /// What came of a step; none if it was not come to.
    #[must_use]
    pub fn outcome(&self, step: Step) -> Option<&Outcome> {
        let found = self.steps.iter().find(|(one, _)| *one == step);
        found.map(|(_, outcome)| outcome)
    }

    /// The steps that there was something to do for, in order.
    #[must_use]
    pub fn needed(&self) -> Vec<Step> {
        let needed = self
            .steps
            .iter()
            .filter(|(_, outcome)| *outcome != Outcome::Unneeded);
        needed.map(|(step, _)| *step).collect()
    }

    /// The first step that failed, and why.
    #[must_use]
    pub fn failure(&self) -> Option<(Step, &str)> {
        self.steps.iter().find_map(|(step, outcome)| match outcome {
            Outcome::Failed { why } => Some((*step, why.as_str())),
            Outcome::Unneeded | Outcome::Done | Outcome::RanOut => None,
        })
    }
}

/// The steps in one line: `signal the main process: done; wait for its end: done; …`.
impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (step, outcome)) in self.steps.iter().enumerate() {
            let between = if at == 0 { "" } else { "; " };
            write!(f, "{between}{step}: {outcome}")?;
        }
        Ok(())
    }
}
