//! The driver itself. (edge)
//!
//! It becomes the task, so the task holds the FIFOs, nothing is copied, and a signal to the driver is
//! a signal to the task. An open waits until somebody reads; a SIGTERM ends that too.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;

const USAGE_TEXT: &str = "usage: rust-driver --out FIFO --err FIFO -- COMMAND…";

/// The status of a wrong command line.
const USAGE: u8 = 64;

/// The status of a path that is no FIFO.
const REFUSED: u8 = 66;

/// The status of a task that can't be started, as shells have it.
const NOT_FOUND: u8 = 127;

/// Becomes the task; returns only if that can't be.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let [out, stdout, err, stderr, dashes, program, arguments @ ..] = args.as_slice() else {
        return complain(io::stderr(), &USAGE_TEXT, USAGE);
    };
    if out != "--out" || err != "--err" || dashes != "--" {
        return complain(io::stderr(), &USAGE_TEXT, USAGE);
    }
    let opened = open(Path::new(stdout)).and_then(|out| Ok((out, open(Path::new(stderr))?)));
    match opened {
        Ok((stdout, stderr)) => {
            // If there is no such task, this process's own stderr has been replaced by then.
            let own_stderr = match io::stderr().as_fd().try_clone_to_owned() {
                Ok(descriptor) => File::from(descriptor),
                Err(error) => return complain(io::stderr(), &error, REFUSED),
            };
            let error = Command::new(program)
                .args(arguments)
                .stdout(stdout)
                .stderr(stderr)
                .exec();
            let text = format!("can't start {}: {error}", program.display());
            complain(own_stderr, &text, NOT_FOUND)
        }
        Err(error) => complain(io::stderr(), &format!("{error:#}"), REFUSED),
    }
}

/// Opens a FIFO to write to it; waits for a reader. A device such as /dev/null is as good: then
/// nobody collects output. Nothing is made, no link is followed, and what was opened is looked at,
/// not what stands at the path by now.
fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let kind = file.metadata()?.file_type();
    if !kind.is_fifo() && !kind.is_char_device() {
        bail!("{} is no FIFO", path.display());
    }
    Ok(file)
}

fn complain(mut to: impl Write, text: &impl ToString, status: u8) -> ExitCode {
    // The status says as much if nobody reads this.
    drop(writeln!(to, "rust-driver: {}", text.to_string()));
    ExitCode::from(status)
}
