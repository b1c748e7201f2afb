//! The stdio adapter: a driver that is spoken to, one JSON object per line. docs/adapters.md says
//! what goes over it. (re-exports only)

mod asking;
mod check;
mod client;
mod fields;
mod kind;
mod plugged;
mod process;
mod told;
mod wire;

pub use check::{CheckError, Checked, check};
pub use client::{Asked, Client, Heard, MAX_LINE_BYTES, Trouble};
pub use kind::AdapterKind;
pub use plugged::{DriverPlugin, hosted_behind, hosted_logmon};
pub use process::{AdapterError, greet};
pub use wire::{
    Detached, Greeting, Handle, Line, Lost, PROTOCOL, Recovered, Reply, Request, SPEC, Started,
    read_line,
};
