//! Edge: the `measure` binary.

fn main() -> std::process::ExitCode {
    benches::main_with_args(std::env::args_os())
}
