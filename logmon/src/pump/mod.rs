//! Edge: how bytes get from the FIFO to a file: by splice, or by reading and writing.

mod either;
#[cfg(test)]
mod kills;
mod memory;
mod places;
mod scratch;
mod staging;
#[cfg(test)]
mod tests;

pub(crate) use either::{Filled, Pump, has_room, refuses_splice};
pub(crate) use places::PLACES;
pub(crate) use staging::StagingPipe;
