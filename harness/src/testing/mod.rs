//! The suite as the tests of a driver's own package, one test per case. (re-exports only)
//!
//! A test target without the standard harness, and a main of one expression:
//!
//! ```toml
//! [dev-dependencies]
//! harness = { git = "…" }
//! logmon = { git = "…" }
//!
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! ```no_run
//! # mod logmon {
//! #     pub fn main_with_args(_: Vec<std::ffi::OsString>) -> std::process::ExitCode {
//! #         std::process::ExitCode::SUCCESS
//! #     }
//! # }
//! use std::process::ExitCode;
//!
//! use harness::testing::{Capability, Conformance};
//!
//! fn main() -> ExitCode {
//!     # let driver = "";
//!     // env!("CARGO_BIN_EXE_mydriver") is the path of the package's own program.
//!     # #[cfg(any())]
//!     let driver = env!("CARGO_BIN_EXE_mydriver");
//!     Conformance::driver(
//!         [driver, "--out", "{stdout}", "--err", "{stderr}", "--", "{task}"],
//!         logmon::main_with_args,
//!     )
//!     .capability(Capability::NoLogCollection)
//!     .main()
//! }
//! ```
//!
//! `cargo test -- FILTER`, `--exact`, `--skip`, `--list` and `--test-threads` are those of every
//! Rust test. A case that does not apply to the driver is ignored, with the reason.

mod conformance;
mod session;

pub use crate::capability::Capability;
pub use crate::programs::LogmonMain;
pub use crate::rule::Profile;
pub use conformance::{Conformance, Refused, started_again};
