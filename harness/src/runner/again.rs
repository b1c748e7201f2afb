//! Asks a running logmon for another start of what it collects. (edge)

use std::time::Instant;

use mock_driver::stream::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command::{self, Start};
use super::kin::Part;
use super::logmon::SETTLE;
use super::spawn::{chain, end_of, spawn};
use super::stage::{Stage, Stop, millis};
use crate::capability::Capability;
use crate::scenario::Limits;
use crate::trace::{Event, Exit, StartedAgain};

/// What a shell ends with if it can't run a command, or finds none (POSIX, "Exit Status for Commands").
const CANNOT_RUN: [i32; 2] = [126, 127];

impl Stage {
    /// Asks, and waits for the answer; a logmon that can't be asked is started once more beside the running one.
    pub(super) fn start_again(&mut self, limits: Option<&Limits>) -> Result<(), Stop> {
        let can = &self.case.driver_capabilities;
        if !can.contains(&Capability::StartAgain) {
            return self.second_logmon(limits);
        }
        let Some(running) = self.running_logmon() else {
            return Err(self.unmet("a logmon runs that can be asked for another start".into()));
        };
        let number = self.lives[running].number;
        let wanted = limits.unwrap_or(&self.case.scenario.limits);
        let invocation = command::logmon(&self.case, &self.dir, wanted, Start::Again)
            .map_err(|error| Stop::Suite(chain(&error)))?;
        let [stdout, stderr] =
            Stream::BOTH.map(|stream| self.dir.output("start-again", number, stream));
        let began = Instant::now();
        let pid =
            spawn(&invocation, &stdout, &stderr).map_err(|error| Stop::Suite(chain(&error)))?;
        // The number may have been another process's before.
        self.ended.remove(&pid);
        // Whatever it leaves behind is logmon's.
        self.kin.register(pid, Part::Logmon);
        let ended = self.wait(SETTLE, |stage| {
            let exit = stage.ended.get(&pid).copied();
            // Who asks hears of the end of the running one a moment later.
            (exit.is_some() || stage.lives[running].exit.is_some()).then_some(exit)
        })?;
        let outcome = match ended {
            Some(Some(Exit::Code(0))) => StartedAgain::Done,
            Some(Some(exit)) if self.lives[running].exit.is_none() => {
                StartedAgain::Refused { exit }
            }
            // Who asks a logmon that dies of it fails as well, a moment sooner or later.
            Some(_) => StartedAgain::LogmonEnded,
            None => StartedAgain::Unanswered,
        };
        if ended.flatten().is_none() {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        let stderr = end_of(&stderr);
        if let StartedAgain::Refused {
            exit: Exit::Code(code),
        } = outcome
            && CANNOT_RUN.contains(&code)
        {
            let said = stderr.lines().last().unwrap_or_default();
            return Err(self.unmet(format!(
                "the command that asks for another start runs (it ended with {code}: {said})"
            )));
        }
        self.trace.add(Event::StartedAgain {
            limits: limits.cloned(),
            outcome,
            after_ms: millis(began.elapsed()),
            stderr,
        });
        match outcome {
            StartedAgain::Done => Ok(()),
            // The rules allow that.
            StartedAgain::Refused { .. } if limits.is_some() => Ok(()),
            StartedAgain::Refused { .. } | StartedAgain::LogmonEnded | StartedAgain::Unanswered => {
                Err(Stop::Unmet)
            }
        }
    }
}
