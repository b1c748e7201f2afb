//! What a signal does to this process: an edge.

use nix::sys::signal::{SigHandler, SigSet, Signal, raise, signal};

/// One of the two dispositions that need no handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Default,
    Ignore,
}

/// Sets what the signal does from here on.
///
/// # Errors
/// For SIGKILL and SIGSTOP, which nobody can change.
pub(crate) fn set(of: Signal, disposition: Disposition) -> nix::Result<()> {
    let handler = match disposition {
        Disposition::Default => SigHandler::SigDfl,
        Disposition::Ignore => SigHandler::SigIgn,
    };
    #[expect(
        unsafe_code,
        reason = "signal(2) has no safe cover, not even for SIG_DFL and SIG_IGN"
    )]
    // SAFETY: neither disposition runs code of ours, and no handler of ours is replaced: the
    // program installs none.
    let replaced = unsafe { signal(of, handler) };
    replaced.map(drop)
}

/// Ends the process by the signal. It returns only if the signal does not end a process.
pub(crate) fn die_of(of: Signal) -> nix::Result<()> {
    if !matches!(of, Signal::SIGKILL | Signal::SIGSTOP) {
        // Any other signal may be ignored or blocked.
        set(of, Disposition::Default)?;
        let mut set = SigSet::empty();
        set.add(of);
        set.thread_unblock()?;
    }
    raise(of)
}
