//! Edge: `logmon plugin`, Nomad's LogMon service on the tasks that `serve` has. This file only re-exports.

mod alone;
mod hosts;
mod life;
mod log;
mod request;
mod service;

pub(crate) use life::run;
