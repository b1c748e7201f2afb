//! Edge: what a stream waits for: bytes, a command, a time, or its turn to call the storage.
//!
//! Nearly all streams wait nearly all the time, so what a wait keeps is small. What is rarely needed (a
//! timer, a place in a queue) lies in a box.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::Stream;
use crate::collect::{Event, Reading};
use crate::error::chain;
use crate::mailbox::{Command, Mailbox};
use crate::pump::{Filled, Pump};
use crate::storage::{Device, Turn, give_way};

/// A rest that is shorter has a timer of the stream's own: those of the runtime know no less than a
/// millisecond.
const SHORT_REST: Duration = Duration::from_millis(2);

impl Stream {
    /// Waits for a turn to call the storage. Only a stream that really waits gets room for that.
    pub(super) async fn turn(&self) -> Turn<'static> {
        if let Some(turn) = turn_now(&self.device).await {
            return turn;
        }
        Box::pin(self.device.turn()).await
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

    /// Waits for bytes, a command or the time given. As [`Stream::collect`] it keeps nothing twice.
    pub(super) fn wait<'a>(
        &'a mut self,
        reading: Reading,
        until: Option<Duration>,
        mailbox: &'a mut Mailbox,
    ) -> impl Future<Output = Event> + use<'a> {
        let until = until.map(|until| self.started + until);
        let has_timer = reading == Reading::No && self.rest(until);
        async move {
            loop {
                let asked = tokio::select! {
                    biased;
                    command = mailbox.next() => match command {
                        Command::SetLimits(limits) => {
                            if !self.pump.can_hold(limits.line_guard()) {
                                self.give_up_splice("the FIFO is too small for the line guard");
                            }
                            return Event::SetLimits(limits);
                        }
                        Command::Stop => return Event::Stop,
                        Command::Ask(asked) => asked,
                    },
                    filled = fill_or_rest(&mut self.pump, reading), if reading != Reading::No || has_timer => return match filled {
                        Ok(Some(Filled::Bytes(bytes))) => Event::Read(bytes),
                        Ok(Some(Filled::Part(bytes))) => Event::ReadPart(bytes),
                        Ok(Some(Filled::Ready)) => Event::WriterCame,
                        Ok(Some(Filled::Empty)) => Event::Empty,
                        Ok(Some(Filled::NoWriter)) => Event::NoWriter,
                        Ok(None) => Event::Tick,
                        Err(error) => self.cannot_read(&error),
                    },
                    () = sleep_until(until.filter(|_| !has_timer)), if until.is_some() && !has_timer => return Event::Tick,
                };
                // Who asked may be gone.
                asked.send(self.status()).ok();
                // Whoever asked has its turn before a call that may hang.
                give_way().await;
            }
        }
    }
}

/// Fills the pump, or gives nothing when its rest is over.
async fn fill_or_rest(pump: &mut Pump, reading: Reading) -> Result<Option<Filled>, fifo::Error> {
    match reading {
        Reading::No => pump.rest_over().await.map(|()| None),
        Reading::Bytes | Reading::NextWriter | Reading::AtOnce => {
            pump.fill(reading).await.map(Some)
        }
    }
}

/// Takes a turn if there is one at once.
async fn turn_now<'s>(device: &Device<'s>) -> Option<Turn<'s>> {
    poll_fn(|context| match pin!(device.turn()).poll(context) {
        Poll::Ready(turn) => Poll::Ready(Some(turn)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Most waits have no end of their own, so only one that has gets room for a timer.
fn sleep_until(until: Option<Instant>) -> impl Future<Output = ()> {
    let mut timer = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
    poll_fn(move |context| match &mut timer {
        Some(timer) => timer.as_mut().poll(context),
        None => Poll::Pending,
    })
}
