//! Edge: `logmon serve`, many tasks in one process behind a control socket. This file only re-exports.

mod answer;
mod descriptors;
mod listener;
mod metrics;
mod metrics_http;
mod request;
mod server;
mod session;
mod tasks;

pub(crate) use answer::{Answer, LiveReport, StoppedReport, StreamReport, TaskReport};
pub(crate) use descriptors::{
    prepare as prepare_descriptors, raise_limit_or_tell as raise_descriptor_limit,
};
pub(crate) use request::{DEFAULT_FIFO_MODE, DEFAULT_LINE_GUARD, VERSION};
pub(crate) use server::{Metrics, serve};
pub(crate) use tasks::{Outcome, Tasks};
