//! Re-exports: the supervisor, which brings logmon back, and what a logmon knows of its supervisor.

mod controller;
mod error;
#[cfg(feature = "plugin")]
mod heard;
#[cfg(feature = "plugin")]
mod kin;
#[cfg(feature = "plugin")]
mod leftover;
mod machine;
mod own;
#[cfg(feature = "plugin")]
mod plugged;
mod process;
mod record;
mod restart;
mod run;
mod state_folder;
mod told;
#[cfg(feature = "plugin")]
mod verdict;

pub(crate) use controller::Controller;
pub use error::SuperviseError;
pub(crate) use told::supervise;
