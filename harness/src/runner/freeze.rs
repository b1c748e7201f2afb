//! A driver that stands still for a while. (edge)

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::kin::Part;
use super::stage::{Stage, Stop};
use crate::observe::{is_stopped, lives};
use crate::trace::Event;

/// How long processes may take to stand still.
const SETTLE: Duration = Duration::from_secs(5);

impl Stage {
    /// Stops what the driver consists of. A driver that became its task by exec(2) is no driver any more.
    pub(super) fn freeze_driver(&mut self) -> Result<(), Stop> {
        let writer = self.generation().and_then(|one| one.tail.progress.writer);
        self.look_at_processes();
        let mut pids = self.kin.pids(&[Part::Driver]);
        pids.retain(|pid| writer.is_none_or(|(task, _)| task != *pid));
        for pid in &pids {
            // The last look was just now, and whoever has ended since is not reaped by anybody but its parent.
            kill(Pid::from_raw(*pid), Signal::SIGSTOP).ok();
        }
        self.trace.add(Event::DriverFrozen { pids: pids.clone() });
        let stand_still = |_: &mut Self| {
            let is_still = |pid: &i32| is_stopped(*pid) || !lives(*pid);
            pids.iter().all(is_still).then_some(())
        };
        if self.wait(SETTLE, stand_still)?.is_none() {
            return Err(self.unmet("the driver's processes stand still".into()));
        }
        // What stands still can't end by itself, so the number stays its own.
        pids.retain(|pid| is_stopped(*pid));
        self.frozen = pids;
        if self.frozen.is_empty() {
            return Err(self.unmet("a process of the driver stands still beside the task".into()));
        }
        Ok(())
    }

    /// Lets them go on.
    pub(super) fn thaw_driver(&mut self) {
        for pid in std::mem::take(&mut self.frozen) {
            kill(Pid::from_raw(pid), Signal::SIGCONT).ok();
        }
        self.trace.add(Event::DriverThawed {});
    }
}
