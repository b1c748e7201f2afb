//! Copies one stream from the task's pipe into its FIFO, on a thread of its own: an edge.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fifo::{Writable, Writer};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Flow;
use super::outlet::{Outlet, errno_of};
use super::phase::Phase;
use crate::change::Changer;
use crate::cli::complain;
use crate::delivery::{Delivery, Next};
use crate::fault::{AtExit, Opening, Policy};
use crate::faults::absence::Gap;
use crate::faults::{left_behind, opening, reads_back::ReadsBack, restarted_task};
use crate::journal::Event;
use crate::journal_file::JournalFile;
use crate::reexec::Reexec;
use crate::stream::Stream;

/// Bytes of one read: what a pipe holds by default.
const CHUNK: usize = 65_536;
/// How often somebody looks for a reader, or for the end of the patience.
const LOOK_EVERY: Duration = Duration::from_millis(3);
/// How long a full pipe is waited for before the patience is looked at again.
const ROOM_LIMIT: Duration = Duration::from_millis(50);
/// How long the copier that closes early gathers bytes before it writes them.
const GATHER_MS: u16 = 100;

/// One stream on its way.
pub(crate) struct Pump<'a> {
    stream: Stream,
    flow: Flow,
    policy: &'a Policy,
    journal: &'a JournalFile,
    phase: &'a Phase,
    reexec: &'a Reexec,
    delivery: Delivery,
    changer: Changer,
    gap: Gap,
    reads_back: ReadsBack,
    outlet: Outlets,
    /// Bytes that the FIFO has taken.
    end: u64,
    /// When it last took some.
    progress: Instant,
    /// Bytes that were given up.
    lost: u64,
}

/// The state of a stream's outlet.
enum Outlets {
    NotYet,
    Open(Outlet),
    /// Nothing is delivered any more, and that is not noticed.
    Discard,
    /// Nothing can be delivered; what comes is counted as lost.
    Refused,
}

/// What a read gave.
enum Chunk {
    Bytes(usize),
    Empty,
    End,
}

/// Whether the pump goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    /// The patience is over.
    GiveUp,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        flow: Flow,
        policy: &'a Policy,
        journal: &'a JournalFile,
        phase: &'a Phase,
        reexec: &'a Reexec,
    ) -> Self {
        Self {
            stream: flow.stream,
            policy,
            journal,
            phase,
            reexec,
            delivery: Delivery::new(policy.on_full, policy.on_no_reader),
            changer: Changer::new(policy.change),
            gap: Gap::default(),
            reads_back: ReadsBack::default(),
            outlet: match flow.path {
                Some(_) => Outlets::NotYet,
                None => Outlets::Discard,
            },
            flow,
            end: 0,
            progress: Instant::now(),
            lost: 0,
        }
    }

    /// Copies until the stream is at its end, and gives the number of lost bytes.
    pub(crate) fn run(mut self) -> u64 {
        let mut go = match self.policy.opening {
            Opening::AtFirstByte | Opening::ForEachChunk => Go::On,
            Opening::Background
            | Opening::Anything
            | Opening::ThroughLinks
            | Opening::Once
            | Opening::BlockingBeforeStart
            | Opening::ReadWrite
            | Opening::PlainFile
            | Opening::Replace => self.open(),
        };
        if go == Go::On {
            go = match self.policy.at_exit {
                AtExit::Drain | AtExit::WaitForHolders => self.copy(),
                AtExit::Stop => self.copy_until_exit(),
            };
        }
        self.phase.set_silent(self.stream);
        if go == Go::GiveUp {
            self.count_the_loss();
        }
        if let Outlets::Open(outlet) = &self.outlet {
            self.journal.add(Event::Closed {
                stream: self.stream,
                fd: outlet.as_fd().as_raw_fd(),
            });
        }
        self.lost
    }

    fn copy(&mut self) -> Go {
        let mut buffer = vec![0; CHUNK];
        // What the main process wrote lies within one capacity of the pipe at its exit; what comes
        // behind that is written by others.
        let mut left_after_exit = None;
        loop {
            let has_exited = self.wait_for_input(left_after_exit.is_some());
            let drains = has_exited && self.policy.at_exit == AtExit::Drain;
            if drains && left_after_exit.is_none() {
                left_after_exit = Some(self.capacity());
            }
            let limit = left_after_exit.unwrap_or(CHUNK).min(CHUNK);
            match self.read(&mut buffer[..limit]) {
                Chunk::Bytes(taken) => {
                    left_after_exit = left_after_exit.map(|left| left - taken);
                    let changed = self.changer.push(&buffer[..taken]);
                    let changed = self.gap.pass(changed, self.phase.absence());
                    if self.deliver(&changed) == Go::GiveUp {
                        return Go::GiveUp;
                    }
                    if self.policy.opening == Opening::ForEachChunk {
                        self.close();
                    }
                }
                Chunk::Empty if drains => break,
                Chunk::Empty => {}
                Chunk::End => break,
            }
            if left_after_exit == Some(0) {
                break;
            }
        }
        let rest = self.changer.finish();
        self.deliver(&rest)
    }

    /// Gathers what comes close together, and forgets all that is not yet written when the task
    /// is gone: the faulty way.
    fn copy_until_exit(&mut self) -> Go {
        let mut buffer = vec![0; CHUNK];
        let mut gathered = Vec::new();
        loop {
            let mut fds = [
                PollFd::new(self.flow.source.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.phase.exit_fd(), PollFlags::POLLIN),
            ];
            let limit = if gathered.is_empty() {
                PollTimeout::NONE
            } else {
                PollTimeout::from(GATHER_MS)
            };
            let is_quiet = poll(&mut fds, limit) == Ok(0);
            if self.phase.has_exited() {
                return Go::On;
            }
            match self.read(&mut buffer) {
                Chunk::Bytes(taken) => gathered.extend_from_slice(&buffer[..taken]),
                Chunk::Empty => {}
                Chunk::End => return Go::On,
            }
            if is_quiet || gathered.len() >= CHUNK {
                let go = self.deliver(&gathered);
                gathered.clear();
                if go == Go::GiveUp {
                    return Go::GiveUp;
                }
            }
        }
    }

    /// Waits until there is something to read or the task is gone; says whether it is gone.
    fn wait_for_input(&self, is_draining: bool) -> bool {
        if is_draining {
            return true;
        }
        let has_exited = self.phase.has_exited();
        let mut fds = vec![PollFd::new(self.flow.source.as_fd(), PollFlags::POLLIN)];
        if !has_exited {
            fds.push(PollFd::new(self.phase.exit_fd(), PollFlags::POLLIN));
        } else if self.policy.at_exit == AtExit::Drain {
            return true;
        }
        // EINTR only means another look.
        poll(&mut fds, PollTimeout::NONE).ok();
        // Seen before the read: what the task wrote is in the pipe by now.
        self.phase.has_exited()
    }

    fn read(&self, buffer: &mut [u8]) -> Chunk {
        match nix::unistd::read(&self.flow.source, buffer) {
            Ok(0) => Chunk::End,
            Ok(taken) => Chunk::Bytes(taken),
            Err(Errno::EAGAIN | Errno::EINTR) => Chunk::Empty,
            // A pipe of our own has no other error; without it nothing can come.
            Err(_) => Chunk::End,
        }
    }

    fn capacity(&self) -> usize {
        let bytes = fcntl(&self.flow.source, FcntlArg::F_GETPIPE_SZ).unwrap_or(0);
        usize::try_from(bytes).unwrap_or(0).max(CHUNK)
    }

    fn deliver(&mut self, chunk: &[u8]) -> Go {
        let mut next = self.delivery.add(chunk);
        let mut was_blocked = false;
        loop {
            let go = match next {
                Next::Done => {
                    self.phase.set_blocked(self.stream, false);
                    return Go::On;
                }
                Next::Write => {
                    if matches!(self.outlet, Outlets::NotYet) && self.open() == Go::GiveUp {
                        return Go::GiveUp;
                    }
                    next = match self.write() {
                        Some(next) => next,
                        None => return Go::On,
                    };
                    Go::On
                }
                Next::WaitForRoom => {
                    if !was_blocked {
                        self.note_blocked();
                    }
                    was_blocked = true;
                    next = Next::Write;
                    self.wait_for_room()
                }
                Next::WaitForReader => {
                    self.phase.set_blocked(self.stream, true);
                    pause(LOOK_EVERY);
                    if self.has_reader() {
                        next = Next::Write;
                    }
                    self.patience()
                }
                Next::RestartTask => {
                    let error = restarted_task::begin_anew();
                    self.refuse(&format!("cannot start the task again: {error}"));
                    return Go::On;
                }
                Next::Reopen => {
                    self.close();
                    next = Next::Write;
                    self.open()
                }
            };
            if go == Go::GiveUp {
                return Go::GiveUp;
            }
        }
    }

    /// One write and what follows from it; `None` once nothing is delivered any more.
    fn write(&mut self) -> Option<Next> {
        let outlet = match &self.outlet {
            Outlets::Open(outlet) => outlet,
            Outlets::NotYet => return Some(Next::Write),
            Outlets::Discard => {
                self.delivery.discard();
                return None;
            }
            Outlets::Refused => {
                self.lost += self.delivery.discard() as u64;
                return None;
            }
        };
        let written = match outlet.write(self.delivery.pending()) {
            Ok(written) => written,
            Err(errno) => {
                self.journal.error(self.stream, errno);
                self.refuse(&format!(
                    "cannot write to {}: {errno}",
                    self.path().display()
                ));
                return None;
            }
        };
        match written {
            fifo::Written::Bytes(bytes) => {
                self.reads_back.steal();
                self.progress = Instant::now();
                self.phase.set_blocked(self.stream, false);
                self.end += bytes as u64;
                self.journal.add(Event::Wrote {
                    stream: self.stream,
                    end: self.end,
                    bytes: bytes as u64,
                    seq: None,
                });
            }
            fifo::Written::Full => {}
            fifo::Written::NoReader => self.journal.error(self.stream, Errno::EPIPE),
        }
        Some(self.delivery.on(written))
    }

    fn note_blocked(&self) {
        self.phase.set_blocked(self.stream, true);
        self.journal.add(Event::Blocked {
            stream: self.stream,
            bytes_pending: self.delivery.pending().len() as u64,
        });
    }

    fn wait_for_room(&self) -> Go {
        if let Outlets::Open(outlet) = &self.outlet {
            match outlet.wait_writable(ROOM_LIMIT) {
                // The write says the same, and whether that is final.
                Ok(Writable::Ready | Writable::NoReader | Writable::TimedOut) => {}
                Err(_) => pause(LOOK_EVERY),
            }
        }
        self.patience()
    }

    fn has_reader(&self) -> bool {
        match &self.outlet {
            Outlets::Open(outlet) => {
                !matches!(outlet.wait_writable(Duration::ZERO), Ok(Writable::NoReader))
            }
            Outlets::NotYet | Outlets::Discard | Outlets::Refused => false,
        }
    }

    fn patience(&self) -> Go {
        let stops = self.policy.at_exit == AtExit::Stop && self.phase.has_exited();
        if stops || self.phase.is_patience_over(self.progress) {
            Go::GiveUp
        } else {
            Go::On
        }
    }

    fn path(&self) -> &Path {
        self.flow.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Opens the FIFO as the policy says, however long that takes.
    fn open(&mut self) -> Go {
        let Some(path) = self.flow.path.clone() else {
            return Go::On;
        };
        let mut told = false;
        self.prepare(&path);
        while matches!(self.outlet, Outlets::NotYet) {
            match self.try_open(&path) {
                Ok(outlet) => {
                    self.journal.opened(self.stream, &outlet);
                    if let Err(error) =
                        left_behind::at_open(self.policy, &path, &outlet, self.reexec)
                    {
                        complain(&format!("{error:#}"));
                    }
                    if self.policy.reads_back {
                        self.reads_back = ReadsBack::of(&path);
                    }
                    self.outlet = Outlets::Open(outlet);
                    self.progress = Instant::now();
                }
                Err(errno) => {
                    if !told {
                        self.journal.error(self.stream, errno);
                    }
                    told = true;
                    if errno != Errno::ENXIO {
                        self.refuse(&format!("cannot open {}: {errno}", path.display()));
                    } else if self.policy.opening == Opening::Once {
                        self.outlet = Outlets::Discard;
                    } else {
                        self.phase.set_blocked(self.stream, true);
                        pause(LOOK_EVERY);
                        if self.patience() == Go::GiveUp || self.is_needless() {
                            return Go::GiveUp;
                        }
                    }
                }
            }
        }
        self.phase.set_blocked(self.stream, false);
        Go::On
    }

    fn prepare(&mut self, path: &Path) {
        if self.policy.opening == Opening::Replace
            && self.end == 0
            && let Err(error) = opening::replace(path)
        {
            self.refuse(&format!("{error:#}"));
        }
    }

    fn try_open(&self, path: &PathBuf) -> Result<Outlet, Errno> {
        match self.policy.opening {
            Opening::Background
            | Opening::AtFirstByte
            | Opening::ForEachChunk
            | Opening::Once
            | Opening::BlockingBeforeStart
            | Opening::Replace => match Writer::try_open(path) {
                Ok(writer) => Ok(Outlet::Fifo(writer)),
                Err(error) => Err(errno_of(&error)),
            },
            Opening::ReadWrite => opening::read_write(path).map(Outlet::Bare),
            Opening::PlainFile => opening::plain_file(path).map(Outlet::Bare),
            Opening::Anything | Opening::ThroughLinks => opening::anything(path).map(Outlet::Bare),
        }
    }

    /// Whether the task is gone and neither stream has anything that a reader must come for. A
    /// silent stream is opened too as long as the other waits (FIFO-6).
    fn is_needless(&self) -> bool {
        if !self.phase.has_exited() || !self.delivery.pending().is_empty() {
            return false;
        }
        let mut fds = [PollFd::new(self.flow.source.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).ok();
        let has_input = fds[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLIN));
        if has_input {
            return false;
        }
        self.phase.set_silent(self.stream);
        !self.phase.may_have_output(self.stream.other())
    }

    fn close(&mut self) {
        if let Outlets::Open(outlet) = std::mem::replace(&mut self.outlet, Outlets::NotYet) {
            let fd = outlet.as_fd().as_raw_fd();
            drop(outlet);
            let stream = self.stream;
            self.journal.add(Event::Closed { stream, fd });
        }
    }

    /// Says why nothing can be delivered; the task goes on.
    fn refuse(&mut self, why: &str) {
        complain(&format!("{}: {why}", self.stream));
        self.outlet = Outlets::Refused;
    }

    fn count_the_loss(&mut self) {
        let mut lost = self.delivery.pending().len() as u64;
        let mut buffer = vec![0; self.capacity()];
        if let Chunk::Bytes(left) = self.read(&mut buffer) {
            lost += left as u64;
        }
        // The policy that stops at the exit does not know what it leaves.
        if lost > 0 && self.policy.at_exit != AtExit::Stop {
            self.lost += lost;
            let path = self.path().display();
            complain(&format!(
                "lost {lost} bytes of {}: nobody reads {path}",
                self.stream
            ));
        }
    }
}

/// Waits before another look.
#[expect(
    clippy::disallowed_methods,
    reason = "a poller: the kernel reports no event when a FIFO gets its reader"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
