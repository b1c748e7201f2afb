//! The programs inside of one file, which starts itself again as one of them. (edge)
//!
//! A case process, a task, the mock driver and logmon are all started by a command line that names
//! this program: the file that runs now, and a few words. The harness binary is one such file, and
//! a test of a driver another ([`crate::testing`]). logmon comes in as a function, because this
//! library never links it.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli;
use crate::runner::{LIMITED_WORD, MACHINE_PROBE_WORD};
use crate::suite::CASE_WORD;

/// The main of a logmon. It gets its own words, its name first.
pub type LogmonMain = fn(Vec<OsString>) -> ExitCode;

/// Runs the program that a command line names, whose first `before` words are not that program's;
/// none if it names none of them.
pub fn dispatch(args: &[OsString], before: usize, logmon: LogmonMain) -> Option<ExitCode> {
    let name = args.get(before)?.to_str()?;
    // Each gets its own name first, then its arguments.
    let own = || args.iter().skip(before).cloned();
    match name {
        "logmon" => Some(logmon(own().collect())),
        "executor" => Some(executor::main_with_args(own(), again(args, before, name))),
        "faulty-logmon" => Some(crate::faulty_logmon::main_with_args(own())),
        "mock-driver" => Some(mock_driver::main_with_args(
            own(),
            again(args, before, name),
        )),
        // `harness task …` is `harness mock-driver task …`.
        "task" => Some(mock_driver::main_with_args(
            std::iter::once(OsString::from("mock-driver")).chain(own()),
            again(args, before, "mock-driver"),
        )),
        _ => None,
    }
}

/// Runs the part of the suite that a command line names, which the suite starts as a process of its
/// own; none if it names none of them.
pub(crate) fn dispatch_part(args: &[OsString], before: usize) -> Option<ExitCode> {
    let name = args.get(before)?.to_str()?;
    [CASE_WORD, MACHINE_PROBE_WORD, LIMITED_WORD]
        .contains(&name)
        .then(|| {
            let program = args.iter().take(1);
            cli::main_impl(program.chain(args.iter().skip(before)).cloned().collect())
        })
}

/// The words that start this program again, before the name of a program in it.
///
/// # Errors
/// Why it can't be found, with what to do.
pub fn reexec(before: &[&str]) -> Result<Vec<String>, String> {
    let path = env::current_exe().map_err(|error| format!("can't find this program: {error}"))?;
    let Some(path) = path.to_str() else {
        return Err(format!(
            "can't find this program: {} is not UTF-8; move it",
            path.display()
        ));
    };
    let before = before.iter().copied();
    Ok(std::iter::once(path)
        .chain(before)
        .map(str::to_owned)
        .collect())
}

/// The words that start a program in this one again.
fn again(args: &[OsString], before: usize, name: &str) -> Vec<OsString> {
    match env::current_exe() {
        Ok(path) => std::iter::once(path.into_os_string())
            .chain(args.iter().take(before).skip(1).cloned())
            .chain([OsString::from(name)])
            .collect(),
        Err(_) => Vec::new(), // Stands for the running executable.
    }
}
