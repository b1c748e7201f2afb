//! A direct driver in Rust: opens the FIFOs and becomes the task. (edge)
//!
//! `rust-driver --out FIFO --err FIFO -- COMMAND…`

mod driver;

use std::process::ExitCode;

fn main() -> ExitCode {
    driver::run(std::env::args_os().skip(1))
}
