//! Why a command gives up, and how it then ends. (core)

use std::error::Error;

use crate::adapter::AdapterError;
use crate::outcome::Ending;
use crate::runner::LoadError;
use crate::suite::{CollectError, FilterError, OutError, SubjectError};

/// A message for standard error and the exit code that goes with it.
#[derive(Debug)]
pub(super) struct Refusal {
    /// How the program ends.
    pub(super) ending: Ending,
    /// What is wrong and how to mend it.
    pub(super) text: String,
}

impl Refusal {
    /// A refusal with a text of its own.
    pub(super) fn new(ending: Ending, text: impl Into<String>) -> Self {
        Self {
            ending,
            text: text.into(),
        }
    }

    fn caused(ending: Ending, error: &dyn Error) -> Self {
        Self::new(ending, crate::suite::error_chain(error))
    }
}

/// How a run ends that came to `ending` and then could not write everything. A verdict that is no pass
/// stays: whoever reads only the exit code must not take a failure for a full disk.
pub(super) fn with_troubles(ending: Ending, troubles: &[Refusal]) -> Ending {
    let gravest = troubles.iter().map(|one| one.ending).max();
    match (ending, gravest) {
        (Ending::Conformant, Some(gravest)) => gravest,
        (ending, _) => ending,
    }
}

impl From<SubjectError> for Refusal {
    fn from(error: SubjectError) -> Self {
        Self::caused(Ending::Usage, &error)
    }
}

impl From<AdapterError> for Refusal {
    fn from(error: AdapterError) -> Self {
        Self::caused(Ending::BadSubject, &error)
    }
}

impl From<FilterError> for Refusal {
    fn from(error: FilterError) -> Self {
        Self::caused(Ending::Usage, &error)
    }
}

impl From<CollectError> for Refusal {
    fn from(error: CollectError) -> Self {
        Self::caused(Ending::BadConfiguration, &error)
    }
}

impl From<OutError> for Refusal {
    fn from(error: OutError) -> Self {
        Self::caused(Ending::BadConfiguration, &error)
    }
}

impl From<LoadError> for Refusal {
    fn from(error: LoadError) -> Self {
        Self::caused(Ending::BadConfiguration, &error)
    }
}
