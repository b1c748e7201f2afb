//! Edge: the turns and the guard on a [`Storage`] of the test's own, with the clock of the runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Waker};

use super::*;

/// A storage whose inline call hangs, until that turn is dropped; and somebody has noticed.
async fn stuck(storage: &Storage) -> Inline<'_> {
    let Turn::Inline(inline) = storage.first_turn().await else {
        panic!("the first call is made inline")
    };
    let aside = storage.first_turn().await;
    assert!(matches!(aside, Turn::Aside(_)), "{aside:?}");
    inline
}

/// Polls once.
fn poll_now<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// True when there is a turn now. It is given back.
fn has_turn<'s>(turn: impl Future<Output = Turn<'s>>) -> bool {
    poll_now(pin!(turn)).is_ready()
}

/// Takes so many turns, each of which must be there now, and aside.
fn take<'s, F: Future<Output = Turn<'s>>>(count: usize, turn: impl Fn() -> F) -> Vec<Turn<'s>> {
    let take = |number| match poll_now(pin!(turn())) {
        Poll::Ready(turn @ Turn::Aside(_)) => turn,
        other @ (Poll::Ready(Turn::Inline(_)) | Poll::Pending) => {
            panic!("turn {number}: {other:?}")
        }
    };
    (0..count).map(take).collect()
}

#[tokio::test]
async fn one_call_at_a_time_is_made_inline_and_a_quick_one_is_waited_for() {
    let storage = Storage::new();
    let device = storage.device(1);
    let first = device.turn().await;
    assert!(matches!(first, Turn::Inline(_)), "{first:?}");
    let mut second = pin!(device.turn());
    assert!(poll_now(second.as_mut()).is_pending());
    assert_eq!(first.call(|| 7), 7);
    let second = poll_now(second);
    assert!(matches!(second, Poll::Ready(Turn::Inline(_))), "{second:?}");
}

#[tokio::test]
async fn calls_are_made_aside_until_the_stuck_one_returns() {
    let storage = Storage::new();
    let device = storage.device(1);
    let inline = stuck(&storage).await;
    drop(take(1, || device.turn()));
    assert_eq!(storage.turns.load(Ordering::SeqCst), 1);
    drop(inline);
    assert_eq!(storage.turns.load(Ordering::SeqCst), 2);
    let next = poll_now(pin!(device.turn()));
    assert!(matches!(next, Poll::Ready(Turn::Inline(_))), "{next:?}");
}

#[tokio::test]
async fn of_one_file_system_a_few_calls_are_made_aside_and_of_another_one_as_many() {
    let storage = Storage::new();
    let _inline = stuck(&storage).await;
    let (one, same, other) = (storage.device(1), storage.device(1), storage.device(2));
    let taken = take(CALLS_ASIDE, || one.turn());
    assert!(!has_turn(one.turn()));
    assert!(!has_turn(same.turn()), "two streams on one disk share it");
    drop(take(CALLS_ASIDE, || other.turn()));
    drop(taken);
    drop(take(CALLS_ASIDE, || same.turn()));
}

#[tokio::test]
async fn all_calls_together_are_bounded_and_starts_on_their_own() {
    let storage = Storage::new();
    let _inline = stuck(&storage).await;
    let devices: Vec<_> = (0..MAX_CALLS_ASIDE)
        .map(|number| storage.device(number as dev_t))
        .collect();
    let mut taken: Vec<_> = devices
        .iter()
        .flat_map(|device| take(1, || device.turn()))
        .collect();
    let another = storage.device(MAX_CALLS_ASIDE as dev_t);
    assert!(!has_turn(another.turn()));
    let starts = take(MAX_STARTS_ASIDE, || storage.first_turn());
    assert!(!has_turn(storage.first_turn()));
    drop(starts);
    assert!(!has_turn(another.turn()), "starts have other places");
    drop(taken.pop());
    assert!(has_turn(another.turn()));
    // Beside them the runtime has threads to spare.
    const { assert!(MAX_CALLS_ASIDE + MAX_STARTS_ASIDE < MAX_THREADS_ASIDE) };
}

#[tokio::test]
async fn a_file_system_that_nobody_uses_is_forgotten() {
    let storage = Storage::new();
    let kept = storage.device(1);
    drop(storage.device(2));
    drop(storage.device(3));
    let known: Vec<_> = storage.devices.lock().unwrap().keys().copied().collect();
    assert_eq!(known, [1, 3]);
    drop(kept);
}

#[tokio::test]
async fn a_call_that_ends_gives_its_place_back_also_by_a_panic() {
    let storage = Storage::new();
    let device = storage.device(1);
    let panics = |turn: Turn<'_>| {
        let caught = catch_unwind(AssertUnwindSafe(|| turn.call(|| panic!("meant"))));
        assert!(caught.is_err());
    };
    panics(device.turn().await);
    assert_eq!(storage.turns.load(Ordering::SeqCst), 2);
    let _inline = stuck(&storage).await;
    for _ in 0..2 {
        let mut taken = take(CALLS_ASIDE, || device.turn());
        assert!(!has_turn(device.turn()));
        panics(taken.pop().unwrap());
        assert!(has_turn(device.turn()));
        for turn in taken {
            let count = turn.call(|| storage.aside().len());
            assert_eq!(count, 1, "only this call is made");
        }
        assert_eq!(*storage.aside(), []);
    }
    for _ in 0..=MAX_STARTS_ASIDE {
        panics(take(1, || storage.first_turn()).remove(0));
    }
}

#[tokio::test]
async fn who_gives_up_waiting_takes_no_place() {
    let storage = Storage::new();
    let device = storage.device(1);
    let inline = stuck(&storage).await;
    let mut taken = take(CALLS_ASIDE, || device.turn());
    {
        let mut gives_up = pin!(device.turn());
        assert!(poll_now(gives_up.as_mut()).is_pending());
        // The place is given to who waits, and comes back with the end of the wait.
        drop(taken.pop());
        assert!(!has_turn(device.turn()));
    }
    assert!(has_turn(device.turn()));
    drop(inline);
    let first = device.turn().await;
    {
        let mut gives_up = pin!(device.turn());
        assert!(poll_now(gives_up.as_mut()).is_pending());
        drop(first);
    }
    let next = poll_now(pin!(device.turn()));
    assert!(matches!(next, Poll::Ready(Turn::Inline(_))), "{next:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_aside_lets_the_runtime_go_on() {
    let storage: &'static Storage = Box::leak(Box::new(Storage::new()));
    let _inline = stuck(storage).await;
    let turn = storage.device(1).turn().await;
    let ended = tokio::spawn(async move {
        let (tell, told) = std::sync::mpsc::channel();
        // It is done by another thread, as this one waits here.
        tokio::spawn(async move { tell.send(()) });
        turn.call(|| told.recv_timeout(Duration::from_secs(20)))
    });
    assert_eq!(ended.await.unwrap(), Ok(()));
}

#[test]
fn the_guard_tells_calls_that_go_on_from_one_that_hangs_and_from_none() {
    let begun = Instant::now();
    let at = |looks: u32| begun + LOOK * looks;
    let mut last = Look::first(0, begun);
    assert_eq!(last.again(0, at(1)), Found::Nothing);
    assert_eq!(last.again(7, at(2)), Found::Moving);
    assert_eq!(last.again(9, at(3)), Found::Moving, "another call");
    let same = |hangs| Found::Same { hangs };
    assert_eq!(last.again(9, at(4)), same(false));
    assert_eq!(last.again(9, at(7)), same(false));
    assert_eq!(last.again(9, at(8)), same(true), "500 ms after it was seen");
    assert_eq!(last.again(10, at(9)), Found::Moving, "it has ended");
    assert_eq!(last.again(10, at(10)), Found::Nothing);
}

#[tokio::test]
async fn a_call_aside_hangs_after_a_while_and_an_inline_one_when_the_guard_says_so() {
    let storage = Storage::new();
    assert!(!storage.hangs());
    let call = storage.begin_aside();
    assert!(!storage.hangs());
    let long_ago = Instant::now().checked_sub(HANG).unwrap();
    storage.aside().push(long_ago);
    assert!(storage.hangs());
    storage.aside().pop();
    drop(call);
    assert!(!storage.hangs());
    storage.inline_hangs.store(true, Ordering::Relaxed);
    assert!(storage.hangs());
}
