//! Edge: whose turn it is to call the file system, so that a call that hangs holds its own stream only.
//!
//! A write to a disk that hangs can't be asked to wait elsewhere: it takes its thread with it, for as
//! long as the disk hangs. The runtime therefore has one thread more than may hang. One call at a time is
//! made *inline*, on the thread of its stream; that costs nothing, and usually takes microseconds. Who
//! has waited [`PATIENCE`] for the turn takes the call before it for stuck. Until that one returns, calls
//! are made *aside*: the runtime gets another thread for each (`tokio::task::block_in_place`), which is
//! slower, and therefore not what happens when nothing hangs.
//!
//! A thread that hangs may be the one that waited for events for all others, and the runtime does not notice
//! that. A guard does: a thread of its own, which looks whether the inline call is the same as at its last
//! look, and then gives the runtime something to do, so that another thread takes over. It sleeps while no
//! calls are made.
//!
//! Of one file system at most [`CALLS_ASIDE`] calls hang aside. The other streams on it wait for a turn,
//! and the threads do not run out for those on other disks.
//!
//! What is bounded are the threads of the one runtime of this process, so there is one [`Storage`] in it,
//! and the functions of this module are about that one. It is not handed through: a collector with another
//! one would count the same threads a second time, and take those that the first one needs. Tests make
//! their own.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::thread::{self, Thread};
use std::time::Duration;

use nix::libc::dev_t;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};

/// Threads of the runtime that run streams: one for the inline call that may hang, and one for everything
/// else.
pub(crate) const WORKER_THREADS: usize = 2;
/// Threads that the runtime may have beside them: one for each call aside and some to spare, as a call
/// without a thread to replace its own would stop everything.
pub(crate) const MAX_THREADS_ASIDE: usize = 64;
/// How many calls of streams may be made aside, and how many starts.
const MAX_CALLS_ASIDE: usize = 48;
const MAX_STARTS_ASIDE: usize = 8;
/// How many calls to one file system may hang aside.
const CALLS_ASIDE: usize = 4;
/// After so long the call before is taken for stuck: far longer than a write that only copies, far
/// shorter than a stop may take.
const PATIENCE: Duration = Duration::from_millis(20);

/// Between two looks of the guard: two of them are short beside the time that a stop may take.
const LOOK: Duration = Duration::from_millis(100);
/// A call that takes longer hangs; a shorter one may be that of a busy machine.
const HANG: Duration = Duration::from_millis(500);
/// Bytes of the guard's stack.
const GUARD_STACK: usize = 64 * 1024;

/// The one of this process.
static OF_PROCESS: Storage = Storage::new();

/// Who makes calls to file systems, and who waits for a turn.
#[derive(Debug)]
struct Storage {
    inline: Semaphore,
    /// How often the inline turn was taken and given back: odd while a call is made.
    turns: AtomicU64,
    /// Somebody has waited too long for the inline turn, and it has not been given back since.
    is_stuck: AtomicBool,
    /// The guard has seen the same inline call for [`HANG`].
    inline_hangs: AtomicBool,
    calls: Semaphore,
    starts: Semaphore,
    devices: Mutex<BTreeMap<dev_t, Arc<Semaphore>>>,
    /// When each call began that is made aside now.
    aside: Mutex<Vec<Instant>>,
    guard: OnceLock<Thread>,
    guard_sleeps: AtomicBool,
}

/// A file system that calls are made to.
#[derive(Debug, Clone)]
pub(crate) struct Device<'s> {
    storage: &'s Storage,
    aside: Arc<Semaphore>,
}

/// A turn to make one call.
#[derive(Debug)]
pub(crate) enum Turn<'s> {
    /// On this thread.
    Inline(Inline<'s>),
    /// On this thread, after the runtime got another one.
    Aside(Places<'s>),
}

/// What a call aside holds while it is made: a place among all, and one among those to its file system.
/// One to a file system that is not known yet holds one of those for starts.
#[derive(Debug)]
pub(crate) struct Places<'s> {
    storage: &'s Storage,
    _of_all: Option<SemaphorePermit<'s>>,
    _of_device: Option<OwnedSemaphorePermit>,
}

/// The one inline turn.
#[derive(Debug)]
pub(crate) struct Inline<'s> {
    storage: &'s Storage,
    permit: Option<SemaphorePermit<'s>>,
}

/// Waits for a turn to a file system that is not known yet.
///
/// # Cancel safety
/// Cancel safe: no turn is taken.
pub(crate) async fn first_turn() -> Turn<'static> {
    OF_PROCESS.first_turn().await
}

/// Waits for a future; none if it is not ready at the deadline or later while a call to storage hangs. One
/// that only takes long, on a busy machine, is waited for.
///
/// # Cancel safety
/// As the future.
pub(crate) async fn unless_it_hangs<T>(
    mut deadline: Instant,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    loop {
        match timeout_at(deadline, &mut future).await {
            Ok(result) => return Some(result),
            Err(_) if OF_PROCESS.hangs() => return None,
            Err(_) => deadline = Instant::now() + LOOK,
        }
    }
}

/// Starts the guard of this runtime, once in the life of the process.
///
/// # Errors
/// There can be no further thread.
pub(crate) fn guard(runtime: Handle) -> io::Result<()> {
    thread::Builder::new()
        .name("storage-guard".into())
        .stack_size(GUARD_STACK)
        .spawn(move || OF_PROCESS.watch(&runtime))
        .map(drop)
}

/// Lets the other tasks have their turns. Meanwhile any thread can go on with this one;
/// `tokio::task::yield_now` leaves it to the thread that it was on, which may hang by then.
pub(crate) async fn give_way() {
    let mut has_given_way = false;
    poll_fn(|context| {
        if has_given_way {
            return Poll::Ready(());
        }
        has_given_way = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Device<'static> {
    /// The file system with this number (`st_dev`).
    pub(crate) fn of(number: dev_t) -> Device<'static> {
        OF_PROCESS.device(number)
    }
}

impl<'s> Device<'s> {
    /// Waits for a turn.
    ///
    /// # Cancel safety
    /// Cancel safe: no turn is taken.
    pub(crate) async fn turn(&self) -> Turn<'s> {
        let storage = self.storage;
        match storage.inline_turn().await {
            Some(inline) => Turn::Inline(inline),
            // A semaphore fails only when it is closed, and nobody closes these.
            None => {
                let of_device = Arc::clone(&self.aside).acquire_owned().await.ok();
                Turn::Aside(Places {
                    storage,
                    _of_all: storage.calls.acquire().await.ok(),
                    _of_device: of_device,
                })
            }
        }
    }
}

impl Storage {
    const fn new() -> Storage {
        Storage {
            inline: Semaphore::const_new(1),
            turns: AtomicU64::new(0),
            is_stuck: AtomicBool::new(false),
            inline_hangs: AtomicBool::new(false),
            calls: Semaphore::const_new(MAX_CALLS_ASIDE),
            starts: Semaphore::const_new(MAX_STARTS_ASIDE),
            devices: Mutex::new(BTreeMap::new()),
            aside: Mutex::new(Vec::new()),
            guard: OnceLock::new(),
            guard_sleeps: AtomicBool::new(false),
        }
    }

    fn device(&self, number: dev_t) -> Device<'_> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has gone leaves only the map's own count.
        devices.retain(|known, aside| *known == number || Arc::strong_count(aside) > 1);
        let new = || Arc::new(Semaphore::new(CALLS_ASIDE));
        let aside = Arc::clone(devices.entry(number).or_insert_with(new));
        Device {
            storage: self,
            aside,
        }
    }

    async fn first_turn(&self) -> Turn<'_> {
        match self.inline_turn().await {
            Some(inline) => Turn::Inline(inline),
            None => Turn::Aside(Places {
                storage: self,
                _of_all: self.starts.acquire().await.ok(),
                _of_device: None,
            }),
        }
    }

    async fn inline_turn(&self) -> Option<Inline<'_>> {
        if let Ok(permit) = self.inline.try_acquire() {
            return Some(self.take_inline(permit));
        }
        if self.is_stuck.load(Ordering::Relaxed) {
            return None;
        }
        match timeout(PATIENCE, self.inline.acquire()).await {
            Ok(permit) => permit.ok().map(|permit| self.take_inline(permit)),
            Err(_) => {
                self.is_stuck.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    fn take_inline<'s>(&'s self, permit: SemaphorePermit<'s>) -> Inline<'s> {
        self.turns.fetch_add(1, Ordering::SeqCst);
        if self.guard_sleeps.load(Ordering::SeqCst)
            && let Some(guard) = self.guard.get()
        {
            guard.unpark();
        }
        Inline {
            storage: self,
            permit: Some(permit),
        }
    }

    fn begin_aside(&self) -> Aside<'_> {
        let began = Instant::now();
        self.aside().push(began);
        Aside {
            storage: self,
            began,
        }
    }

    fn hangs(&self) -> bool {
        self.inline_hangs.load(Ordering::Relaxed)
            || self.aside().iter().any(|began| began.elapsed() >= HANG)
    }

    fn aside(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of the guard.
    fn watch(&self, runtime: &Handle) {
        self.guard.get_or_init(thread::current);
        let mut last = Look::first(self.turns.load(Ordering::SeqCst), Instant::now());
        loop {
            thread::park_timeout(LOOK);
            let turns = self.turns.load(Ordering::SeqCst);
            let found = last.again(turns, Instant::now());
            let hangs = matches!(found, Found::Same { hangs: true });
            self.inline_hangs.store(hangs, Ordering::Relaxed);
            match found {
                Found::Moving => {}
                // A task from outside wakes a thread, which waits for events when it is done.
                Found::Same { .. } => drop(runtime.spawn(std::future::ready(()))),
                Found::Nothing => {
                    // A call that begins after the look sees that this thread sleeps, and wakes it.
                    self.guard_sleeps.store(true, Ordering::SeqCst);
                    if self.turns.load(Ordering::SeqCst) == turns {
                        thread::park();
                    }
                    self.guard_sleeps.store(false, Ordering::SeqCst);
                }
            }
        }
    }
}

/// What the guard has seen of the inline turn, and since when it is so.
#[derive(Debug)]
struct Look {
    turns: u64,
    since: Instant,
}

/// What a look of the guard came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Calls were begun or ended since the last look.
    Moving,
    /// The same call is made as at the last look.
    Same {
        /// It was first seen [`HANG`] ago or earlier.
        hangs: bool,
    },
    /// No call is made, and none was since the last look.
    Nothing,
}

impl Look {
    fn first(turns: u64, now: Instant) -> Look {
        Look { turns, since: now }
    }

    fn again(&mut self, turns: u64, now: Instant) -> Found {
        if turns != self.turns {
            *self = Look::first(turns, now);
            return Found::Moving;
        }
        let is_calling = turns % 2 == 1;
        if is_calling {
            let hangs = now.duration_since(self.since) >= HANG;
            Found::Same { hangs }
        } else {
            Found::Nothing
        }
    }
}

impl Turn<'_> {
    /// Makes the call, and ends the turn, also if the call panics.
    pub(crate) fn call<T>(self, call: impl FnOnce() -> T) -> T {
        match self {
            Turn::Inline(turn) => {
                let result = call();
                drop(turn);
                result
            }
            Turn::Aside(places) => {
                let made = places.storage.begin_aside();
                let result = if has_spare_threads() {
                    tokio::task::block_in_place(call)
                } else {
                    call()
                };
                drop(made);
                drop(places);
                result
            }
        }
    }
}

impl Drop for Inline<'_> {
    fn drop(&mut self) {
        self.storage.turns.fetch_add(1, Ordering::SeqCst);
        // Before the turn is given on, so that the next one is not taken aside.
        self.storage.is_stuck.store(false, Ordering::Relaxed);
        drop(self.permit.take());
    }
}

/// A call that is made aside.
struct Aside<'s> {
    storage: &'s Storage,
    began: Instant,
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        let mut all = self.storage.aside();
        if let Some(at) = all.iter().position(|began| *began == self.began) {
            all.swap_remove(at);
        }
    }
}

/// A runtime of one thread, as in a test, has no other one to go on with.
fn has_spare_threads() -> bool {
    Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
