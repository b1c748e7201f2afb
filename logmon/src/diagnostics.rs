//! Edge: diagnostics on stderr that never hurt the collection.
//!
//! Whoever reads stderr may be gone, or may not read (MON-14): an error of the write is ignored, and a
//! line that would have to wait is dropped; one that is longer than what is written as a whole is shortened.
//! SIGPIPE is ignored by Rust programs, so a closed pipe is only an error.
//!
//! A file is always ready, and its disk may hang all the same. So lines for a file are handed to a thread,
//! which is started for the first of them; those for which there is no room are counted and told later.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::fmt::format::{DefaultFields, Format};
use tracing_subscriber::fmt::{FormatEvent, MakeWriter, SubscriberBuilder};

use crate::cli::{LogFormat, LogLevel};
use crate::error::chain;
use crate::fitting::fitted;
use crate::hand_over::HandOver;

/// Bytes of the stack of the thread that writes.
const WRITER_STACK: usize = 64 * 1024;
/// How long the end of the process waits for lines that are on their way to a file.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Starts diagnostics for this process. If they are started already, they stay as they are.
pub(crate) fn start(level: LogLevel, format: LogFormat) {
    let builder = builder(level);
    note(match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().with_target(false).try_init(),
    });
}

/// Starts diagnostics as [`start`] does, in a form that is not to be chosen.
pub(crate) fn start_as<F>(level: LogLevel, format: F)
where
    F: FormatEvent<Registry, DefaultFields> + Send + Sync + 'static,
{
    note(builder(level).event_format(format).try_init());
}

fn builder(level: LogLevel) -> SubscriberBuilder<DefaultFields, Format, LevelFilter, Stderr> {
    is_file();
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(Stderr)
}

fn note<E: std::fmt::Display>(started: Result<(), E>) {
    if let Err(already) = started {
        tracing::debug!(%already, "diagnostics were started before");
    }
}

/// Tells one line to a person, with the chain of causes, whatever the level of diagnostics is.
pub(crate) fn tell(error: &dyn std::error::Error) {
    tell_text(&chain(error));
}

/// Tells one line to a person.
pub(crate) fn tell_text(text: &str) {
    write_or_drop(format!("logmon: {text}\n").as_bytes());
}

/// Writes a line to stdout, and ignores that nobody may read it.
pub(crate) fn announce(line: &str) {
    let stdout = io::stdout();
    let mut stdout = stdout.lock();
    if writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .is_err()
    {
        tracing::debug!(line, "nobody reads stdout");
    }
}

/// Points stdin, stdout and stderr at the null device.
pub(crate) fn leave() {
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null");
    if let Ok(null) = null {
        for pointed in [
            nix::unistd::dup2_stdin(&null),
            nix::unistd::dup2_stdout(&null),
            nix::unistd::dup2_stderr(&null),
        ] {
            if let Err(errno) = pointed {
                tracing::debug!(%errno, "a standard descriptor stays as it is");
            }
        }
    }
}

/// What tracing writes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Stderr;

    fn make_writer(&'a self) -> Stderr {
        Stderr
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write_or_drop(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Only one thread at a time asks and writes: the answer of `poll(2)` is good for one line.
static WRITING: Mutex<()> = Mutex::new(());

/// Lines on their way to a file.
static HAND_OVER: HandOver = HandOver::new();

/// Waits a moment for what is on its way. To be called at the end of the process.
pub(crate) fn end() {
    HAND_OVER.drained_within(LAST_LINES);
}

fn write_or_drop(line: &[u8]) {
    if is_file() {
        if HAND_OVER.put(line) {
            let writer = thread::Builder::new()
                .name("diagnostics".into())
                .stack_size(WRITER_STACK);
            if writer.spawn(write_on).is_err() {
                HAND_OVER.has_no_writer();
            }
        }
    } else {
        write_at_once(line);
    }
}

/// True when stderr was a file of a disk at the first look. There is no second one: on some file systems
/// it would wait for the disk.
fn is_file() -> bool {
    static IS_FILE: OnceLock<bool> = OnceLock::new();
    *IS_FILE.get_or_init(|| {
        fstat(io::stderr()).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG)
    })
}

/// The life of the thread that writes.
fn write_on() {
    loop {
        let lines = HAND_OVER.take();
        // There is nobody left to tell that stderr can't be written.
        drop(io::stderr().write_all(&lines));
        HAND_OVER.written();
    }
}

fn write_at_once(line: &[u8]) {
    let line = fitted(line, fifo::PIPE_BUF);
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let stderr = io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    // A pipe is ready when it has room for PIPE_BUF bytes, so a line of up to that many does not wait.
    let is_ready = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0);
    if is_ready {
        // There is nobody left to tell that stderr can't be written.
        let _written: nix::Result<usize> = nix::unistd::write(stderr.as_fd(), &line);
    }
}
