//! Plays many tasks for one logmon: gives them, writes what they say, takes them away. (edge)

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use fifo::{ReadOutcome, Reader, Writer, Written};
use mock_driver::script::Expected;
use mock_driver::stream::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command;
use super::kin::Part;
use super::spawn::{chain, end_from, spawn};
use super::stage::{Stage, Stop, millis};
use crate::case::many_log_name;
use crate::observe::{look, memory, resources, stream_bytes};
use crate::scenario::ManyStep;
use crate::trace::Event;
use crate::trace::many::{ManyEvent, Order, When};

/// How long one command about a task may take.
const COMMAND: Duration = Duration::from_secs(10);
/// How long all of them may take.
const ALL_COMMANDS: Duration = Duration::from_secs(120);
/// How long the FIFOs may take to take everything.
const WRITTEN: Duration = Duration::from_secs(20);
/// How long everything may lie in the FIFOs: a thousand files are begun meanwhile.
const READ: Duration = Duration::from_secs(10);
/// Bytes that go to a FIFO before it is the next one's turn; the kernel takes as many in one piece.
const PIECE: usize = 1_000;

/// Bytes that a task writes right before it is taken away.
const LAST_WORDS: usize = 150;

/// One of many tasks.
pub(super) struct ManyTask {
    number: u32,
    is_started: bool,
    streams: [ManyStream; 2],
}

/// What one of many tasks says, and how much of it the FIFO has taken.
struct ManyStream {
    stream: Stream,
    fifo: PathBuf,
    bytes: Vec<u8>,
    sent: usize,
    writer: Option<Writer>,
    /// The host's own read end, where it writes before anybody else reads.
    spare: Option<Reader>,
    is_read: bool,
}

/// A command that runs.
struct Running {
    pid: i32,
    task: usize,
    began: Instant,
    slot: usize,
    /// Bytes that stood in the file for its output before: those of the commands before it.
    printed_before: u64,
}

impl Stage {
    pub(super) fn many_tasks(&mut self, step: ManyStep) -> Result<(), Stop> {
        if self.many.is_empty() {
            self.many = self.all_tasks()?;
            // There is no driver, and a daemon may have left its parents before it was seen.
            self.kin.blame(Part::Logmon);
        }
        match step {
            ManyStep::WriteEarly => self.write_early(),
            ManyStep::Start => {
                self.measure_many(When::Before)?;
                let all = (0..self.many.len()).collect();
                self.command_all(Order::Start, all)?;
                self.measure_many(When::Started)
            }
            ManyStep::Write => {
                let most = |stream: &ManyStream| stream.bytes.len().saturating_sub(LAST_WORDS);
                self.write_all(|task| task.is_started, most)?;
                self.await_empty()?;
                self.await_logged()?;
                self.measure_many(When::Written)
            }
            ManyStep::Stop => {
                let started = |&index: &usize| self.many[index].is_started;
                let started = (0..self.many.len()).filter(started).collect();
                self.command_all(Order::Stop, started)?;
                self.measure_many(When::Stopped)?;
                self.look_at_the_rest()
            }
        }
    }

    fn all_tasks(&self) -> Result<Vec<ManyTask>, Stop> {
        let count = self.case.scenario.many.map_or(0, |many| many.tasks);
        let script = self.case.scenario.tasks.get("main");
        let stream = |number: u32, stream: Stream| -> Result<ManyStream, Stop> {
            let Some(Expected::Exact(exact)) =
                script.map(|script| script.expected(self.run, number, stream))
            else {
                return Err(Stop::Suite("many tasks need a script of records".into()));
            };
            Ok(ManyStream {
                stream,
                fifo: self.dir.many_fifo(number, stream),
                bytes: exact.render(),
                sent: 0,
                writer: None,
                spare: None,
                is_read: false,
            })
        };
        (0..count)
            .map(|number| {
                Ok(ManyTask {
                    number,
                    is_started: false,
                    streams: [
                        stream(number, Stream::Stdout)?,
                        stream(number, Stream::Stderr)?,
                    ],
                })
            })
            .collect()
    }

    /// Opens both ends of every FIFO and writes a third of everything.
    fn write_early(&mut self) -> Result<(), Stop> {
        for stream in self.many.iter_mut().flat_map(|task| &mut task.streams) {
            let spare = Reader::open(&stream.fifo).map_err(|error| Stop::Suite(chain(&error)))?;
            stream.spare = Some(spare);
        }
        self.write_all(|_| true, |stream| stream.bytes.len() / 3)
    }

    /// Writes to the FIFOs of these tasks, a piece each in turn, up to a number of bytes.
    fn write_all(
        &mut self,
        whose: impl Fn(&ManyTask) -> bool,
        up_to: impl Fn(&ManyStream) -> usize,
    ) -> Result<(), Stop> {
        let sent = |stage: &Self| -> usize {
            let streams = stage.many.iter().flat_map(|task| &task.streams);
            streams.map(|stream| stream.sent).sum()
        };
        let before = sent(self);
        let done = self.wait(WRITTEN, |stage| {
            let mut left = 0;
            for task in stage.many.iter_mut().filter(|task| whose(task)) {
                for stream in &mut task.streams {
                    match stream.write_piece(up_to(stream)) {
                        Ok(is_done) => left += usize::from(!is_done),
                        Err(text) => return Some(Err(text)),
                    }
                }
            }
            (left == 0).then_some(Ok(()))
        })?;
        let tasks = self.many.iter().filter(|task| whose(task)).count();
        let wrote = ManyEvent::Wrote {
            tasks: u32::try_from(tasks).unwrap_or(u32::MAX),
            bytes: (sent(self) - before) as u64,
        };
        self.trace.add(Event::Many(wrote));
        match done {
            Some(done) => done.map_err(Stop::Suite),
            None => {
                for task in self.many.iter().filter(|task| whose(task)) {
                    for stream in &task.streams {
                        let of = up_to(stream);
                        if stream.sent < of {
                            self.trace.add(Event::Many(ManyEvent::NotWritten {
                                task: task.number,
                                stream: stream.stream,
                                bytes: stream.sent as u64,
                                of: of as u64,
                                is_read: stream.is_read,
                            }));
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Waits until what was written has been read. Else the stops would have to be in time for all of it,
    /// on a disk that begins a thousand files.
    fn await_empty(&mut self) -> Result<(), Stop> {
        let left = |stage: &Self| -> Vec<ManyEvent> {
            let started = stage.many.iter().filter(|task| task.is_started);
            let streams = started.flat_map(|task| {
                let of = |stream| (task.number, stream);
                task.streams.iter().map(of)
            });
            let held = streams.filter_map(|(task, stream)| {
                let bytes = stream.writer.as_ref()?.fill_level().ok()?;
                (bytes > 0).then_some(ManyEvent::NotRead {
                    task,
                    stream: stream.stream,
                    bytes: bytes as u64,
                    within_ms: millis(READ),
                })
            });
            held.collect()
        };
        let mut last = Vec::new();
        let is_empty = self.wait(READ, |stage| {
            last = left(stage);
            last.is_empty().then_some(())
        })?;
        if is_empty.is_none() {
            for event in last {
                self.trace.add(Event::Many(event));
            }
        }
        Ok(())
    }

    /// Waits until the last line of each stream that was written to its end stands in a file.
    fn await_logged(&mut self) -> Result<(), Stop> {
        let started = self.many.iter().filter(|task| task.is_started);
        let mut left: Vec<(u32, Stream, Vec<u8>)> = started
            .flat_map(|task| task.streams.iter().map(|stream| (task.number, stream)))
            .filter_map(|(task, stream)| Some((task, stream.stream, stream.last_line()?.to_vec())))
            .collect();
        let all = self.wait(READ, |stage| {
            left.retain(|(task, stream, line)| !stage.has_logged(*task, *stream, line));
            left.is_empty().then_some(())
        })?;
        if all.is_none() {
            for (task, stream, _) in left {
                self.trace.add(Event::Many(ManyEvent::NotLogged {
                    task,
                    stream,
                    within_ms: millis(READ),
                }));
            }
        }
        Ok(())
    }

    fn has_logged(&self, task: u32, stream: Stream, line: &[u8]) -> bool {
        let folder = self.dir.many(task);
        let prefix = format!("{}.", many_log_name(task, stream));
        let files = look(&folder).into_iter().rev();
        files
            .filter(|entry| entry.name.starts_with(&prefix))
            .filter_map(|entry| fs::read(folder.join(entry.name)).ok())
            .any(|bytes| bytes.windows(line.len()).any(|piece| piece == line))
    }

    /// Records how much of their output the FIFOs of the started tasks took.
    pub(super) fn record_sent(&mut self) {
        for task in self.many.iter().filter(|task| task.is_started) {
            let [stdout, stderr] = &task.streams;
            self.trace.add(Event::Many(ManyEvent::Sent {
                task: task.number,
                bytes: [stdout, stderr].map(|stream| stream.sent as u64),
            }));
        }
    }

    /// Runs a command about each of these tasks, several at a time.
    fn command_all(&mut self, order: Order, tasks: Vec<usize>) -> Result<(), Stop> {
        let at_a_time = 2 * thread::available_parallelism().map_or(1, usize::from);
        let mut waiting = VecDeque::from(tasks);
        let mut running: Vec<Running> = Vec::new();
        let mut slots: Vec<usize> = (0..at_a_time).collect();
        let done = self.wait(ALL_COMMANDS, |stage| {
            let mut is_late = false;
            for index in (0..running.len()).rev() {
                let exit = stage.ended.remove(&running[index].pid);
                let late = exit.is_none() && running[index].began.elapsed() > COMMAND;
                if exit.is_some() || late {
                    let one = running.remove(index);
                    slots.push(one.slot);
                    stage.command_ended(order, &one, exit);
                    is_late |= late;
                }
            }
            if is_late {
                // Nobody answers; a thousand more commands would not change that.
                waiting.clear();
            }
            while !waiting.is_empty()
                && let Some(slot) = slots.pop()
                && let Some(task) = waiting.pop_front()
            {
                match stage.command_one(order, task, slot) {
                    Ok(one) => running.push(one),
                    Err(text) => return Some(Err(text)),
                }
            }
            running.is_empty().then_some(Ok(is_late))
        })?;
        match done {
            Some(Ok(false)) => Ok(()),
            Some(Ok(true)) => {
                let (order, seconds) = (order.as_str(), COMMAND.as_secs());
                Err(self.unmet(format!("each {order} of a task is done within {seconds} s")))
            }
            None => {
                for one in &running {
                    self.command_ended(order, one, None);
                }
                let (order, seconds) = (order.as_str(), ALL_COMMANDS.as_secs());
                Err(self.unmet(format!("every {order} is done within {seconds} s in all")))
            }
            Some(Err(text)) => Err(Stop::Suite(text)),
        }
    }

    fn command_one(&mut self, order: Order, task: usize, slot: usize) -> Result<Running, String> {
        if order == Order::Stop {
            self.say_last_words(task)?;
        }
        let number = self.many[task].number;
        let invocation = command::about_task(&self.case, &self.dir, order, number)
            .map_err(|error| chain(&error))?;
        let output = self.output_of(slot);
        let printed_before = fs::metadata(&output).map_or(0, |facts| facts.len());
        let pid = spawn(&invocation, &output, &output).map_err(|error| chain(&error))?;
        // The number may have been another process's before.
        self.ended.remove(&pid);
        // Whatever it leaves behind is logmon's.
        self.kin.register(pid, Part::Logmon);
        Ok(Running {
            pid,
            task,
            began: Instant::now(),
            slot,
            printed_before,
        })
    }

    /// A task that is about to be taken away writes the rest and ends.
    fn say_last_words(&mut self, task: usize) -> Result<(), String> {
        let mut short = Vec::new();
        let task = &mut self.many[task];
        for stream in &mut task.streams {
            let all = stream.bytes.len();
            let is_done = loop {
                let before = stream.sent;
                if stream.write_piece(all)? {
                    break true;
                }
                if stream.sent == before {
                    break false;
                }
            };
            if !is_done {
                short.push(ManyEvent::NotWritten {
                    task: task.number,
                    stream: stream.stream,
                    bytes: stream.sent as u64,
                    of: all as u64,
                    is_read: stream.is_read,
                });
            }
            stream.writer = None;
        }
        for event in short {
            self.trace.add(Event::Many(event));
        }
        Ok(())
    }

    /// Records how a command ended; one that did not end is killed.
    fn command_ended(&mut self, order: Order, one: &Running, exit: Option<crate::trace::Exit>) {
        if exit.is_none() {
            // Not reaped yet, so the number is still its own.
            kill(Pid::from_raw(one.pid), Signal::SIGKILL).ok();
        }
        let is_done = exit.is_some_and(|exit| exit.as_status() == 0);
        let task = &mut self.many[one.task];
        let number = task.number;
        let written = match order {
            Order::Start => {
                task.is_started = is_done;
                None
            }
            Order::Stop => {
                let entries = look(&self.dir.many(number));
                let bytes = |stream| stream_bytes(&entries, &many_log_name(number, stream));
                is_done.then(|| Stream::BOTH.map(bytes))
            }
        };
        let said = end_from(&self.output_of(one.slot), one.printed_before);
        self.trace.add(Event::Many(ManyEvent::Commanded {
            task: number,
            order,
            exit,
            after_ms: millis(one.began.elapsed()),
            said,
            written,
        }));
    }

    /// What the command prints that runs in this place of several.
    fn output_of(&self, slot: usize) -> PathBuf {
        self.dir.path().join(format!("command.{slot}"))
    }

    fn measure_many(&mut self, when: When) -> Result<(), Stop> {
        self.look_at_processes();
        let pids = self.kin.pids(&[Part::Logmon]);
        let found = memory(&pids);
        if found.is_none() && self.case.scenario.judges_memory() {
            return Err(self.unmet("the memory of logmon can be read (smaps_rollup)".into()));
        }
        let (own_bytes, page_table_bytes) =
            found.map_or((0, 0), |memory| (memory.own_bytes, memory.page_table_bytes));
        let used = resources(&pids);
        let is_there = |task: &&ManyTask| when != When::Stopped && task.is_started;
        let tasks = self.many.iter().filter(is_there).count();
        self.trace.add(Event::Many(ManyEvent::Measured {
            when,
            tasks: u32::try_from(tasks).unwrap_or(u32::MAX),
            processes: used.processes,
            threads: used.threads,
            fds: used.fds,
            memory_bytes: own_bytes,
            page_table_bytes,
        }));
        Ok(())
    }

    /// Records what lies in the FIFOs of those that were not started, where the host can see it.
    fn look_at_the_rest(&mut self) -> Result<(), Stop> {
        let mut events = Vec::new();
        for task in self.many.iter_mut().filter(|task| !task.is_started) {
            for stream in &mut task.streams {
                let Some(spare) = stream.spare.take() else {
                    continue;
                };
                let left = all_of(&spare).map_err(|error| Stop::Suite(chain(&error)))?;
                events.push(ManyEvent::Left {
                    task: task.number,
                    stream: stream.stream,
                    bytes: left.len() as u64,
                    of: stream.sent as u64,
                    is_same: left == stream.bytes[..stream.sent],
                });
            }
        }
        for event in events {
            self.trace.add(Event::Many(event));
        }
        Ok(())
    }
}

impl ManyStream {
    /// The last line that the FIFO took as a whole.
    fn last_line(&self) -> Option<&[u8]> {
        let end = self.bytes[..self.sent]
            .iter()
            .rposition(|byte| *byte == b'\n')?;
        let before = self.bytes[..end].iter().rposition(|byte| *byte == b'\n');
        Some(&self.bytes[before.map_or(0, |newline| newline + 1)..=end])
    }

    /// Writes the next piece, if there is room for it; says whether everything is written. A FIFO
    /// that nobody reads yet is tried again.
    fn write_piece(&mut self, up_to: usize) -> Result<bool, String> {
        if self.sent >= up_to {
            return Ok(true);
        }
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => match Writer::try_open(&self.fifo) {
                Ok(writer) => writer,
                Err(error) if error.is_transient() => return Ok(false),
                Err(error) => return Err(chain(&error)),
            },
        };
        let piece = &self.bytes[self.sent..up_to.min(self.sent + PIECE)];
        let written = writer.try_write(piece).map_err(|error| chain(&error))?;
        self.writer = Some(writer);
        self.is_read = match written {
            Written::Bytes(bytes) => {
                self.sent += bytes;
                true
            }
            Written::Full => true,
            Written::NoReader => false,
        };
        Ok(self.sent >= up_to)
    }
}

/// Everything that lies in a FIFO.
fn all_of(reader: &Reader) -> Result<Vec<u8>, fifo::Error> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.try_read(&mut buffer)? {
            ReadOutcome::Bytes(bytes) => all.extend_from_slice(&buffer[..bytes]),
            ReadOutcome::Empty | ReadOutcome::NoWriter => return Ok(all),
        }
    }
}
