//! Scenarios: cases as data. (core)

mod check;
mod expand;
mod fault;
mod model;
mod shipped;

pub use expand::{ScenarioError, expand};
pub use fault::{HostFault, Victim};
pub use model::{
    Action, Await, Condition, Exactness, Expect, FifoKind, FolderKind, Growth, Host, Limits,
    LogmonBinary, LogmonOutcome, LogmonOutput, Need, Only, Place, Plant, PlantKind, Scenario,
    SignalName, Size, Step, Who,
};
pub use shipped::shipped;
