//! The task's two descriptors: complete writes, each with its journal line: an edge.

use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdout};

use crate::journal::Event;
use crate::journal_file::JournalFile;
use crate::script::{Unit, WriterPart};
use crate::stream::Stream;

/// Descriptors 1 and 2 and how much each has taken.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    journal: &'a JournalFile,
    ends: [u64; 2],
    closed: [bool; 2],
}

impl<'a> Output<'a> {
    pub(crate) fn new(journal: &'a JournalFile) -> Self {
        Self {
            journal,
            ends: [0; 2],
            closed: [false; 2],
        }
    }

    /// Writes the part in writes of at most `together` units and at most `pieces` bytes.
    pub(crate) fn write_part(
        &mut self,
        part: &WriterPart,
        together: usize,
        pieces: usize,
        pause_after: Duration,
    ) -> Result<()> {
        let stream = part.stream();
        let mut bytes = Vec::new();
        let mut last_seq = None;
        let mut units = part.units().peekable();
        while units.peek().is_some() {
            bytes.clear();
            let mut seq_when_whole = last_seq;
            for unit in units.by_ref().take(together) {
                part.render_into(&unit, &mut bytes);
                if let Unit::Record(record) = unit {
                    seq_when_whole = Some(record.id.seq);
                }
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let piece = &rest[..rest.len().min(pieces)];
                let taken = write_some(stream, piece).inspect_err(|errno| {
                    self.journal.error(stream, *errno);
                });
                let taken = taken.with_context(|| format!("cannot write to {stream}"))?;
                rest = &rest[taken..];
                if rest.is_empty() {
                    last_seq = seq_when_whole;
                }
                self.written(stream, taken as u64, last_seq);
                // A short write goes on at once: the pause stands behind a piece.
                if taken == piece.len() && !pause_after.is_zero() {
                    pause(pause_after);
                }
            }
        }
        Ok(())
    }

    /// Notes bytes that the kernel has taken.
    pub(crate) fn written(&mut self, stream: Stream, bytes: u64, seq: Option<u32>) {
        let end = &mut self.ends[stream.index()];
        *end += bytes;
        self.journal.add(Event::Wrote {
            stream,
            end: *end,
            bytes,
            seq,
        });
    }

    /// Closes the stream's descriptor.
    pub(crate) fn close(&mut self, stream: Stream) -> Result<()> {
        let fd = stream.index() as i32 + 1;
        nix::unistd::close(fd).with_context(|| format!("cannot close {stream}"))?;
        self.closed[stream.index()] = true;
        self.journal.add(Event::Closed { stream, fd });
        Ok(())
    }

    /// Opens the stream's descriptor once more by the path that leads to it (`proc_pid_fd(5)`), in the place
    /// of the old one. A failure is written down, and changes nothing.
    pub(crate) fn reopen(&mut self, stream: Stream) -> Result<()> {
        let path = format!("/dev/{stream}");
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CLOEXEC;
        let opened = match open(path.as_str(), flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(errno) => {
                self.journal.error(stream, errno);
                return Ok(());
            }
        };
        let put = match stream {
            Stream::Stdout => dup2_stdout(opened),
            Stream::Stderr => dup2_stderr(opened),
        };
        put.with_context(|| format!("cannot put {path} in the place of {stream}"))
    }

    /// Gives a child those of the streams that are still open here, and the null device instead of
    /// every other.
    pub(crate) fn wire(&self, command: &mut Command, streams: &[Stream]) {
        let wire = |stream: Stream| {
            if streams.contains(&stream) && !self.closed[stream.index()] {
                Stdio::inherit()
            } else {
                Stdio::null()
            }
        };
        command.stdout(wire(Stream::Stdout));
        command.stderr(wire(Stream::Stderr));
    }
}

/// One write(2) of at least one byte. A full pipe is waited for, also on a descriptor that a driver
/// made non-blocking.
fn write_some(stream: Stream, bytes: &[u8]) -> nix::Result<usize> {
    let stdout = std::io::stdout();
    let stderr = std::io::stderr();
    let fd: BorrowedFd<'_> = match stream {
        Stream::Stdout => stdout.as_fd(),
        Stream::Stderr => stderr.as_fd(),
    };
    loop {
        match nix::unistd::write(fd, bytes) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            done => return done,
        }
    }
}

/// Does nothing for a while.
#[expect(
    clippy::disallowed_methods,
    reason = "the script asks for a pause; there is no condition to wait for"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
