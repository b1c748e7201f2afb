//! The harness program: the suite, or one of the programs bundled with it. (edge)

mod bundled;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    bundled::dispatch(&args).unwrap_or_else(|| harness::main_impl(args))
}
