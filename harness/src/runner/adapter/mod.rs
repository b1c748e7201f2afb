//! The seam between the plan and the driver: a command for each generation, or one program that is
//! spoken to. (edge)

mod recovery;
mod stdio;

use mock_driver::stream::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(super) use self::stdio::Stdio;
use super::command;
use super::kin::Part;
use super::spawn::{chain, spawn};
use super::stage::{Stage, Stop};
use crate::adapter::AdapterKind;
use crate::trace::Event;

impl Stage {
    /// The process that stands for the driver of a new generation.
    pub(super) fn driver_for(&mut self, script: &str, number: u32) -> Result<i32, Stop> {
        match self.case.adapter {
            AdapterKind::Command => {
                let invocation = command::driver(&self.case, &self.dir, script, number)
                    .map_err(|error| Stop::Suite(chain(&error)))?;
                let strace = self.case.strace.then(|| self.dir.strace("driver", number));
                let invocation = invocation.traced(strace.as_deref());
                let [stdout, stderr] =
                    Stream::BOTH.map(|stream| self.dir.output("driver", number, stream));
                let pid = spawn(&invocation, &stdout, &stderr)
                    .map_err(|error| Stop::Suite(chain(&error)))?;
                self.kin.register(pid, Part::Driver);
                Ok(pid)
            }
            AdapterKind::Stdio => self.adapter_for(number),
        }
    }

    /// Tells a driver that is spoken to of a new generation. A command knows by its arguments.
    pub(super) fn tell_start(&mut self, script: &str, number: u32) -> Result<(), Stop> {
        match self.case.adapter {
            AdapterKind::Command => Ok(()),
            AdapterKind::Stdio => {
                let request = command::start(&self.case, &self.dir, script, number);
                self.start_over_stdio(number, &request);
                Ok(())
            }
        }
    }

    /// Asks the driver to stop the task of a generation. Does not wait.
    pub(super) fn ask_to_stop(&mut self, number: u32, within_ms: u64) {
        self.trace
            .add(Event::DriverStopAsked { generation: number });
        match self.case.adapter {
            AdapterKind::Command => {
                let driver = self.generations.iter().find(|one| one.number == number);
                if let Some(driver) = driver.filter(|driver| driver.exit.is_none()) {
                    // Not reaped yet, so the number is still its own.
                    kill(Pid::from_raw(driver.pid), Signal::SIGTERM).ok();
                }
            }
            AdapterKind::Stdio => self.stop_over_stdio(number, within_ms),
        }
    }
}
