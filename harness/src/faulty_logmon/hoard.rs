//! By a fault: every free descriptor, taken as if all were needed for tasks. (edge)

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// What whoever asks needs: the connection, and what a look at the descriptors takes.
const FOR_ASKING: usize = 4;

/// What is taken. Empty until the first [`Asking::take_the_rest`].
static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// While somebody asks: some of what was taken is given back.
pub(super) struct Asking(MutexGuard<'static, Vec<File>>);

impl Asking {
    pub(super) fn begin() -> Self {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let left = taken.len().saturating_sub(FOR_ASKING);
        taken.truncate(left);
        Self(taken)
    }

    /// Leaves no descriptor free.
    pub(super) fn take_the_rest(mut self) {
        take_all(&mut self.0);
    }
}

/// Takes what has become free since: a rotation that held one at the time gives it back when it is
/// done, and one is enough for all rotations. Does nothing if nothing is taken yet or somebody asks.
pub(super) fn take_again() {
    let mut taken = match TAKEN.try_lock() {
        Ok(taken) => taken,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // A stop waits for the thread that may be the caller.
        Err(TryLockError::WouldBlock) => return,
    };
    if !taken.is_empty() {
        take_all(&mut taken);
    }
}

fn take_all(taken: &mut Vec<File>) {
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
}
