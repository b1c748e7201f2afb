//! Tasks that outlive whoever starts them, for drivers other than `executor serve` (edge).
//!
//! Such a task has a process of its own, its warden, which launches it by a [`StandardExecutor`], waits for it, leaves
//! its end in a file, and ends when nothing is left of it. The driver may end at any time, however it does; what
//! [`KeptTask::handle`] gives brings the task back.
//!
//! Calls block, each by its own limit. None but [`KeptTask::wait`], [`KeptTask::wait_main`] and a command without a
//! limit waits for ever.
//!
//! [`StandardExecutor`]: crate::StandardExecutor

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::cgroup::CgroupParent;
use crate::containment::remove_left;
use crate::exec_ends::WindowSize;
use crate::exec_stream::ExecStream;
pub use crate::serve::Ended;
use crate::serve::{Handle, Kept, Newborn, Reexec, begin, give_up};
use crate::stats::{Sampler, StatsError, SwapDetail};
use crate::status::CommandEnd;
use crate::user::{self, UserError};
use crate::waiting::{Cancel, Deadline};
pub use crate::warden::KeptSpec;
use crate::warden::{self, Origin};

/// Why something was not done with a task, in words that name the process, the file or the signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeepError(String);

impl From<String> for KeepError {
    fn from(why: String) -> KeepError {
        KeepError(why)
    }
}

/// Is the warden of one task until that has ended. Its stdin is a socket to whoever has started it.
///
/// The program that has a [`Keeper`] calls it behind its subcommand `warden`, while it has one thread; the folder is
/// the one argument of that.
#[must_use]
pub fn keep(folder: &Path) -> ExitCode {
    warden::keep(folder)
}

/// Sees whether a task can be run as this user, by name or number.
///
/// # Errors
/// [`UserError`]: there is none, or only root could.
pub fn check_user(user: &str) -> Result<(), UserError> {
    user::resolve(user).map(drop)
}

/// Starts tasks, and finds them again.
#[derive(Debug)]
pub struct Keeper {
    reexec: Reexec,
    origin: Origin,
}

impl Keeper {
    /// Makes one. `words` start this program again in front of its subcommand `warden`, which calls [`keep`];
    /// without any it is the running executable. Empty control groups that wardens and executors which were killed have
    /// left are removed.
    ///
    /// # Errors
    /// That of reading `/proc/sys/kernel/random/boot_id` or `/proc/self/ns/pid`: without them no task could be told from a
    /// stranger later.
    pub fn new(words: Vec<OsString>) -> io::Result<Keeper> {
        let origin = Origin::own()?;
        remove_left(&CgroupParent::Own);
        Ok(Keeper {
            reexec: Reexec::new(words),
            origin,
        })
    }

    /// Starts a task. Its program runs when this returns, and it waits for the word to go on. `given` is called with
    /// what makes the start give up, before anything is waited for.
    ///
    /// It waits for the readers of both FIFOs as long as [`KeptSpec::open_ms`] says, and at most 3 s beyond that.
    ///
    /// # Errors
    /// Why it does not run; nothing is left of it.
    pub fn start(&self, task: &KeptSpec, given: impl FnOnce(GiveUp)) -> Result<NewTask, KeepError> {
        let newborn = begin(&self.reexec, task, &self.origin, |link| {
            given(GiveUp(Arc::clone(link)));
        })?;
        Ok(NewTask(Some(newborn)))
    }

    /// Finds a task by its handle: that runs, or that has ended and whose end is known. Its FIFOs are not looked
    /// at.
    ///
    /// # Errors
    /// The handle is none, or the task is lost. What was left of it was killed then, at most in so long; but a task of
    /// another pid namespace is left alone.
    pub fn find(&self, handle: Value, limit: Duration) -> Result<KeptTask, KeepError> {
        let handle = Handle::parse(handle)?;
        let kept = Kept::recover(handle, &self.origin, Deadline::after(limit))?;
        Ok(KeptTask(Arc::new(kept)))
    }
}

/// Makes a start give up.
#[derive(Debug, Clone)]
pub struct GiveUp(Arc<UnixStream>);

impl GiveUp {
    /// The start fails, unless it is over already; then the task ends if it was not told to go on.
    pub fn give_up(&self) {
        give_up(&self.0);
    }
}

/// A task that runs, and of which nobody knows yet. When this is dropped it is killed, which takes some seconds at
/// most.
#[derive(Debug)]
#[must_use]
pub struct NewTask(Option<Newborn>);

impl NewTask {
    /// Tells it to go on: from now on it lives whatever becomes of this process.
    #[must_use]
    pub fn go_on(mut self) -> KeptTask {
        let newborn = self.0.take().expect("it is there until this");
        newborn.go_on();
        KeptTask(newborn.kept)
    }
}

impl Drop for NewTask {
    fn drop(&mut self) {
        if let Some(newborn) = self.0.take() {
            // Nobody is left who could be told what it could not do.
            drop(newborn.abandon());
        }
    }
}

/// What a command in a task came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub end: CommandEnd,
    /// The last [`TAIL_BYTES`](crate::TAIL_BYTES) of its stdout and stderr together; nothing if its warden was
    /// killed.
    pub output: Vec<u8>,
}

/// A task that outlives this process. All clones are the same task, and any thread may make any call at any time.
#[derive(Debug, Clone)]
pub struct KeptTask(Arc<Kept>);

impl KeptTask {
    /// What finds it again: JSON that is not null. A field in it that is null may be left out.
    ///
    /// # Errors
    /// None in practice: it is made of numbers and texts.
    pub fn handle(&self) -> Result<Value, KeepError> {
        Ok(self.0.handle().to_value()?)
    }

    /// The pid of its main process, which leads a session and a process group of this number. It may have ended.
    #[must_use]
    pub fn main_pid(&self) -> i32 {
        self.0.handle().held.main.pid
    }

    /// The pid of its warden. It may have ended.
    #[must_use]
    pub fn warden_pid(&self) -> i32 {
        self.0.handle().warden.pid
    }

    /// Waits until the main process has ended, however long that takes. What else is of the task may live on. If its
    /// warden ends before that, it was killed: [`KeptTask::wait`] kills the task then.
    ///
    /// # Errors
    /// The error of `poll(2)` or of reading `/proc`.
    pub fn wait_main(&self) -> Result<(), KeepError> {
        Ok(self.0.wait_main()?)
    }

    /// Waits until the task has ended and nothing of it is left, however long that takes.
    ///
    /// # Errors
    /// The error of `poll(2)`.
    pub fn wait(&self) -> Result<Ended, KeepError> {
        Ok(self.0.wait()?)
    }

    /// Sends a signal to the main process alone: `SIGHUP`, `HUP` or `1`.
    ///
    /// # Errors
    /// There is no such signal, the task has ended, or its warden does not answer within 2 s.
    pub fn signal(&self, name: &str) -> Result<(), KeepError> {
        Ok(self.0.signal(name)?)
    }

    /// Stops it: the main process gets the signal, and so much time; then everything of it is killed. Returns when
    /// nothing is left, and does what its warden should if that does not answer.
    ///
    /// # Errors
    /// Something is left, or there is no such signal; then it was stopped by another.
    pub fn stop(&self, signal: &str, grace: Duration) -> Result<(), KeepError> {
        Ok(self.0.stop(signal, grace)?)
    }

    /// Kills it if it runs, and removes what it is found by. Its warden has so long.
    ///
    /// # Errors
    /// Something is left; it may be tried again.
    pub fn destroy(&self, limit: Duration) -> Result<(), KeepError> {
        Ok(self.0.destroy(limit)?)
    }

    /// Runs a command in the task, with its user, environment, folder and control group, for so long or for as long
    /// as it takes. `cancel` kills it with its process group.
    ///
    /// # Errors
    /// It was not started: there is no such program, or the task has ended.
    pub fn exec(
        &self,
        argv: &[String],
        limit: Option<Duration>,
        cancel: Cancel<'_>,
    ) -> Result<Ran, KeepError> {
        let (end, output) = self.0.exec(argv, limit, cancel)?;
        Ok(Ran { end, output })
    }

    /// Starts a command in the task as [`KeptTask::exec`] does, and speaks with it while it runs: through three pipes, or
    /// a terminal with this window. Its warden attends to it, and kills it with its process group when its time is over
    /// and when this process is gone.
    ///
    /// # Errors
    /// It was not started: there is no such program, or the task has ended.
    pub fn exec_streaming(
        &self,
        argv: &[String],
        terminal: Option<WindowSize>,
        limit: Option<Duration>,
    ) -> Result<ExecStream, KeepError> {
        Ok(self.0.speak(argv, terminal, limit)?)
    }

    /// Makes a sampler of what it uses: by its control group if one holds it, else by the processes below the main
    /// process.
    ///
    /// # Errors
    /// [`StatsError::is_gone`] once it has ended; others if the machine does not tell its units.
    pub fn sampler(&self, swap: SwapDetail) -> Result<Arc<Sampler>, StatsError> {
        self.0.sampler(swap)
    }
}
