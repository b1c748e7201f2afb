//! Plugins of Nomad under test. (edge; this file only re-exports)
//!
//! The suite is the host: it starts a plugin, asks it, and ends it. What the protocol is made of stands in
//! the crate `plugin`; here is what the suite makes of it.

mod again;
mod collector;
mod doctor;
mod driver;
mod end;
mod file;
mod health;
mod loaded;
mod sockets;
mod task;
mod tied;
mod version;
mod words;

pub(crate) use again::{OtherLimits, start_again};
pub(crate) use collector::{Collecting, CollectingError, collect};
pub(crate) use doctor::{Asked, Mark, examine};
pub(crate) use driver::speak;
pub(crate) use file::read;
pub(crate) use loaded::Wanted;
pub(crate) use tied::Tied;
