//! Edge: the processes under measure, and what the kernel says they used.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;

/// How long a process that is no longer needed may take to end by itself.
const END_LIMIT: Duration = Duration::from_secs(2);

/// What a process and the descendants that it waited for have used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time in seconds.
    pub(crate) cpu_s: f64,
    /// Context switches, of either kind.
    pub(crate) switches: f64,
}

/// A child that is ended and reaped if nobody waited for it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    is_reaped: bool,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Result<Process> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        Ok(Process {
            child,
            is_reaped: false,
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for the line `ready` on its stdout, which must be a pipe, and closes that pipe.
    pub(crate) fn wait_ready(&mut self, name: &str) -> Result<()> {
        let mut line = String::new();
        if let Some(stdout) = self.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        ensure!(line == "ready\n", "{name} did not get ready");
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).context("cannot signal a process under measure")
    }

    /// Waits for the end; gives the status and what was used.
    ///
    /// The usage is the growth of what getrusage(2) counts for children that were waited for, which is
    /// what wait4(2) gives for this one, so nothing else may be waited for meanwhile.
    pub(crate) fn wait(mut self) -> Result<(ExitStatus, Usage)> {
        let before = used_by_children()?;
        let status = self.child.wait().context("cannot wait for a child")?;
        self.is_reaped = true;
        let after = used_by_children()?;
        let usage = Usage {
            cpu_s: after.cpu_s - before.cpu_s,
            switches: after.switches - before.switches,
        };
        Ok((status, usage))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_reaped {
            // A supervisor that is asked to end takes its logmon with it. Any of these may fail because
            // it has ended by itself; wait(2) still reaps it.
            self.signal(Signal::SIGTERM).ok();
            let deadline = Instant::now() + END_LIMIT;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                pause(Duration::from_millis(1));
            }
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn used_by_children() -> Result<Usage> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = usage.user_time() + usage.system_time();
    Ok(Usage {
        cpu_s: time.num_microseconds() as f64 / 1e6,
        switches: (usage.voluntary_context_switches() + usage.involuntary_context_switches())
            as f64,
    })
}

/// A figure of `/proc/PID/FILE` in kB, as bytes; none once the process has ended.
///
/// The largest resident size is read here and not from wait4(2), whose figure begins with the size of
/// the process that forked.
pub(crate) fn memory_bytes(pid: Pid, file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line
        .trim_start_matches(':')
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    Some(kilobytes * 1024)
}

/// Kills processes that do not end within a limit. Dropped in time, it does nothing.
#[derive(Debug)]
pub(crate) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn over(pids: Vec<Pid>, limit: Duration) -> Watchdog {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            if stopped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                for pid in pids {
                    // One of the two may have ended.
                    kill(pid, Signal::SIGKILL).ok();
                }
            }
        });
        Watchdog {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that only waits and kills does not panic.
            thread.join().ok();
        }
    }
}

/// Waits a moment between two looks.
#[expect(
    clippy::disallowed_methods,
    reason = "the pace of a poller and of a load"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
