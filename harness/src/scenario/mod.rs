//! Scenarios: cases as data. (core)

mod check;
mod expand;
mod model;
mod shipped;

pub use expand::{ScenarioError, expand};
pub use model::{
    Action, Await, Condition, Expect, Exactness, Growth, Host, Limits, LogmonOutcome, Need, Only,
    Plant, PlantKind, Place, FifoKind, Scenario, SignalName, Size, Step, Who,
};
pub use shipped::shipped;
