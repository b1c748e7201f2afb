//! What happens after the plan: everything ends, and what is left is looked at. (edge)

use std::fs;
use std::time::Duration;

use mock_driver::stream::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::kin::Part;
use super::plants::Planted;
use super::stage::{Stage, Stop};
use crate::case::CaseDir;
use crate::observe::{command_line, standing};
use crate::trace::{Event, Holder};

/// How long the driver may take to end after the plan.
const DRIVER_ENDS: Duration = Duration::from_secs(15);
/// How long a driver is given whose plan was cut short.
const DRIVER_ENDS_EARLY: Duration = Duration::from_secs(1);
/// How long the log may take to hold everything.
const LOG_SETTLES: Duration = Duration::from_secs(5);
/// A log that has not changed for so long will not change any more.
const LOG_IS_QUIET: Duration = Duration::from_millis(300);
/// How long a child of the task that outlives it may hold its streams.
const TASK_CHILDREN: Duration = Duration::from_secs(10);
/// How long logmon may take to stop: the 2 s of MON-7, and one for a loaded machine.
const LOGMON_STOPS_MS: u64 = 3_000;
/// The time for the end of a case, if its plan left as much.
const MOST_FOR_THE_END: Duration = Duration::from_secs(40);
/// The time for the end of a case that used up its plan's time.
const LEAST_FOR_THE_END: Duration = Duration::from_secs(4);
/// How long killed processes may take to vanish.
const KILLED: Duration = Duration::from_secs(3);

impl Stage {
    /// Ends everything in order after a plan that was played to its end, or was cut short by
    /// something that was not met.
    pub(super) fn finish(&mut self, is_complete: bool, planted: &[Planted]) -> Result<(), Stop> {
        self.continue_logmons();
        self.mend_all()?;
        if is_complete {
            self.record_holders("end of the plan");
            // A late driver is in the trace; the rest is looked at all the same.
            match self.await_last_exit(DRIVER_ENDS) {
                Ok(()) | Err(Stop::Unmet) => {}
                Err(stop) => return Err(stop),
            }
            self.await_release()?;
            self.await_log()?;
        } else {
            self.end_driver_early()?;
        }
        self.close_adapter()?;
        self.stop_logmon(LOGMON_STOPS_MS)?;
        self.spare = None;
        if is_complete {
            self.run_directly()?;
        }
        self.poll()?;
        self.record_sent();
        self.record_logged();
        self.record_look("end");
        self.record_fifos("end");
        for (path, what) in planted.iter().flat_map(Planted::differences) {
            self.trace.add(Event::PlantTouched { path, what });
        }
        self.record_left_behind(is_complete)
    }

    /// The host cut the plan short, so nothing here is the driver's fault.
    fn end_driver_early(&mut self) -> Result<(), Stop> {
        let running = self
            .generation()
            .filter(|one| one.exit.is_none())
            .map(|one| one.number);
        let Some(generation) = running else {
            return Ok(());
        };
        self.ask_to_stop(generation, super::stage::millis(DRIVER_ENDS_EARLY));
        let gone = |stage: &mut Self| stage.generation()?.exit.map(|_| ());
        match self.wait(DRIVER_ENDS_EARLY, gone)? {
            Some(()) => Ok(()),
            None => self.kill_driver(),
        }
    }

    /// Waits until nobody but logmon holds a write end. Children of the task get more time: the
    /// driver's time begins when the last of them has ended.
    fn await_release(&mut self) -> Result<(), Stop> {
        let Some(generation) = self.generation().map(|generation| generation.number) else {
            return Ok(());
        };
        let limit = Duration::from_millis(self.case.scenario.expect.release_ms);
        let late = self.wait(limit + TASK_CHILDREN, |stage| {
            let is_released = stage
                .generation()
                .is_none_or(|generation| generation.is_released);
            let since = stage.release_owed_since().unwrap_or(stage.task_seen);
            (is_released || since.elapsed() > limit).then_some(!is_released)
        })?;
        if late.unwrap_or(true) {
            let mut holders: Vec<Holder> = Vec::new();
            for stream in Stream::BOTH {
                holders.extend(
                    self.holders_anywhere(stream)
                        .into_iter()
                        .filter(|holder| holder.writes),
                );
            }
            self.trace.add(Event::WriteEndsReleased {
                generation,
                after_ms: None,
                holders,
            });
        }
        Ok(())
    }

    /// Waits until the log holds everything, or nothing more can be expected.
    fn await_log(&mut self) -> Result<(), Stop> {
        if self.running_logmon().is_none() || self.generations.is_empty() {
            return Ok(());
        }
        self.wait(LOG_SETTLES, |stage| {
            let is_drained =
                |stage: &mut Self, stream| stage.fill(stream).is_none_or(|fill| fill.bytes == 0);
            let is_done = |stage: &mut Self, stream| {
                is_drained(stage, stream) && stage.is_logged(stream, None)
            };
            let all_done = Stream::BOTH
                .into_iter()
                .all(|stream| is_done(stage, stream));
            let is_quiet = stage.samples.changed_at.elapsed() >= LOG_IS_QUIET
                && stage.driver_ended_before(LOG_IS_QUIET)
                && Stream::BOTH
                    .into_iter()
                    .all(|stream| is_drained(stage, stream));
            (all_done || is_quiet).then_some(())
        })?;
        Ok(())
    }

    fn driver_ended_before(&self, time: Duration) -> bool {
        let exit = self.generation().and_then(|generation| generation.exit);
        exit.is_none_or(|(_, at)| at.elapsed() >= time)
    }

    /// Kills what still lives. After a plan that was cut short this is the host's own doing.
    fn record_left_behind(&mut self, is_complete: bool) -> Result<(), Stop> {
        let living = |stage: &mut Self| -> Vec<i32> {
            let snapshot = stage.look_at_processes();
            snapshot
                .descendants(stage.me)
                .iter()
                .filter(|stat| stat.lives())
                .map(|stat| stat.pid)
                .collect()
        };
        if is_complete && !living(self).is_empty() {
            // Processes that hold nothing any more have as long as those that hold write ends.
            let limit = Duration::from_millis(self.case.scenario.expect.release_ms);
            self.wait(limit, |stage| living(stage).is_empty().then_some(()))?;
            for pid in living(self) {
                let part = self.kin.part(pid).map_or("", Part::as_str).to_owned();
                self.trace.add(Event::LeftBehind {
                    pid,
                    command: command_line(pid),
                    part,
                });
            }
        }
        if !self.kill_all() {
            return Err(Stop::Suite(
                "processes of the case do not end when they are killed".into(),
            ));
        }
        Ok(())
    }

    /// Kills every descendant until none is left; says whether that was reached.
    pub(super) fn kill_all(&mut self) -> bool {
        self.is_killing = true;
        let started = std::time::Instant::now();
        loop {
            let snapshot = self.look_at_processes();
            let living = snapshot.descendants(self.me);
            for stat in living.iter().filter(|stat| stat.lives()) {
                kill(Pid::from_raw(stat.pid), Signal::SIGKILL).ok();
            }
            self.reap();
            if living.is_empty() {
                return true;
            }
            if started.elapsed() > KILLED {
                return false;
            }
            self.pause(Duration::from_millis(1));
        }
    }

    /// Removes the FIFOs: a folder that is kept must not block whoever reads its files.
    pub(super) fn remove_fifos(&self) {
        remove_fifos(&self.dir);
    }

    /// Beyond the plan's own limit the end of a case still has some seconds, as little as may be
    /// left of them.
    pub(super) fn grant_time_to_finish(&mut self, is_complete: bool) {
        let most = if is_complete {
            MOST_FOR_THE_END
        } else {
            LEAST_FOR_THE_END
        };
        let at_most = self.limit + LEAST_FOR_THE_END;
        self.limit = (self.began.elapsed() + most).min(at_most);
    }
}

/// Removes every FIFO and socket that lies where a case makes them.
pub(super) fn remove_fifos(dir: &CaseDir) {
    for folder in ["fifo", "elsewhere", "keep"].map(|name| dir.path().join(name)) {
        // A link that a subject put there leads to what is not the case's own.
        if !folder.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
            continue;
        }
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if matches!(standing(&path).kind, "fifo" | "socket") {
                // Whoever took it away meanwhile did the same.
                fs::remove_file(&path).ok();
            }
        }
    }
}
