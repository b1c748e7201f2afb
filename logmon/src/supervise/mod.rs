//! Re-exports: the supervisor, which brings logmon back, and what a logmon knows of its supervisor.

mod controller;
mod error;
mod machine;
mod process;
mod record;
mod restart;
mod run;
mod state_folder;

pub(crate) use controller::Controller;
pub use error::SuperviseError;
pub(crate) use run::supervise;
