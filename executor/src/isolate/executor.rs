//! The executor that isolates its task (edge): the task is the first process of a container.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::birth::{Born, bear};
use super::bundle::Bundle;
use super::config::{Parts, Process, config, mode, process};
use super::container::{ContainerSpec, NamespaceMode};
use super::error::IsolateError;
use super::message::{Order, Place};
use super::needs::{Facts, Missing};
use super::own_program::make_executable;
use super::parts::{main_process, parts, text, words};
use super::places::places;
use crate::cgroup::{Allowed, CgroupParent};
use crate::containment::{ContainError, Containment};
use crate::error::{ExecError, LaunchError, UnsupportedIsolation};
use crate::one_task::{OneTask, Options, Starter, executor_of_one_task};
use crate::outputs;
use crate::program::ProgramError;
use crate::serve::Reexec;
use crate::spawn::{ChildEnds, Newborn, Stage};
use crate::spec::LaunchSpec;
use crate::task::{Context, Task};
use crate::user;
use crate::waiting::{Cancel, CancelSource};

/// What an executor that isolates is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsolatedOptions {
    /// The words that start this program again, in front of a subcommand of the executor; none: this executable, whose
    /// main must be [`main_with_args`](crate::main_with_args).
    pub reexec: Vec<OsString>,
    /// Whether a task that does not say it sees its own processes alone.
    pub pid: NamespaceMode,
    /// Whether a task that does not say it has message queues of its own.
    pub ipc: NamespaceMode,
}

impl Default for IsolatedOptions {
    /// This executable, and everything of its own for the task.
    fn default() -> IsolatedOptions {
        IsolatedOptions {
            reexec: Vec::new(),
            pid: NamespaceMode::Private,
            ipc: NamespaceMode::Private,
        }
    }
}

/// An executor of [`Isolation::Isolated`](crate::Isolation::Isolated), on Linux, for root.
///
/// Its task has a root, mounts, capabilities and control groups of its own, and unless told otherwise a pid and an ipc
/// namespace; it has the network of the host. With a pid namespace its main process is the first one there, and such a
/// process is not ended by a signal that it does not catch, pid_namespaces(7): a shutdown gives no time for one then.
///
/// A command in the task runs in the container, too. If it has a terminal, that is one of the host: `/dev/tty` is it, but
/// it has no name in the `/dev/pts` of the task.
///
/// When it is dropped the task is killed, with all that it has started, unless a shutdown has told before that not all
/// of it could be done.
#[derive(Debug)]
pub struct IsolatedExecutor(OneTask);

impl IsolatedExecutor {
    /// Makes one that has no task yet.
    ///
    /// # Errors
    /// [`UnsupportedIsolation`]: this build can't isolate.
    pub fn new(options: IsolatedOptions) -> Result<IsolatedExecutor, UnsupportedIsolation> {
        let starter = InContainer::new(options)?;
        Ok(IsolatedExecutor(OneTask::new(
            Box::new(starter),
            Options::default(),
        )))
    }
}

executor_of_one_task!(IsolatedExecutor);

/// What is kept of a container, for the commands that are run in it.
#[derive(Debug)]
pub(crate) struct Container {
    /// True if the main process is the first one of its pid namespace.
    pub(crate) is_first: bool,
    /// The main process, as it was configured.
    main: Process,
    /// What was asked for; its root is absolute, as commands may come after this process has gone elsewhere.
    around: ContainerSpec,
}

/// Starts processes in a container.
#[derive(Debug)]
pub(crate) struct InContainer {
    reexec: Reexec,
    options: IsolatedOptions,
}

impl InContainer {
    pub(crate) fn new(options: IsolatedOptions) -> Result<InContainer, UnsupportedIsolation> {
        if cfg!(not(feature = "isolate")) {
            return Err(UnsupportedIsolation);
        }
        Ok(InContainer {
            reexec: Reexec::new(options.reexec.clone()),
            options,
        })
    }

    /// Makes the main process of a container.
    fn bear(
        &self,
        (spec, around, context): (&LaunchSpec, &ContainerSpec, &Context),
        parts: Parts,
        containment: &Containment,
        cancels: &[Cancel<'_>],
    ) -> Result<Newborn, LaunchError> {
        let user = context.credentials.as_ref();
        make_executable(around, &spec.program, user)?;
        let (stdout, stderr) = outputs::open(spec, cancels, user)?;
        let bundle = containment.bundle().ok_or(IsolateError::NoContainer)?;
        let folder = |source| IsolateError::Folder { source };
        bundle.write_config(&config(&parts)).map_err(folder)?;
        let order = order(
            bundle,
            Place::Container {
                bundle: text("the path", bundle.path().as_os_str())?,
            },
            &spec.program,
            false,
        )?;
        let ends = ChildEnds::of_output(stdout, stderr);
        let born = bear(&self.reexec, &order, containment, ends).map_err(IsolateError::from)?;
        match born {
            Born::Runs(newborn) => Ok(newborn),
            Born::NotFound => Err(not_found(&spec.program).into()),
            Born::NotExecuted { source, place } => {
                Err(not_executed(source, place, |program, source| {
                    LaunchError::Start {
                        program,
                        stage: Stage::Program,
                        source,
                    }
                }))
            }
        }
    }
}

impl Starter for InContainer {
    fn start(
        &self,
        spec: &LaunchSpec,
        _allowed: Allowed,
        cancels: &[Cancel<'_>],
    ) -> Result<Task, LaunchError> {
        spec.check()?;
        let around = &rooted(spec.container.as_ref().ok_or(IsolateError::NoContainer)?)?;
        check(spec, around)?;
        let (pid, ipc) = (
            mode(around.pid, self.options.pid),
            mode(around.ipc, self.options.ipc),
        );
        let facts = Facts::of_this_process();
        if let Some(missing) = facts.missing(pid, ipc) {
            return Err(IsolateError::Missing(missing).into());
        }
        let credentials = spec.user.as_deref().map(user::resolve).transpose()?;
        let main = main_process(spec, around, credentials.as_ref(), facts.capabilities)?;
        let containment = Containment::of_container().map_err(|error| {
            if matches!(error, ContainError::NoCgroup) {
                IsolateError::Missing(Missing::Cgroup).into()
            } else {
                LaunchError::Contain(error)
            }
        })?;
        let context = Context {
            env: Vec::new(),
            credentials,
            task_folder: None,
            cwd: PathBuf::from(&main.cwd),
            oom_score_adj: spec.oom_score_adj,
            container: Some(Container {
                is_first: pid == NamespaceMode::Private,
                main: main.clone(),
                around: around.clone(),
            }),
        };
        let started = parts(around, main, (pid, ipc), &containment)
            .map_err(LaunchError::from)
            .and_then(|parts| {
                let stopping =
                    CancelSource::new().map_err(|source| LaunchError::Descriptor { source })?;
                let newborn = self.bear((spec, around, &context), parts, &containment, cancels)?;
                Ok((newborn, stopping))
            });
        match started {
            Ok((newborn, stopping)) => Ok(Task::new(newborn, containment, context, stopping)),
            Err(error) => {
                // Nobody is in it. Should it stay all the same, what matters is why nothing was started.
                drop(containment.give_up());
                Err(error)
            }
        }
    }

    fn find(&self, task: &Task, program: &Path) -> Result<PathBuf, ExecError> {
        if let Some(container) = &task.context.container {
            make_executable(
                &container.around,
                program,
                task.context.credentials.as_ref(),
            )?;
        }
        // It is looked for in the root of the task, by the process that is to become it.
        Ok(program.to_owned())
    }

    fn start_beside(
        &self,
        task: &Task,
        (program, args): (&Path, &[OsString]),
        ends: ChildEnds,
    ) -> Result<Newborn, ExecError> {
        let (Some(container), Some(bundle)) = (&task.context.container, task.containment.bundle())
        else {
            return Err(ExecError::NotRunning);
        };
        let mut own = container.main.clone();
        own.args = words(program, args)?;
        let path = bundle
            .write_process(&process(&own))
            .map_err(|source| IsolateError::Folder { source })?;
        let beside = Place::Beside {
            process: text("the path", path.as_os_str())?,
        };
        let order = order(bundle, beside, program, ends.terminal.is_some())?;
        let born = bear(&self.reexec, &order, &task.containment, ends);
        // A task may have many commands, and lives long.
        bundle.forget([&path, Path::new(&order.pid_file)]);
        match born.map_err(IsolateError::from)? {
            Born::Runs(newborn) => Ok(newborn),
            Born::NotFound => Err(not_found(program).into()),
            Born::NotExecuted { source, place } => {
                Err(not_executed(source, place, |program, source| {
                    ExecError::Start {
                        program,
                        stage: Stage::Program,
                        source,
                    }
                }))
            }
        }
    }
}

/// Refuses what contradicts isolation, or is nothing that could be done.
fn check(spec: &LaunchSpec, around: &ContainerSpec) -> Result<(), IsolateError> {
    let refused = |why: &str| IsolateError::Refused { why: why.into() };
    if let Some(why) = around.fault() {
        return Err(IsolateError::Refused { why });
    }
    if spec.task_folder.is_some() {
        return Err(refused("it has a root and no task folder beside it"));
    }
    match spec.cgroup {
        CgroupParent::Own => Ok(()),
        CgroupParent::Off | CgroupParent::Below(_) => Err(refused(
            "its control groups are made in that of the executor and nowhere else",
        )),
    }
}

/// What was asked for, with a root that is found from anywhere.
fn rooted(around: &ContainerSpec) -> Result<ContainerSpec, IsolateError> {
    let root = std::path::absolute(&around.root).map_err(|source| IsolateError::Use {
        what: "the root",
        path: around.root.clone(),
        source,
    })?;
    Ok(ContainerSpec {
        root,
        ..around.clone()
    })
}

fn order(
    bundle: &Bundle,
    place: Place,
    program: &Path,
    has_terminal: bool,
) -> Result<Order, IsolateError> {
    let places: Result<Vec<String>, IsolateError> = places(program)
        .iter()
        .map(|place| text("the program", place.as_os_str()))
        .collect();
    let state = bundle.state();
    Ok(Order {
        place,
        pid_file: text("the path", bundle.pid_file().as_os_str())?,
        state: text("the path", state.as_os_str())?,
        places: places?,
        has_terminal,
    })
}

fn not_found(program: &Path) -> ProgramError {
    ProgramError::NotFound {
        program: program.to_owned(),
        places: places(program),
    }
}

/// What is told of a program that can't be executed: that its mode forbids it, or what else the kernel says.
fn not_executed<E: From<ProgramError>>(
    source: io::Error,
    place: String,
    start: impl FnOnce(PathBuf, io::Error) -> E,
) -> E {
    let path = PathBuf::from(place);
    if source.kind() == io::ErrorKind::PermissionDenied {
        return ProgramError::NotExecutable { path }.into();
    }
    start(path, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_paths::LogPaths;

    fn spec() -> LaunchSpec {
        LaunchSpec::new("sh", LogPaths::disabled("/"))
    }

    fn refused(spec: &LaunchSpec) -> String {
        let around = ContainerSpec::new("/srv");
        check(spec, &around).unwrap_err().to_string()
    }

    #[test]
    fn what_contradicts_isolation_is_refused() {
        let around = ContainerSpec::new("/srv");
        assert!(check(&spec(), &around).is_ok());
        let mut with_folder = spec();
        with_folder.task_folder = Some("/task".into());
        assert!(refused(&with_folder).contains("no task folder"));
        for parent in [CgroupParent::Off, CgroupParent::Below("a".into())] {
            let mut with_parent = spec();
            with_parent.cgroup = parent;
            assert!(refused(&with_parent).contains("control groups"));
        }
    }

    #[test]
    fn a_build_says_whether_it_can_isolate() {
        let made = InContainer::new(IsolatedOptions::default());
        assert_eq!(made.is_ok(), cfg!(feature = "isolate"));
    }
}
