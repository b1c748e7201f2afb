//! Where the output of a task goes (core).
//!
//! The paths are made once for each task, and whoever needs them gets a copy of this struct: the log
//! collector that reads, and the driver that hands them to the executor. So no two of them can disagree.

use std::path::{Path, PathBuf};

/// The null device. A task whose output nobody collects writes to it, and to nothing that looks like it.
pub const NULL_DEVICE: &str = "/dev/null";

/// The log folder of a task and the paths that its two streams are opened by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPaths {
    folder: PathBuf,
    stdout: PathBuf,
    stderr: PathBuf,
    is_disabled: bool,
}

impl LogPaths {
    /// The paths of a task's FIFOs in its log folder: `.TASK.stdout.fifo` and `.TASK.stderr.fifo`. Names of
    /// log files don't begin with a dot, so none can meet one.
    #[must_use]
    pub fn of_task(folder: impl Into<PathBuf>, task: &str) -> LogPaths {
        let folder = folder.into();
        LogPaths {
            stdout: folder.join(format!(".{task}.stdout.fifo")),
            stderr: folder.join(format!(".{task}.stderr.fifo")),
            folder,
            is_disabled: false,
        }
    }

    /// Two FIFOs wherever they are; the log folder is that of stdout's.
    #[must_use]
    pub fn of_fifos(stdout: impl Into<PathBuf>, stderr: impl Into<PathBuf>) -> LogPaths {
        let stdout = stdout.into();
        LogPaths {
            folder: stdout.parent().map(Path::to_owned).unwrap_or_default(),
            stdout,
            stderr: stderr.into(),
            is_disabled: false,
        }
    }

    /// No log: both streams are [`NULL_DEVICE`] itself. The folder stays known, as other files may lie there.
    #[must_use]
    pub fn disabled(folder: impl Into<PathBuf>) -> LogPaths {
        LogPaths {
            folder: folder.into(),
            stdout: NULL_DEVICE.into(),
            stderr: NULL_DEVICE.into(),
            is_disabled: true,
        }
    }

    /// The folder of the log files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What stdout is opened by: a FIFO, or [`NULL_DEVICE`].
    #[must_use]
    pub fn stdout(&self) -> &Path {
        &self.stdout
    }

    /// What stderr is opened by: a FIFO, or [`NULL_DEVICE`].
    #[must_use]
    pub fn stderr(&self) -> &Path {
        &self.stderr
    }

    /// True if nobody collects.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.is_disabled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_two_fifos_in_its_log_folder() {
        let logs = LogPaths::of_task("/alloc/logs", "web");
        assert_eq!(logs.folder(), Path::new("/alloc/logs"));
        assert_eq!(logs.stdout(), Path::new("/alloc/logs/.web.stdout.fifo"));
        assert_eq!(logs.stderr(), Path::new("/alloc/logs/.web.stderr.fifo"));
        assert!(!logs.is_disabled());
    }

    #[test]
    fn a_disabled_log_is_the_null_device_itself() {
        let logs = LogPaths::disabled("/alloc/logs");
        assert_eq!(logs.stdout(), Path::new("/dev/null"));
        assert_eq!(logs.stderr(), Path::new("/dev/null"));
        assert_eq!(logs.folder(), Path::new("/alloc/logs"));
        assert!(logs.is_disabled());
    }

    #[test]
    fn the_log_folder_of_two_fifos_is_that_of_stdout() {
        let logs = LogPaths::of_fifos("/a/out", "/b/err");
        assert_eq!(logs.folder(), Path::new("/a"));
        assert_eq!(
            (logs.stdout(), logs.stderr()),
            (Path::new("/a/out"), Path::new("/b/err"))
        );
    }
}
