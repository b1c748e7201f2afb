//! Edge: the streams of one task, each started, running and stopped on its own.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fifo::Reader;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::collect::{Counters, DRAIN_END};
use crate::config::StreamConfig;
use crate::error::Error;
use crate::fifo_end;
use crate::keeper::{Keeping, Left};
use crate::limits::Limits;
use crate::mailbox::{Commander, mailbox};
use crate::name::StreamKind;
use crate::pump::StagingPipe;
use crate::status::{Reply, StreamStatus};
use crate::storage::unless_it_hangs;
use crate::stream::{Collected, Listing, Opening, Stream};

/// How much later than its own deadline a stopping stream may end, before its storage is taken for stuck:
/// with [`DRAIN_END`] under the 2 s of MON-7.
const STOP_SLACK: Duration = Duration::from_millis(400);
/// How long the end of everything waits for starts under way while storage hangs.
pub(crate) const START_GRACE: Duration = Duration::from_millis(300);
/// How long after the order the end of everything takes a stream's storage for stuck if a start was under
/// way: what the start took comes off the slack. Under the 2 s of MON-7.
pub(crate) const END_LIMIT: Duration = START_GRACE.saturating_add(STOP_LIMIT);
/// When a stopping stream's storage is taken for stuck.
pub(crate) const STOP_LIMIT: Duration = DRAIN_END.saturating_add(STOP_SLACK);
/// How long streams are waited for when they are asked how they are.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_millis(300);

/// What a start did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// The stream runs from now on.
    Now,
    /// It ran already and was not touched (contract MON-4).
    AlreadyRunning,
    /// It ran already and keeps other limits from now on.
    OtherLimits,
}

/// What a stopped stream leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Which of the task's streams it was.
    pub kind: StreamKind,
    /// The stream's name.
    pub name: String,
    /// Its counters.
    pub counters: Counters,
    /// Bytes that were read and could not be written before the deadline.
    pub lost_bytes: u64,
}

/// A question to one stream, on its way.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) config: Arc<StreamConfig>,
    answer: oneshot::Receiver<StreamStatus>,
}

impl Asked {
    /// Waits for the answer; after the deadline only if nothing hangs.
    ///
    /// # Cancel safety
    /// Not cancel safe: the answer is lost.
    pub(crate) async fn reply(self, deadline: Instant) -> (Arc<StreamConfig>, Reply) {
        let reply = match unless_it_hangs(deadline, self.answer).await {
            Some(Ok(status)) => Reply::Status(status),
            Some(Err(_)) => Reply::Died,
            None => Reply::Stalled,
        };
        (self.config, reply)
    }
}

#[derive(Debug)]
struct Running {
    /// The stream's own settings, until it gets other limits.
    config: Arc<StreamConfig>,
    commander: Commander,
    task: JoinHandle<Collected>,
}

/// A stream whose FIFO is open and locked, with what an earlier life left in its staging pipe.
#[derive(Debug)]
struct Opened {
    config: Arc<StreamConfig>,
    opening: Opening,
    held: Option<StagingPipe>,
}

/// What came of the beginning of a start.
#[derive(Debug)]
enum Begun {
    /// It runs already.
    Runs(Started),
    Opened(Opened),
}

/// Collects the streams of one task, at most one of each kind, as tasks of the runtime that it is used
/// in. Dropping it stops them, without waiting.
#[derive(Debug, Default)]
pub struct Collector {
    /// In the order of their kinds.
    running: Vec<Running>,
    keeping: Option<Keeping>,
}

impl Collector {
    /// Makes a collector without streams.
    #[must_use]
    pub fn new() -> Collector {
        Collector::default()
    }

    /// Makes a collector without streams. If somebody keeps them, the streams to come are kept for the
    /// case of its death (contract MON-8, MON-9).
    pub(crate) fn kept_by(keeping: Option<Keeping>) -> Collector {
        Collector {
            running: Vec::new(),
            keeping,
        }
    }

    /// Starts a stream, unless it runs already; one that runs with other limits keeps the new ones from
    /// now on (contract MON-5). It does not wait for a writer (contract MON-1). The other streams are not
    /// touched, whatever comes of it.
    ///
    /// # Errors
    /// [`Error::OtherSettings`]: it runs with other settings than limits and goes on doing so.
    /// [`Error::FifoHeld`], [`Error::LogFileHeld`]: another logmon is at work. [`Error::Keeper`]: the
    /// stream can't be kept, so it does not run. The other variants name the path that can't be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one whose I/O or time is not enabled.
    pub fn start(&mut self, config: StreamConfig) -> Result<Started, Error> {
        let begun = self.begin(config)?;
        let mut listing = listing_of([&begun]);
        self.finish(begun, &mut listing)
    }

    /// Starts streams as [`Collector::start`] does, each whatever comes of the others. A folder that they
    /// share is listed once.
    ///
    /// # Panics
    /// As [`Collector::start`].
    pub(crate) fn start_each(
        &mut self,
        configs: Vec<StreamConfig>,
    ) -> Vec<(StreamKind, Result<Started, Error>)> {
        let begun: Vec<_> = configs
            .into_iter()
            .map(|config| (config.kind, self.begin(config)))
            .collect();
        let mut listing = listing_of(begun.iter().filter_map(|(_, begun)| begun.as_ref().ok()));
        begun
            .into_iter()
            .map(|(kind, begun)| {
                let started = begun.and_then(|begun| self.finish(begun, &mut listing));
                (kind, started)
            })
            .collect()
    }

    /// Does what comes before the log folder is looked at.
    fn begin(&mut self, config: StreamConfig) -> Result<Begun, Error> {
        self.check(&config)?;
        if let Some(running) = self.running_one(config.kind) {
            return Ok(Begun::Runs(running.set_limits(config.limits)));
        }
        self.open(Arc::new(config)).map(Begun::Opened)
    }

    fn finish(&mut self, begun: Begun, listing: &mut Listing) -> Result<Started, Error> {
        match begun {
            Begun::Runs(started) => Ok(started),
            Begun::Opened(opened) => {
                let (config, stream) = self.keep(opened, listing)?;
                self.launch(config, stream);
                Ok(Started::Now)
            }
        }
    }

    /// Starts the streams that do not run: all of them, or none; those that run get the limits then. No
    /// byte is read before all are open. The FIFOs come before the files of any stream, so who waits for a
    /// reader of the second one may be let in by a start that is then refused for the files of the first.
    ///
    /// # Errors
    /// As [`Collector::start`]; nothing has changed.
    ///
    /// # Panics
    /// As [`Collector::start`].
    pub(crate) fn start_together(
        &mut self,
        configs: Vec<StreamConfig>,
    ) -> Result<Vec<(StreamKind, Started)>, Error> {
        for config in &configs {
            self.check(config)?;
        }
        let kinds: Vec<StreamKind> = configs.iter().map(|config| config.kind).collect();
        let (running, new): (Vec<_>, Vec<_>) = configs
            .into_iter()
            .partition(|config| self.has(config.kind));
        let opened: Vec<Opened> = new
            .into_iter()
            .map(|config| self.open(Arc::new(config)))
            .collect::<Result<_, Error>>()?;
        let mut listing = Listing::of(opened.iter().map(|one| &one.opening));
        let mut streams = Vec::with_capacity(opened.len());
        for opened in opened {
            match self.keep(opened, &mut listing) {
                Ok(kept) => streams.push(kept),
                Err(error) => {
                    self.take_back(&streams);
                    return Err(error);
                }
            }
        }
        for (config, stream) in streams {
            self.launch(config, stream);
        }
        let changed: Vec<_> = running
            .into_iter()
            .filter_map(|config| Some((config.kind, self.set_limits(config.kind, config.limits)?)))
            .collect();
        let told = |kind| {
            let found = changed.iter().find(|(one, _)| *one == kind);
            (kind, found.map_or(Started::Now, |(_, started)| *started))
        };
        Ok(kinds.into_iter().map(told).collect())
    }

    /// What was kept for streams that are not to run is kept no more.
    fn take_back(&self, streams: &[(Arc<StreamConfig>, Stream)]) {
        if let Some(keeping) = &self.keeping {
            for (config, _) in streams {
                keeping.take_back(&config.fifo);
            }
        }
    }

    fn launch(&mut self, config: Arc<StreamConfig>, stream: Stream) {
        let kind = config.kind;
        let (commander, mailbox) = mailbox();
        // A stream gives way by itself. The runtime's way of making it do so would leave it where only the
        // thread finds it that may hang by then.
        let task = tokio::spawn(tokio::task::unconstrained(stream.collect(mailbox)));
        self.running.retain(|running| running.config.kind != kind);
        let at = self
            .running
            .partition_point(|running| running.config.kind < kind);
        let running = Running {
            config,
            commander,
            task,
        };
        self.running.reserve_exact(1);
        self.running.insert(at, running);
    }

    /// Opens the FIFO of a stream, with what an earlier life left.
    fn open(&self, config: Arc<StreamConfig>) -> Result<Opened, Error> {
        let left = match &self.keeping {
            Some(keeping) => keeping.fetch(&config.fifo)?,
            None => None,
        };
        let held = match left {
            Some(left) => take_over(&config, left)?,
            None => None,
        };
        let opening = Opening::begin(Arc::clone(&config))?;
        Ok(Opened {
            config,
            opening,
            held,
        })
    }

    /// Opens the rest, and has the stream kept before its first byte is moved, so that there is no time in
    /// which a death costs anything.
    fn keep(
        &self,
        opened: Opened,
        listing: &mut Listing,
    ) -> Result<(Arc<StreamConfig>, Stream), Error> {
        let Opened {
            config,
            opening,
            held,
        } = opened;
        let stream = opening.finish(held, listing)?;
        if let Some(keeping) = &self.keeping {
            keeping.hold(fifo_end::open_existing(&config)?, stream.staging_ends()?)?;
        }
        Ok((config, stream))
    }

    /// Finds out whether a start would be refused because the stream runs with other settings.
    ///
    /// # Errors
    /// [`Error::OtherSettings`].
    pub(crate) fn check(&self, config: &StreamConfig) -> Result<(), Error> {
        match self.configs().find(|running| running.kind == config.kind) {
            Some(running) => running.difference(config).map_or(Ok(()), |what| {
                Err(Error::OtherSettings {
                    name: running.name.to_string(),
                    what,
                })
            }),
            None => Ok(()),
        }
    }

    /// True when a stream of this kind runs.
    pub(crate) fn has(&self, kind: StreamKind) -> bool {
        self.configs().any(|config| config.kind == kind)
    }

    /// True when nothing runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.configs().next().is_none()
    }

    /// Gives the settings of the streams that run.
    pub(crate) fn configs(&self) -> impl Iterator<Item = &StreamConfig> {
        self.running
            .iter()
            .filter(|running| !running.task.is_finished())
            .map(|running| &*running.config)
    }

    /// Gives the stream other limits, if it runs.
    pub(crate) fn set_limits(&mut self, kind: StreamKind, limits: Limits) -> Option<Started> {
        Some(self.running_one(kind)?.set_limits(limits))
    }

    fn running_one(&mut self, kind: StreamKind) -> Option<&mut Running> {
        self.running
            .iter_mut()
            .find(|running| running.config.kind == kind && !running.task.is_finished())
    }

    /// Asks every stream how it is, those too that have ended by a panic.
    pub(crate) fn ask(&self) -> Vec<Asked> {
        let ask = |running: &Running| Asked {
            config: Arc::clone(&running.config),
            answer: running.commander.ask(),
        };
        self.running.iter().map(ask).collect()
    }

    /// Tells how every stream is, stdout first. Those that do not answer within 300 ms while a call to a
    /// file system hangs are told as stalled.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn status(&self) -> Vec<(StreamKind, Reply)> {
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut told = Vec::new();
        for asked in self.ask() {
            let (config, reply) = asked.reply(deadline).await;
            told.push((config.kind, reply));
        }
        told
    }

    /// Waits until a stream ends although nobody stopped it, which is a bug, and forgets it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn died(&mut self) -> Error {
        let at = poll_fn(|context| {
            for (at, running) in self.running.iter_mut().enumerate() {
                if Pin::new(&mut running.task).poll(context).is_ready() {
                    return Poll::Ready(at);
                }
            }
            Poll::Pending
        })
        .await;
        let name = self.running.remove(at).config.name.to_string();
        Error::StreamDied { name }
    }

    /// Tells all streams to stop, without waiting.
    pub(crate) fn begin_stop(&self) {
        for running in &self.running {
            running.commander.stop();
        }
    }

    /// Stops all streams at once: each drains its pipe and its memory and ends within 1.2 s. The
    /// summaries come stdout first. What was drained is kept no more; what could not be written stays
    /// kept.
    ///
    /// # Errors
    /// The other streams are stopped all the same.
    /// - [`Error::StreamDied`]: the task of a stream had ended by a panic.
    /// - [`Error::StorageStuck`]: a stream had not ended after 1.6 s, and a call to a file system does not
    ///   return (contract MON-7). It ends when that does; until then its FIFO and file stay open.
    ///
    /// # Cancel safety
    /// Not cancel safe: the summaries are lost. The streams end all the same.
    pub async fn stop(self) -> Result<Vec<Summary>, Error> {
        self.stop_by(Instant::now() + STOP_LIMIT).await
    }

    /// Stops all streams as [`Collector::stop`] does. Those that have not ended at the deadline while a call
    /// hangs are left to end later.
    ///
    /// # Errors
    /// As [`Collector::stop`].
    pub(crate) async fn stop_by(self, deadline: Instant) -> Result<Vec<Summary>, Error> {
        self.begin_stop();
        let mut summaries = Vec::new();
        let mut failure = None;
        for mut running in self.running {
            let config = running.config;
            let (kind, name) = (config.kind, config.name.to_string());
            let Some(ended) = unless_it_hangs(deadline, &mut running.task).await else {
                let keeping = self.keeping.clone();
                tokio::spawn(end_later(running.task, keeping, Arc::clone(&config)));
                failure = Some(Error::StorageStuck {
                    name,
                    path: config.log_dir.to_path_buf(),
                });
                continue;
            };
            match ended {
                Ok(Collected {
                    counters,
                    lost_bytes,
                }) => {
                    if let Some(keeping) = &self.keeping {
                        keeping.release(&config.fifo);
                    }
                    summaries.push(Summary {
                        kind,
                        name,
                        counters,
                        lost_bytes,
                    });
                }
                Err(_) => failure = Some(Error::StreamDied { name }),
            }
        }
        failure.map_or(Ok(summaries), Err)
    }
}

/// Waits for a stream that could not end in time. It has been told to stop, and drains when its storage
/// answers again.
async fn end_later(
    task: JoinHandle<Collected>,
    keeping: Option<Keeping>,
    config: Arc<StreamConfig>,
) {
    let stream = &config.name;
    match task.await {
        Ok(Collected { lost_bytes, .. }) => {
            if let Some(keeping) = keeping {
                keeping.release(&config.fifo);
            }
            info!(%stream, lost_bytes, "stopped at last");
        }
        Err(_) => warn!(%stream, "ended by a bug of logmon; please report it"),
    }
}

impl Running {
    fn set_limits(&mut self, limits: Limits) -> Started {
        if self.config.limits == limits {
            return Started::AlreadyRunning;
        }
        Arc::make_mut(&mut self.config).limits = limits;
        self.commander.set_limits(limits);
        Started::OtherLimits
    }
}

fn listing_of<'a>(begun: impl IntoIterator<Item = &'a Begun>) -> Listing {
    Listing::of(begun.into_iter().filter_map(|begun| match begun {
        Begun::Runs(_) => None,
        Begun::Opened(opened) => Some(&opened.opening),
    }))
}

/// Nothing has the name of the FIFO.
fn is_missing(error: &fifo::Error) -> bool {
    use std::io::ErrorKind::NotFound;
    matches!(error, fifo::Error::Inspect { source, .. } if source.kind() == NotFound)
}

/// Gives the staging pipe that an earlier life left. If the path stands for another FIFO now, what lies in
/// the old one is moved there first, as much as there is room for.
fn take_over(config: &StreamConfig, left: Left) -> Result<Option<StagingPipe>, Error> {
    let staging = left
        .staging
        .map(|(read_end, write_end)| StagingPipe::from_ends(read_end, write_end));
    let kept = Reader::adopt(left.reader, &config.fifo)?;
    let is_the_same = match fifo_end::open_existing(config) {
        Ok(now) => now.identity() == kept.identity(),
        Err(Error::Fifo(error)) if is_missing(&error) => false,
        // The start is refused, and what is kept stays as it is for a later one.
        Err(error) => return Err(error),
    };
    if is_the_same {
        return Ok(staging);
    }
    let failed = |source| Error::Staging {
        path: config.fifo.to_path_buf(),
        source,
    };
    let staging = staging.map_or_else(StagingPipe::new, Ok).map_err(failed)?;
    staging.raise();
    let mut moved_bytes = 0;
    loop {
        match staging
            .take_from(&kept, kept.fill_level()?)
            .map_err(failed)?
        {
            0 => break,
            bytes => moved_bytes += bytes,
        }
    }
    let lost_bytes = kept.fill_level()?;
    let stream = &config.name;
    warn!(%stream, moved_bytes, lost_bytes, "another FIFO has the path now; the old one is drained and given up");
    Ok(Some(staging))
}

#[cfg(test)]
#[path = "collector_tests.rs"]
mod tests;
