//! Edge: plain read(2) and write(2) with whole lines at file ends.

use anyhow::Result;

use super::files::Files;
use super::source::Source;

/// Bytes of one read.
const CHUNK_BYTES: usize = 64 * 1024;
/// Only so near the end of a file is a newline looked for. A longer line may be split.
const WINDOW_BYTES: usize = 64 * 1024;

/// Copies until the last writer has left.
pub(super) fn pump(source: &Source, files: &mut Files) -> Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES + WINDOW_BYTES];
    let mut held = 0;
    loop {
        let end = (held + CHUNK_BYTES).min(buffer.len());
        let got = source.read(&mut buffer[held..end])?;
        held += got;
        let written = write(files, &buffer[..held], got == 0)?;
        buffer.copy_within(written..held, 0);
        held -= written;
        if got == 0 {
            return Ok(());
        }
    }
}

/// Writes what can be written without splitting a line at the end of a file; gives the count.
fn write(files: &mut Files, bytes: &[u8], is_end: bool) -> Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        let (rest, room) = (&bytes[written..], files.room_bytes());
        if rest.len() + WINDOW_BYTES <= room {
            files.write(rest)?;
            return Ok(bytes.len());
        }
        let fitting = &rest[..rest.len().min(room)];
        if let Some(newline) = fitting.iter().rposition(|byte| *byte == b'\n') {
            files.write(&fitting[..=newline])?;
            written += newline + 1;
        } else if rest.len() > room {
            // The next line does not fit. If its beginning is in the file already, or if it is longer
            // than a file, it is split.
            if files.is_empty() || !files.is_at_line_start()? {
                files.write(fitting)?;
                written += fitting.len();
            }
            files.rotate()?;
        } else if is_end || rest.len() >= WINDOW_BYTES {
            files.write(rest)?;
            return Ok(bytes.len());
        } else {
            break;
        }
    }
    Ok(written)
}
