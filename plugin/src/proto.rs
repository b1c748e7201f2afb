//! Messages and services, made out of `proto/` (core; this file only re-exports them by shorter names).
//!
//! Each service has a trait to implement, `X`, what serves it, `XServer`, and a client, `XClient`.

#[allow(
    clippy::all,
    missing_docs,
    unreachable_pub,
    reason = "generated; the comments in proto/ are the documentation"
)]
mod services {
    include!(concat!(env!("OUT_DIR"), "/services.rs"));
}

pub use prost_types::{Duration, Timestamp};

pub use services::google::rpc;
pub use services::hashicorp::nomad::client::logmon::proto as logmon;
pub use services::hashicorp::nomad::plugins::base::proto as base;
pub use services::hashicorp::nomad::plugins::drivers::proto as driver;
pub use services::hashicorp::nomad::plugins::shared::hclspec;
pub use services::hashicorp::nomad::plugins::shared::structs;
pub use services::plugin as go_plugin;

/// The description of all of them, as a `FileDescriptorSet` in protobuf.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The time that Nomad takes for none: year 1, as a task has for its end while it runs.
pub const NO_TIME: Timestamp = Timestamp {
    seconds: -62_135_596_800,
    nanos: 0,
};
