//! What this thread blocks, and what becomes of a signal that arrives (edge).
//!
//! The system calls are made without the C library, which keeps two signals of real time to itself: it leaves them out of
//! every mask, and refuses to set what becomes of them. A new process that shares the memory of this one must not run
//! their handlers either.

use std::ptr;

use nix::libc;
use rustix::io::Errno;

/// How many signals there are: 1..=64, signal(7).
const COUNT: i32 = 64;

/// The size of a mask of them, in bytes.
const MASK_BYTES: usize = size_of::<u64>();

/// `struct sigaction` of the kernel with nothing in it: the default, no flags, and a mask that is empty.
const DEFAULT: [u64; 4] = [0; 4];
const _: () = assert!(libc::SIG_DFL == 0);

/// All signals are blocked in the thread that has made it, until it is dropped.
pub(crate) struct Blocked {
    before: u64,
}

impl Blocked {
    /// Blocks all signals; SIGKILL and SIGSTOP can't be, which is no error, sigprocmask(2).
    pub(crate) fn all() -> Result<Blocked, Errno> {
        Ok(Blocked {
            before: set_mask(u64::MAX)?,
        })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // It can't fail with a mask that was one before.
        let _all = set_mask(self.before);
    }
}

/// Signals that are blocked, by number: signal n is bit n - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mask(u64);

impl Mask {
    /// Those with these numbers; what is no number of a signal is left out.
    pub(crate) fn of(numbers: &[i32]) -> Mask {
        let known = numbers
            .iter()
            .filter(|number| (1..=COUNT).contains(*number));
        Mask(known.fold(0, |mask, number| mask | 1 << (number - 1)))
    }
}

/// Blocks these signals in this thread from now on, and no others. It is async-signal-safe.
pub(crate) fn block_only(mask: Mask) -> Result<(), Errno> {
    set_mask(mask.0).map(drop)
}

/// Has each signal do what it does by default. It is async-signal-safe.
pub(crate) fn default_all() -> Result<(), Errno> {
    for number in 1..=COUNT {
        if !matches!(number, libc::SIGKILL | libc::SIGSTOP) {
            default_one(number)?;
        }
    }
    Ok(())
}

fn set_mask(mask: u64) -> Result<u64, Errno> {
    let mut before = 0_u64;
    let (mask, old): (*const u64, *mut u64) = (&raw const mask, &raw mut before);
    #[expect(
        unsafe_code,
        reason = "the C library leaves its own signals out of every mask"
    )]
    // SAFETY: both masks live over the call and have the size that it is told; it changes this thread alone.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            mask,
            old,
            MASK_BYTES,
        )
    };
    result(outcome).map(|()| before)
}

fn default_one(number: i32) -> Result<(), Errno> {
    let old: *mut u64 = ptr::null_mut();
    #[expect(
        unsafe_code,
        reason = "sigaction(3) refuses the C library's own signals, and has no safe cover"
    )]
    // SAFETY: the kernel reads no more than these 32 bytes, of any order of fields as all are 0, and writes nothing. The
    // default runs no code of ours.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            number,
            DEFAULT.as_ptr(),
            old,
            MASK_BYTES,
        )
    };
    result(outcome)
}

fn result(outcome: libc::c_long) -> Result<(), Errno> {
    if outcome == 0 {
        return Ok(());
    }
    Err(Errno::from_raw_os_error(nix::errno::Errno::last_raw()))
}
