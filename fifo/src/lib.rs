//! Named pipes with typed ends. This crate is an edge: every item in it is a thin cover of system
//! calls on a FIFO, and it takes no decision that belongs to its users.
//!
//! # Purpose
//! A task's output goes through a FIFO to the process that keeps the log. Most failures on that path
//! start with an `open(2)` that blocks, with an end that can do too much, or with a path that is no
//! FIFO at all. This crate is the one place that knows how to do it right: [`create`] and
//! [`create_or_adopt`] make the FIFO, a [`Writer`] only writes, a [`Reader`] only reads, and an
//! [`AsyncReader`] waits for data without a thread and without spinning.
//!
//! # What it must never do
//! - Block in `open(2)`. A reader's open returns at once. A writer's open asks, and asks again until
//!   its deadline.
//! - Follow a symbolic link in the last part of a path, or use anything that is not a FIFO. What is
//!   found instead is named in [`Error::NotAFifo`].
//! - Change, truncate or remove what it refuses.
//! - Hold both ends. No type opens a FIFO for reading and writing, which would hide both the end of
//!   the input and the loss of the last reader.
//! - Report an expected outcome as an error. "Full", "empty", "no reader" and "no writer" on an open
//!   end are values of enums.
//!
//! # Laws
//! 1. Every open goes through a handle of the parent folder, does not follow links, sets close-on-exec
//!    and is checked by `fstat(2)` on the opened handle.
//! 2. Before the first writer a read gives [`ReadOutcome::NoWriter`], and after the last one it gives
//!    the same: `read(2)` returns 0 both times.
//! 3. A new writer revives the same reader, and a new reader revives the same writer. One descriptor
//!    serves the whole life of a task.
//! 4. Bytes in the pipe live as long as any end is open. To replace an end, open the new one before
//!    the old one is closed: nothing is lost. When the last end closes, the kernel discards the bytes.
//! 5. A write of up to [`PIPE_BUF`] bytes is never mixed with another writer's bytes, and on these
//!    descriptors it is accepted whole or not at all (`pipe(7)`).
//! 6. The capacity of a pipe is asked, never assumed: it depends on the user's limits.
//!
//! The folder part of a path is resolved as usual, links included; the caller vouches for it. Or the caller
//! names a trusted root: from there on no link is followed ([`Place::open_below`],
//! [`open_folder_below`]).
//!
//! # SIGPIPE
//! A write without a reader raises SIGPIPE. The process must ignore that signal, as every Rust program
//! does unless it was told otherwise; then the write gives [`Written::NoReader`].

mod access;
mod async_reader;
mod create;
mod error;
mod folder;
mod open;
mod pipe;
mod reader;
mod writer;

pub use access::{Access, Owner};
pub use async_reader::{AsyncReader, Change};
pub use create::{Origin, create, create_or_adopt, create_or_adopt_in};
pub use error::Error;
pub use folder::{FolderError, open_folder_below};
pub use open::{FileKind, Identity, Place};
pub use pipe::{PIPE_BUF, fill_level};
pub use reader::{Lock, ReadOutcome, Readable, Reader};
pub use writer::{Writable, Writer, Written};
