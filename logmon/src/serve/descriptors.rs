//! Edge: how many descriptors this process may have, and whether there are enough for another task.
//!
//! A task that runs must not suffer because another one was started (contract HEAL-6): its rotations
//! need a descriptor or two for a moment, and whoever asks how it is needs one, too. So a start is
//! refused before anything is opened, while the last [`RESERVE`] are still free.

use std::fs::File;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::stat;
use rustix::io::fcntl_dupfd_cloexec;
use tracing::{debug, info, warn};

use super::server::{MAX_CLIENTS, MAX_SCRAPES};
use crate::error::Error;
use crate::pump::PLACES as TIMERS;

/// The most descriptors that a stream has while it runs or for a moment while it starts, with some to
/// spare. A test compares it with what a stream really has.
pub(crate) const NEED_PER_STREAM: usize = 8;
/// The same for a stream that is kept: a spare read end, and copies of the ends of a staging pipe.
pub(crate) const NEED_PER_KEPT_STREAM: usize = NEED_PER_STREAM + 3;
/// Descriptors that no start may take: one for each client and each scrape, the timers of tasks that write
/// fast, and eight for rotations.
pub(crate) const RESERVE: usize = MAX_CLIENTS + MAX_SCRAPES + TIMERS + 8;

/// Descriptors that the kernel's table has room for from the beginning: enough for a thousand tasks. It
/// takes 128 KiB of the kernel's memory.
const TABLE: u64 = 16 * 1024;

/// Gets ready for many descriptors. To be called before the process has a second thread.
///
/// When a table that threads share has to grow, the kernel lets the descriptor that did not fit wait until
/// each processor has been in the scheduler, which takes milliseconds (`expand_fdtable` in fs/file.c).
/// Each doubling stopped all starts for that long.
pub(crate) fn prepare() {
    let limit = raise_limit();
    let table = TABLE.min(*limit.as_ref().unwrap_or(&0));
    if let Err(error) = grow_table(table) {
        debug!(%error, table, "the table of descriptors grows when it is needed");
    }
    // Diagnostics may have a thread of their own from the first line on.
    match limit {
        Ok(limit) => info!(limit, "descriptors"),
        Err(error) => warn!(%error, "the limit of descriptors stays as it is"),
    }
}

/// Raises the limit, and tells if it stays as it is. For a process that has few tasks as a rule, and whose
/// table may therefore begin small. To be called before the process has a second thread.
pub(crate) fn raise_limit_or_tell() {
    if let Err(error) = raise_limit() {
        warn!(%error, "the limit of descriptors stays as it is");
    }
}

/// A table that had to have room for a high number keeps it (`open(2)` gives the lowest one).
fn grow_table(size: u64) -> std::io::Result<()> {
    let highest = i32::try_from(size.saturating_sub(1)).unwrap_or(i32::MAX);
    let any = File::open("/dev/null")?;
    drop(fcntl_dupfd_cloexec(&any, highest)?);
    Ok(())
}

/// Raises the limit of this process as far as it may without privileges, and gives it.
fn raise_limit() -> Result<u64, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Finds out whether there are descriptors for so many more, beside those that starts under way are
/// promised. It takes none for that: a rotation could miss them meanwhile.
///
/// # Errors
/// [`Error::Descriptors`].
pub(crate) fn room_for(need: usize, promised: usize) -> Result<(), Error> {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, _)| soft);
    let missing = |source| Error::Descriptors {
        limit: limit.unwrap_or(0),
        need,
        reserve: RESERVE,
        source,
    };
    let open = match count() {
        Ok(open) => open + promised as u64,
        // Without /proc nobody can tell; what is missing shows when it is opened.
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(missing(errno)),
    };
    if has_room(open, need, limit.map_err(missing)?) {
        Ok(())
    } else {
        Err(missing(Errno::EMFILE))
    }
}

/// The limit is one of numbers, and the lowest free one is taken each time. One that was open when the
/// limit was lowered below it counts here, too.
fn has_room(open: u64, need: usize, limit: u64) -> bool {
    open + (need + RESERVE) as u64 <= limit
}

/// How many descriptors are open: the size of the folder that lists them, from Linux 6.2 on
/// (`proc_pid_fd(5)`). Before, they are listed.
fn count() -> Result<u64, Errno> {
    match u64::try_from(stat("/proc/self/fd")?.st_size) {
        Ok(count @ 1..) => Ok(count),
        Ok(0) | Err(_) => list(),
    }
}

fn list() -> Result<u64, Errno> {
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
    let entries = std::fs::read_dir("/proc/self/fd").map_err(errno)?;
    // Without the one that they are listed by.
    Ok((entries.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_what_is_needed_and_the_reserve_fit_into_the_limit() {
        let limit = 100 + 16 + RESERVE as u64;
        assert!(has_room(100, 16, limit));
        assert!(!has_room(101, 16, limit));
        assert!(!has_room(100, 17, limit));
        assert!(has_room(u64::from(u32::MAX), 16, u64::MAX), "no limit");
    }

    #[test]
    fn what_is_open_is_counted_in_either_way() {
        // Other tests open and close some meanwhile.
        let mine: Vec<_> = (0..500)
            .map(|_| std::fs::File::open("/dev/null").unwrap())
            .collect();
        for found in [count().unwrap(), list().unwrap()] {
            assert!((500..900).contains(&found), "{found}");
        }
        drop(mine);
    }
}
