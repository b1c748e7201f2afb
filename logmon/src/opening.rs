//! Edge: how a stream is opened: its FIFO is locked first, then its folder is listed, and then the file to
//! go on with is opened.

use std::sync::Arc;

use fifo::{AsyncReader, Lock, Origin, Reader};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{READ_WRITE, Stream};
use crate::collect::{Action, Collect, Reading};
use crate::config::StreamConfig;
use crate::error::{Error, chain};
use crate::fifo_end;
use crate::log_dir::{Identity, LogDir, LogFile, Resumed};
use crate::name::StreamName;
use crate::pacing::Pacing;
use crate::planner::Planner;
use crate::pump::{Pump, StagingPipe, has_room};
use crate::recovery::{Entry, Owner, Resume, recover};
use crate::storage::Device;

/// Capacity of a pipe that nobody has changed, in bytes (`pipe(7)`).
const DEFAULT_PIPE_BYTES: usize = 64 * 1024;
/// What it is raised to where that is allowed: the default of `/proc/sys/fs/pipe-max-size` (HEAL-5).
const RAISED_PIPE_BYTES: usize = 1024 * 1024;
/// How often the folder may change between its listing and the opening of the file to resume.
const RESUME_TRIES: usize = 5;

/// A stream whose folder is open, and whose FIFO is open and locked.
#[derive(Debug)]
pub(crate) struct Opening {
    config: Arc<StreamConfig>,
    log_dir: LogDir,
    folder: Identity,
    reader: Reader,
    origin: Origin,
    fifo_bytes: usize,
}

/// What lies in the log folder of some streams, listed once if it is the same folder.
///
/// It is listed with the first [`Opening::finish`], when the FIFOs of all of them are locked: before that
/// another logmon could still add to the files of one.
#[derive(Debug)]
pub(crate) struct Listing {
    names: Vec<StreamName>,
    listed: Option<(Identity, Vec<Entry>)>,
}

impl Listing {
    /// For these streams, whose FIFOs are locked.
    pub(crate) fn of<'a>(openings: impl IntoIterator<Item = &'a Opening>) -> Listing {
        let names = openings.into_iter().map(|one| one.config.name.clone());
        Listing {
            names: names.collect(),
            listed: None,
        }
    }

    fn entries(&mut self, dir: &LogDir, folder: Identity) -> Result<Vec<Entry>, Error> {
        if let Some((known, entries)) = &self.listed
            && *known == folder
        {
            return Ok(entries.clone());
        }
        let entries = dir.list(&self.names)?;
        self.listed = Some((folder, entries.clone()));
        Ok(entries)
    }
}

impl Opening {
    /// Opens the folder, makes or adopts the FIFO, and locks it.
    pub(crate) fn begin(config: Arc<StreamConfig>) -> Result<Opening, Error> {
        let log_dir = LogDir::open(&config)?;
        let (folder, is_open_to_others) = log_dir.inspect()?;
        let (reader, origin) = fifo_end::open(&config)?;
        if is_open_to_others {
            let log_dir = log_dir.path().display();
            warn!(stream = %config.name, %log_dir, "everybody can remove and replace the log files; use chmod o-w on the folder");
        }
        match reader.try_lock()? {
            Lock::Acquired => {}
            Lock::HeldElsewhere => {
                let path = config.fifo.to_path_buf();
                return Err(Error::FifoHeld { path });
            }
        }
        let fifo_bytes = raised_capacity(&reader)?;
        Ok(Opening {
            config,
            log_dir,
            folder,
            reader,
            origin,
            fifo_bytes,
        })
    }

    /// Deletes what is too much in the folder, and opens the current file. What lies in the staging pipe
    /// that an earlier life left comes first.
    ///
    /// A fault of storage that may pass (a full disk) is not an error: it is tried again while the
    /// stream runs.
    pub(crate) fn finish(
        self,
        held: Option<StagingPipe>,
        listing: &mut Listing,
    ) -> Result<Stream, Error> {
        let (planner, current) = self.resume(listing)?;
        let pump = open_pump(&self.config, self.reader, self.fifo_bytes, held)?;
        let pacing = Pacing::new(self.fifo_bytes);
        let machine = Collect::new(planner, pacing, self.config.on_full);
        let mut stream = Stream {
            config: self.config,
            machine,
            pump,
            log_dir: self.log_dir,
            device: Device::of(self.folder.device),
            current,
            prepared: None,
            started: Instant::now(),
            last_failure: None,
            told_rotation: None,
            next: Action::Wait {
                reading: Reading::No,
                until: None,
            },
        };
        stream.settle()?;
        info!(
            stream = %stream.config.name,
            fifo = %stream.config.fifo.display(),
            origin = ?self.origin,
            index = stream.machine.current_index(),
            "collecting"
        );
        Ok(stream)
    }

    /// Finds the file to go on with in the listing of the folder, and opens it.
    fn resume(&self, listing: &mut Listing) -> Result<(Planner, Option<LogFile>), Error> {
        let config = &*self.config;
        let mut changed: Vec<u32> = Vec::new();
        let mut entries = listing.entries(&self.log_dir, self.folder)?;
        loop {
            for entry in &mut entries {
                mark_changed(entry, config, &changed);
            }
            let mut recovery = recover(&config.name, config.limits.max_files(), &entries);
            if let Some(first) = recovery.foreign.first() {
                let (count, first) = (recovery.foreign.len(), String::from_utf8_lossy(first));
                warn!(stream = %config.name, count, first = %first, "left alone: no log files of this stream");
            }
            let Some(found) = recovery.resume else {
                return Ok((Planner::new(config.limits, &recovery, false), None));
            };
            let index = found.index;
            match self.log_dir.resume(index)? {
                Resumed::File {
                    file,
                    bytes,
                    is_mid_line,
                } => {
                    recovery.resume = Some(Resume { index, bytes });
                    let planner = Planner::new(config.limits, &recovery, is_mid_line);
                    return Ok((planner, Some(file)));
                }
                Resumed::Changed if changed.len() < RESUME_TRIES => changed.push(index),
                Resumed::Changed => {
                    let path = self.log_dir.path().join(config.name.file_name(index));
                    return Err(Error::OpenLogFile {
                        path,
                        source: nix::errno::Errno::ESTALE.into(),
                    });
                }
            }
            entries = self.log_dir.list(std::slice::from_ref(&config.name))?;
        }
    }
}

/// Chooses how bytes are moved.
fn open_pump(
    config: &StreamConfig,
    reader: Reader,
    fifo_bytes: usize,
    held: Option<StagingPipe>,
) -> Result<Pump, Error> {
    let failed = |source| Error::Staging {
        path: config.fifo.to_path_buf(),
        source,
    };
    let can_splice = has_room(fifo_bytes, config.limits.line_guard());
    let staging = match held {
        Some(held) => Some(held),
        None if can_splice => Some(StagingPipe::new().map_err(failed)?),
        None => None,
    };
    let mut pump = Pump::new(AsyncReader::new(reader)?, staging).map_err(failed)?;
    if !can_splice {
        let reason = "the FIFO is too small for the line guard";
        warn!(stream = %config.name, reason, "{READ_WRITE}");
        pump.give_up_splice().map_err(failed)?;
    }
    Ok(pump)
}

/// A file that was not what its listing said is treated as somebody else's.
fn mark_changed(entry: &mut Entry, config: &StreamConfig, changed: &[u32]) {
    if config
        .name
        .index_of(&entry.name)
        .is_some_and(|index| changed.contains(&index))
    {
        entry.owner = Owner::Other;
    }
}

/// Gives the capacity, raised unless the host has chosen one itself.
fn raised_capacity(reader: &Reader) -> Result<usize, fifo::Error> {
    let bytes = reader.capacity()?;
    if bytes != DEFAULT_PIPE_BYTES {
        return Ok(bytes);
    }
    match reader.set_capacity(RAISED_PIPE_BYTES) {
        Ok(bytes) => {
            debug!(fifo = %reader.path().display(), bytes, "capacity of the pipe");
            Ok(bytes)
        }
        Err(error) => {
            debug!(error = chain(&error), "the pipe keeps its capacity");
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn opening(folder: &std::path::Path, name: &str, log_dir: &str) -> Opening {
        let config = StreamConfig {
            fifo: folder.join(format!("{name}.fifo")).into(),
            ..StreamConfig::in_folder(&folder.join(log_dir), name)
        };
        Opening::begin(Arc::new(config)).unwrap()
    }

    #[test]
    fn a_folder_that_streams_share_is_listed_once_and_another_one_on_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for log_dir in ["logs", "others"] {
            fs::create_dir(folder.path().join(log_dir)).unwrap();
        }
        let write = |path: &str| fs::write(folder.path().join(path), "line\n").unwrap();
        for path in ["logs/a.2", "logs/b.3", "logs/c.4", "others/d.5"] {
            write(path);
        }
        let [a, b] = ["a", "b"].map(|name| opening(folder.path(), name, "logs"));
        let d = opening(folder.path(), "d", "others");
        let mut listing = Listing::of([&a, &b, &d]);
        let mut names = |one: &Opening| {
            let entries = listing.entries(&one.log_dir, one.folder).unwrap();
            let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
            names.sort();
            names
        };
        assert_eq!(names(&a), [&b"a.2"[..], b"b.3"]);
        write("logs/b.9");
        assert_eq!(names(&b), [&b"a.2"[..], b"b.3"], "not listed again");
        assert_eq!(names(&d), [&b"d.5"[..]]);
    }
}
