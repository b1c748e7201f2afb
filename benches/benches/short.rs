//! The short form of the measures: `cargo bench`. It takes a minute or so, and its ratios say which way
//! the wind blows; `benches/peers.sh` runs the long form.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    // This program is also what it starts: the producer, the rulers and logmon.
    let args: Vec<OsString> = std::env::args_os().collect();
    let is_started_by_cargo = args.len() == 1 || args.iter().any(|arg| arg == "--bench");
    if is_started_by_cargo {
        let words = [
            "measure",
            "throughput",
            "--works",
            "L100,B100,B16K",
            "--pairs",
            "3",
            "--scale",
            "0.1",
            "--place",
            "/dev/shm",
        ];
        benches::main_with_args(words.map(OsString::from))
    } else {
        benches::main_with_args(args)
    }
}
