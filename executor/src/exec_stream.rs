//! A command in a task that is spoken with while it runs (edge).
//!
//! Both sides go on by themselves: what waits to be read does not hold what is written. A command that nobody reads
//! from waits in write(2), as behind any pipe; nothing of what it says is dropped.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::error::ExecError;
use crate::exec::{self, first_readable};
use crate::exec_ends::{Near, WindowSize, end_character, resize};
use crate::one_task::Starter;
use crate::status::CommandEnd;
use crate::task::{Task, lock};
use crate::waiting::{Cancel, CancelSource, Deadline, poll_until};

/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// How much is read after the end of a command, in bytes: far more than its pipes hold. What it has started may write
/// on for ever.
const LAST_WORDS: usize = 1 << 20;

/// A command to speak with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRequest {
    /// The program, looked for as that of the task.
    pub program: PathBuf,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// The window of its terminal, which is then its stdin, stdout and stderr, and the one that controls it; none:
    /// three pipes.
    pub terminal: Option<WindowSize>,
    /// How long it may run; none: as long as it takes.
    pub limit: Option<Duration>,
}

/// What a command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecMessage {
    /// Bytes from its stdout, at least one; from a terminal also those that it wrote to stderr, and what was typed, if
    /// the terminal echoes.
    Stdout(Vec<u8>),
    /// Bytes from its stderr, at least one.
    Stderr(Vec<u8>),
    /// It has ended. This is the last message; all that it wrote itself has come before.
    Ended(CommandEnd),
}

/// A command that runs, as the two sides of the conversation. They may be used by different threads.
#[derive(Debug)]
pub struct ExecStream {
    /// What is said to it.
    pub input: ExecInput,
    /// What it says.
    pub output: ExecOutput,
}

/// Starts a command. A thread of its own ends it when its time is over, when its task is stopped, and when nobody
/// listens any more.
pub(crate) fn converse(
    starter: &dyn Starter,
    task: &Arc<Task>,
    request: &ExecRequest,
) -> Result<ExecStream, ExecError> {
    let failed = |source| ExecError::Wait {
        program: request.program.clone(),
        source,
    };
    let own = Own {
        end: Arc::default(),
        done: Arc::new(CancelSource::new().map_err(failed)?),
        cancel: Arc::new(CancelSource::new().map_err(failed)?),
    };
    let (near, command) = exec::begin(starter, task, request)?;
    let deadline = Deadline::of(request.limit);
    let (end, done, cancel) = (
        Arc::clone(&own.end),
        Arc::clone(&own.done),
        Arc::clone(&own.cancel),
    );
    let attend = move || {
        let came = command.attend(deadline, Cancel::when_readable(&*cancel), None);
        drop(command);
        *lock(&end) = Some(came);
        done.cancel();
    };
    std::thread::Builder::new().spawn(attend).map_err(failed)?;
    ExecStream::new(near, Ending::Own(own)).map_err(failed)
}

impl ExecStream {
    fn new(near: Near, ending: Ending) -> io::Result<ExecStream> {
        let over = Arc::new(CancelSource::new()?);
        let (stdin, stdout, stderr, is_terminal) = match near {
            Near::Pipes {
                stdin,
                stdout,
                stderr,
            } => (stdin, stdout, Some(stderr), false),
            Near::Terminal(master) => (master.try_clone()?, master, None, true),
        };
        Ok(ExecStream {
            input: ExecInput {
                to: Some(stdin),
                is_terminal,
                last: None,
                over: Arc::clone(&over),
            },
            output: ExecOutput {
                streams: [Some(stdout), stderr],
                next: 0,
                ending,
                is_cancelled: false,
                last: Last::Speaks,
                over,
            },
        })
    }

    /// A command that another process attends to, which tells its end over this connection, in words that `read`
    /// understands, and kills it when this side is closed for writing.
    pub(crate) fn attended(
        near: Near,
        connection: UnixStream,
        read: ReadEnd,
    ) -> io::Result<ExecStream> {
        ExecStream::new(near, Ending::Told(connection, read))
    }
}

/// What is said to a command. When it is dropped, a command with pipes sees the end of its input.
#[derive(Debug)]
pub struct ExecInput {
    /// None once the input was closed.
    to: Option<OwnedFd>,
    is_terminal: bool,
    /// The last byte that was written.
    last: Option<u8>,
    /// Readable once the command is over.
    over: Arc<CancelSource>,
}

impl ExecInput {
    /// Writes all of this to its stdin, and waits for room as long as the command runs and somebody listens to it.
    ///
    /// # Errors
    /// [`ErrorKind::BrokenPipe`]: the command is over or does not read any more, or the input was closed. This process
    /// must ignore SIGPIPE, as Rust programs do.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let to = self.to.as_ref().ok_or(ErrorKind::BrokenPipe)?;
        let mut left = bytes;
        while !left.is_empty() {
            let wanted = [
                (to.as_fd(), PollFlags::OUT),
                (self.over.as_fd(), PollFlags::IN),
            ];
            if poll_until(&wanted, Deadline::of(None))?[1] {
                return Err(ErrorKind::BrokenPipe.into());
            }
            match rustix::io::write(to, left) {
                Ok(count) => {
                    self.last = left[..count].last().copied().or(self.last);
                    left = &left[count..];
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Nobody has the other end of the terminal.
                Err(Errno::IO) => return Err(ErrorKind::BrokenPipe.into()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Ends its input. A terminal stays open: whoever reads lines from it sees an end of the file, once; in raw mode
    /// nobody does, as there the program decides what an end is. Once more is as good.
    ///
    /// # Errors
    /// Those of [`ExecInput::write`], if it has a terminal, and the error of `tcgetattr(3)`.
    pub fn close(&mut self) -> io::Result<()> {
        let end = match &self.to {
            Some(master) if self.is_terminal => end_character(master)?,
            Some(_) | None => None,
        };
        let written = match end {
            Some(character) => self.write(&ends_of_input(self.last, character)),
            None => Ok(()),
        };
        if !self.is_terminal {
            self.to = None;
        }
        written
    }

    /// Sets the size of its window; the programs in the foreground get SIGWINCH if it changes.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if it has no terminal, or the error of `TIOCSWINSZ(2const)`.
    pub fn resize(&self, size: WindowSize) -> io::Result<()> {
        match &self.to {
            Some(master) if self.is_terminal => resize(master, size),
            Some(_) | None => Err(ErrorKind::Unsupported.into()),
        }
    }
}

/// What makes the reader of lines see the end: the character, at the beginning of a line. Behind a part of a line it
/// only hands that over, so it stands there twice.
fn ends_of_input(last: Option<u8>, character: u8) -> Vec<u8> {
    match last {
        None | Some(b'\n') => vec![character],
        Some(_) => vec![character, character],
    }
}

/// What a command says. When it is dropped the command is killed with its process group.
#[derive(Debug)]
pub struct ExecOutput {
    /// Stdout and stderr; none once it is closed.
    streams: [Option<OwnedFd>; 2],
    /// Which of them is looked at first: neither of two that never stop hides the other.
    next: usize,
    ending: Ending,
    is_cancelled: bool,
    last: Last,
    /// Tells the other side that the command is over.
    over: Arc<CancelSource>,
}

/// How near the last message is.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// The command runs, as far as anybody knows.
    Speaks,
    /// It has ended, and so many bytes at most of what it said are still to come.
    Ended(CommandEnd, usize),
    /// It was told.
    Told,
}

impl ExecOutput {
    /// Waits for the next thing that it says, however long that takes; none behind the last one. `cancel` kills it
    /// with its process group, and its end is told as any other.
    ///
    /// # Errors
    /// The error of `poll(2)` or `read(2)`, or of waiting for it where it runs. Nothing comes behind that.
    pub fn next(&mut self, cancel: Cancel<'_>) -> io::Result<Option<ExecMessage>> {
        let next = self.try_next(cancel);
        if next.is_err() {
            self.last = Last::Told;
        }
        next
    }

    fn try_next(&mut self, cancel: Cancel<'_>) -> io::Result<Option<ExecMessage>> {
        loop {
            match self.last {
                Last::Told => return Ok(None),
                Last::Ended(end, left) => {
                    return Ok(Some(match self.read_rest(end, left)? {
                        Some(message) => message,
                        None => self.tell(end),
                    }));
                }
                Last::Speaks => {}
            }
            let (first, second) = (self.next, 1 - self.next);
            let wanted = [
                Some(self.ending.fd()),
                cancel.fd().filter(|_| !self.is_cancelled),
                self.streams[first].as_ref().map(AsFd::as_fd),
                self.streams[second].as_ref().map(AsFd::as_fd),
            ];
            let read = match first_readable(wanted, Deadline::of(None))? {
                Some(0) => {
                    self.last = Last::Ended(self.ending.take()?, LAST_WORDS);
                    None
                }
                Some(1) => {
                    self.is_cancelled = true;
                    self.ending.cancel();
                    None
                }
                Some(2) => self.read(first)?,
                Some(_) => self.read(second)?,
                None => None,
            };
            if let Some(message) = read {
                return Ok(Some(message));
            }
        }
    }

    /// What the command had said before it ended: a pipe has it, and a terminal hands it over before it says that
    /// there is nothing.
    fn read_rest(&mut self, end: CommandEnd, left: usize) -> io::Result<Option<ExecMessage>> {
        for stream in [self.next, 1 - self.next] {
            if left == 0 {
                return Ok(None);
            }
            if let Some(message) = self.read(stream)? {
                let (ExecMessage::Stdout(bytes) | ExecMessage::Stderr(bytes)) = &message else {
                    continue;
                };
                self.last = Last::Ended(end, left.saturating_sub(bytes.len()));
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn tell(&mut self, end: CommandEnd) -> ExecMessage {
        self.last = Last::Told;
        self.over.cancel();
        ExecMessage::Ended(end)
    }

    /// Reads once; none if nothing is there, or if that was the end of the stream.
    fn read(&mut self, stream: usize) -> io::Result<Option<ExecMessage>> {
        self.next = 1 - stream;
        let Some(from) = &self.streams[stream] else {
            return Ok(None);
        };
        let mut bytes = vec![0; CHUNK];
        match rustix::io::read(from, &mut bytes) {
            // The master of a terminal whose other end nobody has says EIO and no end, pty(7).
            Ok(0) | Err(Errno::IO) => {
                self.streams[stream] = None;
                Ok(None)
            }
            Ok(count) => {
                bytes.truncate(count);
                let message = [ExecMessage::Stdout, ExecMessage::Stderr][stream];
                Ok(Some(message(bytes)))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for ExecOutput {
    fn drop(&mut self) {
        self.ending.cancel();
        self.over.cancel();
    }
}

/// Reads how a command ended from whoever attends to it.
pub(crate) type ReadEnd = fn(&UnixStream) -> io::Result<CommandEnd>;

/// Who knows how the command ends.
#[derive(Debug)]
enum Ending {
    /// A thread of this process.
    Own(Own),
    /// Another process, at the other end of this.
    Told(UnixStream, ReadEnd),
}

#[derive(Debug)]
struct Own {
    end: Arc<Mutex<Option<io::Result<CommandEnd>>>>,
    done: Arc<CancelSource>,
    cancel: Arc<CancelSource>,
}

impl Ending {
    /// Readable when it has ended.
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Ending::Own(own) => own.done.as_fd(),
            Ending::Told(connection, _) => connection.as_fd(),
        }
    }

    fn take(&self) -> io::Result<CommandEnd> {
        match self {
            Ending::Own(own) => {
                let end = lock(&own.end).take();
                end.unwrap_or_else(|| Err(io::Error::other("its end was told before")))
            }
            Ending::Told(connection, read) => read(connection),
        }
    }

    /// Has it killed. It fails if it is over: then nothing is left to be killed.
    fn cancel(&self) {
        match self {
            Ending::Own(own) => own.cancel.cancel(),
            Ending::Told(connection, _) => drop(connection.shutdown(Shutdown::Write)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_input_stands_at_the_beginning_of_a_line() {
        assert_eq!(ends_of_input(None, 4), [4]);
        assert_eq!(ends_of_input(Some(b'\n'), 4), [4]);
        assert_eq!(ends_of_input(Some(b'x'), 4), [4, 4]);
    }
}
