//! Control groups: what is mounted (core), which one a task gets (core), and the folder of one (edge). This
//! file only re-exports.

mod choose;
mod group;
mod mounts;

pub use choose::{Allowed, CgroupParent, Kind};
pub(crate) use choose::{Candidate, Plan, RefusedParent, choose};
pub(crate) use group::{Group, GroupError, entrance};
pub(crate) use mounts::Hierarchies;
