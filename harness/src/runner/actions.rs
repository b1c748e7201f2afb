//! Does what a plan says, step by step. (edge)

use std::fs::File;
use std::time::{Duration, Instant};

use fifo::Reader;
use mock_driver::journal::Role;
use mock_driver::stream::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::kin::Part;
use super::logmon::as_signal;
use super::point::{Point, join};
use super::spawn::chain;
use super::stage::{Generation, Stage, Stop};
use super::tail::Tail;
use super::words;
use crate::observe::{is_at_rest, is_stopped, lives, resources};
use crate::scenario::{Action, SignalName, Size, Step, Who};
use crate::trace::Event;

/// How long the task's first line of its journal may take when a step needs its process.
const TASK_BEGINS: Duration = Duration::from_secs(5);
/// How long a subject may take to come to rest before it is measured.
const COMES_TO_REST: Duration = Duration::from_secs(10);
/// In how many looks in a row it has to rest: between two of its steps it may be waiting for a moment.
const LOOKS_AT_REST: u32 = 3;

impl Stage {
    /// Plays steps in order; the first that fails ends the plan.
    pub(super) fn play(&mut self, steps: &[Step], path: &str) -> Result<(), Stop> {
        for (index, step) in steps.iter().enumerate() {
            let path = join(path, index + 1);
            self.hold_at(&Point::Before(path.clone()))?;
            if self.time_left().is_zero() {
                return Err(self.unmet(format!("the plan ends within {} s", self.limit.as_secs())));
            }
            self.trace.add(Event::Step {
                path: path.clone(),
                text: words::action(&step.action),
            });
            self.act(&step.action, &path)?;
            self.hold_at(&Point::After(path))?;
        }
        Ok(())
    }

    fn act(&mut self, action: &Action, path: &str) -> Result<(), Stop> {
        match action {
            Action::StartLogmon {
                expect,
                words,
                limits,
            } => self.start_logmon(*expect, words, limits.as_ref()),
            Action::SecondLogmon { limits } => self.second_logmon(limits.as_ref()),
            Action::StartAgain { limits } => self.start_again(limits.as_ref()),
            Action::StopLogmon { within_ms } => self.stop_logmon(*within_ms),
            Action::SignalLogmon { signal } => self.signal_logmon(*signal),
            Action::StartTask { script } => self.start_task(script),
            Action::StartSecondTask { script } => self.start_second_task(script),
            Action::StopDriver { within_ms } => self.stop_driver(*within_ms),
            Action::SignalTask { signal } => self.signal_task(*signal),
            Action::DetachDriver {} => self.detach_driver(),
            Action::KillDriver {} => self.kill_adapter(),
            Action::FreezeDriver {} => self.freeze_driver(),
            Action::ThawDriver {} => {
                self.thaw_driver();
                Ok(())
            }
            Action::RecoverDriver {} => self.recover_driver(),
            Action::AwaitExit { within_ms } => self.await_exit(Duration::from_millis(*within_ms)),
            Action::Release { gate } => self.release(gate),
            Action::Await(wait) => self.await_condition(wait),
            Action::Elapse { ms, .. } => self
                .wait(Duration::from_millis(*ms), |_| None::<()>)
                .map(|_| ()),
            Action::HoldReader { pipe_bytes } => self.hold_reader(*pipe_bytes),
            Action::DropReader {} => {
                self.spare = None;
                self.trace.add(Event::SpareReader { held: false });
                Ok(())
            }
            Action::Look {} => {
                self.record_look("plan");
                Ok(())
            }
            Action::Measure { of } => self.measure(*of),
            Action::Break { what } => self.break_host(*what),
            Action::Mend { what } => self.mend_host(*what),
            Action::KillOften {
                what,
                count,
                stream,
                gate,
            } => self.kill_often(*what, *count, (*stream, gate.as_deref())),
            Action::ManyTasks { step } => self.many_tasks(*step),
            Action::Repeat { times, plan } => {
                (0..*times).try_for_each(|round| self.play(plan, &format!("{path}.{round}")))
            }
        }
    }

    fn start_task(&mut self, script: &str) -> Result<(), Stop> {
        let number = u32::try_from(self.generations.len()).unwrap_or(u32::MAX);
        let pid = self.driver_for(script, number)?;
        self.trace.add(Event::DriverStarted {
            generation: number,
            pid,
            script: script.to_owned(),
        });
        self.generations.push(Generation {
            number,
            pid,
            script: script.to_owned(),
            tail: Tail::new(&self.dir.task_journal(number)),
            exit: None,
            task_gone: None,
            is_lost: false,
            holders_recorded: false,
            is_released: false,
        });
        self.task_seen = Instant::now();
        self.tell_start(script, number)
    }

    /// Asks the driver to stop the task.
    pub(super) fn stop_driver(&mut self, within_ms: u64) -> Result<(), Stop> {
        let Some(generation) = self
            .generation()
            .filter(|generation| generation.exit.is_none())
        else {
            return Ok(());
        };
        let number = generation.number;
        self.ask_to_stop(number, within_ms);
        let gone = self.wait(Duration::from_millis(within_ms), Self::driver_gone)?;
        if gone.is_none() {
            self.driver_overdue(within_ms)?;
            return Err(Stop::Unmet);
        }
        Ok(())
    }

    fn driver_gone(&mut self) -> Option<()> {
        self.generation()?.exit.map(|_| ())
    }

    /// Records that the driver is late, with who waits for whom, and kills it with all it started.
    fn driver_overdue(&mut self, within_ms: u64) -> Result<(), Stop> {
        let Some(generation) = self.generation().map(|generation| generation.number) else {
            return Ok(());
        };
        let last = self.who_waits();
        self.trace.add(Event::DriverOverdue {
            generation,
            within_ms,
            last,
        });
        self.kill_driver()
    }

    /// Kills the driver and everything that it and the task started.
    pub(super) fn kill_driver(&mut self) -> Result<(), Stop> {
        self.is_killing = true;
        for _ in 0..2 {
            // Twice: a process may start another between the look and the kill.
            self.look_at_processes();
            for pid in self.kin.pids(&[Part::Driver, Part::Task]) {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
        self.wait(Duration::from_secs(2), Self::driver_gone)?;
        Ok(())
    }

    fn await_exit(&mut self, limit: Duration) -> Result<(), Stop> {
        if self.generations.is_empty() {
            return Err(self.unmet("a driver was started".into()));
        }
        match self.wait(limit, Self::driver_gone)? {
            Some(()) => Ok(()),
            None => {
                self.driver_overdue(super::stage::millis(limit))?;
                Err(Stop::Unmet)
            }
        }
    }

    /// The end of the last driver, after the plan.
    pub(super) fn await_last_exit(&mut self, limit: Duration) -> Result<(), Stop> {
        match self.generation() {
            Some(generation) if generation.exit.is_none() => self.await_exit(limit),
            Some(_) | None => Ok(()),
        }
    }

    fn signal_task(&mut self, signal: SignalName) -> Result<(), Stop> {
        let writer = |stage: &mut Self| stage.generation()?.tail.progress.writer;
        let Some((pid, role)) = self.wait(TASK_BEGINS, writer)? else {
            return Err(self.unmet("the task runs and can be sent a signal".into()));
        };
        let snapshot = self.look_at_processes();
        // The number comes from a file: only a process of this case is ever sent a signal.
        let is_of_this_case = snapshot
            .descendants(self.me)
            .iter()
            .any(|stat| stat.pid == pid);
        let Some(generation) = self.generation().map(|generation| generation.number) else {
            return Ok(());
        };
        if !is_of_this_case || !lives(pid) || role == Role::Driver {
            return Err(self.unmet(format!("the task's process {pid} lives below this one")));
        }
        kill(Pid::from_raw(pid), as_signal(signal)).ok();
        self.trace.add(Event::TaskSignalled { generation, signal });
        if signal == SignalName::Stop {
            let stopped = self.wait(TASK_BEGINS, |_| is_stopped(pid).then_some(()))?;
            return stopped.ok_or_else(|| self.unmet("the task is stopped".into()));
        }
        Ok(())
    }

    pub(super) fn release(&mut self, gate: &str) -> Result<(), Stop> {
        File::create(self.dir.gates().join(gate))
            .map_err(|error| Stop::Suite(format!("open the gate {gate}: {error}")))?;
        self.trace.add(Event::Released {
            gate: gate.to_owned(),
        });
        Ok(())
    }

    fn hold_reader(&mut self, pipe_bytes: Option<Size>) -> Result<(), Stop> {
        let open = |stream: Stream| -> Result<Reader, fifo::Error> {
            let reader = Reader::open(self.dir.fifo(stream))?;
            if let Some(Size(bytes)) = pipe_bytes {
                reader.set_capacity(usize::try_from(bytes).unwrap_or(usize::MAX))?;
            }
            Ok(reader)
        };
        let readers = open(Stream::Stdout).and_then(|stdout| Ok([stdout, open(Stream::Stderr)?]));
        self.spare = Some(readers.map_err(|error| Stop::Suite(chain(&error)))?);
        self.trace.add(Event::SpareReader { held: true });
        Ok(())
    }

    fn measure(&mut self, of: Who) -> Result<(), Stop> {
        if of == Who::Driver {
            // What it holds for a task that it is about to forget is no growth.
            self.await_orders()?;
        }
        let parts: &[Part] = match of {
            Who::Logmon => &[Part::Logmon],
            Who::Driver => &[Part::Driver, Part::Task],
        };
        // Whoever is in the middle of something holds more than it keeps. One that never rests is measured all the same.
        let mut looks = 0;
        self.wait(COMES_TO_REST, |stage| {
            stage.look_at_processes();
            let rests = stage.kin.pids(parts).into_iter().all(is_at_rest);
            looks = if rests { looks + 1 } else { 0 };
            (looks == LOOKS_AT_REST).then_some(())
        })?;
        let used = resources(&self.kin.pids(parts));
        self.trace.add(Event::Measured {
            of,
            processes: used.processes,
            fds: used.fds,
            threads: used.threads,
            rss_kib: used.rss_kib,
            wakeups: used.wakeups,
        });
        Ok(())
    }
}
