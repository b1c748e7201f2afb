//! The conformance suite as the tests of this driver: one test per case. (edge)

use std::process::ExitCode;

use harness::testing::{Capability, Conformance};

fn main() -> ExitCode {
    Conformance::driver(
        [
            env!("CARGO_BIN_EXE_rust-driver"),
            "--out",
            "{stdout}",
            "--err",
            "{stderr}",
            "--",
            "{task}",
        ],
        logmon::main_with_args,
    )
    .capability(Capability::NoLogCollection)
    .capability(Capability::ChecksPaths)
    // A taste, because this project's own tests play every case in other ways. Without these two
    // lines it is the whole suite.
    .filter("data")
    .filter("mon/start-order-*")
    .main()
}
