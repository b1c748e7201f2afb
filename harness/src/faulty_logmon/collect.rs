//! Collects a task's output: opens everything, and waits for bytes or for the end. (edge)

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::again::Again;
use super::config::Config;
use super::fault::Fault;
use super::files::FilesError;
use super::holder;
use super::stream::{AGAIN_MS, Stream};

/// Why the collection could not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectError {
    /// A limit is 0.
    #[error("accept a limit of 0")]
    ZeroLimit,
    /// A path is no FIFO.
    #[error("use the FIFO")]
    Fifo(#[source] fifo::Error),
    /// Another logmon has the lock.
    #[error("lock {}: another logmon holds it", path.display())]
    Locked {
        /// The FIFO.
        path: PathBuf,
    },
    /// A log file can't be used.
    #[error("keep the log")]
    Files(#[from] FilesError),
    /// The system refused something else.
    #[error("{operation}")]
    System {
        /// What.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// How long a FIFO without a writer is left alone before it is looked at again.
const HUNG_MS: u16 = 5;
/// How long draining may take when writers never end.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// How long a slow stop takes.
const SLOW_STOP: Duration = Duration::from_secs(4);
/// How long a slow start takes.
const SLOW_START: Duration = Duration::from_secs(3);
/// How long one lets bytes lie that is in no hurry.
const LAZY: Duration = Duration::from_millis(100);
/// How often a logmon looks that looks all the time.
const RESTLESS_MS: u16 = 2;
/// How long one that starts over has let go of its FIFOs.
const WITHOUT_READER: Duration = Duration::from_millis(300);
/// What one read of a logmon for one task takes at most.
const CHUNK_BYTES: usize = 64 << 10;

/// Opens everything, says `ready`, and collects until SIGTERM or SIGINT.
pub(super) fn collect(config: &Config) -> Result<(), CollectError> {
    if config.fault == Fault::SlowStart {
        thread::park_timeout(SLOW_START);
    }
    let signals = block_signals()?;
    let streams = open(config)?;
    if let Some(mark) = &config.holder {
        let fifos: Vec<&Path> = config
            .streams
            .iter()
            .map(|one| one.fifo.as_path())
            .collect();
        holder::start(&fifos, mark)?;
    }
    let again = config.again.as_deref();
    let again = again.map(|path| Again::listen(path, config)).transpose()?;
    say_ready()?;
    match again {
        None => collect_until(config, streams, &[signals.as_fd()], CHUNK_BYTES)?,
        Some(again) => {
            let mut streams = Some(streams);
            while let Some(open_now) = streams.take() {
                let stops = [signals.as_fd(), again.as_fd()];
                collect_until(config, open_now, &stops, CHUNK_BYTES)?;
                if again.is_asked() {
                    thread::park_timeout(WITHOUT_READER);
                    streams = Some(open(config)?);
                    again.is_done();
                }
            }
        }
    }
    if let Some(mark) = &config.holder
        && config.fault != Fault::LeavesItsHolder
    {
        holder::dismiss(mark);
    }
    Ok(())
}

/// Makes SIGTERM and SIGINT readable, and blocks them and what would end a write.
pub(super) fn block_signals() -> Result<SignalFd, CollectError> {
    // With SIGXFSZ blocked, a write beyond RLIMIT_FSIZE is an error and no death (setrlimit(2)).
    let own = SigSet::from_iter([Signal::SIGXFSZ]);
    own.thread_block().map_err(system("block signals"))?;
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block().map_err(system("block signals"))?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(system("make a signal descriptor"))
}

/// Opens the FIFOs and the files of a task.
pub(super) fn open(config: &Config) -> Result<Vec<Stream>, CollectError> {
    if config.fault != Fault::AcceptsZeroLimits
        && (config.max_files == 0 || config.max_file_bytes == 0)
    {
        return Err(CollectError::ZeroLimit);
    }
    let mut streams = config
        .streams
        .iter()
        .map(|stream| Stream::open(config, stream))
        .collect::<Result<Vec<_>, _>>()?;
    if config.fault == Fault::SwapsStreams
        && let [first, second] = &mut streams[..]
    {
        std::mem::swap(&mut first.files, &mut second.files);
    }
    Ok(streams)
}

pub(super) fn say_ready() -> Result<(), CollectError> {
    println!("ready");
    io::stdout().flush().map_err(|source| CollectError::System {
        operation: "say ready",
        source,
    })
}

/// Collects until one of `stops` can be read, and drains.
pub(super) fn collect_until(
    config: &Config,
    mut streams: Vec<Stream>,
    stops: &[BorrowedFd<'_>],
    chunk_bytes: usize,
) -> Result<(), CollectError> {
    let mut chunk = vec![0; chunk_bytes];
    while !wait(&streams, stops)? {
        if config.fault == Fault::AnswersBeforeDrained {
            thread::park_timeout(LAZY);
        }
        for stream in &mut streams {
            stream.turn(&mut chunk)?;
        }
        if config.fault == Fault::EndsAtFirstEof && streams.iter().all(|stream| stream.abandoned) {
            return Ok(());
        }
    }
    if config.fault == Fault::LosesOnSigterm {
        return Ok(());
    }
    let deadline = Instant::now() + DRAIN_LIMIT;
    for stream in &mut streams {
        stream.drain(&mut chunk, deadline)?;
    }
    if config.fault == Fault::SlowStop {
        thread::park_timeout(SLOW_STOP);
    }
    Ok(())
}

pub(super) fn system(operation: &'static str) -> impl Fn(Errno) -> CollectError {
    move |errno| CollectError::System {
        operation,
        source: errno.into(),
    }
}

/// Waits for bytes, for the next look at a FIFO without a writer, or for the end, which `stops` tell: true.
fn wait(streams: &[Stream], stops: &[BorrowedFd<'_>]) -> Result<bool, CollectError> {
    let stops = stops.iter().copied();
    let count = stops.len();
    let mut fds: Vec<PollFd<'_>> = stops.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let mut limit = PollTimeout::NONE;
    for stream in streams {
        if stream.fault == Fault::PollsWhenIdle {
            limit = PollTimeout::from(RESTLESS_MS);
        }
        if stream.abandoned {
            continue;
        }
        if !stream.pending.is_empty() {
            limit = if stream.fault == Fault::SpinsOnWriteError {
                PollTimeout::ZERO
            } else {
                PollTimeout::from(AGAIN_MS)
            };
            if !stream.is_shedding() {
                continue;
            }
        }
        if stream.hung || stream.is_late() || stream.rests() {
            limit = PollTimeout::from(HUNG_MS);
        }
        if !stream.hung && !stream.rests() {
            fds.push(PollFd::new(stream.fd.as_fd(), PollFlags::POLLIN));
        }
    }
    match poll(&mut fds, limit) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(system("wait for the FIFOs")(errno)),
    }
    let is_told = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
    Ok(fds.iter().take(count).any(is_told))
}
