//! A second task beside the one that a case is about. (edge)

use std::time::{Duration, Instant};

use fifo::Reader;
use mock_driver::stream::Stream;

use super::command::SECOND;
use super::spawn::chain;
use super::stage::{Stage, Stop, millis};
use super::tail::Tail;
use crate::trace::Event;

/// The mode of its FIFOs: SEC-3.
const FIFO_MODE: u32 = 0o600;
/// How long it may take to its gate.
const STARTS: Duration = Duration::from_secs(5);

impl Stage {
    /// Has the driver start it, and waits until it stands at a gate.
    pub(super) fn start_second_task(&mut self, script: &str) -> Result<(), Stop> {
        let make = |stream: Stream| -> Result<Reader, fifo::Error> {
            let path = self.dir.second_fifo(stream);
            fifo::create(&path, FIFO_MODE)?;
            Reader::open(path)
        };
        let readers = make(Stream::Stdout).and_then(|stdout| Ok([stdout, make(Stream::Stderr)?]));
        // What such a task writes fits into its pipes. They are read until the case is over.
        self.second = Some(readers.map_err(|error| Stop::Suite(chain(&error)))?);
        let started = Instant::now();
        self.driver_for(script, SECOND)?;
        self.tell_start(script, SECOND)?;
        let [journal, _] = self.dir.second_journals();
        let mut tail = Tail::new(&journal);
        let stands = self.wait(STARTS, |_| {
            tail.read();
            tail.progress.gate.clone()
        })?;
        let Some(gate) = stands else {
            return Err(self.unmet("the second task runs beside the first".into()));
        };
        self.trace.add(Event::Met {
            text: format!("the second task waits at gate `{gate}`"),
            after_ms: millis(started.elapsed()),
        });
        Ok(())
    }
}
