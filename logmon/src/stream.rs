//! Edge: one stream at work. It opens the FIFO and the files, performs what the state machine decides,
//! and tells it what came of that.
//!
//! There may be thousands of streams, so what one keeps while it waits is small: a test counts it.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::collect::{Action, Collect, Counters, Event, OnFull, Reading, Report};
use crate::config::StreamConfig;
use crate::error::{Error, chain};
use crate::log_dir::{LogDir, LogFile, Published};
use crate::mailbox::Mailbox;
use crate::planner::{RotationStep, Step};
use crate::pump::{Pump, StagingPipe, refuses_splice};
use crate::status::{PumpKind, StreamStatus};
use crate::storage::Device;

/// Told when splice is given up.
const READ_WRITE: &str = "bytes go through memory from now on, and a kill can cost those in it";
/// After so many rounds of the loop another stream gets its turn.
const ROUNDS_PER_TURN: u32 = 16;

pub(crate) use opening::{Listing, Opening};

/// What came of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Collected {
    /// Its counters.
    pub(crate) counters: Counters,
    /// Bytes that could not be written before the deadline, and that no task holds.
    pub(crate) lost_bytes: u64,
}

/// A stream whose FIFO is open and locked, and whose folder is in order.
#[derive(Debug)]
pub(crate) struct Stream {
    config: Arc<StreamConfig>,
    machine: Collect,
    pump: Pump,
    log_dir: LogDir,
    device: Device<'static>,
    current: Option<LogFile>,
    prepared: Option<LogFile>,
    started: Instant,
    /// Why a step failed last.
    last_failure: Option<Box<str>>,
    /// In which second since the start a rotation was last told at level INFO.
    told_rotation: Option<u32>,
    /// The action to go on with.
    next: Action,
}

/// When an action is to be performed.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// At once: it calls no file system.
    Now,
    /// When it is the stream's turn to call the file system.
    InTurn,
    /// After this wait, which is all that it is.
    Wait {
        reading: Reading,
        until: Option<Duration>,
    },
    /// The stream ends.
    Never,
}

impl Stream {
    /// Collects until it is told to stop, then drains and ends.
    ///
    /// Not an `async fn`: that keeps its arguments twice, as given and as used.
    pub(crate) fn collect(mut self, mut mailbox: Mailbox) -> impl Future<Output = Collected> {
        let mut rounds = 0;
        async move {
            loop {
                let event = match self.due() {
                    Due::Now => self.perform_next(),
                    Due::InTurn => {
                        let turn = self.turn().await;
                        turn.call(|| self.perform_next())
                    }
                    Due::Wait { reading, until } => {
                        rounds += 1;
                        let gives_way = rounds % ROUNDS_PER_TURN == 0;
                        self.wait(reading, until, gives_way, &mut mailbox).await
                    }
                    Due::Never => break,
                };
                self.handle(event);
            }
            self.finished()
        }
    }

    /// When the next action is to be performed. It is not taken out for that: what is held while the stream
    /// waits costs every stream its size.
    fn due(&self) -> Due {
        match &self.next {
            Action::Perform(step) if step.calls_storage() => Due::InTurn,
            Action::Record(_) => Due::InTurn,
            Action::Perform(_) | Action::TakeIn | Action::Discard(_) => Due::Now,
            Action::Wait { reading, until } => Due::Wait {
                reading: *reading,
                until: *until,
            },
            Action::Finish => Due::Never,
        }
    }

    fn perform_next(&mut self) -> Event {
        match std::mem::replace(&mut self.next, Action::Finish) {
            Action::Perform(step) => self.perform(step),
            Action::TakeIn => match self.pump.take_in() {
                Ok(()) => Event::TookIn,
                Err(error) => self.cannot_read(&error),
            },
            Action::Discard(range) => {
                self.pump.discard(range);
                Event::Discarded
            }
            Action::Record(loss) => self.record(*loss),
            // There is nothing to perform.
            Action::Wait { .. } | Action::Finish => Event::Tick,
        }
    }

    /// Performs what is to be done before the first byte is read.
    fn settle(&mut self) -> Result<(), Error> {
        self.handle(Event::Started);
        loop {
            let step = match &self.next {
                Action::Perform(step) => *step,
                Action::TakeIn
                | Action::Discard(_)
                | Action::Record(_)
                | Action::Wait { .. }
                | Action::Finish => return Ok(()),
            };
            let event = match self.try_perform(step) {
                Err(error) if !error.is_transient() => return Err(error),
                outcome => self.outcome(step, outcome),
            };
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        self.next = self
            .machine
            .handle(event, self.pump.window(), self.started.elapsed());
        if let Event::Wrote(bytes) = event {
            self.pump.consume(bytes);
        }
        if !self.machine.needs_sight() {
            self.pump.let_go();
        }
        for report in self.machine.take_reports() {
            self.tell(report);
        }
    }

    fn status(&self) -> StreamStatus {
        StreamStatus {
            counters: self.machine.counters(),
            condition: self.machine.condition(),
            // The FIFO is open, so asking it fails only by a bug of the kernel.
            lag_bytes: self.pump.lag_bytes().unwrap_or(0),
            last_write: self.machine.last_write().map(self.clock()),
            pump: self.pump.kind(),
            current_index: self.machine.current_index(),
        }
    }

    /// Gives the time of the clock for a time since the start. The clock is looked at once, so that of two
    /// times the later one stays the later one.
    fn clock(&self) -> impl Fn(Duration) -> SystemTime + use<> {
        let (now, running) = (SystemTime::now(), self.started.elapsed());
        move |at| {
            now.checked_sub(running.saturating_sub(at))
                .unwrap_or(SystemTime::UNIX_EPOCH)
        }
    }

    fn perform(&mut self, step: Step) -> Event {
        let outcome = self.try_perform(step);
        self.outcome(step, outcome)
    }

    fn outcome(&mut self, step: Step, outcome: Result<Event, Error>) -> Event {
        match outcome {
            Ok(event) => event,
            Err(error) => {
                self.failed(chain(&error));
                debug!(stream = %self.config.name, ?step, error = self.last_failure(), "a step failed");
                Event::Failed {
                    step,
                    fault: error.fault(),
                }
            }
        }
    }

    fn failed(&mut self, why: String) {
        self.last_failure = Some(why.into());
    }

    fn last_failure(&self) -> &str {
        self.last_failure.as_deref().unwrap_or_default()
    }

    fn try_perform(&mut self, step: Step) -> Result<Event, Error> {
        match step {
            Step::Write(bytes) => self.write(bytes),
            Step::Look(bytes) => {
                if let Err(error) = self.pump.look(bytes) {
                    self.give_up_splice(&error.to_string());
                }
                Ok(Event::Looked)
            }
            Step::FindEnding => self.find_ending(),
            Step::Delete(index) => {
                self.log_dir.delete(index)?;
                debug!(stream = %self.config.name, index, "deleted a log file");
                Ok(Event::Deleted(index))
            }
            Step::DeleteForSpace(index) => {
                let bytes = self.log_dir.delete_for_space(index)?;
                debug!(stream = %self.config.name, index, bytes, "deleted a log file for space");
                Ok(Event::DeletedForSpace { index, bytes })
            }
            Step::Rotate(RotationStep::Prepare) => {
                // While there is no file none is deleted for the sake of this one, so it may have its name
                // from the beginning.
                if self.machine.has_files() {
                    self.prepared = self.log_dir.prepare()?;
                }
                Ok(Event::Rotated(RotationStep::Prepare))
            }
            Step::Rotate(RotationStep::Publish(index)) => {
                match self.log_dir.publish(index, self.prepared.as_ref())? {
                    Published::NameTaken => {
                        debug!(stream = %self.config.name, index, "skipped an index that something else has");
                        Ok(Event::NameTaken(index))
                    }
                    Published::FolderReplaced => {
                        self.prepared = None;
                        self.failed(format!(
                            "{} was removed or replaced",
                            self.log_dir.path().display()
                        ));
                        Ok(Event::Unprepared)
                    }
                    Published::File(file) => {
                        self.current = Some(file);
                        self.prepared = None;
                        self.tell_rotation(index);
                        Ok(Event::Rotated(RotationStep::Publish(index)))
                    }
                }
            }
            Step::Hold | Step::Idle => Ok(Event::Tick),
            Step::NoIndexLeft => Err(Error::NoIndexLeft {
                path: self.log_dir.path().to_owned(),
            }),
        }
    }

    fn write(&mut self, bytes: usize) -> Result<Event, Error> {
        match self.try_write(bytes) {
            Err(error) if refuses_splice(&error) && self.pump.kind() == PumpKind::Splice => {
                self.give_up_splice("the log file refuses splice(2)");
                self.try_write(bytes)
            }
            other => other,
        }
        .map(Event::Wrote)
        .map_err(|source| Error::WriteLogFile {
            path: self.current_path(),
            source,
        })
    }

    fn try_write(&mut self, bytes: usize) -> std::io::Result<usize> {
        match &self.current {
            Some(file) => self.pump.write(file, bytes),
            None => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    /// Goes on by reading and writing, and says so.
    fn give_up_splice(&mut self, reason: &str) {
        let stream = &self.config.name;
        match self.pump.give_up_splice() {
            Ok(()) => warn!(%stream, reason, "{READ_WRITE}"),
            Err(error) => error!(%stream, reason, error = chain(&error), "{READ_WRITE}"),
        }
    }

    fn cannot_read(&self, error: &dyn std::error::Error) -> Event {
        error!(stream = %self.config.name, error = chain(error), "can't read the FIFO");
        Event::ReadFailed
    }

    /// Gives copies of the read end and the write end of the staging pipe, to be held by somebody else
    /// for the case of this process's death; none if there is no such pipe.
    pub(crate) fn staging_ends(&self) -> Result<Vec<OwnedFd>, Error> {
        let ends = self.pump.staging().into_iter().flat_map(StagingPipe::ends);
        ends.map(|end| end.try_clone_to_owned())
            .collect::<Result<_, _>>()
            .map_err(|source| Error::Staging {
                path: self.config.fifo.to_path_buf(),
                source,
            })
    }

    fn find_ending(&self) -> Result<Event, Error> {
        let is_mid_line = match &self.current {
            Some(file) => file.is_mid_line().map_err(|source| Error::WriteLogFile {
                path: self.current_path(),
                source,
            })?,
            None => false,
        };
        Ok(Event::FoundEnding { is_mid_line })
    }

    fn current_path(&self) -> std::path::PathBuf {
        self.log_dir.path().join(
            self.config
                .name
                .file_name(self.machine.current_index().unwrap_or(0)),
        )
    }

    /// Small files and a fast task must not flood the diagnostics: one in each second is told.
    fn tell_rotation(&mut self, index: u32) {
        let rotations = self.machine.counters().rotations + 1;
        let second = u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX);
        if self.told_rotation.replace(second) != Some(second) {
            info!(stream = %self.config.name, index, rotations, "began a log file");
        } else {
            debug!(stream = %self.config.name, index, rotations, "began a log file");
        }
    }

    fn tell(&self, report: Report) {
        let stream = &self.config.name;
        let dropped_in_total = self.machine.counters().dropped_bytes;
        match report {
            Report::TroubleBegan => {
                let policy = match self.config.on_full {
                    OnFull::Block => "the task waits when the pipe is full",
                    OnFull::Drop => {
                        "the oldest files are deleted for space; output is dropped if it lasts"
                    }
                };
                warn!(%stream, error = self.last_failure(), policy, "the log folder takes no bytes");
            }
            Report::TroubleEnded { lasted } => {
                info!(%stream, lasted_ms = lasted.as_millis(), "the log folder takes bytes again");
            }
            Report::DroppingBegan => {
                warn!(%stream, dropped_bytes = 0, dropped_in_total, "dropping output from now on");
            }
            Report::DroppingEnded { bytes, lasted } => {
                error!(
                    %stream,
                    dropped_bytes = bytes,
                    dropped_in_total,
                    lasted_ms = lasted.as_millis(),
                    "output was dropped"
                );
            }
            Report::DeletedForSpace { files, bytes } => {
                error!(%stream, files, bytes, "log files were deleted for space");
            }
            Report::NotRecorded => {
                warn!(%stream, error = self.last_failure(), "a loss is not recorded yet");
            }
        }
    }

    fn finished(&self) -> Collected {
        let stream = &self.config.name;
        let counters = self.machine.counters();
        let lost_bytes = self.pump.taken_bytes() + self.pump.left_bytes();
        self.tell_unrecorded();
        if lost_bytes > 0 {
            error!(%stream, lost_bytes, "stopped before the log folder took these bytes");
        }
        info!(
            %stream,
            read_bytes = counters.read_bytes,
            written_bytes = counters.written_bytes,
            dropped_bytes = counters.dropped_bytes,
            deleted_for_space_files = counters.deleted_for_space_files,
            rotations = counters.rotations,
            failures = counters.failures,
            "stopped"
        );
        Collected {
            counters,
            lost_bytes,
        }
    }
}

#[path = "opening.rs"]
mod opening;
#[path = "recording.rs"]
mod recording;
#[path = "waiting.rs"]
mod waiting;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that a stream may keep. With the 104 that the runtime adds it is 640, and the runtime rounds up
    /// to a multiple of 128.
    const MAX_BYTES: usize = 536;

    #[test]
    fn what_a_stream_keeps_while_it_waits_is_small() {
        fn bytes<F>(_: impl FnOnce(Stream, Mailbox) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = bytes(Stream::collect);
        let stream = size_of::<Stream>();
        assert!(
            bytes <= MAX_BYTES,
            "{bytes} bytes, {stream} of them the stream"
        );
    }
}
