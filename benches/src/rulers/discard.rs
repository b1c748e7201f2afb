//! Edge: reads and discards.

use anyhow::Result;

use super::source::Source;

/// Reads until the last writer has left.
pub(super) fn pump(source: &Source) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while source.read(&mut buffer)? > 0 {}
    Ok(())
}
