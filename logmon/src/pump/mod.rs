//! Edge: how bytes get from the FIFO to a file: by splice, or by reading and writing.

mod either;
#[cfg(test)]
mod kills;
mod memory;
mod scratch;
mod staging;
#[cfg(test)]
mod tests;
mod timer_place;

pub(crate) use either::{Filled, Pump, has_room, refuses_splice};
pub(crate) use staging::StagingPipe;
pub(crate) use timer_place::TIMER_PLACES;
