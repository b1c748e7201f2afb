//! Edge: the producer: writes numbered lines to its stdout, one per write or in blocks.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use crate::payload::Payload;
use crate::work::{Work, Writing};

/// Says `ready` on stderr, waits for a byte on stdin, and writes the whole lines that fit into `bytes`.
pub(crate) fn produce(work: Work, bytes: u64) -> Result<()> {
    let mut payload = Payload::new(work.line_bytes);
    eprintln!("ready");
    let mut go = [0];
    if io::stdin().read(&mut go)? == 0 {
        bail!("nobody says go");
    }
    let lines = work.lines_in(bytes);
    match work.writing {
        Writing::Lines => {
            for number in 0..lines {
                write_whole(payload.line(number))?;
            }
        }
        Writing::Blocks(block_bytes) => write_blocks(&mut payload, lines, block_bytes)?,
    }
    Ok(())
}

fn write_blocks(payload: &mut Payload, lines: u64, block_bytes: usize) -> Result<()> {
    let line_bytes = payload.line_bytes() as u64;
    let end = lines * line_bytes;
    let ring_bytes = payload.ring_bytes() as u64;
    let (mut at, mut stamped) = (0, 0);
    while at < end {
        let block_end = end.min(at + block_bytes as u64);
        while stamped < lines && stamped * line_bytes < block_end {
            payload.line(stamped);
            stamped += 1;
        }
        let start = (at % ring_bytes) as usize;
        let length = ((block_end - at) as usize).min(payload.ring_bytes() - start);
        write_whole(&payload.ring()[start..start + length])?;
        at += length as u64;
    }
    Ok(())
}

/// One write(2) and no buffer between: the length of a write is what is under measure.
fn write_whole(mut bytes: &[u8]) -> Result<()> {
    let stdout = io::stdout();
    while !bytes.is_empty() {
        match nix::unistd::write(stdout.as_fd(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("cannot write to the collector"),
        }
    }
    Ok(())
}

/// Says go to a producer that waits.
pub(crate) fn say_go(stdin: &mut impl Write) -> Result<()> {
    stdin
        .write_all(b"g")
        .context("the producer does not take the start")
}
