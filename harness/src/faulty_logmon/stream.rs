//! One stream: what is read from its FIFO, and what becomes of it. (edge)

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

use super::collect::{CollectError, system};
use super::config::{Config, OnFull, StreamConfig};
use super::copy;
use super::fault::Fault;
use super::files::{Files, FilesError};
use super::hoard;
use super::open::open_fifo;
use super::plan::{Cut, Planner, Step};
use super::shed::{Shed, Shedder};

/// What a logmon that buffers keeps in memory.
const BUFFER_BYTES: usize = 64 << 10;
/// How late a logmon that is late writes.
const LATE: Duration = Duration::from_secs(2);
/// How long one that reads ahead keeps what it has read: DATA-5 allows twice as much.
const READ_AHEAD: Duration = Duration::from_millis(100);
/// How long one that writes before it takes leaves what it has written in the FIFO.
const NOT_TAKEN: Duration = Duration::from_millis(5);
/// How long a full disk is waited for before output is dropped: HEAL-2 allows 1 s.
const SHED_AFTER: Duration = Duration::from_millis(400);
/// How long a file that could not be written or made is left alone.
pub(super) const AGAIN_MS: u16 = 50;
/// Lines of a flood, 250 KB.
const FLOOD_LINES: usize = 10_000;

/// What one read gave.
pub(super) enum Outcome {
    Bytes(usize),
    Empty,
    NoWriter,
}

pub(super) struct Stream {
    pub(super) fd: OwnedFd,
    planner: Planner,
    pub(super) files: Files,
    pub(super) fault: Fault,
    buffer: Vec<u8>,
    buffered_since: Instant,
    seen_writer: bool,
    /// There was no writer at the last read.
    pub(super) hung: bool,
    /// Never read again.
    pub(super) abandoned: bool,
    is_new_line: bool,
    /// Bytes at the head of the FIFO that are written already.
    copied: usize,
    copied_at: Option<Instant>,
    /// What the files have not taken yet; nothing is read meanwhile.
    pub(super) pending: VecDeque<Step>,
    again_at: Instant,
    name: String,
    on_full: OnFull,
    collects: bool,
    shedder: Shedder,
    /// Since when the first pending step fails.
    failing_since: Option<Instant>,
}

impl Stream {
    pub(super) fn open(config: &Config, stream: &StreamConfig) -> Result<Self, CollectError> {
        let fault = config.fault;
        let is_among_logs = stream.fifo.parent() == Some(config.folder.as_path());
        if fault == Fault::WantsFifosAmongLogs && !is_among_logs {
            return Err(system("find the FIFO in the log folder")(Errno::ENOENT));
        }
        let fd = open_fifo(config, &stream.fifo)?;
        let max_files = usize::try_from(config.max_files)
            .unwrap_or(usize::MAX)
            .max(1);
        let files = Files::open(&config.folder, &stream.name, max_files, fault)?;
        let max_file_bytes = match (fault, config.max_file_bytes) {
            (_, 0) => u64::MAX,
            (Fault::RotatesEarly, bytes) => bytes - bytes / 16,
            (_, bytes) => bytes,
        };
        let cut = if fault == Fault::SplitsLines {
            Cut::Anywhere
        } else if fault == Fault::Oversize {
            Cut::AfterTheLimit
        } else {
            Cut::BetweenLines
        };
        let planner = Planner::new(
            max_file_bytes,
            config.line_guard,
            cut,
            files.bytes_at_start,
            files.in_line_at_start,
        );
        Ok(Self {
            fd,
            planner,
            files,
            fault,
            buffer: Vec::new(),
            buffered_since: Instant::now(),
            seen_writer: false,
            hung: false,
            abandoned: false,
            is_new_line: true,
            copied: 0,
            copied_at: None,
            pending: VecDeque::new(),
            again_at: Instant::now(),
            name: stream.name.clone(),
            on_full: config.on_full,
            collects: config.collects,
            shedder: Shedder::new(if fault == Fault::DropsPartsOfLines {
                Shed::Reads
            } else {
                Shed::Lines
            }),
            failing_since: None,
        })
    }

    /// How long what was read is kept in memory.
    fn keeps_for(&self) -> Option<Duration> {
        if self.fault == Fault::LateVisibility {
            Some(LATE)
        } else if self.fault == Fault::WritesAtStop {
            Some(Duration::MAX)
        } else {
            (self.fault == Fault::ReadsBeforeItWrites).then_some(READ_AHEAD)
        }
    }

    pub(super) fn is_late(&self) -> bool {
        let ends = self.keeps_for().is_some_and(|limit| limit < Duration::MAX);
        ends && !self.buffer.is_empty()
    }

    /// Whether what was written last is still to stay in the FIFO.
    pub(super) fn rests(&self) -> bool {
        self.copied_at.is_some_and(|at| at.elapsed() < NOT_TAKEN)
    }

    /// Writes what lies in the FIFO and leaves it there until the next turn.
    fn copy(&mut self, chunk: &mut [u8]) -> Result<(), CollectError> {
        if self.rests() {
            return Ok(());
        }
        copy::take_out(&self.fd, &mut chunk[..self.copied])?;
        (self.copied, self.copied_at) = (0, None);
        match copy::look(&self.fd, chunk)? {
            Outcome::Bytes(bytes) => {
                self.hung = false;
                self.seen_writer = true;
                self.keep(&chunk[..bytes])?;
                self.copied = bytes - self.planner.give_back();
                self.copied_at = Some(Instant::now());
            }
            Outcome::Empty => {
                self.hung = false;
                self.seen_writer = true;
            }
            Outcome::NoWriter => self.end_of_file(),
        }
        Ok(())
    }

    /// One read, if there is something to read, and what follows from it.
    pub(super) fn turn(&mut self, chunk: &mut [u8]) -> Result<(), CollectError> {
        if self.abandoned {
            return Ok(());
        }
        if !self.pending.is_empty() && Instant::now() >= self.again_at {
            self.work_off()?;
        }
        if !self.pending.is_empty() && !self.is_shedding() {
            return Ok(());
        }
        if self.fault == Fault::RepeatsAfterKill {
            return self.copy(chunk);
        }
        if self.fault == Fault::SplicesStraightToFile {
            return self.splice(chunk);
        }
        match self.read(chunk)? {
            Outcome::Bytes(bytes) => {
                self.hung = false;
                self.seen_writer = true;
                self.take(&chunk[..bytes])?;
            }
            Outcome::Empty => {
                self.hung = false;
                self.seen_writer = true;
            }
            Outcome::NoWriter => self.end_of_file(),
        }
        if let Some(limit) = self.keeps_for()
            && self.is_late()
            && self.buffered_since.elapsed() >= limit
        {
            self.flush()?;
        }
        Ok(())
    }

    /// Looks at what lies in the FIFO, and moves as much of it to the files as is decided.
    fn splice(&mut self, chunk: &mut [u8]) -> Result<(), CollectError> {
        match copy::look(&self.fd, chunk)? {
            Outcome::Bytes(bytes) => {
                (self.hung, self.seen_writer) = (false, true);
                let steps = self.planner.feed(&chunk[..bytes]);
                self.planner.give_back();
                for step in steps {
                    match step {
                        Step::Write(bytes) => self.files.splice(&self.fd, bytes.len())?,
                        Step::Rotate => self.files.rotate()?,
                    }
                }
            }
            Outcome::Empty => (self.hung, self.seen_writer) = (false, true),
            Outcome::NoWriter => self.end_of_file(),
        }
        Ok(())
    }

    fn end_of_file(&mut self) {
        let is_first_look = !self.hung;
        self.hung = self.seen_writer;
        if !self.seen_writer || !is_first_look {
            return;
        }
        self.abandoned = matches!(
            self.fault,
            Fault::EndsAtFirstEof | Fault::HoldsWithoutDraining
        );
        if self.fault == Fault::ParksThreadPerRestart {
            drop(thread::spawn(|| {
                loop {
                    thread::park();
                }
            }));
        }
    }

    fn read(&self, chunk: &mut [u8]) -> Result<Outcome, CollectError> {
        match nix::unistd::read(&self.fd, chunk) {
            Ok(0) => Ok(Outcome::NoWriter),
            Ok(bytes) => Ok(Outcome::Bytes(bytes)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Outcome::Empty),
            Err(errno) => Err(system("read from a FIFO")(errno)),
        }
    }

    /// Whether output is dropped, because the disk has taken none for a while.
    pub(super) fn is_shedding(&self) -> bool {
        self.on_full == OnFull::Drop
            && self.fault != Fault::BlocksUnderDrop
            && self
                .failing_since
                .is_some_and(|since| since.elapsed() >= SHED_AFTER)
    }

    /// Tells how much was dropped, when the disk takes output again or nothing more will come.
    fn tell_dropped(&mut self, is_end: bool) {
        let goes_on = !self.pending.is_empty() || self.shedder.is_in_dropped();
        if goes_on && !is_end {
            return;
        }
        let Some(dropped) = self.shedder.take_dropped() else {
            return;
        };
        if self.fault == Fault::DropsWithoutRecord {
            return;
        }
        let bytes = if self.fault == Fault::MiscountsDrops {
            dropped.bytes - dropped.lines
        } else {
            dropped.bytes
        };
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let name = &self.name;
        let line =
            format!("faulty-logmon: stream={name} dropped_bytes={bytes} until_unix_ms={now_ms}\n");
        // A logmon goes on without anybody who reads this.
        io::stderr().write_all(line.as_bytes()).ok();
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), CollectError> {
        if !self.collects {
            return Ok(());
        }
        let bytes = match self.on_full {
            OnFull::Block => Cow::Borrowed(bytes),
            OnFull::Drop => Cow::Owned(self.shedder.sift(bytes, self.is_shedding())),
        };
        let bytes = &*bytes;
        if self.fault == Fault::StripsCr {
            let kept: Vec<u8> = bytes
                .iter()
                .copied()
                .filter(|byte| *byte != b'\r')
                .collect();
            return self.keep(&kept);
        }
        if !matches!(
            self.fault,
            Fault::BuffersAndLosesOnKill
                | Fault::LateVisibility
                | Fault::ReadsBeforeItWrites
                | Fault::WritesAtStop
        ) {
            return self.keep(bytes);
        }
        if self.buffer.is_empty() {
            self.buffered_since = Instant::now();
        }
        self.buffer.extend_from_slice(bytes);
        if !matches!(self.fault, Fault::LateVisibility | Fault::WritesAtStop)
            && self.buffer.len() >= BUFFER_BYTES
        {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CollectError> {
        let buffer = std::mem::take(&mut self.buffer);
        self.keep(&buffer)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), CollectError> {
        if let Some(last) = bytes.last() {
            self.is_new_line = *last == b'\n';
        }
        let steps = self.planner.feed(bytes);
        self.perform(steps)
    }

    fn perform(&mut self, steps: Vec<Step>) -> Result<(), CollectError> {
        self.pending.extend(steps);
        self.work_off()
    }

    /// Performs what is pending, up to the first step that fails.
    fn work_off(&mut self) -> Result<(), CollectError> {
        while let Some(mut step) = self.pending.pop_front() {
            if matches!(step, Step::Rotate) {
                self.before_rotation()?;
            }
            if self.fault == Fault::FloodsItsOutput {
                // Nobody else is told when it can't be told.
                let flood = "faulty-logmon: next step\n".repeat(FLOOD_LINES);
                io::stderr().write_all(flood.as_bytes()).ok();
            }
            let done = match &step {
                Step::Write(bytes) => self.files.append(bytes),
                Step::Rotate => self.files.rotate(),
            };
            let Err(error) = done else { continue };
            if self.is_fatal(&step, &error) {
                return Err(error.into());
            }
            if let (Step::Write(bytes), FilesError::Write { written, .. }) = (&mut step, &error) {
                bytes.drain(..*written);
                if self.fault == Fault::DropsOnWriteError {
                    continue;
                }
            }
            self.again_at = Instant::now();
            self.failing_since.get_or_insert(self.again_at);
            if self.fault == Fault::SpinsOnWriteError {
                eprintln!("faulty-logmon: {error}");
            } else {
                self.again_at += Duration::from_millis(u64::from(AGAIN_MS));
            }
            self.abandoned |= self.fault == Fault::GivesUpAfterFault;
            if self.fault == Fault::GivesUpOnEmfile && error.errno() == Some(Errno::EMFILE as i32) {
                self.collects = false;
                self.pending.clear();
                break;
            }
            if self.fault == Fault::DeletesHistoryWhenFull && is_full(&error) {
                // Whatever came of it, the step is tried again.
                self.files.delete_oldest().ok();
            }
            self.pending.push_front(step);
            break;
        }
        if self.pending.is_empty() {
            self.failing_since = None;
        }
        self.tell_dropped(false);
        Ok(())
    }

    /// What some logmons do at each rotation though nobody needs it.
    fn before_rotation(&self) -> Result<(), CollectError> {
        if self.fault == Fault::GivesUpOnEmfile {
            hoard::take_again();
        }
        if self.fault == Fault::NeedsItsOutput {
            io::stderr()
                .write_all(b"faulty-logmon: next file\n")
                .map_err(|source| CollectError::System {
                    operation: "tell of a rotation",
                    source,
                })?;
        }
        let is_replaced = || {
            std::fs::read_link("/proc/self/exe")
                .is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
        };
        if self.fault == Fault::NeedsItsBinary && is_replaced() {
            return Err(system("find its own program")(Errno::ENOENT));
        }
        Ok(())
    }

    fn is_fatal(&self, step: &Step, error: &FilesError) -> bool {
        let is = |errno: Errno| error.errno() == Some(errno as i32);
        let is_closed = || {
            [Errno::EROFS, Errno::EACCES, Errno::EPERM]
                .into_iter()
                .any(is)
        };
        self.fault == Fault::EndsOnWriteError && matches!(step, Step::Write(_))
            || self.fault == Fault::NeedsItsLogFolder && is(Errno::ENOENT)
            || self.fault == Fault::EndsOnEmfile && is(Errno::EMFILE)
            || self.fault == Fault::EndsOnReadOnly && is_closed()
    }

    /// Takes what is in the pipe and in memory. What comes after the deadline stays in the FIFO.
    pub(super) fn drain(
        &mut self,
        chunk: &mut [u8],
        deadline: Instant,
    ) -> Result<(), CollectError> {
        copy::take_out(&self.fd, &mut chunk[..self.copied])?;
        self.copied = 0;
        self.work_off()?;
        while !self.abandoned && self.pending.is_empty() && Instant::now() < deadline {
            match self.read(chunk)? {
                Outcome::Bytes(bytes) => self.take(&chunk[..bytes])?,
                Outcome::Empty | Outcome::NoWriter => break,
            }
        }
        if !self.collects {
            return Ok(());
        }
        self.flush()?;
        if self.fault == Fault::AddsNewlineAtStop && self.planner.is_in_line() && !self.is_new_line
        {
            self.keep(b"\n")?;
        }
        let steps = self.planner.finish();
        self.perform(steps)?;
        self.tell_dropped(true);
        Ok(())
    }
}

fn is_full(error: &FilesError) -> bool {
    error.errno() == Some(Errno::ENOSPC as i32)
}
