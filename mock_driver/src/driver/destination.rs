//! What a driver was given for a stream: an edge.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::fault::Opening;

/// What stands at a stream's path.
#[derive(Debug)]
pub(crate) enum Destination {
    /// A FIFO to forward to.
    Fifo(PathBuf),
    /// A character device, which the task gets itself (FIFO-12).
    Device(File),
}

/// The path is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("cannot look at {path}")]
    Look {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is neither a FIFO nor a character device")]
    Kind { path: PathBuf },
    #[error("cannot open the device {path}")]
    OpenDevice {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Destination {
    /// Looks at what stands there. A link is not followed; the FIFO itself is checked once more
    /// on its opened handle (FIFO-8).
    pub(crate) fn find(path: &Path, opening: Opening) -> Result<Self, Unusable> {
        let path = path.to_owned();
        if opening == Opening::Anything && !is_device(&path) {
            return Ok(Self::Fifo(path));
        }
        let looked = if opening == Opening::ThroughLinks {
            path.metadata()
        } else {
            path.symlink_metadata()
        };
        let kind = match looked {
            Ok(metadata) => metadata.file_type(),
            Err(source) => return Err(Unusable::Look { path, source }),
        };
        if kind.is_fifo() {
            return Ok(Self::Fifo(path));
        }
        if !kind.is_char_device() {
            return Err(Unusable::Kind { path });
        }
        match OpenOptions::new().write(true).open(&path) {
            Ok(file) => Ok(Self::Device(file)),
            Err(source) => Err(Unusable::OpenDevice { path, source }),
        }
    }
}

fn is_device(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.file_type().is_char_device())
}
