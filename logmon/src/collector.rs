//! Edge: the streams of one task, each started, running and stopped on its own.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use fifo::Reader;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::collect::Counters;
use crate::config::StreamConfig;
use crate::error::Error;
use crate::keeper::{Keeping, Left};
use crate::mailbox::{Commander, mailbox};
use crate::pump::StagingPipe;
use crate::status::StreamStatus;
use crate::stream::{Collected, Stream};

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
    /// The stream's name.
    pub name: String,
    /// Its counters.
    pub counters: Counters,
    /// Bytes that were read and could not be written before the deadline.
    pub lost_bytes: u64,
}

#[derive(Debug)]
struct Running {
    config: StreamConfig,
    commander: Commander,
    task: JoinHandle<Collected>,
}

/// Collects streams as tasks of the runtime that it is used in. Dropping it stops them, without
/// waiting.
#[derive(Debug, Default)]
pub struct Collector {
    running: BTreeMap<String, Running>,
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
            running: BTreeMap::new(),
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
        let name = config.name.to_string();
        if let Some(running) = self
            .running
            .get_mut(&name)
            .filter(|running| !running.task.is_finished())
        {
            let limits = config.limits;
            if running.config == config {
                return Ok(Started::AlreadyRunning);
            }
            if !running.config.differs_in_limits_only(&config) {
                return Err(Error::OtherSettings { name });
            }
            running.commander.set_limits(limits);
            running.config.limits = limits;
            return Ok(Started::OtherLimits);
        }
        let stream = self.open(&config)?;
        let (commander, mailbox) = mailbox();
        let task = tokio::spawn(stream.collect(mailbox));
        let running = Running {
            config,
            commander,
            task,
        };
        self.running.insert(name, running);
        Ok(Started::Now)
    }

    /// Opens a stream with what an earlier life left, and has it kept before its first byte is moved, so
    /// that there is no time in which a death costs anything.
    fn open(&self, config: &StreamConfig) -> Result<Stream, Error> {
        let Some(keeping) = &self.keeping else {
            return Stream::open(config.clone(), None);
        };
        let held = match keeping.fetch(&config.fifo)? {
            Some(left) => take_over(config, left)?,
            None => None,
        };
        let stream = Stream::open(config.clone(), held)?;
        keeping.hold(&config.fifo, stream.staging_ends()?)?;
        Ok(stream)
    }

    /// Asks every stream how it is, in the order of their names; none for one that has ended by a panic.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn status(&self) -> Vec<(String, Option<StreamStatus>)> {
        let asked: Vec<_> = self
            .running
            .iter()
            .map(|(name, running)| (name.clone(), running.commander.ask()))
            .collect();
        let mut told = Vec::with_capacity(asked.len());
        for (name, answer) in asked {
            told.push((name, answer.await.ok()));
        }
        told
    }

    /// Waits until a stream ends although nobody stopped it, which is a bug, and forgets it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn died(&mut self) -> Error {
        let name = poll_fn(|context| {
            for (name, running) in &mut self.running {
                if Pin::new(&mut running.task).poll(context).is_ready() {
                    return Poll::Ready(name.clone());
                }
            }
            Poll::Pending
        })
        .await;
        self.running.remove(&name);
        Error::StreamDied { name }
    }

    /// Stops all streams at once: each drains its pipe and its memory and ends within 1.2 s, in the
    /// order of their names. What was drained is kept no more; what could not be written stays kept.
    ///
    /// # Errors
    /// [`Error::StreamDied`]: the task of a stream had ended by a panic; the others are stopped.
    ///
    /// # Cancel safety
    /// Not cancel safe: the summaries are lost. The streams end all the same.
    pub async fn stop(self) -> Result<Vec<Summary>, Error> {
        for running in self.running.values() {
            running.commander.stop();
        }
        let mut summaries = Vec::new();
        let mut died = None;
        for (name, running) in self.running {
            match running.task.await {
                Ok(Collected {
                    counters,
                    lost_bytes,
                }) => {
                    if let Some(keeping) = &self.keeping {
                        keeping.release(&running.config.fifo);
                    }
                    summaries.push(Summary {
                        name,
                        counters,
                        lost_bytes,
                    });
                }
                Err(_) => died = Some(Error::StreamDied { name }),
            }
        }
        died.map_or(Ok(summaries), Err)
    }
}

/// Gives the staging pipe that an earlier life left. If the path stands for another FIFO now, what lies in
/// the old one is moved there first, as much as there is room for.
fn take_over(config: &StreamConfig, left: Left) -> Result<Option<StagingPipe>, Error> {
    let staging = left
        .staging
        .map(|(read_end, write_end)| StagingPipe::from_ends(read_end, write_end));
    let kept = Reader::adopt(left.reader, &config.fifo)?;
    let is_the_same = Reader::open(&config.fifo).is_ok_and(|now| now.identity() == kept.identity());
    if is_the_same {
        return Ok(staging);
    }
    let failed = |source| Error::Staging {
        path: config.fifo.clone(),
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
