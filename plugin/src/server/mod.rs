//! A program as a plugin (edge; this file only re-exports).
//!
//! ```no_run
//! # fn services() -> plugin::server::Services { plugin::server::Services::new() }
//! # async fn run() -> std::process::ExitCode {
//! let server = match plugin::server::Server::invited() {
//!     Ok(server) => server,
//!     Err(refusal) => return plugin::server::refuse(&refusal),
//! };
//! match server.serve(services()).await {
//!     Ok(()) => std::process::ExitCode::SUCCESS,
//!     Err(error) => plugin::server::fail(&error),
//! }
//! # }
//! ```

mod capture;
mod error;
mod go_plugin;
mod log;
mod outlet;
mod serve;
mod services;
mod socket;
mod wire;

pub use error::{ServeError, fail, refuse};
pub use log::Log;
pub use serve::{Capture, Server};
pub use services::Services;
