//! Reads what a task uses, when asked, and not more often than that makes sense (edge).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::clock::{Clock, SystemClock};
use super::error::StatsError;
use super::meter::{Meter, Reading};
use super::pause::Pause;
use super::processes;
use super::sample::{Moment, Sample};
use super::schedule::Interval;
use super::source::PidSource;
use super::stream::Samples;
use super::units::Machine;

/// Whether swap is measured. It needs a third file of each process, and the one that costs most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapDetail {
    /// It is.
    Measured,
    /// It is `None` in all samples.
    LeftOut,
}

/// Measures one task for any number of askers, which get the same samples where their intervals allow it. A
/// percentage is over the time since the last sample, whoever asked for that.
pub struct Sampler {
    machine: Machine,
    swap: SwapDetail,
    clock: Box<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    source: Box<dyn PidSource>,
    meter: Meter,
    last: Option<Arc<Sample>>,
}

impl Sampler {
    /// Gives a sampler of these processes, with the clocks of the system.
    #[must_use]
    pub fn new(source: Box<dyn PidSource>, machine: Machine, swap: SwapDetail) -> Sampler {
        Sampler::with_clock(source, machine, swap, Box::new(SystemClock::new()))
    }

    /// Gives a sampler with a clock of one's own.
    #[must_use]
    pub fn with_clock(
        source: Box<dyn PidSource>,
        machine: Machine,
        swap: SwapDetail,
        clock: Box<dyn Clock>,
    ) -> Sampler {
        Sampler {
            machine,
            swap,
            clock,
            state: Mutex::new(State {
                source,
                meter: Meter::new(machine.processors),
                last: None,
            }),
        }
    }

    /// Gives a sample for whoever asks at this interval. It is the last one if that is younger than half of the
    /// interval and than 5 s, and a new one otherwise; at the same instant it is always the last one. It blocks
    /// while the files are read, and while another asker does so.
    ///
    /// # Errors
    /// Those of the source, and [`StatsError::ReadProcess`] or [`StatsError::Parse`] for a process that lives and
    /// can't be read. A process that has ended meanwhile is none. After an error the next sample goes on from
    /// the last good one.
    pub fn sample(&self, interval: Interval) -> Result<Arc<Sample>, StatsError> {
        // What is in there is changed only when all has been read, so a panic leaves it whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now().monotonic;
        if let Some(last) = &state.last
            && interval.allows(last.taken.monotonic, now)
        {
            return Ok(Arc::clone(last));
        }
        let reading = self.read(state.source.as_mut())?;
        let sample = Arc::new(state.meter.take(&reading));
        state.last = Some(Arc::clone(&sample));
        Ok(sample)
    }

    /// Gives a sample at once and one after each interval, until the pause is cancelled.
    pub fn samples<P: Pause>(self: &Arc<Self>, interval: Interval, pause: P) -> Samples<P> {
        Samples::new(Arc::clone(self), interval, pause)
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    fn read(&self, source: &mut dyn PidSource) -> Result<Reading, StatsError> {
        let listing = source.list()?;
        // The moment belongs to the counter: between the two nothing is done.
        let taken = self.clock.now();
        let group = source.cpu()?;
        let mut processes = Vec::with_capacity(listing.pids.len());
        for pid in listing.pids {
            processes.extend(processes::read(pid, &self.machine, self.swap)?);
        }
        Ok(Reading {
            taken,
            processes,
            hidden: listing.hidden,
            group,
            has_swap: self.swap == SwapDetail::Measured,
        })
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler")
            .field("machine", &self.machine)
            .field("swap", &self.swap)
            .finish_non_exhaustive()
    }
}
