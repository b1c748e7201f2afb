//! The programs inside this one: it starts itself again as one of them. (edge)

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program that the first argument names; none if it names none of them.
pub(crate) fn dispatch(args: &[OsString]) -> Option<ExitCode> {
    let name = args.get(1)?.to_str()?;
    // Each gets its own name first, then its arguments.
    let own = || args.iter().skip(1).cloned();
    match name {
        "logmon" => Some(logmon::main_with_args(own())),
        "faulty-logmon" => Some(harness::faulty_logmon::main_with_args(own())),
        "mock-driver" => Some(mock_driver::main_with_args(own(), reexec())),
        // `harness task …` is `harness mock-driver task …`.
        "task" => Some(mock_driver::main_with_args(
            std::iter::once(OsString::from("mock-driver")).chain(own()),
            reexec(),
        )),
        _ => None,
    }
}

/// The words that start the mock driver again.
fn reexec() -> Vec<OsString> {
    match env::current_exe() {
        Ok(path) => vec![path.into_os_string(), OsString::from("mock-driver")],
        Err(_) => Vec::new(), // Stands for the running executable.
    }
}
