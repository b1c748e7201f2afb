//! Control groups: what is mounted (core), which one a task gets (core), the folder of one (edge), and what was left of
//! those of others (edge). This file only re-exports.

mod choose;
mod group;
mod left;
mod mounts;

pub use choose::{Allowed, CgroupParent, Kind};
pub(crate) use choose::{Candidate, Plan, RefusedParent, choose};
pub(crate) use group::{Group, GroupError, entrance};
pub(crate) use left::remove_left_in;
pub(crate) use mounts::Hierarchies;
