//! What a command in a task that is spoken with gets as stdin, stdout and stderr, and this side of it (edge).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::fchown;
use rustix::io::ioctl_fionbio;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, SpecialCodeIndex, Winsize, tcgetattr, tcsetwinsize};
use serde::{Deserialize, Serialize};

use crate::spawn::ChildEnds;
use crate::user::Credentials;

/// The size of a terminal's window in characters; 0 is a size that is not known, as in a new terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// This side, which never waits: all of it is in non-blocking mode.
#[derive(Debug)]
pub(crate) enum Near {
    /// The ends of three pipes.
    Pipes {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// The master of a pseudoterminal, pty(7).
    Terminal(OwnedFd),
}

impl Near {
    /// What has to be handed to another process, in the order that [`Near::of`] takes.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Near::Pipes {
                stdin,
                stdout,
                stderr,
            } => vec![stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
            Near::Terminal(master) => vec![master.as_fd()],
        }
    }

    /// What another process has handed over; none if that is too little or too much.
    pub(crate) fn of(fds: Vec<OwnedFd>) -> Option<Near> {
        match <[OwnedFd; 3]>::try_from(fds) {
            Ok([stdin, stdout, stderr]) => Some(Near::Pipes {
                stdin,
                stdout,
                stderr,
            }),
            Err(fds) => {
                let [master] = <[OwnedFd; 1]>::try_from(fds).ok()?;
                Some(Near::Terminal(master))
            }
        }
    }
}

/// Makes three pipes.
pub(crate) fn pipes() -> io::Result<(Near, ChildEnds)> {
    let (theirs_in, stdin) = io::pipe()?;
    let (stdout, theirs_out) = io::pipe()?;
    let (stderr, theirs_err) = io::pipe()?;
    let near = Near::Pipes {
        stdin: stdin.into(),
        stdout: stdout.into(),
        stderr: stderr.into(),
    };
    for fd in near.fds() {
        ioctl_fionbio(fd, true)?;
    }
    let ends = ChildEnds {
        stdin: Some(theirs_in.into()),
        stdout: theirs_out.into(),
        stderr: theirs_err.into(),
        terminal: None,
    };
    Ok((near, ends))
}

/// Makes a pseudoterminal with a window of this size. Its other end is the user's who the command runs as, so the
/// command can open it by its name.
pub(crate) fn terminal(
    size: WindowSize,
    user: Option<&Credentials>,
) -> io::Result<(Near, ChildEnds)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let theirs = ioctl_tiocgptpeer(&master, flags)?;
    if let Some(user) = user.filter(|user| !user.is_own) {
        fchown(&theirs, Some(user.uid), None)?;
    }
    resize(&master, size)?;
    ioctl_fionbio(&master, true)?;
    let ends = ChildEnds {
        stdin: Some(theirs.try_clone()?),
        stdout: theirs.try_clone()?,
        stderr: theirs.try_clone()?,
        terminal: Some(theirs),
    };
    Ok((Near::Terminal(master), ends))
}

/// Sets the size of a terminal's window. Whoever is in its foreground gets SIGWINCH if it changes,
/// `TIOCSWINSZ(2const)`.
pub(crate) fn resize(master: impl AsFd, size: WindowSize) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(master, size)?)
}

/// The character that ends the input of a terminal; none if there is none now, as in raw mode, termios(3).
pub(crate) fn end_character(master: impl AsFd) -> io::Result<Option<u8>> {
    let modes = tcgetattr(master)?;
    let is_by_line = modes.local_modes.contains(LocalModes::ICANON);
    let end = modes.special_codes[SpecialCodeIndex::VEOF];
    // 0 is the value of a character that is disabled, _POSIX_VDISABLE.
    Ok(Some(end).filter(|end| is_by_line && *end != 0))
}
