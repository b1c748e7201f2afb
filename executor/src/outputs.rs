//! Opens what a task writes to (edge).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use fifo::{Place, Writer};
use nix::sys::stat::{FileStat, fstat};
use nix::unistd::geteuid;
use rustix::fs::fchown;

use crate::error::{LaunchError, Stream};
use crate::log_paths::NULL_DEVICE;
use crate::spec::LaunchSpec;
use crate::trust::{Doubt, Found, admit};
use crate::user::Credentials;
use crate::waiting::{Cancel, Deadline};

/// How long one look for a reader lasts; then it is looked whether somebody has ended the launch.
const LOOK: Duration = Duration::from_millis(20);

/// Opens stdout and stderr of a task, both within its time for that, in the shape that a child needs: blocking.
pub(crate) fn open(
    spec: &LaunchSpec,
    cancels: &[Cancel<'_>],
    user: Option<&Credentials>,
) -> Result<(OwnedFd, OwnedFd), LaunchError> {
    let (logs, limit) = (&spec.logs, spec.open_limit);
    let wait = Wait {
        limit,
        deadline: Deadline::after(limit),
        trusted_root: spec.trusted_root.as_deref(),
        cancels,
        user,
    };
    let stdout = wait.open(Stream::Stdout, logs.stdout())?;
    Ok((stdout, wait.open(Stream::Stderr, logs.stderr())?))
}

struct Wait<'a> {
    limit: Duration,
    deadline: Deadline,
    trusted_root: Option<&'a Path>,
    cancels: &'a [Cancel<'a>],
    user: Option<&'a Credentials>,
}

impl Wait<'_> {
    fn open(&self, stream: Stream, path: &Path) -> Result<OwnedFd, LaunchError> {
        if path == Path::new(NULL_DEVICE) {
            let null = OpenOptions::new().write(true).open(path);
            return null
                .map(OwnedFd::from)
                .map_err(|source| LaunchError::OpenNull {
                    stream,
                    path: path.to_owned(),
                    source,
                });
        }
        let failed = |source| LaunchError::OpenLog { stream, source };
        let writer = self.find_reader(stream, path)?;
        let stat = fstat(writer.as_fd());
        let stat = stat.map_err(|errno| {
            failed(fifo::Error::Inspect {
                path: path.to_owned(),
                source: errno.into(),
            })
        })?;
        self.require_trust(stream, path, &stat)?;
        self.give(stream, &writer, &stat)?;
        writer.into_child_stdout().map_err(failed)
    }

    fn find_reader(&self, stream: Stream, path: &Path) -> Result<Writer, LaunchError> {
        loop {
            let left = self.deadline.left_of(LOOK);
            match self.look(path, left.unwrap_or_default()) {
                Ok(writer) => return Ok(writer),
                Err(fifo::Error::NoReader { path }) if left.is_none() => {
                    let limit = self.limit;
                    return Err(LaunchError::NoReader {
                        stream,
                        path,
                        limit,
                    });
                }
                Err(fifo::Error::NoReader { path }) => {
                    if self.is_cancelled()? {
                        return Err(LaunchError::Cancelled { stream, path });
                    }
                }
                Err(source) => return Err(LaunchError::OpenLog { stream, source }),
            }
        }
    }

    fn look(&self, path: &Path, limit: Duration) -> Result<Writer, fifo::Error> {
        let place = match self.trusted_root {
            Some(root) => Place::open_below(root, path)?,
            None => Place::open(path)?,
        };
        Writer::open_in_within(&place, limit)
    }

    /// Refuses a FIFO that may be meant for somebody else (SEC-1).
    fn require_trust(
        &self,
        stream: Stream,
        path: &Path,
        stat: &FileStat,
    ) -> Result<(), LaunchError> {
        let found = Found {
            uid: stat.st_uid,
            has_other_name: stat.st_nlink > 1,
        };
        let task = self.user.map(|user| user.uid.as_raw());
        admit(found, geteuid().as_raw(), task).map_err(|doubt| match doubt {
            Doubt::Owner => LaunchError::ForeignLog {
                stream,
                path: path.to_owned(),
                uid: found.uid,
            },
            Doubt::OtherName => LaunchError::LinkedLog {
                stream,
                path: path.to_owned(),
            },
        })
    }

    fn is_cancelled(&self) -> Result<bool, LaunchError> {
        let asked: io::Result<Vec<bool>> = self.cancels.iter().map(Cancel::is_asked).collect();
        let asked = asked.map_err(|source| LaunchError::Descriptor { source })?;
        Ok(asked.contains(&true))
    }

    /// Makes the FIFO the user's who the task runs as, unless that user may write to it anyway. `/dev/stdout`
    /// leads to the FIFO itself, and whoever opens it needs the right to.
    fn give(&self, stream: Stream, writer: &Writer, stat: &FileStat) -> Result<(), LaunchError> {
        let Some(user) = self.user.filter(|user| !user.is_own) else {
            return Ok(());
        };
        if user.may_write(stat.st_mode, (stat.st_uid, stat.st_gid)) {
            return Ok(());
        }
        fchown(writer, Some(user.uid), None).map_err(|errno| LaunchError::GiveLog {
            stream,
            path: writer.path().to_owned(),
            uid: user.uid.as_raw(),
            source: errno.into(),
        })
    }
}
