//! What can be seen of processes, pipes and folders from outside. (edge)
//!
//! Everything is read from `/proc` and from the file system, and nothing is changed by looking,
//! with one exception that is told where it stands: [`PipeWatch::fill`].
//! A process that vanishes while it is looked at is simply no longer there: that is never an error.

mod clock;
mod descriptor;
mod folder;
mod memory;
mod pipe;
mod process;
mod waits;

pub use clock::now_us;
pub use descriptor::{Descriptor, descriptors_named, descriptors_of, has_reader, holds_deleted};
pub use folder::{Standing, look, look_at_once, standing, stream_bytes, stream_files};
pub use memory::{Memory, memory};
pub use pipe::{Fill, PipeWatch};
pub(crate) use pipe::{fill_of, may_raise};
pub use process::{
    ProcessFacts, Resources, Snapshot, Stat, SystemCall, ThreadFacts, command_line, cpu_ms,
    hard_limit, is_at_rest, is_stopped, lives, lowest_free_fd, parse_stat, process_known_as,
    resources, runs_program_in, threads,
};
pub use waits::{NamedPipe, who_waits};
