//! Everything that a case process knows while it plays, and its one wait. (edge)

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fifo::Reader;
use mock_driver::journal::Role;
use mock_driver::record::RunId;
use mock_driver::script::Expected;
use mock_driver::stream::Stream;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::adapter::Stdio;
use super::closings::Closings;
use super::faults::{Broken, Printed};
use super::kin::{Kin, Part};
use super::many::ManyTask;
use super::outputs::Outputs;
use super::point::Point;
use super::sampling::Samples;
use super::spawn::end_of;
use super::stalling::Stalling;
use super::tail::Tail;
use super::trace_file::TraceFile;
use crate::case::{Case, CaseDir};
use crate::observe::{
    Fill, NamedPipe, PipeWatch, ProcessFacts, Snapshot, command_line, descriptors_of, lives,
    process_known_as, standing, threads, who_waits,
};
use crate::scenario::FifoKind;
use crate::trace::{Event, Exit, Holder};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Why a plan ends before its last step.
#[derive(Debug)]
pub(super) enum Stop {
    /// What later steps rely on did not come about. The trace says what.
    Unmet,
    /// Somebody wants this process to end.
    Interrupted,
    /// The plan stood still where it was to, so that somebody could look.
    Held(String),
    /// The suite itself can't go on.
    Suite(String),
}

/// One logmon process.
pub(super) struct Life {
    pub(super) number: u32,
    pub(super) pid: i32,
    /// The process that reads, where the one that was started has said that it is another one.
    pub(super) reader: Option<i32>,
    /// Since when it was seen to read both FIFOs, while its start was waited for.
    pub(super) reads_since: Option<Instant>,
    pub(super) started: Instant,
    /// When a signal asked it to end.
    pub(super) asked: Option<Instant>,
    pub(super) is_stopped: bool,
    pub(super) exit: Option<Exit>,
}

/// One run of the task under a driver process.
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) pid: i32,
    pub(super) script: String,
    pub(super) tail: Tail,
    pub(super) exit: Option<(Exit, Instant)>,
    pub(super) task_gone: Option<Instant>,
    /// Whether a driver said that it can't take the task over: nobody will report its end.
    pub(super) is_lost: bool,
    pub(super) holders_recorded: bool,
    pub(super) is_released: bool,
}

type Rendered = BTreeMap<(u32, Stream), Arc<Expectation>>;

/// What a stream of one generation will be, with its bytes if they are certain.
pub(super) enum Expectation {
    Exact(Vec<u8>),
    Counted(u64),
    Unknown,
}

/// The state of a case that is being played.
pub(super) struct Stage {
    pub(super) case: Case,
    pub(super) dir: CaseDir,
    pub(super) run: RunId,
    pub(super) trace: TraceFile,
    pub(super) me: i32,
    pub(super) signals: SignalFd,
    pub(super) began: Instant,
    pub(super) limit: Duration,
    /// Where the plan is to stand still, if it is.
    pub(super) stop_at: Option<Point>,
    pub(super) lives: Vec<Life>,
    pub(super) generations: Vec<Generation>,
    /// The conversation with the driver, if it is spoken to.
    pub(super) stdio: Option<Stdio>,
    /// Whether the driver is being killed with all it started.
    pub(super) is_killing: bool,
    pub(super) kin: Kin,
    pub(super) pipes: [Option<PipeWatch>; 2],
    pub(super) spare: Option<[Reader; 2]>,
    /// Read ends of the second task's FIFOs, if there is one.
    pub(super) second: Option<[Reader; 2]>,
    /// The processes of the driver that stand still.
    pub(super) frozen: Vec<i32>,
    pub(super) samples: Samples,
    /// Watches the FIFOs, where the case is about it.
    pub(super) closings: Option<Closings>,
    /// The tasks, where one logmon serves many.
    pub(super) many: Vec<ManyTask>,
    /// Faults of the host that last.
    pub(super) broken: Vec<Broken>,
    /// The log folder's file system, where the suite serves it.
    pub(super) storage: Option<Stalling>,
    /// What logmon prints, where it prints into pipes.
    pub(super) printed: Vec<Printed>,
    /// How much the subjects printed.
    pub(super) outputs: Outputs,
    /// Processes of the host's own and how they ended, until they are asked for.
    pub(super) ended: BTreeMap<i32, Exit>,
    /// When a process of the task was last seen to live.
    pub(super) task_seen: Instant,
    pub(super) rendered: Rendered,
    /// Gates at which the holders were recorded.
    pub(super) gates_seen: BTreeSet<String>,
}

impl Stage {
    /// Waits until `met` gives something; none if it does not within `limit`.
    ///
    /// A wait that the end of the whole case's time cuts short proves nothing about anybody: it
    /// ends the plan as unmet.
    pub(super) fn wait<T>(
        &mut self,
        limit: Duration,
        mut met: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<Option<T>, Stop> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            self.poll()?;
            if let Some(value) = met(self) {
                return Ok(Some(value));
            }
            let left = limit.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            if self.time_left().is_zero() {
                let seconds = self.limit.as_secs();
                return Err(self.unmet(format!("the whole case takes no more than {seconds} s")));
            }
            self.pause(pause.min(left).min(self.time_left()));
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// What is left of the case's own limit.
    pub(super) fn time_left(&self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed())
    }

    /// Sleeps until the time is over or a signal comes, the end of a child for one.
    pub(super) fn pause(&self, time: Duration) {
        let millis = u16::try_from(time.as_millis()).unwrap_or(u16::MAX).max(1);
        let mut fds = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        // Interrupted or not: the caller looks at everything again.
        poll(&mut fds, PollTimeout::from(millis)).ok();
    }

    /// Takes in everything that happened since the last time.
    pub(super) fn poll(&mut self) -> Result<(), Stop> {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo != Signal::SIGCHLD as u32 {
                return Err(Stop::Interrupted);
            }
        }
        self.follow_journals();
        self.read_printed();
        self.keep_full();
        self.hear_adapter();
        self.note_closings();
        self.reap();
        self.sample();
        Ok(())
    }

    fn follow_journals(&mut self) {
        // Earlier generations are over when a new one is started.
        let Some(generation) = self.generations.last_mut() else {
            return;
        };
        let before = generation.tail.progress.writer;
        generation.tail.read();
        let writer = generation.tail.progress.writer;
        let mut is_gone = false;
        if writer != before
            && let Some((inner, Role::Task)) = writer
        {
            // The task tells the number by which it knows itself, which a container makes its own.
            let journal = self.dir.task_journal(generation.number);
            match process_known_as(inner, &journal.to_string_lossy()) {
                Some(pid) => {
                    generation.tail.progress.writer = Some((pid, Role::Task));
                    self.kin.register(pid, Part::Task);
                }
                None => is_gone = true,
            }
        }
        if generation.task_gone.is_none()
            && let Some((pid, _)) = generation.tail.progress.writer
            && (is_gone || !lives(pid))
        {
            generation.task_gone = Some(Instant::now());
            self.trace.add(Event::TaskGone {
                generation: generation.number,
            });
        }
        if generation.is_lost && generation.exit.is_none() {
            // Nobody reports how it ended, so the trace has nothing of that.
            generation.exit = generation.task_gone.map(|gone| (Exit::Code(0), gone));
        }
    }

    /// Takes the status of every child that ended; orphans of the subjects are children too.
    pub(super) fn reap(&mut self) {
        loop {
            let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid.as_raw(), Exit::Signal(signal as i32))
                }
                Err(Errno::EINTR) => continue,
                Ok(_) | Err(_) => return,
            };
            if self.is_adapter(pid) {
                self.adapter_ended(exit);
            } else if let Some(index) = self
                .lives
                .iter()
                .position(|life| life.pid == pid && life.exit.is_none())
            {
                self.logmon_ended(index, exit);
            } else if let Some(index) = self
                .generations
                .iter()
                .position(|generation| generation.pid == pid && generation.exit.is_none())
            {
                self.driver_ended(index, exit);
            } else {
                self.ended.insert(pid, exit);
            }
        }
    }

    fn logmon_ended(&mut self, index: usize, exit: Exit) {
        self.read_printed();
        let life = &mut self.lives[index];
        life.exit = Some(exit);
        let path = self.dir.output("logmon", life.number, Stream::Stderr);
        let event = Event::LogmonExited {
            life: life.number,
            exit,
            asked: life.asked.is_some(),
            after_ms: life.asked.map(|asked| millis(asked.elapsed())),
            stderr: end_of(&path),
        };
        self.trace.add(event);
    }

    /// Takes in that a generation has ended, as the driver reports it.
    pub(super) fn driver_ended(&mut self, index: usize, exit: Exit) {
        // What the task wrote last stands in its journal by now.
        self.generations[index].tail.read();
        let generation = &mut self.generations[index];
        generation.exit = Some((exit, Instant::now()));
        let number = generation.number;
        let stderr = end_of(&self.dir.output("driver", number, Stream::Stderr));
        self.trace.add(Event::DriverExited {
            generation: number,
            exit,
            stderr,
        });
        self.record_fifos(&format!("after generation {number}"));
    }

    /// Records what stands at the FIFOs' paths.
    pub(super) fn record_fifos(&mut self, when: &str) {
        if self.case.scenario.host.fifos == FifoKind::Disabled {
            return;
        }
        for stream in Stream::BOTH {
            let is = standing(&self.dir.fifo(stream));
            let (kind, when, mode) = (is.kind.to_owned(), when.to_owned(), is.mode);
            self.trace.add(Event::FifoIs {
                stream,
                when,
                kind,
                dev: is.dev,
                ino: is.ino,
                mode,
            });
        }
    }

    /// The running logmon that was started last.
    pub(super) fn life(&mut self) -> Option<&mut Life> {
        self.lives.iter_mut().rev().find(|life| life.exit.is_none())
    }

    /// The last generation.
    pub(super) fn generation(&self) -> Option<&Generation> {
        self.generations.last()
    }

    /// Looks at all processes and says whose they are.
    pub(super) fn look_at_processes(&mut self) -> Snapshot {
        let snapshot = Snapshot::take();
        self.kin.update(&snapshot, self.me, |pid| {
            let command = command_line(pid);
            command.contains(" hold ") || command.contains(" write-part ")
        });
        let lives = |pid: &i32| snapshot.get(*pid).is_some_and(|stat| stat.lives());
        if self.kin.pids(&[Part::Task]).iter().any(lives) {
            self.task_seen = Instant::now();
        }
        snapshot
    }

    /// Who holds a FIFO, logmon and the host left out, among the descendants of this process.
    fn holders_near(&mut self, stream: Stream, snapshot: &Snapshot) -> Vec<Holder> {
        let near = snapshot.descendants(self.me);
        let near = near.into_iter().map(|stat| stat.pid).collect();
        self.holders_among(stream, snapshot, near)
    }

    /// Whether one of these processes holds a write end of either FIFO: the descendants of this
    /// process, or all that may be looked at.
    pub(super) fn is_written_by_any(&mut self, anywhere: bool) -> bool {
        let snapshot = self.look_at_processes();
        let pids: Vec<i32> = if anywhere {
            snapshot.all().map(|stat| stat.pid).collect()
        } else {
            let near = snapshot.descendants(self.me);
            near.into_iter().map(|stat| stat.pid).collect()
        };
        Stream::BOTH.into_iter().any(|stream| {
            let holders = self.holders_among(stream, &snapshot, pids.clone());
            holders.iter().any(|holder| holder.writes)
        })
    }

    /// Who holds a FIFO, logmon and the host left out, among the descendants of this process; if none
    /// of them writes, among all processes that may be looked at. A driver may be only the client of a
    /// daemon. This takes some milliseconds.
    pub(super) fn holders_anywhere(&mut self, stream: Stream) -> Vec<Holder> {
        let snapshot = self.look_at_processes();
        let near = self.holders_near(stream, &snapshot);
        if near.iter().any(|holder| holder.writes) {
            return near;
        }
        let all = snapshot.all().map(|stat| stat.pid).collect();
        let far = self.holders_among(stream, &snapshot, all);
        self.samples.far_writes |= far.iter().any(|holder| holder.writes);
        far
    }

    fn holders_among(
        &mut self,
        stream: Stream,
        snapshot: &Snapshot,
        pids: Vec<i32>,
    ) -> Vec<Holder> {
        let Some(watch) = self.watch(stream) else {
            return Vec::new();
        };
        let others = pids
            .into_iter()
            .filter(|&pid| pid != self.me && !self.is_ours(pid));
        let holder = |held: crate::observe::Descriptor| Holder {
            pid: held.pid,
            comm: snapshot
                .get(held.pid)
                .map(|stat| stat.comm.clone())
                .unwrap_or_default(),
            fd: held.fd,
            reads: held.reads,
            writes: held.writes,
            role: self
                .kin
                .part(held.pid)
                .map_or("other", Part::as_str)
                .to_owned(),
        };
        descriptors_of(watch.identity(), others)
            .into_iter()
            .map(holder)
            .collect()
    }

    fn is_ours(&self, pid: i32) -> bool {
        match self.kin.part(pid) {
            Some(Part::Logmon | Part::Host) => true,
            Some(Part::Driver | Part::Task) | None => false,
        }
    }

    /// Records who holds both FIFOs while the task runs. Nothing is recorded of a task that ended
    /// meanwhile: its descriptors may have been closed in between.
    pub(super) fn record_holders(&mut self, when: &str) {
        let is_running = |stage: &Self| {
            let writer = stage
                .generation()
                .and_then(|generation| generation.tail.progress.writer);
            writer.is_some_and(|(pid, _)| lives(pid))
        };
        if !is_running(self) {
            return;
        }
        let mut events = Vec::new();
        for stream in Stream::BOTH {
            if self.watch(stream).is_some() {
                let holders = self.holders_anywhere(stream);
                events.push(Event::Holders {
                    stream,
                    when: when.to_owned(),
                    holders,
                });
            }
        }
        if is_running(self) {
            events.into_iter().for_each(|event| self.trace.add(event));
        }
    }

    /// A stream's FIFO as it was when it was first seen.
    pub(super) fn watch(&mut self, stream: Stream) -> Option<PipeWatch> {
        let slot = &mut self.pipes[stream.index()];
        if slot.is_none() {
            *slot = PipeWatch::new(&self.dir.fifo(stream));
        }
        slot.clone()
    }

    /// How full a stream's pipe is; none while nobody reads, or while nobody may ask.
    pub(super) fn fill(&mut self, stream: Stream) -> Option<Fill> {
        if self.are_pipes_hidden() {
            return None;
        }
        if let Some(spare) = &self.spare {
            return crate::observe::fill_of(&spare[stream.index()]);
        }
        let mut pids = self.kin.pids(&[Part::Logmon]);
        pids.extend(self.life().map(|life| life.pid));
        self.watch(stream)?.fill(pids)
    }

    /// What the current generation writes to a stream.
    pub(super) fn expectation(&mut self, stream: Stream) -> Option<Arc<Expectation>> {
        let generation = self.generations.last()?;
        let key = (generation.number, stream);
        if let Some(known) = self.rendered.get(&key) {
            return Some(Arc::clone(known));
        }
        let script = self.case.scenario.tasks.get(&generation.script)?;
        let expectation = Arc::new(match script.expected(self.run, generation.number, stream) {
            Expected::Exact(exact) => Expectation::Exact(exact.render()),
            Expected::Unordered { bytes, .. } => Expectation::Counted(bytes),
            Expected::Unknown => Expectation::Unknown,
        });
        // Only the current generation is asked for.
        self.rendered.retain(|(number, _), _| *number == key.0);
        self.rendered.insert(key, Arc::clone(&expectation));
        Some(expectation)
    }

    /// Who waits for whom, right now.
    pub(super) fn who_waits(&mut self) -> Vec<String> {
        let snapshot = self.look_at_processes();
        let near: Vec<_> = snapshot
            .descendants(self.me)
            .into_iter()
            .filter(|stat| stat.lives())
            .cloned()
            .collect();
        let mut titles: BTreeMap<i32, String> = near
            .iter()
            .filter_map(|stat| Some((stat.pid, self.kin.part(stat.pid)?.as_str().to_owned())))
            .collect();
        titles.insert(self.me, "host".into());
        let pids: Vec<i32> = near.iter().map(|stat| stat.pid).chain([self.me]).collect();
        let mut pipes = Vec::new();
        for stream in Stream::BOTH {
            if let Some(watch) = self.watch(stream) {
                let held = descriptors_of(watch.identity(), pids.iter().copied());
                pipes.push(NamedPipe {
                    name: format!("{stream}.fifo"),
                    fill: self.fill(stream),
                    held,
                });
            }
        }
        let facts = |stat: crate::observe::Stat| ProcessFacts {
            threads: threads(stat.pid),
            stat,
        };
        let processes: Vec<ProcessFacts> = near.into_iter().map(facts).collect();
        let mut lines = who_waits(&processes, &titles, &pipes);
        lines.extend(self.unanswered());
        lines
    }
}

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
