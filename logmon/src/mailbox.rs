//! Edge: how a running stream is told what to do, from outside of its task.
//!
//! A mailbox holds at most one stop and one set of limits, the latest, so it stays small however often
//! it is written to, and a stream that has nothing to do is woken only by a command. It is no queue:
//! limits come before questions, and both before the stop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use crate::limits::Limits;
use crate::status::StreamStatus;

/// What a stream is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Keep these limits from now on (contract MON-5).
    SetLimits(Limits),
    /// Tell how it is.
    Ask(oneshot::Sender<StreamStatus>),
    /// Drain and end. It is told once.
    Stop,
}

/// Makes the two ends of a mailbox.
pub(crate) fn mailbox() -> (Commander, Mailbox) {
    let letters = Arc::new(Mutex::new(Letters::default()));
    (Commander(Arc::clone(&letters)), Mailbox(letters))
}

/// The end that commands. When it is dropped the stream stops, as nobody can ask for it any more.
#[derive(Debug)]
pub(crate) struct Commander(Arc<Mutex<Letters>>);

/// The end of the stream.
#[derive(Debug)]
pub(crate) struct Mailbox(Arc<Mutex<Letters>>);

#[derive(Debug, Default)]
struct Letters {
    /// Made for the first one that is not the stop.
    open: Option<Box<Open>>,
    stop: Stop,
    waiting: Option<Waker>,
    /// The stream has ended, however it did.
    is_over: bool,
}

/// What is to be done before the stop.
#[derive(Debug, Default)]
struct Open {
    limits: Option<Limits>,
    asked: Vec<oneshot::Sender<StreamStatus>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stop {
    #[default]
    NotAsked,
    Asked,
    Told,
}

impl Commander {
    /// Asks the stream to drain and end.
    pub(crate) fn stop(&self) {
        self.send(|letters| {
            if letters.stop == Stop::NotAsked {
                letters.stop = Stop::Asked;
            }
        });
    }

    /// Gives the stream other limits.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.send(|letters| letters.open().limits = Some(limits));
    }

    /// Asks the stream how it is. The answer fails when the stream has ended.
    pub(crate) fn ask(&self) -> oneshot::Receiver<StreamStatus> {
        let (answer, answered) = oneshot::channel();
        self.send(|letters| {
            if !letters.is_over {
                letters.open().asked.push(answer);
            }
        });
        answered
    }

    fn send(&self, write: impl FnOnce(&mut Letters)) {
        let waiting = {
            let mut letters = lock(&self.0);
            write(&mut letters);
            letters.waiting.take()
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl Drop for Commander {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Mailbox {
    /// Waits for the next command, for a future that is written by hand. A command that was not returned
    /// stays in the mailbox.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Command> {
        let mut letters = lock(&self.0);
        if let Some(command) = letters.take() {
            return Poll::Ready(command);
        }
        match &letters.waiting {
            Some(waker) if waker.will_wake(context.waker()) => {}
            Some(_) | None => letters.waiting = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    #[cfg(test)]
    async fn next(&mut self) -> Command {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // Who asked learns that there is no answer, and so does who asks from now on.
        let mut letters = lock(&self.0);
        letters.is_over = true;
        letters.open = None;
    }
}

impl Letters {
    fn open(&mut self) -> &mut Open {
        self.open.get_or_insert_default()
    }

    fn take(&mut self) -> Option<Command> {
        if let Some(open) = &mut self.open {
            if let Some(limits) = open.limits.take() {
                return Some(Command::SetLimits(limits));
            }
            if let Some(answer) = open.asked.pop() {
                return Some(Command::Ask(answer));
            }
            self.open = None;
        }
        if self.stop == Stop::Asked {
            self.stop = Stop::Told;
            return Some(Command::Stop);
        }
        None
    }
}

/// What lies in the mailbox is whole at any moment, so a panic elsewhere does not spoil it.
fn lock(letters: &Mutex<Letters>) -> MutexGuard<'_, Letters> {
    letters.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_files: u64) -> Limits {
        Limits::checked(max_files, 100, 10).unwrap()
    }

    #[tokio::test]
    async fn the_latest_limits_come_once_and_before_the_stop() {
        let (commander, mut mailbox) = mailbox();
        commander.stop();
        commander.set_limits(limits(3));
        commander.set_limits(limits(2));
        assert!(matches!(mailbox.next().await, Command::SetLimits(one) if one == limits(2)));
        assert!(matches!(mailbox.next().await, Command::Stop));
    }

    #[tokio::test]
    async fn a_stop_is_told_once_although_it_is_asked_for_twice() {
        let (commander, mut mailbox) = mailbox();
        commander.stop();
        assert!(matches!(mailbox.next().await, Command::Stop));
        commander.stop();
        drop(commander);
        let nothing = tokio::time::timeout(std::time::Duration::from_millis(20), mailbox.next());
        assert!(nothing.await.is_err());
    }

    #[tokio::test]
    async fn a_command_wakes_a_stream_that_waits() {
        let (commander, mut mailbox) = mailbox();
        let waits = tokio::spawn(async move { matches!(mailbox.next().await, Command::Stop) });
        tokio::task::yield_now().await;
        drop(commander);
        assert!(waits.await.unwrap());
    }

    #[tokio::test]
    async fn a_stream_that_has_ended_does_not_leave_a_question_open() {
        let (commander, ended) = mailbox();
        let before = commander.ask();
        // The end is dropped a moment later than what it does then: a question may come in between.
        let moment = Arc::clone(&ended.0);
        drop(ended);
        assert!(before.await.is_err());
        let between = commander.ask().try_recv();
        assert_eq!(between.unwrap_err(), oneshot::error::TryRecvError::Closed);
        drop(moment);
        assert!(commander.ask().await.is_err());
    }

    #[tokio::test]
    async fn a_stream_that_panics_does_not_leave_a_question_open() {
        let (commander, mut mailbox) = mailbox();
        let before = commander.ask();
        let panics = tokio::spawn(async move {
            let _question = mailbox.next().await;
            panic!("meant")
        });
        assert!(panics.await.is_err());
        for mut answer in [before, commander.ask()] {
            let told = answer.try_recv();
            assert_eq!(told.unwrap_err(), oneshot::error::TryRecvError::Closed);
        }
    }
}
