//! Edge: the streams of one task, each started, running and stopped on its own.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::collect::Counters;
use crate::config::StreamConfig;
use crate::error::Error;
use crate::stream::{Collected, Stream};

/// What a start did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// The stream runs from now on.
    Now,
    /// It ran already and was not touched (contract MON-4).
    AlreadyRunning,
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
    stop: watch::Sender<bool>,
    task: JoinHandle<Collected>,
}

/// Collects streams as tasks of the runtime that it is used in. Dropping it stops them, without
/// waiting.
#[derive(Debug, Default)]
pub struct Collector {
    running: BTreeMap<String, Running>,
}

impl Collector {
    /// Makes a collector without streams.
    #[must_use]
    pub fn new() -> Collector {
        Collector::default()
    }

    /// Starts a stream, unless it runs already. It does not wait for a writer (contract MON-1). The other
    /// streams are not touched, whatever comes of it.
    ///
    /// # Errors
    /// [`Error::OtherSettings`]: it runs with other settings and goes on doing so (contract MON-5).
    /// [`Error::FifoHeld`], [`Error::LogFileHeld`]: another logmon is at work. The other variants name
    /// the path that can't be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one whose I/O or time is not enabled.
    pub fn start(&mut self, config: StreamConfig) -> Result<Started, Error> {
        let name = config.name.to_string();
        if let Some(running) = self
            .running
            .get(&name)
            .filter(|running| !running.task.is_finished())
        {
            return if running.config == config {
                Ok(Started::AlreadyRunning)
            } else {
                Err(Error::OtherSettings { name })
            };
        }
        let stream = Stream::open(config.clone())?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(stream.collect(stopped));
        self.running.insert(name, Running { config, stop, task });
        Ok(Started::Now)
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
    /// order of their names.
    ///
    /// # Errors
    /// [`Error::StreamDied`]: the task of a stream had ended by a panic; the others are stopped.
    ///
    /// # Cancel safety
    /// Not cancel safe: the summaries are lost. The streams end all the same.
    pub async fn stop(self) -> Result<Vec<Summary>, Error> {
        for running in self.running.values() {
            running.stop.send_replace(true);
        }
        let mut summaries = Vec::new();
        let mut died = None;
        for (name, running) in self.running {
            match running.task.await {
                Ok(Collected {
                    counters,
                    lost_bytes,
                }) => summaries.push(Summary {
                    name,
                    counters,
                    lost_bytes,
                }),
                Err(_) => died = Some(Error::StreamDied { name }),
            }
        }
        died.map_or(Ok(summaries), Err)
    }
}
