//! Edge: the `logmon` binary.

fn main() -> std::process::ExitCode {
    logmon::main_with_args(std::env::args_os())
}
