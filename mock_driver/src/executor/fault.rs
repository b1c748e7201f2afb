//! What can be wrong about several tasks that live on without their driver: a core.

use crate::faults::absence::Away;

/// A realistic bug of a driver with several tasks, which live on when it leaves them or stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(
    missing_docs,
    reason = "`RecoveryFault::description` says it, for the reader of the program too"
)]
pub enum RecoveryFault {
    LosesGap,
    RepeatsGap,
    RestartsOnRecover,
    KillsOnRecover,
    HangsInRecover,
    GuessesSuccess,
    TakesPauseForDeath,
    LeaksFdIntoNextTask,
}

impl RecoveryFault {
    /// What the fault does, in one line.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::LosesGap => "throws away what the task writes while no driver is there",
            Self::RepeatsGap => "sends what was written while no driver was there once more",
            Self::RestartsOnRecover => "kills the task that it is to recover and runs it again",
            Self::KillsOnRecover => "kills the task that it is to recover if nobody reads its log",
            Self::HangsInRecover => "waits in open(2) of a FIFO when it is to recover a task",
            Self::GuessesSuccess => "reports 0 for a task that it finds ended when it recovers",
            Self::TakesPauseForDeath => {
                "reports a task as killed that it has not looked at for 1 s"
            }
            Self::LeaksFdIntoNextTask => {
                "has a task inherit a descriptor of the FIFO of one that runs already"
            }
        }
    }

    /// What an executor does while its driver is away, if that is the fault.
    pub(crate) fn away(self) -> Option<Away> {
        match self {
            Self::LosesGap => Some(Away::Discard),
            Self::RepeatsGap => Some(Away::Replay),
            Self::RestartsOnRecover
            | Self::KillsOnRecover
            | Self::HangsInRecover
            | Self::GuessesSuccess
            | Self::TakesPauseForDeath
            | Self::LeaksFdIntoNextTask => None,
        }
    }
}
