//! Faults of the host that a plan can bring about. (core)

use std::fmt;

use serde::{Deserialize, Serialize};

/// A fault of the host. The runner undoes what the plan did not mend when the case ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostFault {
    /// logmon's RLIMIT_FSIZE is 0: every write to a file gives EFBIG, and SIGXFSZ (setrlimit(2)).
    FileSizeLimit,
    /// logmon's RLIMIT_NOFILE is the number of its descriptors: every new one gives EMFILE.
    NoDescriptors,
    /// The log folder has another name; what stands at its path at the end is joined with it.
    LogFolderAway,
    /// The log folder is removed with everything in it.
    LogFolderRemoved,
    /// The log folder's file system has no room left: writes give ENOSPC. What logmon frees is taken
    /// as well, within some milliseconds. Needs `host.log_folder = "tmpfs"`.
    DiskFull,
    /// No file can be made in the log folder: by its path that gives EROFS, by a descriptor of the
    /// folder EACCES, or EPERM for root where the kernel knows immutable folders in memory. A file
    /// that is open can still be written: no kernel makes it read-only under its writer. Needs
    /// `host.log_folder = "tmpfs"`.
    ReadOnly,
    /// No call on the log folder's file system comes back. Needs `host.log_folder = "stalling"`.
    StorageStalled,
    /// Nothing stands at the FIFOs' paths. Whoever has them open still has them.
    FifosAway,
    /// Other FIFOs stand at their paths, which nobody has open.
    FifosStale,
    /// Nobody reads logmon's own standard output and error any more; can't be mended. Needs
    /// `host.logmon_output = "pipes"`.
    OwnOutput,
    /// Another file stands where logmon's program stood; can't be mended. Needs
    /// `host.logmon_binary = "copy"`.
    OwnBinary,
}

impl HostFault {
    /// The name in scenarios and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FileSizeLimit => "file-size-limit",
            Self::NoDescriptors => "no-descriptors",
            Self::LogFolderAway => "log-folder-away",
            Self::LogFolderRemoved => "log-folder-removed",
            Self::DiskFull => "disk-full",
            Self::ReadOnly => "read-only",
            Self::StorageStalled => "storage-stalled",
            Self::FifosAway => "fifos-away",
            Self::FifosStale => "fifos-stale",
            Self::OwnOutput => "own-output",
            Self::OwnBinary => "own-binary",
        }
    }

    /// What it means, as the end of "the host …".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::FileSizeLimit => "lets logmon write to no file (RLIMIT_FSIZE)",
            Self::NoDescriptors => "lets logmon open nothing more (RLIMIT_NOFILE)",
            Self::LogFolderAway => "renames the log folder",
            Self::LogFolderRemoved => "removes the log folder",
            Self::DiskFull => "fills the file system below the log folder",
            Self::ReadOnly => "makes the log folder read-only",
            Self::StorageStalled => "lets no call on the log folder's file system come back",
            Self::FifosAway => "takes both FIFOs away from their paths",
            Self::FifosStale => "puts other FIFOs in the place of both, which nobody reads",
            Self::OwnOutput => "reads logmon's own output no more",
            Self::OwnBinary => "replaces logmon's program on disk",
        }
    }

    /// Whether a plan can mend it.
    #[must_use]
    pub fn can_be_mended(self) -> bool {
        match self {
            Self::FileSizeLimit
            | Self::NoDescriptors
            | Self::LogFolderAway
            | Self::LogFolderRemoved
            | Self::DiskFull
            | Self::ReadOnly
            | Self::FifosAway
            | Self::FifosStale
            | Self::StorageStalled => true,
            Self::OwnOutput | Self::OwnBinary => false,
        }
    }

    /// Whether the log folder is not to be looked at meanwhile.
    #[must_use]
    pub fn hides_the_log(self) -> bool {
        match self {
            Self::LogFolderAway | Self::LogFolderRemoved | Self::StorageStalled => true,
            Self::FileSizeLimit
            | Self::NoDescriptors
            | Self::DiskFull
            | Self::ReadOnly
            | Self::FifosAway
            | Self::FifosStale
            | Self::OwnOutput
            | Self::OwnBinary => false,
        }
    }

    /// Whether nobody may ask how full a pipe is meanwhile. Who holds a pipe's lock while a call on the
    /// log folder hangs holds whoever asks, and no signal ends that.
    #[must_use]
    pub fn hides_the_pipes(self) -> bool {
        self == Self::StorageStalled
    }
}

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is killed again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Victim {
    /// The main process of logmon.
    Logmon,
    /// Every other process of logmon that holds both FIFOs.
    Keeper,
    /// One of them after the other, never both at once: then nobody would hold the FIFOs.
    InTurn,
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Logmon => "logmon",
            Self::Keeper => "its keeper",
            Self::InTurn => "logmon and its keeper in turn",
        })
    }
}
