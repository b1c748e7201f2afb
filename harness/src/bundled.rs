//! The logmon that is bundled with this program. (edge)

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program inside this one that the first argument names; none if it names none of them.
pub(crate) fn dispatch(args: &[OsString]) -> Option<ExitCode> {
    harness::programs::dispatch(args, 1, logmon::main_with_args)
}
