//! Descriptors: how many a process may have. (edge)

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::close;

/// The word that makes this program start another one with few descriptors.
pub const LIMITED_WORD: &str = "__limited";

/// The status when the other program can't be started.
const SOFTWARE: u8 = 70;

/// Descriptors that a process must be able to have for a thousand tasks: ten for each stream.
pub(super) const MANY_DESCRIPTORS: u64 = 20_000;

/// Becomes another program, with so many descriptors at most; returns only if that fails.
pub fn limited_main(descriptors: u64, command: &[OsString]) -> ExitCode {
    let [program, arguments @ ..] = command else {
        return ExitCode::from(SOFTWARE);
    };
    let error = match setrlimit(Resource::RLIMIT_NOFILE, descriptors, descriptors) {
        // The standard library gives the program the signals that it had.
        Ok(()) => {
            close_inherited();
            Command::new(program).args(arguments).exec()
        }
        Err(errno) => errno.into(),
    };
    // The status says as much if the reason can't be printed.
    writeln!(
        io::stderr(),
        "harness: can't start {} with {descriptors} descriptors: {error}",
        program.display()
    )
    .ok();
    ExitCode::from(SOFTWARE)
}

/// Closes what this program was started with beside the standard streams: it would count. The caller must
/// have opened nothing itself.
fn close_inherited() {
    let all = fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers = all.filter_map(|one| one.ok()?.file_name().to_str()?.parse::<i32>().ok());
    // The one of the folder that is read is among them: it is closed by then.
    for number in numbers.collect::<Vec<_>>() {
        if number > 2 {
            close(number).ok();
        }
    }
}

/// Allows this process, and whatever it starts, enough descriptors for a thousand tasks, if that needs no
/// privileges, as a service manager does for a logmon with many tasks. Not more: programs that close
/// all that they may have would take long.
pub(super) fn raise_limit() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(MANY_DESCRIPTORS);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(())
}

/// Whether a process may have descriptors for a thousand tasks.
pub(super) fn has_many() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard >= MANY_DESCRIPTORS {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the hard limit of descriptors (ulimit -Hn) is {hard}, and a thousand tasks may need \
         {MANY_DESCRIPTORS}"
    )))
}
