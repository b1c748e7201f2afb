//! The process that builds a container (edge), the only place that calls the container library.
//!
//! It has one thread and no environment, and ends when the process that it has made is the program, or can't be.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, execve};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::process::ioctl_tiocsctty;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::message::{Order, Place, Report};
use crate::error::chain;
use crate::warden::{read_line_with, write_line};

/// The name of a container among those of its own folder, in which there is no other.
const ID: &str = "task";

/// Builds what it is told to by whoever is at the other end of stdin.
pub(crate) fn build() -> ExitCode {
    match try_build() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever gave the order sees the conversation end.
        Err(_) => ExitCode::FAILURE,
    }
}

/// What a container gets as its stdin, stdout and stderr, and what is said about it.
struct Streams {
    link: Link,
    /// The null device, unless something else comes with the order.
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// The socket to whoever gave the order. Every process that is made holds it until it is the program.
type Link = Arc<UnixStream>;

impl Streams {
    /// Takes them over: from now on nothing that this process says can get into the output of the task.
    fn take() -> io::Result<Streams> {
        let link = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let null = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        Ok(Streams {
            link: Arc::new(link),
            stdin: null.into(),
            stdout,
            stderr,
        })
    }
}

fn try_build() -> io::Result<()> {
    let mut streams = Streams::take()?;
    let link = Arc::clone(&streams.link);
    let Some((order, mut given)) = read_line_with::<Order>(&link)? else {
        return Ok(());
    };
    if let Some(stdin) = given.pop() {
        streams.stdin = stdin;
    }
    expect_broken_pipes()?;
    let told = tracing::subscriber::set_global_default(Told(Arc::clone(&link)));
    told.map_err(io::Error::other)?;
    let pid_file = order.pid_file.clone();
    match build_as(order, streams) {
        Ok(()) => Ok(()),
        Err(error) => {
            if let Some(pid) = pid_in(Path::new(&pid_file)) {
                write_line(&*link, &Report::Made(pid))?;
            }
            write_line(&*link, &Report::Failed(chain(&error)))
        }
    }
}

fn pid_in(file: &Path) -> Option<i32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Undoes what the start of this program has done: a task takes a broken pipe as any other program does.
fn expect_broken_pipes() -> nix::Result<()> {
    #[expect(
        unsafe_code,
        reason = "signal(2) has no safe cover, not even for SIG_DFL"
    )]
    // SAFETY: the default runs no code of ours, and no handler of ours is replaced: the program installs none.
    let replaced = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    replaced.map(drop)
}

fn build_as(order: Order, streams: Streams) -> Result<(), LibcontainerError> {
    let Streams {
        link,
        stdin,
        stdout,
        stderr,
    } = streams;
    let builder = ContainerBuilder::new(ID.to_owned(), SyscallType::default())
        .with_root_path(&order.state)?
        .with_pid_file(Some(&order.pid_file))?
        .with_executor(Program {
            places: order.places,
            has_terminal: order.has_terminal,
            link: Arc::clone(&link),
        })
        .with_stdin(stdin)
        .with_stdout(stdout)
        .with_stderr(stderr);
    let said =
        |pid: i32| write_line(&*link, &Report::Made(pid)).map_err(LibcontainerError::OtherIO);
    match order.place {
        Place::Container { bundle } => {
            let mut container = builder
                .as_init(&bundle)
                .with_systemd(false)
                .as_sibling(true)
                .build()?;
            let pid = container.pid().map(|pid| pid.as_raw());
            said(pid.ok_or_else(|| LibcontainerError::Other("it has no process".into()))?)?;
            container.start()
        }
        Place::Beside { process } => {
            let pid = builder
                .as_tenant()
                .with_process(Some(&process))
                .with_detach(true)
                .as_sibling(true)
                .build()?;
            said(pid.as_raw())
        }
    }
}

/// Becomes the program, which is looked for in the root of the task.
#[derive(Clone)]
struct Program {
    places: Vec<String>,
    has_terminal: bool,
    link: Link,
}

impl Executor for Program {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let process = spec.process().as_ref().ok_or(ExecutorError::InvalidArg)?;
        let words = |words: &Option<Vec<String>>| -> Result<Vec<CString>, ExecutorError> {
            let words = words.iter().flatten();
            words
                .map(|word| CString::new(word.as_str()).map_err(|_| ExecutorError::InvalidArg))
                .collect()
        };
        let mut args = words(process.args())?;
        let env = words(process.env())?;
        let failed = |error: io::Error| ExecutorError::Other(chain(&error));
        make_null_writable().map_err(failed)?;
        if self.has_terminal {
            // The library has made it the leader of a session.
            ioctl_tiocsctty(io::stdin()).map_err(|errno| failed(errno.into()))?;
        }
        let (errno, place) = self.try_places(&mut args, &env)?;
        let report = Report::NotExecuted {
            errno: errno as i32,
            place,
        };
        // Whoever gave the order sees the conversation end in any case.
        drop(write_line(&*self.link, &report));
        Err(ExecutorError::Execution("it is not executed".into()))
    }

    /// The program is looked for when the process is in its place, and not before.
    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }

    /// The program gets exactly the environment that was asked for, and nobody reads that of this process.
    fn setup_envs(&self, _envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }
}

impl Program {
    /// Tries the places as execvp(3) does; gives why none is executed, and which one is there.
    fn try_places(
        &self,
        args: &mut [CString],
        env: &[CString],
    ) -> Result<(Errno, Option<String>), ExecutorError> {
        let mut closed = None;
        for place in &self.places {
            let path = CString::new(place.as_str()).map_err(|_| ExecutorError::InvalidArg)?;
            if let Some(first) = args.first_mut() {
                first.clone_from(&path);
            }
            let Err(errno) = execve(&path, args, env);
            let is_missing = matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES)
                && !Path::new(place).is_file();
            if is_missing {
                continue;
            }
            if errno != Errno::EACCES {
                // Its interpreter is not there, or its format is of no use here.
                return Ok((errno, Some(place.clone())));
            }
            closed = closed.or(Some(place.clone()));
        }
        Ok(match closed {
            Some(place) => (Errno::EACCES, Some(place)),
            None => (Errno::ENOENT, None),
        })
    }
}

/// Where stdout or stderr is the null device, the library has put that of the task in its place, but open for reading
/// alone: whoever writes to it would get EBADF.
fn make_null_writable() -> io::Result<()> {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let is_closed = |fd: BorrowedFd<'_>| -> io::Result<bool> {
        Ok(fcntl_getfl(fd)? & OFlags::ACCMODE == OFlags::RDONLY)
    };
    let null = || fs::OpenOptions::new().write(true).open("/dev/null");
    if is_closed(stdout.as_fd())? {
        dup2_stdout(null()?)?;
    }
    if is_closed(stderr.as_fd())? {
        dup2_stderr(null()?)?;
    }
    Ok(())
}

/// Tells whoever gave the order what the container library says of errors: what it returns hides their causes.
struct Told(Link);

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let text = words.0.join(", ");
        // There is nobody else to tell it to.
        drop(write_line(&*self.0, &Report::Said(text)));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// The message of an event and its fields, as text.
#[derive(Default)]
struct Words(Vec<String>);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.insert(0, format!("{value:?}"));
        } else {
            self.0.push(format!("{} {value:?}", field.name()));
        }
    }
}
