//! The driver that is spoken to: requests (core), answers (core), what it may do with a task (core), what it finds a
//! task by (core); one task (edge), all of them (edge), its stdin and stdout (edge). This file only re-exports.

mod answer;
mod birth;
mod driver;
mod fields;
mod handle;
mod kept;
mod life;
mod reexec;
mod request;
mod tasks;

pub(crate) use birth::{Newborn, begin, give_up};
pub(crate) use driver::serve;
pub(crate) use handle::Handle;
pub use kept::Ended;
pub(crate) use kept::Kept;
pub(crate) use reexec::Reexec;
