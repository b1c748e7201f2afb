//! The executor that isolates nothing (edge): a task is a process of the host that is contained.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cgroup::Allowed;
use crate::containment::{ContainError, Containment};
use crate::environment;
use crate::error::{ExecError, LaunchError};
use crate::exec::{Done, Running};
use crate::exec_ends::Near;
use crate::exec_stream::ExecRequest;
use crate::one_task::{OneTask, Options, Starter, executor_of_one_task};
use crate::outputs;
use crate::program;
use crate::signal_state::Mask;
use crate::spawn::{Birth, ChildEnds, Leads, Newborn, SpawnError, spawn};
use crate::spec::LaunchSpec;
use crate::task::{Context, Task};
use crate::user;
use crate::waiting::{Cancel, CancelSource};

/// An executor of [`Isolation::Standard`](crate::Isolation::Standard).
///
/// When it is dropped the task is killed, with all that it has started, unless a shutdown has told before that not all
/// of it could be done.
#[derive(Debug)]
pub struct StandardExecutor(OneTask);

impl StandardExecutor {
    /// Makes one that has no task yet.
    #[must_use]
    pub fn new(options: Options) -> StandardExecutor {
        StandardExecutor(OneTask::new(Box::new(OnHost), options))
    }

    /// Runs a command in the task until it ends, so long, or until the caller does not want it any more.
    pub(crate) fn command(
        &self,
        limit: Option<Duration>,
        cancel: Cancel<'_>,
        command: (&Path, &[OsString]),
    ) -> Result<Done, ExecError> {
        self.0.command(limit, cancel, command)
    }

    /// Starts a command in the task that is spoken with, for whoever attends to it.
    pub(crate) fn begin(&self, request: &ExecRequest) -> Result<(Near, Running), ExecError> {
        self.0.begin(request)
    }
}

executor_of_one_task!(StandardExecutor);

/// Starts processes that see what this one sees.
#[derive(Debug)]
pub(crate) struct OnHost;

impl Starter for OnHost {
    fn start(
        &self,
        spec: &LaunchSpec,
        allowed: Allowed,
        cancels: &[Cancel<'_>],
    ) -> Result<Task, LaunchError> {
        spec.check()?;
        if spec.container.is_some() {
            return Err(LaunchError::Container);
        }
        let credentials = spec.user.as_deref().map(user::resolve).transpose()?;
        let identity = credentials
            .as_ref()
            .map(|user| (user.name.as_str(), user.home.as_os_str()));
        let env = environment::of_task(&spec.env, identity);
        let path = environment::value(&env, "PATH").map(ToOwned::to_owned);
        let path = path.or_else(|| std::env::var_os("PATH"));
        // The program is executed from the folder that the task starts in, and commands may come after this process
        // has gone elsewhere.
        let task_folder = spec.task_folder.as_deref().map(absolute).transpose()?;
        let cwd = spec.cwd.as_deref().map(absolute).transpose()?;
        let cwd = cwd.or_else(|| task_folder.clone());
        let program = program::find(
            &spec.program,
            task_folder.as_deref(),
            path.as_deref(),
            credentials.as_ref(),
        )?;
        let context = Context {
            env,
            credentials,
            task_folder,
            cwd: cwd.unwrap_or_else(|| "/".into()),
            oom_score_adj: spec.oom_score_adj,
            container: None,
        };
        let containment = Containment::make(allowed, &spec.cgroup)?;
        let started = start_in(&containment, spec, &context, (program, cancels));
        match started {
            Ok((newborn, stopping)) => Ok(Task::new(newborn, containment, context, stopping)),
            Err(error) => {
                // It is empty. Should it stay all the same, what matters is why nothing was started.
                drop(containment.give_up());
                Err(error)
            }
        }
    }

    fn find(&self, task: &Task, program: &Path) -> Result<PathBuf, ExecError> {
        let context = &task.context;
        let path = environment::value(&context.env, "PATH").map(ToOwned::to_owned);
        let path = path.or_else(|| std::env::var_os("PATH"));
        let found = program::find(
            program,
            context.task_folder.as_deref(),
            path.as_deref(),
            context.credentials.as_ref(),
        );
        Ok(found?)
    }

    fn start_beside(
        &self,
        task: &Task,
        (program, args): (&Path, &[OsString]),
        ends: ChildEnds,
    ) -> Result<Newborn, ExecError> {
        let context = &task.context;
        let birth = Birth {
            program,
            name: None,
            args,
            env: &context.env,
            cwd: Some(&context.cwd),
            leads: Leads::Session,
            blocked: Mask::default(),
            credentials: context.credentials.as_ref(),
            oom_score_adj: context.oom_score_adj,
            entrances: task.containment.entrances()?,
        };
        spawn(birth, ends).map_err(|SpawnError { stage, source }| ExecError::Start {
            program: program.to_owned(),
            stage,
            source,
        })
    }
}

/// A folder as it is found from anywhere.
fn absolute(path: &Path) -> Result<PathBuf, LaunchError> {
    std::path::absolute(path).map_err(|source| LaunchError::Absolute {
        path: path.to_owned(),
        source,
    })
}

/// Opens the output and starts the main process.
fn start_in(
    containment: &Containment,
    spec: &LaunchSpec,
    context: &Context,
    (program, cancels): (PathBuf, &[Cancel<'_>]),
) -> Result<(Newborn, CancelSource), LaunchError> {
    // It would stand still before it is the program, and its start would wait for that beyond any deadline.
    let is_frozen = containment.is_frozen();
    if is_frozen.map_err(|source| ContainError::Frozen { source })? {
        return Err(LaunchError::Frozen);
    }
    let stopping = CancelSource::new().map_err(|source| LaunchError::Descriptor { source })?;
    let entrances = containment.entrances()?;
    let user = context.credentials.as_ref();
    let (stdout, stderr) = outputs::open(spec, cancels, user)?;
    let birth = Birth {
        program: &program,
        name: None,
        args: &spec.args,
        env: &context.env,
        cwd: Some(&context.cwd),
        leads: Leads::Session,
        blocked: Mask::default(),
        credentials: context.credentials.as_ref(),
        oom_score_adj: context.oom_score_adj,
        entrances,
    };
    match spawn(birth, ChildEnds::of_output(stdout, stderr)) {
        Ok(newborn) => Ok((newborn, stopping)),
        Err(SpawnError { stage, source }) => Err(LaunchError::Start {
            program,
            stage,
            source,
        }),
    }
}
