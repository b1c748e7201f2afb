//! Waiting for descriptors, with a deadline and a way to end it sooner (edge).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// The end of a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now. What no clock can tell is never.
    pub(crate) fn after(limit: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(limit))
    }

    /// So long from now, or never.
    pub(crate) fn of(limit: Option<Duration>) -> Deadline {
        limit.map_or(Deadline(None), Deadline::after)
    }

    /// How much time is left, at most so much; none if it is over.
    pub(crate) fn left_of(&self, limit: Duration) -> Option<Duration> {
        let Some(at) = self.0 else {
            return Some(limit);
        };
        let left = at.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(limit))
    }

    /// True if no time is left.
    pub(crate) fn is_over(&self) -> bool {
        self.left_of(Duration::MAX).is_none()
    }

    fn timeout(&self) -> Option<Timespec> {
        let left = self.0?.saturating_duration_since(Instant::now());
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        })
    }
}

/// What ends a wait before its time: a descriptor that becomes readable, or nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cancel<'a>(Option<BorrowedFd<'a>>);

impl<'a> Cancel<'a> {
    /// Nothing ends the wait before its time.
    #[must_use]
    pub fn never() -> Cancel<'a> {
        Cancel(None)
    }

    /// The wait ends when this becomes readable: a [`CancelSource`], a signalfd(2), a pipe. Nothing is read
    /// from it.
    #[must_use]
    pub fn when_readable(source: &'a impl AsFd) -> Cancel<'a> {
        Cancel(Some(source.as_fd()))
    }

    /// True if it is readable now.
    pub(crate) fn is_asked(&self) -> io::Result<bool> {
        match self.0 {
            None => Ok(false),
            Some(fd) => Ok(poll_until(&[(fd, PollFlags::IN)], Deadline::after(Duration::ZERO))?[0]),
        }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'a>> {
        self.0
    }
}

/// Ends all waits that were given it, those that come later too. It is an eventfd(2).
#[derive(Debug)]
pub struct CancelSource(OwnedFd);

impl CancelSource {
    /// Makes one that ends no wait yet.
    ///
    /// # Errors
    /// The error of `eventfd(2)`: no descriptor is left.
    pub fn new() -> io::Result<CancelSource> {
        Ok(CancelSource(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    /// Ends the waits.
    pub fn cancel(&self) {
        // It fails with EAGAIN only, once the counter is full: then it is readable anyway, eventfd(2).
        let _is_full = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl AsFd for CancelSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until something has happened to one of the descriptors; says for each whether it has. All are false
/// if the time is over.
pub(crate) fn poll_until(
    wanted: &[(BorrowedFd<'_>, PollFlags)],
    deadline: Deadline,
) -> io::Result<Vec<bool>> {
    let mut fds: Vec<PollFd<'_>> = wanted
        .iter()
        .map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
        .collect();
    loop {
        match poll(&mut fds, deadline.timeout().as_ref()) {
            Ok(_) => return Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// What came of waiting for a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    Readable,
    Cancelled,
    TimedOut,
}

/// Waits until a descriptor is readable. One that is, counts more than a cancel.
pub(crate) fn readable(
    fd: BorrowedFd<'_>,
    deadline: Deadline,
    cancel: Cancel<'_>,
) -> io::Result<Woken> {
    let mut wanted = vec![(fd, PollFlags::IN)];
    wanted.extend(cancel.fd().map(|fd| (fd, PollFlags::IN)));
    let woken = poll_until(&wanted, deadline)?;
    Ok(match woken.as_slice() {
        [true, ..] => Woken::Readable,
        [_, true] => Woken::Cancelled,
        _ => Woken::TimedOut,
    })
}

/// The growing pauses between two looks at what the kernel tells no event of.
pub(crate) struct Pauses {
    deadline: Deadline,
    next: Duration,
}

impl Pauses {
    const FIRST: Duration = Duration::from_micros(500);
    const LONGEST: Duration = Duration::from_millis(20);

    pub(crate) fn until(deadline: Deadline) -> Pauses {
        Pauses {
            deadline,
            next: Pauses::FIRST,
        }
    }

    /// Pauses and says true, or says false at once when the time is over.
    #[expect(
        clippy::disallowed_methods,
        reason = "neither the freezer of version 1 nor a cgroup that can't be removed yet has an event"
    )]
    pub(crate) fn pause(&mut self) -> bool {
        let Some(left) = self.deadline.left_of(self.next) else {
            return false;
        };
        std::thread::sleep(left);
        self.next = Pauses::LONGEST.min(self.next * 2);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_cancel_ends_waits_before_and_after_it_and_is_asked_then() {
        let source = CancelSource::new().unwrap();
        let never = CancelSource::new().unwrap();
        let cancel = Cancel::when_readable(&source);
        assert!(!cancel.is_asked().unwrap());
        std::thread::scope(|scope| {
            let waits = || readable(never.as_fd(), Deadline::after(LONG), cancel).unwrap();
            let waiters: Vec<_> = (0..3).map(|_| scope.spawn(waits)).collect();
            source.cancel();
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), Woken::Cancelled);
            }
        });
        assert!(cancel.is_asked().unwrap());
        assert_eq!(
            readable(never.as_fd(), Deadline::after(LONG), cancel).unwrap(),
            Woken::Cancelled
        );
        let ready = Cancel::when_readable(&never);
        assert_eq!(
            readable(source.as_fd(), Deadline::after(LONG), ready).unwrap(),
            Woken::Readable
        );
    }

    #[test]
    fn a_time_that_is_over_ends_a_wait() {
        let never = CancelSource::new().unwrap();
        let at_once = Deadline::after(Duration::ZERO);
        assert_eq!(
            readable(never.as_fd(), at_once, Cancel::never()).unwrap(),
            Woken::TimedOut
        );
        assert_eq!(at_once.left_of(LONG), None);
        assert_eq!(Deadline::of(None).left_of(LONG), Some(LONG));
        assert_eq!(Deadline::after(Duration::MAX).left_of(LONG), Some(LONG));
        assert!(!Pauses::until(at_once).pause());
    }
}
