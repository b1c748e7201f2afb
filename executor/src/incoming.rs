//! The signals that this program gets (edge). What each means is decided in `signal`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::signal::{LEFT_ALONE, Meaning, ignored, meaning};

/// The signals of this process, which come through a descriptor.
#[derive(Debug)]
pub(crate) struct Incoming {
    signals: SignalFd,
    /// Which ones whoever started this program has ignored.
    ignored: u64,
}

impl Incoming {
    /// Has them come here from now on. It must be called before there is a second thread.
    pub(crate) fn watch() -> io::Result<Incoming> {
        let status = fs::read_to_string("/proc/self/status")?;
        let ignored = ignored(&status)
            .ok_or_else(|| io::Error::other("/proc/self/status tells no ignored signals"))?;
        // Whoever started this program may have ignored SIGCHLD; then the kernel keeps no status of a child.
        expect_children()?;
        // One that is blocked comes also if it is ignored.
        let mut set = SigSet::all();
        LEFT_ALONE.into_iter().for_each(|signal| set.remove(signal));
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Incoming {
            signals: SignalFd::with_flags(&set, flags)?,
            ignored,
        })
    }

    /// Takes the next one, if there is one.
    pub(crate) fn next(&self) -> io::Result<Option<Meaning>> {
        let taken = self.signals.read_signal()?;
        Ok(taken.map(|taken| meaning(taken.ssi_signo, self.ignored)))
    }
}

impl AsFd for Incoming {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

/// Has the kernel keep the status of each child until somebody waits for it.
pub(crate) fn expect_children() -> nix::Result<()> {
    #[expect(
        unsafe_code,
        reason = "signal(2) has no safe cover, not even for SIG_DFL"
    )]
    // SAFETY: the default runs no code of ours, and no handler of ours is replaced: the program installs none.
    let replaced = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
    replaced.map(drop)
}
