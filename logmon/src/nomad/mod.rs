//! Edge: `logmon plugin`, Nomad's LogMon service on the tasks that `serve` has. This file only re-exports.

mod alone;
mod asking;
mod hosts;
mod life;
mod log;
mod request;
mod service;

pub use asking::Unsayable;
pub(crate) use asking::request;
pub(crate) use hosts::socket_number;
pub(crate) use life::run;
