//! A new FIFO in a folder of its own, which goes when the test ends. This module is an edge.

use std::path::PathBuf;

use tempfile::TempDir;

/// The folder, to be kept, and the path of the FIFO in it.
pub(crate) fn fifo() -> (TempDir, PathBuf) {
    let (folder, path) = name();
    fifo::create(&path, 0o600).expect("a new folder takes a FIFO");
    (folder, path)
}

/// The folder, to be kept, and a path in it that names nothing yet.
pub(crate) fn name() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("the system gives a temporary folder");
    let path = folder.path().join("task.stdout");
    (folder, path)
}
