//! The mock driver as a program of its own: an edge.

use std::process::ExitCode;

fn main() -> ExitCode {
    mock_driver::main_with_args(std::env::args_os(), Vec::new())
}
