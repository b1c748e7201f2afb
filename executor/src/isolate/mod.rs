//! Isolation: what a task finds around it (core), the configuration that says so (core), where its control groups are
//! (core), what is needed for it (core), and the processes that make it (edge). This file only re-exports.
//!
//! All of it is in every build but `runtime`, which calls the container library: that is the feature `isolate`.

mod birth;
mod bundle;
mod capabilities;
mod config;
mod container;
mod error;
mod executor;
mod groups;
mod limits;
mod message;
mod needs;
mod own_program;
mod parts;
mod places;
#[cfg(feature = "isolate")]
mod runtime;
mod signals;

pub use birth::BirthError;
pub(crate) use bundle::Bundle;
pub use capabilities::{Capability, CapabilityError};
pub use container::{ContainerSpec, Device, Mount, NamespaceMode};
pub use error::IsolateError;
pub(crate) use executor::{Container, InContainer};
pub use executor::{IsolatedExecutor, IsolatedOptions};
pub(crate) use groups::{Layout, lay_out};
pub use limits::CpuShares;
pub use needs::Missing;
#[cfg(feature = "isolate")]
pub(crate) use runtime::build;
pub(crate) use signals::does_nothing;
