//! Edge: FIFO → staging pipe → file by splice(2), with whole lines at file ends by tee(2). No byte is
//! copied into user memory but those near the end of a file, and the lock of the FIFO is never held
//! while a file is written.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice, tee};
use nix::unistd::{pipe, read};

use super::files::Files;
use super::source::{Source, retried};

/// What the pipes are raised to where that is allowed.
const PIPE_BYTES: usize = 1024 * 1024;
/// Only so near the end of a file is a newline looked for. A longer line may be split.
const WINDOW_BYTES: usize = 64 * 1024;
/// How long it waits for more when less than a quarter of the pipe came at once. It bounds the delay of
/// a line, and the number of wake-ups in a second.
const NAP: Duration = Duration::from_micros(300);

struct Pipe {
    output: OwnedFd,
    input: OwnedFd,
}

impl Pipe {
    fn new(capacity: usize) -> Result<Pipe> {
        let (output, input) = pipe().context("cannot make a pipe")?;
        let capacity = i32::try_from(capacity).unwrap_or(i32::MAX);
        fcntl(&input, FcntlArg::F_SETPIPE_SZ(capacity)).context("cannot raise a pipe")?;
        Ok(Pipe { output, input })
    }
}

/// Copies until the last writer has left.
pub(super) fn pump(source: &Source, files: &mut Files) -> Result<()> {
    nix::sys::prctl::set_timerslack(1_000)?;
    let capacity = source.raise_capacity(PIPE_BYTES)?;
    let (staging, scratch) = (Pipe::new(capacity)?, Pipe::new(WINDOW_BYTES)?);
    let mut window = vec![0; WINDOW_BYTES];
    let mut staged = 0;
    loop {
        let got = moved(source, &staging.input, capacity).context("cannot splice the FIFO")?;
        staged += got;
        staged -= write(files, &staging, &scratch, staged, got == 0, &mut window)?;
        if got == 0 {
            return Ok(());
        }
        if got < capacity / 4 && source.fill_level()? < capacity / 4 {
            nap();
        }
    }
}

/// Moves what can be written without splitting a line at the end of a file; gives the count.
fn write(
    files: &mut Files,
    staging: &Pipe,
    scratch: &Pipe,
    staged: usize,
    is_end: bool,
    window: &mut [u8],
) -> Result<usize> {
    let mut written = 0;
    while written < staged {
        let (rest, room) = (staged - written, files.room_bytes());
        if room > WINDOW_BYTES {
            written += write_some(files, staging, rest.min(room - WINDOW_BYTES))?;
            continue;
        }
        let seen = peeked(staging, scratch, &mut window[..rest.min(room)])?;
        if let Some(newline) = window[..seen].iter().rposition(|byte| *byte == b'\n') {
            written += write_all(files, staging, newline + 1)?;
        } else if rest > room {
            if files.is_empty() || !files.is_at_line_start()? {
                written += write_all(files, staging, seen)?;
            }
            files.rotate()?;
        } else if is_end {
            written += write_all(files, staging, rest)?;
        } else {
            break;
        }
    }
    Ok(written)
}

/// Copies the head of the staging pipe without taking it from there; gives the count.
fn peeked(staging: &Pipe, scratch: &Pipe, window: &mut [u8]) -> Result<usize> {
    if window.is_empty() {
        return Ok(0);
    }
    let flags = SpliceFFlags::empty();
    let teed = retried(|| tee(&staging.output, &scratch.input, window.len(), flags))
        .context("cannot tee the staging pipe")?;
    let mut seen = 0;
    while seen < teed {
        seen += retried(|| read(&scratch.output, &mut window[seen..teed]))?;
    }
    Ok(seen)
}

fn write_all(files: &mut Files, staging: &Pipe, bytes: usize) -> Result<usize> {
    let mut left = bytes;
    while left > 0 {
        left -= write_some(files, staging, left)?;
    }
    Ok(bytes)
}

fn write_some(files: &mut Files, staging: &Pipe, bytes: usize) -> Result<usize> {
    let written = moved(&staging.output, &*files, bytes).context("cannot splice into the file")?;
    files.wrote(written);
    Ok(written)
}

fn moved(from: impl AsFd, to: impl AsFd, bytes: usize) -> nix::Result<usize> {
    retried(|| splice(&from, None, &to, None, bytes, SpliceFFlags::SPLICE_F_MOVE))
}

#[expect(
    clippy::disallowed_methods,
    reason = "it gives tiny writes time to gather; that time is the point"
)]
fn nap() {
    std::thread::sleep(NAP);
}
