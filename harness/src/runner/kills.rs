//! Kills logmon and whoever holds its descriptors, again and again, while the task writes. (edge)

use std::time::{Duration, Instant};

use mock_driver::stream::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::instants::{Target, instants, target};
use super::kin::Part;
use super::stage::{Expectation, Stage, Stop, millis};
use crate::finding::Shape;
use crate::observe::{Stat, command_line, has_reader, lives};
use crate::scenario::{LogmonOutcome, SignalName, Victim, part_gate};
use crate::trace::Event;

/// How long the log may take to the next instant, and everything to be back after a kill.
const SETTLE: Duration = Duration::from_secs(5);
/// The log is looked at again so soon: an instant is to be met while the bytes move.
const CLOSE: Duration = Duration::from_millis(2);

impl Stage {
    /// Kills at instants that seed and run choose, and goes on only when everything is back: two
    /// that are dead at once lose the pipe's content, and nobody is to blame for it.
    pub(super) fn kill_often(
        &mut self,
        what: Victim,
        count: u32,
        (stream, gate): (Stream, Option<&str>),
    ) -> Result<(), Stop> {
        let flood = self.expectation(stream).and_then(|all| match &*all {
            Expectation::Exact(bytes) => u64::try_from(bytes.len()).ok(),
            Expectation::Counted(bytes) => Some(*bytes),
            Expectation::Unknown => None,
        });
        let Some(bytes) = flood else {
            return Err(self.unmet(format!("a task runs of whose {stream} the size is known")));
        };
        self.await_keeper(None)?;
        let instants = instants(self.case.seed, self.run.0, count, bytes);
        for (number, at) in (0..count).zip(instants) {
            if let Some(gate) = gate.filter(|_| number > 0) {
                self.release(&part_gate(gate, number))?;
            }
            let next = gate.map(|gate| part_gate(gate, number + 1));
            self.await_instant(stream, at, next.as_deref())?;
            let target = target(what, number as usize);
            match target {
                Target::Logmon => {
                    self.signal_logmon(SignalName::Kill)?;
                    self.start_logmon(LogmonOutcome::Ready, &[], None)?;
                }
                Target::Keeper => self.kill_keepers()?,
            }
            self.await_keeper(Some(target))?;
        }
        Ok(())
    }

    /// Waits until the log holds so many bytes of a stream, or can't any more as the rest of them is
    /// lost, which the judge will say.
    fn await_instant(&mut self, stream: Stream, at: u64, closed: Option<&str>) -> Result<(), Stop> {
        let began = Instant::now();
        while began.elapsed() < SETTLE {
            let is_now = self.wait(CLOSE, |stage| {
                let logged = stage.samples.bytes[stream.index()];
                (logged >= at || stage.is_flood_over(stream, closed)).then_some(())
            })?;
            if is_now.is_some() {
                return Ok(());
            }
        }
        Err(self.unmet(format!("the log grows to {at} bytes of {stream}")))
    }

    /// Whether all that the task writes to a stream, at most as far as to a closed gate, is on its way no longer.
    fn is_flood_over(&mut self, stream: Stream, closed: Option<&str>) -> bool {
        let at = |stage: &Self| stage.generation()?.tail.progress.gate.clone();
        let waits = closed.is_some() && at(self).as_deref() == closed;
        (waits || self.is_accepted(stream, None))
            && self.fill(stream).is_none_or(|fill| fill.bytes == 0)
    }

    fn kill_keepers(&mut self) -> Result<(), Stop> {
        let mut keepers = self.keepers();
        if keepers.is_empty() {
            self.await_keeper(None)?;
            keepers = self.keepers();
        }
        for &pid in &keepers {
            // Looked at just now; one that has ended since was not killed.
            if kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
                self.trace.add(Event::KeeperKilled { pid });
            }
        }
        let are_gone = |_: &mut Self| (!keepers.iter().any(|&pid| lives(pid))).then_some(());
        match self.wait(SETTLE, are_gone)? {
            Some(()) => Ok(()),
            None => Err(self.unmet("the keeper of logmon obeys Kill".into())),
        }
    }

    /// Waits until another process of logmon holds both FIFOs. After a kill it is logmon's fault if
    /// none does; before, it may be somebody who can't be seen.
    fn await_keeper(&mut self, killed: Option<Target>) -> Result<(), Stop> {
        let began = Instant::now();
        let text = "another process of logmon holds both FIFOs".to_owned();
        if self
            .wait(SETTLE, |stage| (!stage.keepers().is_empty()).then_some(()))?
            .is_some()
        {
            let after_ms = millis(began.elapsed());
            self.trace.add(Event::Met { text, after_ms });
            return Ok(());
        }
        let last = self.who_waits();
        self.trace.add(Event::Unmet {
            text,
            within_ms: millis(SETTLE),
            last,
            otherwise: killed.map(|_| Shape::Died),
            rule: None,
            stream: None,
        });
        Err(Stop::Unmet)
    }

    /// The living processes of logmon that hold both FIFOs, its main one left out.
    fn keepers(&mut self) -> Vec<i32> {
        let Some(main) = self.running_logmon().map(|index| self.reader_of(index)) else {
            return Vec::new();
        };
        let snapshot = self.look_at_processes();
        // One that was born just now has all that its parent has, until it becomes a program of its own:
        // first its parent's words, then none, in brackets, while its descriptors are being closed.
        let own = command_line(main);
        let is_itself = |line: &str| line != own && !line.starts_with('[');
        let mut pids = self.kin.pids(&[Part::Logmon]);
        pids.retain(|&pid| {
            let is_there = snapshot.get(pid).is_some_and(Stat::lives);
            pid != main && is_there && is_itself(&command_line(pid))
        });
        for stream in Stream::BOTH {
            match self.watch(stream) {
                Some(watch) => pids.retain(|&pid| has_reader(watch.identity(), [pid])),
                None => pids.clear(),
            }
        }
        pids
    }
}
