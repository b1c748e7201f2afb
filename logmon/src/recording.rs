//! Edge: the part of a stream that records what was lost.

use tracing::{debug, error};

use super::Stream;
use crate::collect::Event;
use crate::error::{Error, chain};
use crate::gap_file;
use crate::losses::Loss;

impl Stream {
    pub(super) fn record(&mut self, loss: Loss) -> Event {
        let name = &self.config.name;
        let recorded = match loss.line(name, self.clock()) {
            Ok(line) => gap_file::append(&self.log_dir, name, &line),
            Err(error) => Err(Error::RecordLoss {
                path: self.log_dir.path().join(name.gap_file_name()),
                source: error.into(),
            }),
        };
        match recorded {
            Ok(()) => Event::Recorded(loss),
            Err(error) => {
                self.failed(chain(&error));
                debug!(stream = %self.config.name, ?loss, error = self.last_failure(), "a loss is not recorded yet");
                Event::NotRecorded
            }
        }
    }

    /// Tells at the end what could not be recorded.
    pub(super) fn tell_unrecorded(&self) {
        let losses = self.machine.losses();
        let (dropped_bytes, deleted_files) = (losses.unrecorded_bytes(), losses.unrecorded_files());
        if dropped_bytes + deleted_files > 0 {
            let stream = &self.config.name;
            error!(%stream, dropped_bytes, deleted_files, error = self.last_failure(), "stopped with losses that are not recorded");
        }
    }
}
