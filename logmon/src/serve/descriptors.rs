//! Edge: how many descriptors this process may have, and whether there are enough for another task.
//!
//! A task that runs must not suffer because another one was started (contract HEAL-6): its rotations
//! need a descriptor or two for a moment, and whoever asks how it is needs one, too. So a start is
//! refused before anything is opened, while the last [`RESERVE`] are still free.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::stat;

use super::server::{MAX_CLIENTS, MAX_SCRAPES};
use crate::error::Error;

/// The most descriptors that a stream has while it runs or for a moment while it starts, with some to
/// spare. A test compares it with what a stream really has.
pub(crate) const NEED_PER_STREAM: usize = 8;
/// The same for a stream that is kept: a spare read end, and copies of the ends of a staging pipe.
pub(crate) const NEED_PER_KEPT_STREAM: usize = NEED_PER_STREAM + 3;
/// Descriptors that no start may take: one for each client and each scrape, and eight for rotations.
pub(crate) const RESERVE: usize = MAX_CLIENTS + MAX_SCRAPES + 8;

/// Raises the limit of this process as far as it may without privileges, and gives it.
pub(crate) fn raise_limit() -> Result<u64, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Finds out whether there are descriptors for so many more. Where a look does not show that, they are
/// taken for a moment.
///
/// # Errors
/// [`Error::Descriptors`].
pub(crate) fn room_for(need: usize, any: impl AsFd) -> Result<(), Error> {
    if free_at_a_look().is_some_and(|free| free >= (need + RESERVE) as u64) {
        return Ok(());
    }
    take(need, any)
}

/// Gives at least how many descriptors are free, if the kernel tells how many are open: since Linux 6.2
/// as the length of this folder, before that it has none.
fn free_at_a_look() -> Option<u64> {
    let open = u64::try_from(stat("/proc/self/fd").ok()?.st_size).ok()?;
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    limit.checked_sub(open).filter(|_| open > 0)
}

fn take(need: usize, any: impl AsFd) -> Result<(), Error> {
    let mut taken: Vec<OwnedFd> = Vec::with_capacity(need + RESERVE);
    while taken.len() < need + RESERVE {
        let one = any.as_fd().try_clone_to_owned();
        taken.push(one.map_err(|source| Error::Descriptors {
            limit: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft),
            need,
            reserve: RESERVE,
            source: Errno::from_raw(source.raw_os_error().unwrap_or(0)),
        })?);
    }
    Ok(())
}
