//! Edge: what a logmon knows of its supervisor (contract MON-13).
//!
//! While a supervisor lives, logmon waits for its end through a pidfd, which costs no wake-ups. While
//! there is none, logmon goes on collecting and looks once a second: a successor may come. When there has
//! been no supervisor, no writer and no byte for [`DESERTED_FOR`], nobody needs logmon any more.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::error::SuperviseError;
use super::process::Process;
use super::state_folder::LockQuery;

/// How long task and supervisor must both be gone.
pub(crate) const DESERTED_FOR: Duration = Duration::from_secs(10);
/// How often logmon looks while there is no supervisor.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The place of a supervisor, whether or not there is one.
#[derive(Debug)]
pub(crate) struct Controller {
    lock: LockQuery,
}

impl Controller {
    /// Opens the supervisor's state folder.
    pub(crate) fn open(folder: &Path) -> Result<Controller, SuperviseError> {
        Ok(Controller {
            lock: LockQuery::open(folder)?,
        })
    }

    /// Waits until nobody needs this logmon. `is_deserted` says whether all FIFOs are without bytes and
    /// writers now.
    ///
    /// # Cancel safety
    /// Cancel safe, but the time begins anew.
    pub(crate) async fn gone(&self, is_deserted: impl Fn() -> bool) {
        let mut since = None;
        loop {
            if self.is_supervised().await {
                since = None;
                continue;
            }
            if !is_deserted() {
                since = None;
            } else if since.get_or_insert_with(Instant::now).elapsed() >= DESERTED_FOR {
                info!("task and supervisor are gone; draining");
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Gives false if there is no supervisor; otherwise waits for its end, and gives true.
    async fn is_supervised(&self) -> bool {
        let pid = match self.lock.holder() {
            Ok(Some(pid)) => pid,
            Ok(None) => return false,
            Err(error) => {
                warn!(%error, "can't ask for the supervisor");
                sleep(LOOK_EVERY).await;
                return true;
            }
        };
        // The pid is that of the lock's holder if it still is after the process was opened.
        if let Ok(Some(process)) = Process::of_pid(pid)
            && matches!(self.lock.holder(), Ok(Some(holder)) if holder == pid)
            && process.ended().await.is_ok()
        {
            return true;
        }
        sleep(LOOK_EVERY).await;
        true
    }
}
