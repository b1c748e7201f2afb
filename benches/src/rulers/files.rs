//! Edge: the rotated files of a ruler: `log.0`, `log.1`, … in an empty folder.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Rotation;

/// The current file and its size.
pub(super) struct Files {
    folder: PathBuf,
    rotation: Rotation,
    index: u32,
    current: File,
    bytes: u64,
}

impl Files {
    pub(super) fn open(folder: &std::path::Path, rotation: Rotation) -> Result<Files> {
        Ok(Files {
            folder: folder.to_owned(),
            rotation,
            index: 0,
            current: created(folder, 0)?,
            bytes: 0,
        })
    }

    /// How many bytes still fit into the current file.
    pub(super) fn room_bytes(&self) -> usize {
        usize::try_from(self.rotation.max_file_bytes - self.bytes).unwrap_or(usize::MAX)
    }

    /// Says whether the current file ends with a whole line, or is empty.
    pub(super) fn is_at_line_start(&self) -> Result<bool> {
        let Some(last) = self.bytes.checked_sub(1) else {
            return Ok(true);
        };
        let mut byte = [0];
        self.current.read_exact_at(&mut byte, last)?;
        Ok(byte == *b"\n")
    }

    /// Says whether there is nothing in the current file.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Writes bytes for which there is room.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.current
            .write_all(bytes)
            .context("cannot write the log file")?;
        self.wrote(bytes.len());
        Ok(())
    }

    /// Counts bytes that went into the file by another way.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Goes on in a new file, and deletes the oldest one if there are too many.
    pub(super) fn rotate(&mut self) -> Result<()> {
        self.index += 1;
        self.current = created(&self.folder, self.index)?;
        self.bytes = 0;
        if let Some(oldest) = self.index.checked_sub(self.rotation.max_files) {
            fs::remove_file(self.folder.join(format!("log.{oldest}")))
                .context("cannot delete the oldest log file")?;
        }
        Ok(())
    }
}

impl AsFd for Files {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.current.as_fd()
    }
}

fn created(folder: &std::path::Path, index: u32) -> Result<File> {
    let path = folder.join(format!("log.{index}"));
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .with_context(|| format!("cannot create {}", path.display()))
}
