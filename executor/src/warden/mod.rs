//! The process that keeps one task of a driver that is spoken to. What is said to it (core), what it leaves
//! behind (core), its folder (edge), descriptors that are handed over (edge), the process itself (edge), and what is done when it is gone (edge). This
//! file only re-exports.

mod descriptors;
mod end;
mod folder;
mod message;
mod origin;
mod process;
mod remains;
mod subscribers;

pub(crate) use descriptors::{read_line_with, write_line_with};
pub(crate) use end::EndNote;
pub(crate) use folder::Folder;
pub use message::KeptSpec;
pub(crate) use message::{
    Ask, Go, Held, Inode, Named, Order, Reply, Report, read_line, write_line,
};
pub(crate) use origin::Origin;
pub(crate) use process::keep;
pub(crate) use remains::{Left, groups_of, is_there, kill_below, kill_groups_of, kill_left, open};
