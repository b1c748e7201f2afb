//! A driver that starts its task again because nobody reads its log: an edge.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::getpid;

use crate::executor::process::child_of;

/// Kills the task, which is the only child of this process, and becomes the driver of its next run.
/// Gives the reason if that can't be done.
pub(crate) fn begin_anew() -> io::Error {
    if let Some(task) = child_of(getpid().as_raw()) {
        if let Err(errno) = kill(task, Signal::SIGKILL) {
            return errno.into();
        }
        match waitpid(task, None) {
            // Another thread takes the status too, and may be faster.
            Ok(_) | Err(Errno::ECHILD) => {}
            Err(errno) => return errno.into(),
        }
    }
    let mut words = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    command.arg0(words.next().unwrap_or_default());
    command.args(words).exec()
}
