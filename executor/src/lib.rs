//! Edge: the executor runs real commands as tasks, contained, waited for, and gone when they should be.
//!
//! A [`StandardExecutor`] has one task: a main process, whatever that starts, and the commands that are run beside
//! it. An [`IsolatedExecutor`] has one in a container (`isolate`). Cores decide where a task is in its life (`life`),
//! which step of a shutdown is the next one (`stop`), what contains it (`cgroup`) and where its program is looked for
//! (`lookup`); edges do it.
//!
//! # What it must never do
//! - Wait for ever: for a reader of a FIFO, for a process that does not die, for a cgroup that stays.
//! - Hold a write end of a FIFO when a launch has returned: its reader would never see the end.
//! - Signal a number: a process is a pidfd, and a process group is killed only while the zombie of its leader
//!   keeps its number.
//! - Take less than it was asked for without a word: another isolation, another cgroup, another user.
//!
//! # Laws
//! 1. No process and no control group of a launch that failed is left, and a shutdown is right at any time.
//! 2. After a shutdown that gives no error no process of the task lives, if a cgroup or a child subreaper
//!    contained it ([`Kind::gap`] says what may survive otherwise). The children of a dropped executor die too.
//! 3. A task has the groups of its user and no others, blocks and ignores no signal, and has no descriptor but
//!    stdin, stdout and stderr.
//! 4. A task costs no thread. A command in it that is spoken with costs one.
//!
//! # As a program
//! `executor run` has one task and ends with it. `executor serve` is a driver with many tasks, each in a process of its
//! own (`warden`), which is told over stdin what to do (`serve`); docs/adapters.md has the protocol. Another driver keeps
//! tasks in the same way by [`kept`].
//!
//! # What is no task
//! [`process`] starts one program in the way of a task and leaves the rest to the caller; an [`Enclosure`] finds and ends
//! what such programs have started.
//!
//! # The process that uses it
//! It must not ignore SIGCHLD, and nobody in it may wait for any child, as waitpid(2) does for -1: the status of
//! a task would be lost ([`WaitError::StatusLost`]).

// They panic where nobody reads; `diagnostics` has what does not.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod cgroup;
mod cli;
mod containment;
mod descriptors;
mod diagnostics;
mod enclosure;
mod environment;
mod error;
mod exec;
mod exec_ends;
mod exec_stream;
mod executor;
mod exit;
mod image;
mod incoming;
mod isolate;
pub mod kept;
mod kin;
mod life;
mod log_paths;
mod lookup;
mod mount_table;
mod one_task;
mod outputs;
pub mod process;
mod processes;
mod program;
mod run;
mod serve;
mod signal;
mod signal_state;
mod spawn;
mod spec;
mod standard;
mod status;
mod stop;
mod tail;
mod task;
mod trust;
mod user;
mod vfork;
mod waiting;
mod warden;

pub mod stats;

pub use cgroup::{Allowed, CgroupParent, Kind};
pub use containment::ContainError;
pub use enclosure::Enclosure;
pub use error::{
    ExecError, LaunchError, ShutdownError, SignalError, Stream, UnsupportedIsolation, WaitError,
};
pub use exec_ends::WindowSize;
pub use exec_stream::{ExecInput, ExecMessage, ExecOutput, ExecRequest, ExecStream};
pub use executor::{DEFAULT_SIGNAL, Executed, Executor, Isolation, Launched, Waited, new};
pub use exit::Exit;
pub use isolate::{
    BirthError, Capability, CapabilityError, ContainerSpec, CpuShares, Device, IsolateError,
    IsolatedExecutor, IsolatedOptions, Missing, Mount, NamespaceMode,
};
pub use life::Phase;
pub use log_paths::{LogPaths, NULL_DEVICE};
pub use one_task::{Contained, Options};
pub use program::ProgramError;
pub use run::main_with_args;
pub use spawn::{Leads, Stage};
pub use spec::{LaunchSpec, OPEN_LIMIT};
pub use standard::StandardExecutor;
pub use status::{CommandEnd, End, ExitStatus};
pub use stop::{Outcome, Step, StopReport};
pub use tail::TAIL_BYTES;
pub use user::UserError;
pub use waiting::{Cancel, CancelSource};
