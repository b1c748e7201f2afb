//! The task's helper processes: concurrent writers, and children that keep a stream: an edge.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::output::{Output, pause};
use crate::disposition::{self, Disposition};
use crate::gate;
use crate::journal_file::{Detail, JournalFile};
use crate::record::RunId;
use crate::script::{Content, Numbering, WriterPart};
use crate::stream::Stream;

/// The arguments of `write-part`.
#[derive(Debug, clap::Args)]
pub(crate) struct PartArgs {
    /// The part as JSON.
    #[arg(long)]
    part: String,
    /// The pause after each record, in microseconds.
    #[arg(long, default_value_t = 0)]
    pause_us: u64,
}

/// The arguments of `hold`.
#[derive(Debug, clap::Args)]
pub(crate) struct HoldArgs {
    /// A stream that is kept; may be repeated.
    #[arg(long = "stream", value_parser = stream)]
    streams: Vec<Stream>,
    /// How long, in milliseconds.
    #[arg(long)]
    hold_ms: Option<u64>,
    /// The file that ends it.
    #[arg(long)]
    gate: Option<PathBuf>,
    /// What is written at the end.
    #[arg(long)]
    text: Option<String>,
}

fn stream(text: &str) -> Result<Stream, String> {
    Stream::BOTH
        .into_iter()
        .find(|stream| stream.as_str() == text)
        .ok_or_else(|| format!("`{text}` is neither stdout nor stderr"))
}

/// Writes one part on the descriptors that it was started with.
pub(crate) fn write_part(args: &PartArgs) -> Result<u8> {
    disposition::set(Signal::SIGPIPE, Disposition::Default).context("cannot restore SIGPIPE")?;
    let part: WriterPart = serde_json::from_str(&args.part).context("cannot read the part")?;
    let journal = JournalFile::open(None, Detail::All)?;
    let pause_after = Duration::from_micros(args.pause_us);
    Output::new(&journal).write_part(&part, 1, usize::MAX, pause_after)?;
    Ok(0)
}

/// Keeps its descriptors for a time or until a gate opens, then writes its text.
pub(crate) fn hold(args: &HoldArgs) -> Result<u8> {
    disposition::set(Signal::SIGPIPE, Disposition::Default).context("cannot restore SIGPIPE")?;
    if let Some(ms) = args.hold_ms {
        pause(Duration::from_millis(ms));
    }
    if let Some(gate) = &args.gate {
        gate::wait(gate)?;
    }
    let Some(text) = &args.text else { return Ok(0) };
    let journal = JournalFile::open(None, Detail::All)?;
    let mut output = Output::new(&journal);
    let numbering = Numbering::new(0, RunId(0), 0);
    for &stream in &args.streams {
        let part = numbering.part(stream, Content::Text(text.clone()));
        output.write_part(&part, 1, usize::MAX, Duration::ZERO)?;
    }
    Ok(0)
}
