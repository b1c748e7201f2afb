//! Starts the `executor` binary (edge).

fn main() -> std::process::ExitCode {
    executor::main_with_args(std::env::args_os(), Vec::new())
}
