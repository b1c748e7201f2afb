//! Edge: the life of a supervisor: the machine decides, and its ward is told.

use tokio::time::Instant;
use tracing::info;

use super::error::SuperviseError;
use super::machine::{Action, Event, Machine, Pace};
use crate::diagnostics;
use crate::error::Error;
use crate::run::Signals;

/// A logmon as its supervisor has it: found, told, and watched.
pub(super) trait Ward {
    /// How long what may take.
    fn pace(&self) -> Pace;

    /// Looks for the logmon of an earlier supervisor.
    ///
    /// # Errors
    /// [`SuperviseError`]; nobody was told or killed.
    async fn find(&mut self) -> Result<Event, SuperviseError>;

    /// Tells the logmon, or begins to. It does not wait.
    fn obey(&mut self, order: Action);

    /// Waits for what happens to the logmon.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn next(&mut self) -> Event;

    /// Takes its leave: no logmon is left.
    fn leave(&mut self, code: u8);
}

/// Looks after a logmon until somebody asks for a stop, or it can't be; gives the exit code.
///
/// # Panics
/// Outside of a tokio runtime, or in one whose I/O or time is not enabled.
pub(crate) async fn look_after(mut ward: impl Ward) -> Result<u8, Error> {
    let mut signals = Signals::listen()?;
    let mut machine = Machine::new(ward.pace());
    let started = Instant::now();
    let mut event = ward.find().await?;
    loop {
        for action in machine.handle(event, started.elapsed()) {
            match action {
                Action::Announce => diagnostics::announce("ready"),
                Action::End(code) => {
                    ward.leave(code);
                    return Ok(code);
                }
                Action::Start
                | Action::Resume
                | Action::Check
                | Action::Repeat
                | Action::Terminate
                | Action::Dismiss
                | Action::Kill => ward.obey(action),
            }
        }
        let tick_at = machine.tick_at().map(|at| started + at);
        event = tokio::select! {
            biased;
            () = signals.asked_to_end() => Event::StopAsked,
            event = ward.next() => event,
            () = sleep_until(tick_at) => Event::Tick,
        };
    }
}

/// Has no logmon, and says so, until somebody asks for a stop; gives the exit code.
pub(crate) async fn collect_nothing() -> Result<u8, Error> {
    let mut signals = Signals::listen()?;
    info!(
        stdout = "/dev/null",
        stderr = "/dev/null",
        "no log collection: nothing is started, and the task's streams are to go to /dev/null"
    );
    diagnostics::announce("ready");
    signals.asked_to_end().await;
    Ok(0)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
