//! Edge: the second thread of the runtime, which sleeps while the first one goes on.
//!
//! The runtime has a thread more than may hang. Two that are both at work would wait for each other's
//! calls and wake each other, which cost a third of the time for 1,000 tasks that write. So one of the two
//! sleeps, in the middle of a task of the runtime: then the runtime takes it for busy, gives it nothing to
//! do, and the other thread takes what is left in its queue.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

/// How long the thread may take to lie down. One that does not, because the runtime has come to its end or
/// hangs, is not waited for.
const LIE_DOWN_LIMIT: Duration = Duration::from_secs(1);

/// A thread that sleeps until it is needed.
#[derive(Debug)]
pub(crate) struct Spare {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    may_sleep: bool,
    sleeps: bool,
}

impl Spare {
    /// One that is awake.
    pub(crate) const fn new() -> Spare {
        Spare {
            state: Mutex::new(State {
                may_sleep: false,
                sleeps: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// True from [`Spare::lay_down`] to [`Spare::wake`].
    pub(crate) fn may_sleep(&self) -> bool {
        self.state().may_sleep
    }

    /// Lets one thread of the runtime sleep, and returns when it does. Not to be called by one of them.
    pub(crate) fn lay_down(&'static self, runtime: &Handle) {
        self.state().may_sleep = true;
        runtime.spawn(async { self.sleep() });
        let lying_down = self
            .changed
            .wait_timeout_while(self.state(), LIE_DOWN_LIMIT, |state| !state.sleeps);
        drop(lying_down);
        // The thread may have been the one that waits for events. A task from outside wakes another one, which
        // does so when it is done.
        runtime.spawn(std::future::ready(()));
    }

    /// Wakes it.
    pub(crate) fn wake(&self) {
        self.state().may_sleep = false;
        self.changed.notify_all();
    }

    /// Does nothing if another thread sleeps already: there must be one that does not.
    fn sleep(&self) {
        let mut state = self.state();
        if state.sleeps {
            return;
        }
        while state.may_sleep {
            state.sleeps = true;
            self.changed.notify_all();
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.sleeps = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::io::Interest;
    use tokio::net::UnixStream;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn two_threads() -> Runtime {
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_io()
            .build()
            .unwrap()
    }

    fn spare() -> &'static Spare {
        Box::leak(Box::new(Spare::new()))
    }

    /// Has a byte sent to and fro by two tasks, so often.
    fn plays(runtime: &Runtime, times: usize) -> mpsc::Receiver<()> {
        let (tell, told) = mpsc::channel();
        let _in_it = runtime.enter();
        let (left, right) = UnixStream::pair().unwrap();
        for (end, begins) in [(left, true), (right, false)] {
            let tell = tell.clone();
            runtime.spawn(async move {
                for turn in 0..2 * times {
                    if turn.is_multiple_of(2) == begins {
                        end.async_io(Interest::WRITABLE, || end.try_write(b"x"))
                            .await
                            .unwrap();
                    } else {
                        end.async_io(Interest::READABLE, || end.try_read(&mut [0]))
                            .await
                            .unwrap();
                    }
                }
                tell.send(()).unwrap();
            });
        }
        told
    }

    fn ends(told: &mpsc::Receiver<()>) {
        for _ in 0..2 {
            told.recv_timeout(LONG).expect("the tasks go on");
        }
    }

    #[test]
    fn one_thread_sleeps_and_the_other_one_does_everything() {
        let (runtime, spare) = (two_threads(), spare());
        for _ in 0..20 {
            let before = plays(&runtime, 500);
            spare.lay_down(runtime.handle());
            assert!(spare.state().sleeps);
            ends(&before);
            ends(&plays(&runtime, 50));
            // A second one must not sleep as well.
            runtime.spawn(async { spare.sleep() });
            ends(&plays(&runtime, 50));
            spare.wake();
        }
        runtime.shutdown_background();
    }

    #[test]
    fn when_the_other_one_hangs_the_spare_one_goes_on() {
        let (runtime, spare) = (two_threads(), spare());
        spare.lay_down(runtime.handle());
        let (end, hang) = mpsc::channel::<()>();
        let (tell, hangs) = mpsc::channel();
        runtime.spawn(async move {
            tell.send(()).unwrap();
            hang.recv().unwrap_err();
        });
        hangs.recv_timeout(LONG).expect("it hangs");
        let told = plays(&runtime, 50);
        spare.wake();
        ends(&told);
        drop(end);
        spare.lay_down(runtime.handle());
        ends(&plays(&runtime, 50));
        spare.wake();
    }
}
