//! Scenarios: cases as data. (core)

mod check;
mod expand;
mod fault;
mod limits;
mod many;
mod model;
mod parts;
mod place;
mod recovery;
mod shipped;
mod size;
mod sweep;

pub(crate) use check::option_name;
pub use expand::{ScenarioError, expand};
pub use fault::{HostFault, Victim};
pub use limits::{LimitTexts, Limits, OnFull};
pub use many::{Many, ManyStep};
pub use model::{
    Action, Await, Condition, Exactness, Expect, FifoKind, FolderKind, Growth, Host, LogmonBinary,
    LogmonOutcome, LogmonOutput, Need, Only, Place, Plant, PlantKind, Scenario, SignalName, Step,
    Who,
};
pub(crate) use parts::part_gate;
pub use place::{places_in, step_at};
pub use shipped::shipped;
pub use size::Size;
pub use sweep::{Moment, points, swept, swept_id, swept_records};
