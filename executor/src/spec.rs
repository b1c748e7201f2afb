//! What a launch is told (core).

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::cgroup::CgroupParent;
use crate::error::LaunchError;
use crate::isolate::ContainerSpec;
use crate::log_paths::LogPaths;

/// How long a launch waits for the readers of both FIFOs, if nothing else is said.
pub const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// A task: its program, and what it finds when it starts.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    /// The program: a name, or a path. It is looked for in `local/` of the task folder, in the task folder, as
    /// an absolute path of the host, and in `$PATH`, in this order.
    pub program: PathBuf,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// Its whole environment but `USER`, `LOGNAME` and `HOME`, which are those of the user if one is named and
    /// they don't stand here.
    pub env: Vec<(OsString, OsString)>,
    /// The user by name or number, with exactly its groups; none: the one of this process, with those that this
    /// process has. Only root can name another one than itself.
    pub user: Option<String>,
    /// The task's own folder, in which its program is looked for first. A relative one, and a relative `cwd`, is that
    /// of the folder in which this process is at the launch.
    pub task_folder: Option<PathBuf>,
    /// Where it starts; none: in the task folder, or in `/` without one.
    pub cwd: Option<PathBuf>,
    /// Where its output goes.
    pub logs: LogPaths,
    /// A folder that only trusted users can change. The FIFOs must lie below it, and from it on no symbolic link is
    /// followed; the paths are compared as they are written. None: links in the folders above a FIFO are followed,
    /// and the caller vouches for them.
    pub trusted_root: Option<PathBuf>,
    /// How long the launch waits for the readers of both FIFOs; zero: it tries once. [`OPEN_LIMIT`] if nothing
    /// else is said.
    pub open_limit: Duration,
    /// Where its control group is made.
    pub cgroup: CgroupParent,
    /// Which of the processes of a machine without memory is killed first, `-1000..=1000`,
    /// proc_pid_oom_score_adj(5); none: as this process.
    pub oom_score_adj: Option<i16>,
    /// What an isolated task finds around it, which an [`IsolatedExecutor`](crate::IsolatedExecutor) needs and no other
    /// executor takes.
    pub container: Option<ContainerSpec>,
}

impl LaunchSpec {
    /// A program without arguments and with an empty environment.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, logs: LogPaths) -> LaunchSpec {
        LaunchSpec {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            user: None,
            task_folder: None,
            cwd: None,
            logs,
            trusted_root: None,
            open_limit: OPEN_LIMIT,
            cgroup: CgroupParent::default(),
            oom_score_adj: None,
            container: None,
        }
    }

    /// Refuses what no executor can do.
    pub(crate) fn check(&self) -> Result<(), LaunchError> {
        match self.oom_score_adj {
            Some(score) if !(-1000..=1000).contains(&score) => Err(LaunchError::OomScore { score }),
            Some(_) | None => Ok(()),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> LaunchSpec {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> LaunchSpec {
        self.env.push((name.into(), value.into()));
        self
    }
}
