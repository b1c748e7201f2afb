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

/// How often the inline turn was taken and given back: odd while a call is made.
static TURNS: AtomicU64 = AtomicU64::new(0);
/// The guard has seen the same inline call for [`HANG`].
static INLINE_HANGS: AtomicBool = AtomicBool::new(false);
/// When each call began that is made aside now.
static ASIDE: Mutex<Vec<Instant>> = Mutex::new(Vec::new());
static GUARD: OnceLock<Thread> = OnceLock::new();
static GUARD_SLEEPS: AtomicBool = AtomicBool::new(false);
static CALLS: Semaphore = Semaphore::const_new(MAX_CALLS_ASIDE);
static STARTS: Semaphore = Semaphore::const_new(MAX_STARTS_ASIDE);
static INLINE: Semaphore = Semaphore::const_new(1);
static IS_STUCK: AtomicBool = AtomicBool::new(false);
static DEVICES: Mutex<BTreeMap<dev_t, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());

/// A file system that calls are made to.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    aside: Arc<Semaphore>,
}

/// A turn to make one call.
#[derive(Debug)]
pub(crate) enum Turn {
    /// On this thread.
    Inline(Inline),
    /// On this thread, after the runtime got another one.
    Aside(Places),
}

/// What a call aside holds while it is made: a place among all, and one among those to its file system.
/// One to a file system that is not known yet holds one of those for starts.
#[derive(Debug)]
pub(crate) struct Places {
    _of_all: Option<SemaphorePermit<'static>>,
    _of_device: Option<OwnedSemaphorePermit>,
}

/// The one inline turn.
#[derive(Debug)]
pub(crate) struct Inline(Option<SemaphorePermit<'static>>);

impl Inline {
    fn with(permit: SemaphorePermit<'static>) -> Inline {
        TURNS.fetch_add(1, Ordering::SeqCst);
        if GUARD_SLEEPS.load(Ordering::SeqCst)
            && let Some(guard) = GUARD.get()
        {
            guard.unpark();
        }
        Inline(Some(permit))
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        TURNS.fetch_add(1, Ordering::SeqCst);
        // Before the turn is given on, so that the next one is not taken aside.
        IS_STUCK.store(false, Ordering::Relaxed);
        drop(self.0.take());
    }
}

impl Device {
    /// The file system with this number (`st_dev`).
    pub(crate) fn of(number: dev_t) -> Device {
        let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has gone leaves only the map's own count.
        devices.retain(|known, aside| *known == number || Arc::strong_count(aside) > 1);
        let new = || Arc::new(Semaphore::new(CALLS_ASIDE));
        let aside = Arc::clone(devices.entry(number).or_insert_with(new));
        Device { aside }
    }

    /// Waits for a turn.
    ///
    /// # Cancel safety
    /// Cancel safe: no turn is taken.
    pub(crate) async fn turn(&self) -> Turn {
        match inline_turn().await {
            Some(inline) => Turn::Inline(inline),
            // A semaphore fails only when it is closed, and nobody closes these.
            None => {
                let of_device = Arc::clone(&self.aside).acquire_owned().await.ok();
                Turn::Aside(Places {
                    _of_all: CALLS.acquire().await.ok(),
                    _of_device: of_device,
                })
            }
        }
    }
}

/// Waits for a turn to a file system that is not known yet.
///
/// # Cancel safety
/// Cancel safe: no turn is taken.
pub(crate) async fn first_turn() -> Turn {
    match inline_turn().await {
        Some(inline) => Turn::Inline(inline),
        None => Turn::Aside(Places {
            _of_all: STARTS.acquire().await.ok(),
            _of_device: None,
        }),
    }
}

async fn inline_turn() -> Option<Inline> {
    if let Ok(permit) = INLINE.try_acquire() {
        return Some(Inline::with(permit));
    }
    if IS_STUCK.load(Ordering::Relaxed) {
        return None;
    }
    match timeout(PATIENCE, INLINE.acquire()).await {
        Ok(permit) => permit.ok().map(Inline::with),
        Err(_) => {
            IS_STUCK.store(true, Ordering::Relaxed);
            None
        }
    }
}

impl Turn {
    /// Makes the call, and ends the turn.
    pub(crate) fn call<T>(self, call: impl FnOnce() -> T) -> T {
        match self {
            Turn::Inline(turn) => {
                let result = call();
                drop(turn);
                result
            }
            Turn::Aside(places) => {
                let made = Aside::begin();
                let result = if has_spare_threads() {
                    tokio::task::block_in_place(call)
                } else {
                    call()
                };
                drop((made, places));
                result
            }
        }
    }
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

/// A call that is made aside.
struct Aside {
    began: Instant,
}

impl Aside {
    fn begin() -> Aside {
        let began = Instant::now();
        aside().push(began);
        Aside { began }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let mut all = aside();
        if let Some(at) = all.iter().position(|began| *began == self.began) {
            all.swap_remove(at);
        }
    }
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
            Err(_) if hangs() => return None,
            Err(_) => deadline = Instant::now() + LOOK,
        }
    }
}

fn hangs() -> bool {
    INLINE_HANGS.load(Ordering::Relaxed) || aside().iter().any(|began| began.elapsed() >= HANG)
}

fn aside() -> MutexGuard<'static, Vec<Instant>> {
    ASIDE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A runtime of one thread, as in a test, has no other one to go on with.
fn has_spare_threads() -> bool {
    Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// Starts the guard of this runtime, once in the life of the process.
///
/// # Errors
/// There can be no further thread.
pub(crate) fn guard(runtime: Handle) -> io::Result<()> {
    thread::Builder::new()
        .name("storage-guard".into())
        .stack_size(GUARD_STACK)
        .spawn(move || watch(&runtime))
        .map(drop)
}

fn watch(runtime: &Handle) {
    GUARD.get_or_init(thread::current);
    let (mut seen, mut since) = (TURNS.load(Ordering::SeqCst), Instant::now());
    loop {
        thread::park_timeout(LOOK);
        let now = TURNS.load(Ordering::SeqCst);
        let is_calling = now % 2 == 1;
        let seen_anew = now != seen;
        if seen_anew {
            (seen, since) = (now, Instant::now());
        }
        INLINE_HANGS.store(is_calling && since.elapsed() >= HANG, Ordering::Relaxed);
        if seen_anew {
            continue;
        }
        if is_calling {
            // A task from outside wakes a thread, which waits for events when it is done.
            drop(runtime.spawn(std::future::ready(())));
        } else {
            // A call that begins after the look sees that this thread sleeps, and wakes it.
            GUARD_SLEEPS.store(true, Ordering::SeqCst);
            if TURNS.load(Ordering::SeqCst) == seen {
                thread::park();
            }
            GUARD_SLEEPS.store(false, Ordering::SeqCst);
        }
    }
}
