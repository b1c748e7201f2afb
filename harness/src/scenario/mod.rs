//! Scenarios: cases as data. (core)

mod check;
mod expand;
mod model;
mod shipped;

pub use expand::{ScenarioError, expand};
pub use model::{
    Action, Await, Condition, Exactness, Expect, FifoKind, Growth, Host, Limits, LogmonOutcome,
    Need, Only, Place, Plant, PlantKind, Scenario, SignalName, Size, Step, Who,
};
pub use shipped::shipped;
