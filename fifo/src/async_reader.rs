//! A reader that waits for data without a thread and without spinning. This module is an edge.
//!
//! # Why there is an epoll instance in between
//! After the last writer has left, the kernel reports a hang-up on the FIFO for as long as no new
//! writer comes. A level-triggered wait therefore spins, and the runtime takes a hang-up as final: its
//! readiness can't be cleared any more, although a new writer revives the FIFO. So the FIFO is watched,
//! edge-triggered, by an epoll instance of its own, and the runtime watches that instance. Its only
//! event is "readable", once per edge of the FIFO. It costs one more descriptor per reader.
//!
//! # Laws
//! - An edge is consumed before the pipe is looked at, never after; so no edge is lost.
//! - An edge is only a reason to look again. What is returned is what the pipe said.
//! - Writes wake nobody after [`AsyncReader::rest`] until the next wait, which looks first. For somebody
//!   who will look at a time of his own anyway, a wake-up per write is a waste.
//! - The instance can watch a timer as well, because the runtime's own timers know no less than a
//!   millisecond, and in that time a fast writer fills a pipe.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::{Error, ReadOutcome, Reader};

/// What was known of writers when a change was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// There was one. When the last one leaves, that is another change.
    HasWriter,
    /// There was none, or nobody can tell: look.
    Unknown,
}

/// The reading end of a FIFO for use in an asynchronous task.
///
/// It blocks no thread, so a runtime shuts down at once while a read is pending. One task may wait at a
/// time: if several do, only the last one is woken.
#[derive(Debug)]
pub struct AsyncReader {
    // Declared first, so that the runtime forgets the instance before the FIFO closes.
    edges: AsyncFd<Edges>,
    reader: Reader,
    rests: AtomicBool,
    /// Made by the first short rest, and kept until it is given up.
    timer: Option<TimerFd>,
}

impl AsyncReader {
    /// Registers the reader with the runtime that this is called in.
    ///
    /// # Errors
    /// [`Error::Register`]: there are no descriptors or no memory left. The reader is closed.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one whose I/O is not enabled.
    pub fn new(reader: Reader) -> Result<AsyncReader, Error> {
        let edges = Edges::of(&reader)
            .and_then(register)
            .map_err(|source| Error::Register {
                path: reader.path().to_owned(),
                source,
            })?;
        Ok(AsyncReader {
            edges,
            reader,
            rests: AtomicBool::new(false),
            timer: None,
        })
    }

    /// Reads what is there, up to the length of the buffer, and waits while there are writers and no
    /// bytes. It never gives [`ReadOutcome::Empty`].
    ///
    /// [`ReadOutcome::NoWriter`] comes at once, each time, while there is no writer; a loop must await
    /// [`AsyncReader::wait_for_data`] before it reads again.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Wait`]: the system call failed.
    ///
    /// # Cancel safety
    /// Cancel safe: if another branch wins, no byte was taken from the pipe.
    pub async fn read(&self, buffer: &mut [u8]) -> Result<ReadOutcome, Error> {
        // A stream that never runs dry must not starve the other tasks of the thread. This comes first:
        // after the read it would be a point where bytes already taken could be lost.
        tokio::task::coop::consume_budget().await;
        loop {
            match self.reader.try_read(buffer)? {
                ReadOutcome::Empty => {
                    self.next_edge().await?;
                }
                outcome @ (ReadOutcome::Bytes(_) | ReadOutcome::NoWriter) => return Ok(outcome),
            }
        }
    }

    /// Waits until there is at least one byte in the pipe. Writers that come and go without a byte do
    /// not end the wait, and neither does their absence: this is how to wait for the next writer.
    ///
    /// # Errors
    /// [`Error::Wait`] and [`Error::FillLevel`]: the system call failed.
    ///
    /// # Cancel safety
    /// Cancel safe: it takes nothing from the pipe, and the next call looks before it waits.
    pub async fn wait_for_data(&self) -> Result<(), Error> {
        while self.reader.fill_level()? == 0 {
            self.next_edge().await?;
        }
        Ok(())
    }

    /// Waits until something may have happened to the FIFO since the last wait: a write, or the last
    /// writer has left. Look at the FIFO before the call and after it. After [`Change::HasWriter`] nobody has
    /// to ask whether there is a writer until the next change: if the last one leaves during a rest, the next
    /// wait ends at once.
    ///
    /// # Errors
    /// [`Error::Wait`]: the system call failed.
    ///
    /// # Cancel safety
    /// Cancel safe: it takes nothing from the pipe.
    pub async fn changed(&self) -> Result<Change, Error> {
        self.next_edge().await
    }

    /// Waits as [`AsyncReader::changed`] does, for a future that is written by hand: it keeps nothing while
    /// it waits.
    ///
    /// # Errors
    /// As [`AsyncReader::changed`].
    ///
    /// # Cancel safety
    /// It takes nothing from the pipe, so a caller may stop asking at any time.
    pub fn poll_changed(&self, context: &mut Context<'_>) -> Poll<Result<Change, Error>> {
        self.set_rest(false)?;
        let happened = ready!(self.poll_events(context))?;
        Poll::Ready(Ok(happened.fifo.unwrap_or(Change::Unknown)))
    }

    /// Lets writes wake nobody until the next wait.
    ///
    /// # Errors
    /// [`Error::Wait`]: the system call failed.
    pub fn rest(&self) -> Result<(), Error> {
        self.set_rest(true)
    }

    /// Lets writes wake nobody until the next wait, and begins to count so much time, exactly to some
    /// microseconds; [`AsyncReader::rest_over`] waits for its end. The first call makes a timer, which is
    /// one more descriptor until [`AsyncReader::give_up_timer`].
    ///
    /// # Errors
    /// [`Error::Wait`]: the system call failed, or there is no descriptor left for the timer. Writes wake
    /// nobody all the same.
    pub fn begin_rest(&mut self, time: Duration) -> Result<(), Error> {
        self.rest()?;
        self.set_timer(time)
            .map_err(|source| self.wait_failed(source))
    }

    /// Closes the timer of [`AsyncReader::begin_rest`], if there is one.
    pub fn give_up_timer(&mut self) {
        self.timer = None;
    }

    /// Waits until the time given to [`AsyncReader::begin_rest`] is over; for ever if there was no such
    /// call, if its end has been waited for, or if its timer was given up.
    ///
    /// # Errors
    /// [`Error::Wait`]: the system call failed.
    ///
    /// # Cancel safety
    /// Cancel safe: the time runs on, and the next call waits for the rest of it.
    pub async fn rest_over(&self) -> Result<(), Error> {
        poll_fn(|context| self.poll_rest_over(context)).await
    }

    /// Waits as [`AsyncReader::rest_over`] does, for a future that is written by hand.
    ///
    /// # Errors
    /// As [`AsyncReader::rest_over`].
    pub fn poll_rest_over(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !ready!(self.poll_events(context))?.timer {}
        Poll::Ready(Ok(()))
    }

    fn set_timer(&mut self, time: Duration) -> io::Result<()> {
        let timer = match &mut self.timer {
            Some(timer) => timer,
            none => none.insert(self.edges.get_ref().new_timer()?),
        };
        // A time of zero would turn it off.
        let time = TimeSpec::from_duration(time.max(Duration::from_nanos(1)));
        Ok(timer.set(Expiration::OneShot(time), TimerSetTimeFlags::empty())?)
    }

    fn set_rest(&self, rests: bool) -> Result<(), Error> {
        if self.rests.swap(rests, Ordering::Relaxed) == rests {
            return Ok(());
        }
        let edges = self.edges.get_ref();
        // What is there already when it is watched again counts as an edge (epoll_ctl(2)).
        let changed = if rests {
            edges.forget(&self.reader)
        } else {
            edges.watch(&self.reader)
        };
        changed.map_err(|source| {
            // As it was, so that the next wait tries again.
            self.rests.store(!rests, Ordering::Relaxed);
            self.wait_failed(source)
        })
    }

    fn wait_failed(&self, source: io::Error) -> Error {
        Error::Wait {
            path: self.reader.path().to_owned(),
            source,
        }
    }

    /// The reader inside, for everything that does not wait: reading, fill level, capacity, lock.
    #[must_use]
    pub fn get_ref(&self) -> &Reader {
        &self.reader
    }

    /// Gives the reader back. Its descriptor and its lock are the same.
    #[must_use]
    pub fn into_inner(self) -> Reader {
        self.reader
    }

    /// Waits until something has happened to the FIFO since the last call returned.
    async fn next_edge(&self) -> Result<Change, Error> {
        poll_fn(|context| self.poll_changed(context)).await
    }

    fn poll_events(&self, context: &mut Context<'_>) -> Poll<Result<Events, Error>> {
        let failed = |source| self.wait_failed(source);
        // By the one waker that the runtime keeps for a descriptor anyway: that needs no memory.
        let mut guard = ready!(self.edges.poll_read_ready(context)).map_err(failed)?;
        guard.clear_ready();
        Poll::Ready(guard.get_inner().consume().map_err(failed))
    }
}

/// Has the runtime watch the instance.
#[expect(
    unsafe_code,
    reason = "tokio's safe constructors are deprecated: they can't know that the descriptor stays open"
)]
fn register(edges: Edges) -> io::Result<AsyncFd<Edges>> {
    // SAFETY: `Edges` owns its descriptor, gives the same one each time and closes it only when it is
    // dropped, which the `AsyncFd` does after it has taken it off its own list.
    let registered = unsafe { AsyncFd::register_with_interest(edges, Interest::READABLE) };
    Ok(registered?)
}

/// What happened to the two.
#[derive(Debug, Default)]
struct Events {
    fifo: Option<Change>,
    timer: bool,
}

/// What the events of the two are marked with.
const FIFO: u64 = 0;
const TIMER: u64 = 1;

/// An epoll instance that becomes readable once per edge of one FIFO, and of a timer.
#[derive(Debug)]
struct Edges(Epoll);

impl Edges {
    fn of(reader: &Reader) -> io::Result<Edges> {
        let edges = Edges(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        edges.watch(reader)?;
        Ok(edges)
    }

    fn watch(&self, reader: &Reader) -> io::Result<()> {
        // A hang-up is reported without being asked for.
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        Ok(self.0.add(reader, EpollEvent::new(interest, FIFO))?)
    }

    /// Makes a timer that is watched too. Set anew it gives a new edge, and need not be read.
    fn new_timer(&self) -> io::Result<TimerFd> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        self.0.add(&timer, EpollEvent::new(interest, TIMER))?;
        Ok(timer)
    }

    /// While nobody watches, a write costs its writer less, too.
    fn forget(&self, reader: &Reader) -> io::Result<()> {
        Ok(self.0.delete(reader)?)
    }

    /// Takes the pending edges, so that the next ones count anew.
    fn consume(&self) -> io::Result<Events> {
        let mut events = [EpollEvent::empty(); 2];
        loop {
            match self.0.wait(&mut events, EpollTimeout::ZERO) {
                Ok(count) => return Ok(events[..count].iter().collect()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl<'e> FromIterator<&'e EpollEvent> for Events {
    /// The kernel has asked the FIFO at the moment of the call (`ep_item_poll` in fs/eventpoll.c).
    fn from_iter<I: IntoIterator<Item = &'e EpollEvent>>(events: I) -> Events {
        let mut happened = Events::default();
        for event in events {
            if event.data() == TIMER {
                happened.timer = true;
            } else if event.events().contains(EpollFlags::EPOLLHUP) {
                happened.fifo = Some(Change::Unknown);
            } else {
                happened.fifo = Some(Change::HasWriter);
            }
        }
        happened
    }
}

impl AsRawFd for Edges {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}
