//! A program as the host of plugins (edge; this file only re-exports).
//!
//! [`Launch`] starts one and shakes hands, [`Attach`] finds one again; both give a [`Plugin`], which has
//! the calls and the end. Every step has a deadline, and an error says which step it was.
//! With the feature `tls` a start can ask for encryption, as Nomad never does. Such a plugin can't be found
//! again: its certificate stands in the handshake alone, as in the original.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use plugin::host::Launch;
//!
//! let plugin = Launch::new("/opt/plugins/mine").start().await?;
//! println!("{}", plugin.base().plugin_info().await?.name);
//! println!("{:?}", plugin.end().await?);
//! # Ok(())
//! # }
//! ```

mod attach;
mod calls;
mod connection;
mod deadlines;
mod error;
mod identity;
mod launch;
mod leftover;
mod output;
mod plugin;
mod process;
mod tap;
mod wire;

pub use attach::Attach;
pub use calls::{Answers, Base, Driver, Exec, InspectedTask, LogMon, StartedTask, TaskStats};
pub use deadlines::Deadlines;
pub use error::{CallError, EndError, HostError};
pub use identity::{Birth, StatError};
pub use launch::Launch;
pub use leftover::is_deserted;
pub use output::{Said, Words};
pub use plugin::{Ended, Manner, Plugin, Saved};
pub use process::End;
pub use tap::Tapped;
