//! No thread ever waits in open(2). The number of threads belongs to the whole process, so this test is
//! alone in its program. It is an edge.

#![expect(
    clippy::unwrap_used,
    reason = "the functions that tests share may panic as tests do"
)]

mod fresh;

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fifo::{AsyncReader, Error, Reader, Writer};

const LONG: Duration = Duration::from_secs(30);

fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Runs the call in a thread, so that a call that never returns fails the test and does not hang it.
fn returns<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    let thread = std::thread::spawn(move || send.send(call()).unwrap());
    let result = receive
        .recv_timeout(LONG)
        .expect("the call returns although the peer is missing");
    thread.join().unwrap();
    result
}

fn open_every_end(path: &Path) {
    let owned = path.to_owned();
    let missing = returns(move || Writer::try_open(owned)).unwrap_err();
    assert!(matches!(missing, Error::NoReader { .. }), "got {missing:?}");
    let owned = path.to_owned();
    let missing =
        returns(move || Writer::open_within(owned, Duration::from_millis(5))).unwrap_err();
    assert!(matches!(missing, Error::NoReader { .. }), "got {missing:?}");
    let owned = path.to_owned();
    let reader = returns(move || Reader::open(owned)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let _reader = AsyncReader::new(reader).unwrap();
    let owned = path.to_owned();
    let _writer = returns(move || Writer::try_open(owned)).unwrap();
}

#[test]
fn opening_without_a_peer_returns_and_parks_no_thread() {
    let (_folder, path) = fresh::fifo();
    let before = thread_count();
    for _ in 0..20 {
        open_every_end(&path);
    }
    // A joined thread is still listed until the kernel has cleared it away; a parked one is for ever.
    let deadline = Instant::now() + LONG;
    while thread_count() != before && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(thread_count(), before);
}
