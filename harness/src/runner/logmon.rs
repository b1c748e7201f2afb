//! Starts, signals and stops logmon. (edge)

use std::fs;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mock_driver::stream::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command;
use super::faults::copy_program;
use super::kin::Part;
use super::spawn::{chain, end_of, spawn, spawn_into_pipes};
use super::stage::{Life, Stage, Stop, millis};
use crate::case::ReadySign;
use crate::judge::RAISED_PIPE_BYTES;
use crate::observe::{has_reader, is_stopped, lives, may_raise};
use crate::scenario::{Limits, LogmonBinary, LogmonOutcome, LogmonOutput, SignalName};
use crate::trace::{Event, Exit};

/// Why a signal to the process that was started is none to logmon.
const BEHIND: &str = "the logmon that reads is the process that was started; it is another one: start \
                      logmon itself, or with `exec`, without a wrapper before it";

/// How long the line of a logmon that reads already may be on its way.
const SAYS_READY: Duration = Duration::from_millis(500);
/// How long the start of a logmon that says nothing may take: MON-1 with a loaded machine's share.
const MAY_START: Duration = Duration::from_secs(2);
/// How long a new process is not asked which descriptors it holds.
const BORN: Duration = Duration::from_millis(50);
/// How long a logmon may take to become ready, to refuse, or to give way.
pub(super) const SETTLE: Duration = Duration::from_secs(5);

/// The rule that has logmon raise its pipes.
const RAISING_RULE: &str = "HEAL-5";

/// The rule that is judged as soon as a start has returned.
const START_RULE: &str = "ROT-3";

/// What came of waiting for a logmon.
#[derive(Clone, Copy)]
enum Came {
    Ready(ReadySign),
    Ended,
}

impl Stage {
    pub(super) fn start_logmon(
        &mut self,
        expect: LogmonOutcome,
        words: &[String],
        limits: Option<&Limits>,
    ) -> Result<(), Stop> {
        let may_raise = self.may_raise_pipes();
        let index = self.spawn_logmon(expect, words, limits)?;
        let came = self.wait(SETTLE, |stage| {
            if stage.lives[index].exit.is_some() {
                Some(Came::Ended)
            } else {
                stage.ready_sign(index).map(Came::Ready)
            }
        })?;
        let Life {
            number: life,
            started,
            reads_since,
            ..
        } = self.lives[index];
        let mut after = started.elapsed();
        let came = match (came, reads_since) {
            // Without the line it is later than any start may be.
            (None, Some(_)) => Some(Came::Ready(ReadySign::Readers)),
            // What is waited for a line that may come is no time of logmon's.
            (Some(Came::Ready(ReadySign::Readers)), Some(since)) => {
                after = since.duration_since(started);
                came
            }
            (came, _) => came,
        };
        match (came, expect) {
            (Some(Came::Ready(sign)), LogmonOutcome::Ready | LogmonOutcome::ReadyOrRefused) => {
                let may_raise = may_raise && self.may_raise_pipes();
                self.trace.add(Event::LogmonReady {
                    life,
                    after_ms: millis(after),
                    sign,
                    may_raise,
                });
                self.record_look("ready");
                Ok(())
            }
            (Some(Came::Ended), LogmonOutcome::Refused) => Ok(()),
            (Some(Came::Ended), LogmonOutcome::ReadyOrRefused) => {
                self.start_logmon(LogmonOutcome::Ready, &[], limits)
            }
            (Some(Came::Ready(sign)), LogmonOutcome::Refused) => {
                // It accepted what it must refuse: the trace says so, and the plan can't go on.
                self.trace.add(Event::LogmonReady {
                    life,
                    after_ms: millis(after),
                    sign,
                    may_raise: false,
                });
                self.kill_logmon(index)?;
                Err(Stop::Unmet)
            }
            (Some(Came::Ended), LogmonOutcome::Ready) | (None, _) => {
                let stderr = end_of(&self.dir.output("logmon", life, Stream::Stderr));
                self.trace.add(Event::LogmonNotReady {
                    life,
                    within_ms: millis(after.min(SETTLE)),
                    stderr,
                });
                if self.lives[index].exit.is_none() {
                    self.kill_logmon(index)?;
                }
                Err(Stop::Unmet)
            }
        }
    }

    /// Whether logmon could raise its two pipes now, where the case is about that. Other cases and
    /// other programs of this user take their share of what all pipes may hold, so only who asks right
    /// before and right after knows what holds in between.
    fn may_raise_pipes(&self) -> bool {
        self.is_about(RAISING_RULE) && may_raise(Stream::BOTH.len(), RAISED_PIPE_BYTES)
    }

    fn is_about(&self, rule: &str) -> bool {
        let mut rules = self.case.scenario.rules.iter();
        rules.any(|one| one.as_str() == rule)
    }

    fn spawn_logmon(
        &mut self,
        expect: LogmonOutcome,
        words: &[String],
        limits: Option<&Limits>,
    ) -> Result<usize, Stop> {
        let number = u32::try_from(self.lives.len() + 1).unwrap_or(u32::MAX);
        let limits = limits.unwrap_or(&self.case.scenario.limits).clone();
        let mut invocation = match self.case.scenario.many {
            None => command::logmon(&self.case, &self.dir, &limits, command::Start::First),
            Some(many) => command::serve(&self.case, &self.dir)
                .map(|invocation| invocation.limited(many.descriptors, &self.case.reexec)),
        }
        .map_err(|error| Stop::Suite(chain(&error)))?;
        invocation.words.extend_from_slice(words);
        if self.case.scenario.host.logmon_binary == LogmonBinary::Copy
            && let Some(program) = invocation.words.first_mut()
        {
            let copy = copy_program(program, &self.dir.programs())
                .map_err(|error| Stop::Suite(format!("copy {program}: {error}")))?;
            *program = copy.to_string_lossy().into_owned();
        }
        let strace = self.case.strace.then(|| self.dir.strace("logmon", number));
        let invocation = invocation.traced(strace.as_deref());
        let outputs = Stream::BOTH.map(|stream| self.dir.output("logmon", number, stream));
        let pid = match self.case.scenario.host.logmon_output {
            LogmonOutput::Files => {
                let [stdout, stderr] = outputs;
                spawn(&invocation, &stdout, &stderr).map_err(|error| Stop::Suite(chain(&error)))?
            }
            LogmonOutput::Pipes => {
                let (pid, printed) = spawn_into_pipes(&invocation, &outputs)
                    .map_err(|error| Stop::Suite(chain(&error)))?;
                self.printed.extend(printed);
                pid
            }
        };
        self.kin.register(pid, Part::Logmon);
        self.trace.add(Event::LogmonStarted {
            life: number,
            pid,
            expect,
            words: words.to_vec(),
            limits,
        });
        let started = Instant::now();
        self.lives.push(Life {
            number,
            pid,
            reader: None,
            reads_since: None,
            started,
            asked: None,
            is_stopped: false,
            exit: None,
        });
        Ok(self.lives.len() - 1)
    }

    /// What tells that its start has returned, if something does. Who reads both FIFOs may still be
    /// deleting old files, so the line is waited for where one is known to come, or may come.
    fn ready_sign(&mut self, index: usize) -> Option<ReadySign> {
        if self.has_said_ready(index) {
            return Some(ReadySign::Line);
        }
        // One for many tasks has no FIFO yet: it says so, or takes a connection.
        if self.case.scenario.many.is_some() {
            let is_there = UnixStream::connect(self.dir.control()).is_ok();
            return is_there.then_some(ReadySign::Readers);
        }
        if !self.reads(index) {
            self.lives[index].reads_since = None;
            return None;
        }
        let since = *self.lives[index]
            .reads_since
            .get_or_insert_with(Instant::now);
        let may_say_so = match self.case.ready_sign {
            ReadySign::Line => SETTLE,
            ReadySign::Unknown => SAYS_READY,
            ReadySign::Readers if self.is_about(START_RULE) => MAY_START,
            ReadySign::Readers => Duration::ZERO,
        };
        (since.elapsed() >= may_say_so).then_some(ReadySign::Readers)
    }

    /// Whether it has both FIFOs open for reading.
    fn reads(&mut self, index: usize) -> bool {
        // A spawn returns before exec has closed the descriptors that the new process was born
        // with; among them may be the spare read ends of the host.
        if self.lives[index].started.elapsed() < BORN {
            return false;
        }
        let pids = self.processes_of(index);
        Stream::BOTH.into_iter().all(|stream| {
            self.watch(stream)
                .is_some_and(|watch| has_reader(watch.identity(), pids.iter().copied()))
        })
    }

    /// Whether its line has come. It may name the process that reads, and may come after that does so.
    fn has_said_ready(&mut self, index: usize) -> bool {
        let life = self.lives[index].number;
        let said =
            fs::read_to_string(self.dir.output("logmon", life, Stream::Stdout)).unwrap_or_default();
        // A whole line: more of it may be on its way.
        let mut whole = said
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let Some(reader) = whole.find_map(|line| ready(line.trim_end())) else {
            return false;
        };
        self.lives[index].reader = reader;
        true
    }

    /// The processes of one life: the one that was started may be a shell around logmon. What an
    /// earlier life left behind is older than that.
    fn processes_of(&mut self, index: usize) -> Vec<i32> {
        let snapshot = self.look_at_processes();
        let Some(began) = snapshot.get(self.lives[index].pid).map(|stat| stat.began) else {
            return Vec::new();
        };
        let mut pids = self.kin.pids(&[Part::Logmon]);
        pids.retain(|&pid| snapshot.get(pid).is_some_and(|stat| stat.began >= began));
        pids
    }

    pub(super) fn second_logmon(&mut self, limits: Option<&Limits>) -> Result<(), Stop> {
        let Some(first) = self.lives.iter().rposition(|life| life.exit.is_none()) else {
            return Err(Stop::Suite(
                "a second logmon needs a first one that runs".into(),
            ));
        };
        let index = self.spawn_logmon(LogmonOutcome::Refused, &[], limits)?;
        let settled = self.wait(SETTLE, |stage| {
            (stage.lives[index].exit.is_some() || stage.lives[first].exit.is_some()).then_some(())
        })?;
        let failed = |exit: Option<Exit>| exit.is_some_and(|exit| exit != Exit::Code(0));
        let yielded = settled.is_some()
            && (failed(self.lives[index].exit) || self.lives[first].exit.is_some());
        self.trace.add(Event::SecondLogmon {
            life: self.lives[index].number,
            yielded,
        });
        if settled.is_none() {
            self.kill_logmon(index)?;
        }
        Ok(())
    }

    /// Sends SIGTERM and waits; whoever is late is killed.
    pub(super) fn stop_logmon(&mut self, within_ms: u64) -> Result<(), Stop> {
        let Some(index) = self.running_logmon() else {
            // It ended by itself, which the trace says; there is nobody to stop.
            return Ok(());
        };
        self.record_pipes_exactly();
        self.send_to_logmon(index, SignalName::Term);
        let limit = Duration::from_millis(within_ms);
        let gone = self.wait(limit, |stage| stage.lives[index].exit.map(|_| ()))?;
        if gone.is_none() {
            self.trace.add(Event::LogmonOverdue {
                life: self.lives[index].number,
                within_ms,
            });
            self.kill_logmon(index)?;
        }
        Ok(())
    }

    pub(super) fn signal_logmon(&mut self, signal: SignalName) -> Result<(), Stop> {
        let Some(index) = self.running_logmon() else {
            return Err(self.unmet(format!("a logmon runs that can be sent {signal:?}")));
        };
        if matches!(signal, SignalName::Kill | SignalName::Term) {
            self.record_pipes_exactly();
        }
        let behind = match signal {
            SignalName::Kill | SignalName::Stop => {
                self.wait(SAYS_READY, |stage| {
                    let is_known = stage.readers_behind(index).is_empty();
                    (is_known || stage.has_said_ready(index)).then_some(())
                })?;
                self.readers_behind(index)
            }
            SignalName::Term | SignalName::Cont => Vec::new(),
        };
        if signal == SignalName::Stop && !behind.is_empty() {
            return Err(self.unmet(BEHIND.to_owned()));
        }
        self.send_to_logmon(index, signal);
        let done = match signal {
            SignalName::Term => return Ok(()),
            SignalName::Kill => self.wait(SETTLE, |stage| stage.lives[index].exit.map(|_| ()))?,
            SignalName::Stop => {
                self.lives[index].is_stopped = true;
                self.wait(SETTLE, |stage| {
                    is_stopped(stage.reader_of(index)).then_some(())
                })?
            }
            SignalName::Cont => {
                self.lives[index].is_stopped = false;
                self.wait(SETTLE, |stage| {
                    (!is_stopped(stage.reader_of(index))).then_some(())
                })?
            }
        };
        done.ok_or_else(|| self.unmet(format!("logmon obeys {signal:?}")))?;
        // Those of a logmon that is several processes end with it.
        let are_gone = |_: &mut Self| (!behind.iter().any(|&pid| lives(pid))).then_some(());
        if self.wait(SETTLE, are_gone)?.is_none() {
            return Err(self.unmet(BEHIND.to_owned()));
        }
        Ok(())
    }

    /// The processes of this life that read a FIFO, if the one that was started reads none.
    fn readers_behind(&mut self, index: usize) -> Vec<i32> {
        let main = self.reader_of(index);
        let pids = self.processes_of(index);
        let mut readers = Vec::new();
        for stream in Stream::BOTH {
            let Some(fifo) = self.watch(stream).map(|watch| watch.identity()) else {
                continue;
            };
            if has_reader(fifo, [main]) {
                return Vec::new();
            }
            readers.extend(pids.iter().copied().filter(|&pid| has_reader(fifo, [pid])));
        }
        readers
    }

    /// The running logmon that was started last.
    pub(super) fn running_logmon(&self) -> Option<usize> {
        self.lives.iter().rposition(|life| life.exit.is_none())
    }

    /// The process of this life that reads, as far as it is known and was there at the last look.
    pub(super) fn reader_of(&self, index: usize) -> i32 {
        let life = &self.lives[index];
        let reader = life.reader;
        let is_known = |pid: &i32| self.kin.part(*pid) == Some(Part::Logmon);
        reader.filter(is_known).unwrap_or(life.pid)
    }

    fn send_to_logmon(&mut self, index: usize, signal: SignalName) {
        // SIGTERM asks for an order, which is for the process that was started.
        let pid = match signal {
            SignalName::Term => self.lives[index].pid,
            SignalName::Kill | SignalName::Stop | SignalName::Cont => self.reader_of(index),
        };
        let life = &mut self.lives[index];
        match signal {
            SignalName::Term | SignalName::Kill => life.asked = life.asked.or(Some(Instant::now())),
            SignalName::Stop | SignalName::Cont => {}
        }
        // Not reaped yet, so the number is still its own; it may have ended already.
        kill(Pid::from_raw(pid), as_signal(signal)).ok();
        let life = life.number;
        self.trace.add(Event::LogmonSignalled { life, signal });
    }

    pub(super) fn kill_logmon(&mut self, index: usize) -> Result<(), Stop> {
        self.send_to_logmon(index, SignalName::Kill);
        self.wait(SETTLE, |stage| stage.lives[index].exit.map(|_| ()))?;
        Ok(())
    }

    /// Lets every stopped logmon go on.
    pub(super) fn continue_logmons(&mut self) {
        for index in 0..self.lives.len() {
            if self.lives[index].is_stopped && self.lives[index].exit.is_none() {
                self.lives[index].is_stopped = false;
                self.send_to_logmon(index, SignalName::Cont);
            }
        }
    }

    /// Records something that the plan relies on and that is not so.
    pub(super) fn unmet(&mut self, text: String) -> Stop {
        let last = self.who_waits();
        self.trace.add(Event::Unmet {
            text,
            within_ms: 0,
            last,
            otherwise: None,
            rule: None,
            stream: None,
        });
        Stop::Unmet
    }
}

/// Whether a line says that logmon is ready, and which process reads if it is another one.
fn ready(line: &str) -> Option<Option<i32>> {
    match line.split_once(' ') {
        None => (line == "ready").then_some(None),
        Some((word, pid)) => {
            let pid = pid.parse().ok().filter(|pid: &i32| *pid > 1)?;
            (word == "ready").then_some(Some(pid))
        }
    }
}

/// The signal of this name.
pub(super) fn as_signal(name: SignalName) -> Signal {
    match name {
        SignalName::Term => Signal::SIGTERM,
        SignalName::Kill => Signal::SIGKILL,
        SignalName::Stop => Signal::SIGSTOP,
        SignalName::Cont => Signal::SIGCONT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_ready_and_may_name_another_process() {
        assert_eq!(ready("ready"), Some(None));
        assert_eq!(ready("ready 4711"), Some(Some(4711)));
        for line in [
            "",
            "ready!",
            "already 12",
            "ready x",
            "ready 0",
            "ready 1",
            "ready -4",
            "ready 5 6",
        ] {
            assert_eq!(ready(line), None, "{line}");
        }
    }
}
