//! Opens a FIFO for reading, well or as a fault has it. (edge)

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;

use fifo::{Lock, Reader};
use nix::fcntl::OFlag;

use super::collect::{CollectError, system};
use super::config::Config;
use super::fault::Fault;

/// What a pipe is raised to.
const RAISED_PIPE_BYTES: usize = 1 << 20;

/// The read end of a FIFO, locked, with the FIFO made if it is missing.
pub(super) fn open_fifo(config: &Config, path: &Path) -> Result<OwnedFd, CollectError> {
    let open = |flags: OFlag| -> Result<OwnedFd, CollectError> {
        OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(path)
            .map(|file: File| file.into())
            .map_err(|source| CollectError::System {
                operation: "open what stands at the FIFO's path",
                source,
            })
    };
    if config.fault == Fault::AcceptsPlainFile && path.exists() {
        return open(OFlag::O_NONBLOCK);
    }
    if config.fault == Fault::ReplacesFifo && path.exists() {
        std::fs::remove_file(path).map_err(|source| CollectError::System {
            operation: "remove the FIFO",
            source,
        })?;
    }
    let mode = if config.fault == Fault::WorldReadableFifo {
        0o644
    } else {
        config.fifo_mode
    };
    let adopted = fifo::create_or_adopt(path, mode);
    while adopted.is_err() && config.fault == Fault::HangsOnRefusal {
        thread::park();
    }
    adopted.map_err(CollectError::Fifo)?;
    if config.fault == Fault::WaitsForWriterInOpen {
        let fd = open(OFlag::empty())?;
        nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(system("make the descriptor non-blocking"))?;
        return Ok(fd);
    }
    let reader = Reader::open(path).map_err(CollectError::Fifo)?;
    if config.fault != Fault::KeepsSmallPipe {
        // Where that is not allowed, the pipe stays as it is.
        reader.set_capacity(RAISED_PIPE_BYTES).ok();
    }
    if config.fault != Fault::SharesFifo {
        match reader.try_lock().map_err(CollectError::Fifo)? {
            Lock::Acquired => {}
            Lock::HeldElsewhere => {
                return Err(CollectError::Locked {
                    path: path.to_owned(),
                });
            }
        }
    }
    Ok(reader.into())
}
