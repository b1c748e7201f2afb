//! Re-exports: the keeper, which holds descriptors while logmon is dead, and its client.

mod client;
mod descriptor_store;
mod error;
mod inherited;
mod keeping;
mod key;
mod process;
mod shelf;
mod socket;
mod wire;

pub(crate) use client::{held_at, keeper_at};
pub use error::KeeperError;
pub(crate) use keeping::{Choice, Keeping, Left};
pub(crate) use process::run;
pub(crate) use socket::{PrivateFolder, create_folder};
