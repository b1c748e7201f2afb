//! Edge: how bytes get from the FIFO to a file. One way so far: reading and writing.

mod read_write;

pub(crate) use read_write::{Filled, ReadWrite};
