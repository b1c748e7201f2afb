//! Gates: files that somebody else makes when a script may go on: an edge.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Nobody can open the gate any more.
#[derive(Debug, thiserror::Error)]
#[error("cannot wait for the gate {gate}: its folder is gone")]
pub(crate) struct FolderGone {
    gate: PathBuf,
}

/// Waits until the file exists, however long that takes.
#[expect(
    clippy::disallowed_methods,
    reason = "polls for a file; a watch would cost a descriptor that the task is judged by"
)]
pub(crate) fn wait(gate: &Path) -> Result<(), FolderGone> {
    while !gate.exists() {
        if !gate.parent().is_some_and(Path::exists) {
            let gate = gate.to_owned();
            return Err(FolderGone { gate });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
