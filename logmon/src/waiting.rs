//! Edge: what a stream waits for: bytes, a command, a time, or its turn to call the storage.
//!
//! Nearly all streams wait nearly all the time, so what a wait keeps is small. What is rarely needed (a
//! timer, a place in a queue) lies in a box. The futures are written by hand: an `async fn` that calls
//! another one keeps its arguments at each level.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::Stream;
use crate::collect::{Event, Reading};
use crate::error::chain;
use crate::mailbox::{Command, Mailbox};
use crate::pump::Filled;
use crate::storage::Turn;

/// A rest that is shorter has a timer of the stream's own: those of the runtime know no less than a
/// millisecond.
const SHORT_REST: Duration = Duration::from_millis(2);

impl Stream {
    /// Waits for a turn to call the storage. Only a stream that really waits gets room for that.
    pub(super) fn turn(&self) -> impl Future<Output = Turn<'static>> + use<'_> {
        let device = &self.device;
        let mut waits = None;
        poll_fn(move |context| {
            if waits.is_none()
                && let Poll::Ready(turn) = pin!(device.turn()).poll(context)
            {
                return Poll::Ready(turn);
            }
            let waits = waits.get_or_insert_with(|| Box::pin(device.turn()));
            waits.as_mut().poll(context)
        })
    }

    /// Lets writes wake nobody; true if the pump itself knows when that is over.
    fn rest(&mut self, until: Option<Instant>) -> bool {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let short = left.filter(|left| *left < SHORT_REST);
        let rests = match short {
            Some(time) => self.pump.begin_rest(time),
            None => {
                self.pump.give_up_timer();
                self.pump.rest().map(|()| false)
            }
        };
        rests.unwrap_or_else(|error| {
            debug!(stream = %self.config.name, error = chain(&error), "no rest as it should be");
            false
        })
    }

    /// Waits for bytes, a command or the time given. What comes first in this order is what it gives. If it
    /// gives way, the other streams have their turns before it looks at all.
    pub(super) fn wait<'a>(
        &'a mut self,
        reading: Reading,
        until: Option<Duration>,
        mut gives_way: bool,
        mailbox: &'a mut Mailbox,
    ) -> impl Future<Output = Event> + use<'a> {
        let until = until.map(|until| self.started + until);
        let has_timer = reading == Reading::No && self.rest(until);
        // Most waits have no end of their own, so only one that has gets room for a timer.
        let mut timer = until
            .filter(|_| !has_timer)
            .map(|until| Box::pin(tokio::time::sleep_until(until)));
        let mut has_looked = false;
        poll_fn(move |context| {
            if std::mem::take(&mut gives_way) {
                // As `storage::give_way`, but that this needs no room.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Poll::Ready(command) = mailbox.poll_next(context) {
                return self.obey(command, context);
            }
            let filled = match reading {
                Reading::No if !has_timer => Poll::Pending,
                Reading::No => self.pump.poll_rest_over(context).map_ok(|()| None),
                Reading::Bytes | Reading::NextWriter | Reading::AtOnce => self
                    .pump
                    .poll_fill(reading, &mut has_looked, context)
                    .map_ok(Some),
            };
            if let Poll::Ready(filled) = filled {
                return Poll::Ready(self.event_of(filled));
            }
            match &mut timer {
                Some(timer) => timer.as_mut().poll(context).map(|()| Event::Tick),
                None => Poll::Pending,
            }
        })
    }

    /// Answers a question and waits on, or gives the event that another command is.
    fn obey(&mut self, command: Command, context: &mut Context<'_>) -> Poll<Event> {
        match command {
            Command::SetLimits(limits) => {
                if !self.pump.can_hold(limits.line_guard()) {
                    self.give_up_splice("the FIFO is too small for the line guard");
                }
                Poll::Ready(Event::SetLimits(limits))
            }
            Command::Stop => Poll::Ready(Event::Stop),
            Command::Ask(asked) => {
                // Who asked may be gone.
                asked.send(self.status()).ok();
                // Whoever asked has its turn before a call that may hang.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// The event that a fill is, or the end of a rest.
    fn event_of(&self, filled: Result<Option<Filled>, fifo::Error>) -> Event {
        match filled {
            Ok(Some(Filled::Bytes(bytes))) => Event::Read(bytes),
            Ok(Some(Filled::Part(bytes))) => Event::ReadPart(bytes),
            Ok(Some(Filled::Ready)) => Event::WriterCame,
            Ok(Some(Filled::Empty)) => Event::Empty,
            Ok(Some(Filled::NoWriter)) => Event::NoWriter,
            Ok(None) => Event::Tick,
            Err(error) => self.cannot_read(&error),
        }
    }
}
