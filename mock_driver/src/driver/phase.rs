//! How far the run is, as all threads see it: an edge.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::faults::absence::Absence;
use crate::stream::Stream;

/// How long undelivered bytes may wait without progress once a stop was asked for.
const PATIENCE_AFTER_STOP: Duration = Duration::from_millis(1500);

/// The state of a run.
#[derive(Debug)]
pub(crate) struct Phase {
    patience: Option<Duration>,
    absence: Option<Absence>,
    exited_at: OnceLock<Instant>,
    stopped: AtomicBool,
    /// Readable, by its end, once the task is gone.
    exit: OwnedFd,
    keeps_exit_silent: Mutex<Option<OwnedFd>>,
    blocked: [AtomicBool; 2],
    has_output: [AtomicBool; 2],
}

impl Phase {
    pub(crate) fn new(patience: Option<Duration>, absence: Option<Absence>) -> nix::Result<Self> {
        let (exit, other) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        Ok(Self {
            patience,
            absence,
            exited_at: OnceLock::new(),
            stopped: AtomicBool::new(false),
            exit,
            keeps_exit_silent: Mutex::new(Some(other)),
            blocked: Default::default(),
            has_output: [AtomicBool::new(true), AtomicBool::new(true)],
        })
    }

    /// The fault that depends on a driver's absence, if that is the fault.
    pub(crate) fn absence(&self) -> Option<&Absence> {
        self.absence.as_ref()
    }

    /// Notes that the task is gone.
    pub(crate) fn exited(&self) {
        self.exited_at.get_or_init(Instant::now);
        let mut end = self
            .keeps_exit_silent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *end = None;
    }

    pub(crate) fn has_exited(&self) -> bool {
        self.exited_at.get().is_some()
    }

    /// A descriptor that poll(2) reports once the task is gone.
    pub(crate) fn exit_fd(&self) -> BorrowedFd<'_> {
        self.exit.as_fd()
    }

    /// Whether somebody wants the run to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Notes that somebody wants the run to end.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether bytes that moved last at `progress` have waited long enough.
    pub(crate) fn is_patience_over(&self, progress: Instant) -> bool {
        let Some(&exited_at) = self.exited_at.get() else {
            return false;
        };
        let Some(patience) = self.patience else {
            return false;
        };
        let patience = if self.stopped.load(Ordering::Relaxed) {
            patience.min(PATIENCE_AFTER_STOP)
        } else {
            patience
        };
        exited_at.max(progress).elapsed() >= patience
    }

    pub(crate) fn set_blocked(&self, stream: Stream, blocked: bool) {
        self.blocked[stream.index()].store(blocked, Ordering::Relaxed);
    }

    /// Waits until no stream is blocked.
    #[expect(
        clippy::disallowed_methods,
        reason = "only a faulty policy waits here, and its waste is no one's"
    )]
    pub(crate) fn until_unblocked(&self) {
        while self.blocked.iter().any(|flag| flag.load(Ordering::Relaxed)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Notes that nothing more comes on a stream.
    pub(crate) fn set_silent(&self, stream: Stream) {
        self.has_output[stream.index()].store(false, Ordering::Relaxed);
    }

    pub(crate) fn may_have_output(&self, stream: Stream) -> bool {
        self.has_output[stream.index()].load(Ordering::Relaxed)
    }
}
