//! The two streams that an agent holds open for the life of a driver: how it is, and what happens to its tasks.
//! (edge)

use std::time::Duration;

use plugin::host::{Answers, CallError, Driver};
use plugin::proto::driver::{DriverTaskEvent, FingerprintResponse};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::words;
use crate::suite::error_chain;

/// A look at a stream on which nothing has to come is over after this; then there is another one.
const WATCH: Duration = Duration::from_secs(3_600);

/// Why a driver would get no task.
#[derive(Debug)]
pub(super) enum Unwell {
    /// The call failed.
    Call(CallError),
    /// It says so itself.
    Says(String),
}

impl Unwell {
    /// The same in words; the call is named if it failed.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Call(error) => error_chain(error),
            Self::Says(what) => what.clone(),
        }
    }
}

/// The streams, as an agent opens them right after it has told the driver its configuration.
pub(super) struct Streams {
    fingerprints: Answers<FingerprintResponse>,
    events: Answers<DriverTaskEvent>,
}

/// Streams that are read, so that nothing of the plugin's waits for a reader, for as long as this lives.
pub(super) struct Held([JoinHandle<()>; 2]);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Streams {
    pub(super) fn open(driver: &Driver) -> Self {
        Self {
            fingerprints: driver.fingerprint(),
            events: driver.task_events(),
        }
    }

    /// Waits until the driver says that it is healthy: an agent goes on listening, whatever the first word was. Gives
    /// its words.
    ///
    /// # Errors
    /// [`Unwell`], with the last that it said until then.
    pub(super) async fn until_healthy(&mut self, until: Instant) -> Result<String, Unwell> {
        healthy(async |within| self.fingerprints.next(within).await, until).await
    }

    /// Holds them from now on. A driver without task events is as good; a change for the worse is told on stderr.
    pub(super) fn hold(self) -> Held {
        let Self {
            fingerprints,
            events,
        } = self;
        Held([
            tokio::spawn(read(fingerprints, |one| {
                if let Err(unwell) = words::fingerprint(&one) {
                    eprintln!("harness: call Fingerprint: {unwell}: an agent gives it no task now");
                }
            })),
            tokio::spawn(read(events, drop)),
        ])
    }
}

async fn read<A>(mut answers: Answers<A>, each: impl Fn(A)) {
    loop {
        match answers.next(WATCH).await {
            Ok(Some(one)) => each(one),
            Err(CallError::Deadline { .. }) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

/// What [`Streams::until_healthy`] says, with the next fingerprint from there.
async fn healthy(
    mut next: impl AsyncFnMut(Duration) -> Result<Option<FingerprintResponse>, CallError>,
    until: Instant,
) -> Result<String, Unwell> {
    let begun = Instant::now();
    let mut last = None;
    loop {
        let said = next(until.saturating_duration_since(Instant::now())).await;
        let said = said.map(|one| one.as_ref().map(words::fingerprint));
        match (said, last) {
            (Ok(Some(Ok(healthy))), _) => return Ok(healthy),
            (Ok(Some(Err(unwell))), _) => last = Some(unwell),
            (Ok(None), None) => {
                let silent = "it has closed the stream and said nothing".to_owned();
                return Err(Unwell::Says(silent));
            }
            (Ok(None), Some(unwell)) => {
                return Err(Unwell::Says(format!("{unwell}; then it closed the stream")));
            }
            (Err(CallError::Deadline { .. }), Some(unwell)) => {
                let waited_ms = begun.elapsed().as_millis();
                return Err(Unwell::Says(format!(
                    "{unwell}; nothing better came within {waited_ms} ms"
                )));
            }
            (Err(error), _) => return Err(Unwell::Call(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use plugin::proto::driver::fingerprint_response::HealthState;

    use super::*;

    const UNDETECTED: HealthState = HealthState::Undetected;

    /// What is made of these fingerprints, after which none comes in time, or the stream ends.
    fn heard(all: &[HealthState], closes: bool) -> Result<String, String> {
        let mut all = all.iter();
        let next = async |within| match all.next() {
            Some(&health) => Ok(Some(FingerprintResponse {
                health: health.into(),
                ..FingerprintResponse::default()
            })),
            None if closes => Ok(None),
            None => Err(CallError::Deadline {
                call: "Fingerprint",
                within,
            }),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let until = Instant::now() + WATCH;
        let outcome = runtime.unwrap().block_on(healthy(next, until));
        outcome.map_err(|unwell| unwell.told())
    }

    #[test]
    fn a_driver_may_become_healthy_after_its_first_word() {
        let late = [UNDETECTED, HealthState::Unhealthy, HealthState::Healthy];
        let healthy = "healthy, 0 attributes".to_owned();
        assert_eq!(heard(&late, true), Ok(healthy));
    }

    #[test]
    fn the_last_word_of_one_that_does_not_is_told() {
        let text = heard(&[HealthState::Unhealthy, UNDETECTED], false).unwrap_err();
        assert!(
            text.starts_with("undetected, 0 attributes; nothing better came within "),
            "{text}"
        );
        let closed = "undetected, 0 attributes; then it closed the stream".to_owned();
        assert_eq!(heard(&[UNDETECTED], true), Err(closed));
        let silent = "it has closed the stream and said nothing".to_owned();
        assert_eq!(heard(&[], true), Err(silent));
        let text = heard(&[], false).unwrap_err();
        assert!(
            text.starts_with("call Fingerprint: no answer within "),
            "{text}"
        );
    }
}
