//! One stream's log files. (edge)

use std::fs::{File, OpenOptions, create_dir, read_dir, remove_file};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::{Whence, lseek};

use super::fault::Fault;

/// A log file that could not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    /// The folder can't be read.
    #[error("read the log folder {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file can't be opened or made.
    #[error("open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file can't be written.
    #[error("write to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Bytes that were written before that.
        written: usize,
        /// Why.
        source: io::Error,
    },
    /// An old file can't be deleted.
    #[error("delete {}", path.display())]
    Delete {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FilesError {
    /// The error number, if the system gave one.
    pub(super) fn errno(&self) -> Option<i32> {
        match self {
            Self::List { source, .. }
            | Self::Open { source, .. }
            | Self::Write { source, .. }
            | Self::Delete { source, .. } => source.raw_os_error(),
        }
    }
}

/// The files `NAME.0`, `NAME.1`, … of one stream, the last one open.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// The folder itself, by a fault.
    _opened_folder: Option<File>,
    name: String,
    max_files: usize,
    fault: Fault,
    index: u64,
    current: File,
    /// Files that are kept open, by a fault.
    kept: Vec<File>,
    /// Bytes in the current file when it was opened.
    pub(super) bytes_at_start: u64,
    /// Whether the current file ended in an open line when it was opened.
    pub(super) in_line_at_start: bool,
}

/// Lets splice(2) write at a file's end: it refuses one that is open for appending.
fn let_splice(file: &File) -> io::Result<()> {
    fcntl(file, FcntlArg::F_SETFL(OFlag::empty()))?;
    lseek(file, 0, Whence::SeekEnd)?;
    Ok(())
}

/// What an entry `NAME.INDEX` is good for.
struct Found {
    index: u64,
    usable: bool,
}

impl Files {
    /// Goes on in the newest file, or begins the first one, and deletes what is too old.
    pub(super) fn open(
        folder: &Path,
        name: &str,
        max_files: usize,
        fault: Fault,
    ) -> Result<Self, FilesError> {
        let is_link = folder
            .symlink_metadata()
            .is_ok_and(|meta| meta.is_symlink());
        if is_link && fault != Fault::FollowsFolderLink {
            return Err(FilesError::Open {
                path: folder.to_owned(),
                source: Errno::ELOOP.into(),
            });
        }
        let (folder, opened_folder) = if fault == Fault::KeepsRemovedFolder {
            let opened = open_folder(folder)?;
            let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
            (PathBuf::from(path), Some(opened))
        } else {
            (folder.to_owned(), None)
        };
        let folder = folder.as_path();
        let found = list(folder, name)?;
        let newest = found.last();
        let (index, current) = if fault == Fault::RestartsAtIndex0 {
            (0, open_any(&path_of(folder, name, 0))?)
        } else if fault == Fault::FollowsSymlink {
            let index = newest.map_or(0, |newest| newest.index);
            (index, open_any(&path_of(folder, name, index))?)
        } else {
            match newest {
                Some(newest) if newest.usable => {
                    let path = path_of(folder, name, newest.index);
                    (newest.index, open_existing(&path)?)
                }
                Some(newest) => create_from(folder, name, newest.index + 1)?,
                None => create_from(folder, name, 0)?,
            }
        };
        let failed = |source| FilesError::Open {
            path: path_of(folder, name, index),
            source,
        };
        if fault == Fault::SplicesStraightToFile {
            let_splice(&current).map_err(failed)?;
        }
        if fault == Fault::TruncatesOnRestart {
            current.set_len(0).map_err(failed)?;
        }
        let bytes_at_start = current.metadata().map_err(failed)?.len();
        let in_line_at_start = ends_in_open_line(&current, bytes_at_start).map_err(failed)?;
        let files = Self {
            folder: folder.to_owned(),
            _opened_folder: opened_folder,
            name: name.to_owned(),
            max_files,
            fault,
            index,
            current,
            kept: Vec::new(),
            bytes_at_start,
            in_line_at_start,
        };
        files.delete_old(files.allowed())?;
        Ok(files)
    }

    /// Appends to the current file.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        let mut written = 0;
        while written < bytes.len() {
            match nix::unistd::write(&self.current, &bytes[written..]) {
                Ok(more) => written += more,
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    return Err(FilesError::Write {
                        path: path_of(&self.folder, &self.name, self.index),
                        written,
                        source: errno.into(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Moves so many bytes from a FIFO to the current file.
    pub(super) fn splice(&mut self, fifo: &OwnedFd, bytes: usize) -> Result<(), FilesError> {
        let failed = |written, errno: Errno| FilesError::Write {
            path: path_of(&self.folder, &self.name, self.index),
            written,
            source: errno.into(),
        };
        let mut written = 0;
        while written < bytes {
            let flags = SpliceFFlags::empty();
            match splice(fifo, None, &self.current, None, bytes - written, flags) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(written, errno)),
            }
        }
        Ok(())
    }

    /// Begins the next file; the oldest goes first, so that there is never one too many.
    pub(super) fn rotate(&mut self) -> Result<(), FilesError> {
        if self.fault != Fault::NeedsItsLogFolder {
            // Nothing to make is the usual case; what else is wrong comes to light below.
            create_dir(&self.folder).ok();
        }
        self.delete_old(self.allowed().saturating_sub(1))?;
        let (index, next) = if self.fault == Fault::RestartsAtIndex0 {
            let path = path_of(&self.folder, &self.name, self.index + 1);
            (self.index + 1, open_any(&path)?)
        } else {
            create_from(&self.folder, &self.name, self.index + 1)?
        };
        if self.fault == Fault::SplicesStraightToFile {
            let_splice(&next).map_err(|source| FilesError::Open {
                path: path_of(&self.folder, &self.name, index),
                source,
            })?;
        }
        self.index = index;
        let last = std::mem::replace(&mut self.current, next);
        if self.fault == Fault::KeepsDeletedOpen {
            self.kept.push(last);
        }
        Ok(())
    }

    fn allowed(&self) -> usize {
        self.max_files + usize::from(self.fault == Fault::KeepsOneFileTooMany)
    }

    fn delete_old(&self, keep: usize) -> Result<(), FilesError> {
        let doomed = if self.fault == Fault::PurgesByBarePrefix {
            self.by_bare_prefix()?
        } else {
            list(&self.folder, &self.name)?
                .into_iter()
                .filter(|found| found.usable)
                .map(|found| path_of(&self.folder, &self.name, found.index))
                .collect::<Vec<_>>()
        };
        let excess = doomed.len().saturating_sub(keep);
        for path in doomed.into_iter().take(excess) {
            remove_file(&path).map_err(|source| FilesError::Delete { path, source })?;
        }
        Ok(())
    }

    /// Deletes the oldest file, if it is not the current one.
    pub(super) fn delete_oldest(&self) -> Result<(), FilesError> {
        let usable = list(&self.folder, &self.name)?
            .into_iter()
            .filter(|found| found.usable);
        self.delete_old(usable.count().saturating_sub(1).max(1))
    }

    /// Every file whose name begins with the stream's, ordered by the number at its end.
    fn by_bare_prefix(&self) -> Result<Vec<PathBuf>, FilesError> {
        let mut files = Vec::new();
        for name in names(&self.folder)? {
            let Some(rest) = name.strip_prefix(&self.name) else {
                continue;
            };
            let path = self.folder.join(&name);
            let number = rest
                .rsplit('.')
                .next()
                .and_then(|end| end.parse::<u64>().ok());
            if let (Some(number), true) = (number, path.is_file()) {
                files.push((number, path));
            }
        }
        files.sort();
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }
}

fn path_of(folder: &Path, name: &str, index: u64) -> PathBuf {
    folder.join(format!("{name}.{index}"))
}

fn names(folder: &Path) -> Result<Vec<String>, FilesError> {
    let failed = |source| FilesError::List {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in read_dir(folder).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// The entries with an index of this stream, by index.
fn list(folder: &Path, name: &str) -> Result<Vec<Found>, FilesError> {
    let mut found = Vec::new();
    let own = nix::unistd::geteuid().as_raw();
    for entry in names(folder)? {
        let Some(digits) = entry
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('.'))
        else {
            continue;
        };
        let Ok(index) = digits.parse::<u32>() else {
            continue;
        };
        if index.to_string() != digits {
            continue;
        }
        let Ok(meta) = folder.join(&entry).symlink_metadata() else {
            continue;
        };
        let usable = meta.is_file() && meta.nlink() == 1 && meta.uid() == own;
        // A folder or a link never held output, so the file below it is gone on with.
        if usable || meta.is_file() || meta.is_symlink() {
            found.push(Found {
                index: u64::from(index),
                usable,
            });
        }
    }
    found.sort_by_key(|found| found.index);
    Ok(found)
}

/// Opens whatever has this name, or makes it.
fn open_any(path: &Path) -> Result<File, FilesError> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .map_err(|source| FilesError::Open {
            path: path.to_owned(),
            source,
        })
}

fn open_folder(path: &Path) -> Result<File, FilesError> {
    File::open(path).map_err(|source| FilesError::Open {
        path: path.to_owned(),
        source,
    })
}

fn open_existing(path: &Path) -> Result<File, FilesError> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(|source| FilesError::Open {
            path: path.to_owned(),
            source,
        })
}

/// Makes the file with this index, or with the next one that is free.
fn create_from(folder: &Path, name: &str, mut index: u64) -> Result<(u64, File), FilesError> {
    loop {
        let path = path_of(folder, name, index);
        match OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o644)
            .open(&path)
        {
            Ok(file) => return Ok((index, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => index += 1,
            Err(source) => return Err(FilesError::Open { path, source }),
        }
    }
}

fn ends_in_open_line(mut file: &File, bytes: u64) -> io::Result<bool> {
    if bytes == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
