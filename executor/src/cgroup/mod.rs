//! Control groups: what is mounted (core), which one a task gets (core), the folder of one and the way into it (edge), and
//! what was left of those of others (edge). This file only re-exports.

mod choose;
mod entrance;
mod group;
mod left;
mod mounts;

pub use choose::{Allowed, CgroupParent, Kind};
pub(crate) use choose::{Candidate, Plan, RefusedParent, choose};
pub(crate) use entrance::{Entrance, list_of_processes};
pub(crate) use group::{Group, GroupError};
pub(crate) use left::{namespace_of, own_namespace, remove_left_in};
pub(crate) use mounts::Hierarchies;
