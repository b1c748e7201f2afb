//! What only faulty drivers do to the system: edges.
//!
//! The typed FIFO cannot express these bugs, so they are made of plain system calls and kept here,
//! away from the good driver.

pub(crate) mod absence;
pub(crate) mod held_open;
pub(crate) mod left_behind;
pub(crate) mod opening;
pub(crate) mod reads_back;
pub(crate) mod restarted_task;
pub(crate) mod watchdog;
