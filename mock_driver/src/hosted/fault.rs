//! Faults of a driver that is a plugin: those of forwarding and those of recovering: a core.

use clap::ValueEnum;

use crate::executor::RecoveryFault;
use crate::fault::Fault;

/// A fault of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnyFault {
    /// Of the forwarding.
    Forwarding(Fault),
    /// Of taking a task over.
    Recovering(RecoveryFault),
}

impl AnyFault {
    /// The fault of this name.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let forwarding = Fault::from_str(name, false).map(Self::Forwarding);
        let recovering = || RecoveryFault::from_str(name, false).map(Self::Recovering);
        forwarding
            .or_else(|_| recovering())
            .map_err(|_| format!("there is no fault `{name}`; `mock_driver faults` lists them"))
    }

    pub(super) fn forwarding(self) -> Option<Fault> {
        match self {
            Self::Forwarding(fault) => Some(fault),
            Self::Recovering(_) => None,
        }
    }

    pub(super) fn recovering(self) -> Option<RecoveryFault> {
        match self {
            Self::Recovering(fault) => Some(fault),
            Self::Forwarding(_) => None,
        }
    }
}
