//! Nomad's plugin protocol, as server and as host.
//!
//! # Purpose
//! A plugin is a process that answers gRPC calls on a Unix socket; a host starts it, reads one line from
//! its standard output to learn where the socket is, calls it, and ends it. [`server`] makes a program a
//! plugin. [`host`] starts, reaches and ends one, of ours or of anybody's.
//!
//! # What it must never do
//! - As a server: write anything but the handshake to standard output before the host reads on, end
//!   because its host went away, or leave its socket behind at an orderly end.
//! - As a host: wait without a deadline, panic on what a plugin sends or leaves out, take a stranger for
//!   the plugin that it knew, or leave a process behind that was not detached on purpose.
//! - Encrypt unless it is asked to, as Nomad never does, or take anybody's certificate for the one that was
//!   told. Without the feature `tls` whoever asks is refused with the reason.
//!
//! # Laws
//! 1. [`handshake`], [`reattach`], [`hclog`], [`spec`], [`value`] and [`msgpack`] are cores: what is written
//!    can be read, and no input makes them fail otherwise than with an error that says where.
//! 2. The messages in [`proto`] have the names and numbers of the original; their text is our own.
//! 3. Unknown fields are ignored, and a missing message that a caller needs is an error that names it.

pub mod failure;
pub mod handshake;
pub mod hclog;
pub mod host;
pub mod msgpack;
pub mod proto;
pub mod reattach;
pub mod server;
mod shown;
pub mod spec;
#[cfg(feature = "tls")]
mod tls;
pub mod value;

pub use tonic::codegen::tokio_stream;
pub use tonic::{Code, Request, Response, Status, Streaming, async_trait};
