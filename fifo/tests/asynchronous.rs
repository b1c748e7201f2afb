//! Waiting without a thread: wake-ups, revival, cancellation, shutdown. These tests are an edge.

#![expect(
    clippy::unwrap_used,
    reason = "the functions that tests share may panic as tests do"
)]

mod fresh;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};

use fifo::{AsyncReader, Change, Lock, ReadOutcome, Reader, Writer, Written};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .unwrap()
}

/// Runs the test in a runtime of its own, in a thread that can be given up: a wait that spins inside of
/// one poll would otherwise hang the test instead of failing it.
fn run(test: impl Future<Output = ()> + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        runtime().block_on(test);
        done.send(()).unwrap();
    });
    // A test that panicked drops its end of the channel.
    if is_done.recv_timeout(2 * LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the runtime's thread never came back");
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn write(writer: &Writer, bytes: &[u8]) {
    assert_eq!(
        writer.try_write(bytes).unwrap(),
        Written::Bytes(bytes.len())
    );
}

async fn read(reader: &AsyncReader, buffer: &mut [u8]) -> ReadOutcome {
    timeout(LONG, reader.read(buffer))
        .await
        .expect("the read returns")
        .unwrap()
}

/// Waits for data in a task of its own and counts how often that task was woken.
fn spawn_counted_wait(reader: Arc<AsyncReader>) -> (JoinHandle<()>, Arc<AtomicUsize>) {
    let polls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&polls);
    let task = tokio::spawn(async move {
        let mut wait = pin!(reader.wait_for_data());
        poll_fn(|cx| {
            counter.fetch_add(1, Ordering::Relaxed);
            wait.as_mut().poll(cx)
        })
        .await
        .unwrap();
    });
    (task, polls)
}

/// Gives the runtime so many turns, in each of which it also asks the kernel for events.
async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

#[test]
fn a_read_without_a_writer_says_so_at_once_and_again() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::NoWriter);
        assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::NoWriter);
        drop(Writer::try_open(&path).unwrap());
        assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::NoWriter);
    });
}

#[test]
fn a_read_waits_for_bytes_while_there_is_a_writer() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        let writer = Writer::try_open(&path).unwrap();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 16];
            let outcome = read(&reader, &mut buffer).await;
            (outcome, buffer)
        });
        turns(10).await;
        assert!(!task.is_finished());
        write(&writer, b"bytes");
        let (outcome, buffer) = task.await.unwrap();
        assert_eq!(outcome, ReadOutcome::Bytes(5));
        assert_eq!(&buffer[..5], b"bytes");
    });
}

#[test]
fn a_waiting_read_ends_when_the_last_writer_leaves() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        let writer = Writer::try_open(&path).unwrap();
        let task = tokio::spawn(async move { read(&reader, &mut [0; 16]).await });
        turns(10).await;
        assert!(!task.is_finished());
        drop(writer);
        assert_eq!(task.await.unwrap(), ReadOutcome::NoWriter);
    });
}

#[test]
fn after_the_last_writer_left_waiting_costs_no_wake_ups() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let reader = Arc::new(AsyncReader::new(Reader::open(&path).unwrap()).unwrap());
        let writer = Writer::try_open(&path).unwrap();
        write(&writer, b"first");
        drop(writer);
        let mut buffer = [0; 16];
        assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::Bytes(5));
        assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::NoWriter);

        let (task, polls) = spawn_counted_wait(Arc::clone(&reader));
        turns(2000).await;
        assert!(!task.is_finished());
        // One to start, one for each of the two edges above, one to spare; a spinning wait has hundreds.
        let idle = polls.load(Ordering::Relaxed);
        assert!(idle <= 4, "{idle} wake-ups while nothing happened");

        let writer = Writer::try_open(&path).unwrap();
        write(&writer, b"second");
        timeout(LONG, task).await.expect("the wait ends").unwrap();
        assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::Bytes(6));
        assert_eq!(&buffer[..6], b"second");
        let all = polls.load(Ordering::Relaxed);
        assert!(all <= idle + 2, "{all} wake-ups for one write");
    });
}

#[test]
fn writers_that_come_and_go_without_a_byte_do_not_end_the_wait() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let reader = Arc::new(AsyncReader::new(Reader::open(&path).unwrap()).unwrap());
        let (task, polls) = spawn_counted_wait(Arc::clone(&reader));
        for _ in 0..50 {
            let writer = Writer::try_open(&path).unwrap();
            turns(5).await;
            drop(writer);
            turns(5).await;
        }
        assert!(!task.is_finished());
        let polls = polls.load(Ordering::Relaxed);
        assert!(polls <= 1 + 2 * 50, "{polls} wake-ups for 50 writers");

        let writer = Writer::try_open(&path).unwrap();
        write(&writer, b"x");
        timeout(LONG, task).await.expect("the wait ends").unwrap();
    });
}

#[test]
fn waiting_for_data_returns_at_once_while_there_is_some() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        let writer = Writer::try_open(&path).unwrap();
        write(&writer, b"abc");
        for left in [3, 2, 1] {
            assert_eq!(reader.get_ref().fill_level().unwrap(), left);
            timeout(LONG, reader.wait_for_data())
                .await
                .expect("there is data")
                .unwrap();
            assert_eq!(
                reader.get_ref().try_read(&mut [0; 1]).unwrap(),
                ReadOutcome::Bytes(1)
            );
        }
    });
}

#[test]
fn every_new_writer_revives_the_same_reader_and_no_wake_up_is_lost() {
    const GENERATIONS: usize = 500;
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let (received, has_received) = mpsc::channel::<u8>();
    // The writer goes on only when the last byte was read: a lost wake-up would stop both.
    let writer_thread = std::thread::spawn(move || {
        for generation in 0..GENERATIONS {
            let writer = Writer::try_open(&path).unwrap();
            write(&writer, &[generation as u8]);
            // Every other writer is still there when its byte is read.
            if generation % 2 == 0 {
                drop(writer);
                assert_eq!(has_received.recv_timeout(LONG), Ok(generation as u8));
            } else {
                assert_eq!(has_received.recv_timeout(LONG), Ok(generation as u8));
                drop(writer);
            }
        }
    });
    run(async move {
        let reader = AsyncReader::new(reader).unwrap();
        let mut count = 0;
        let mut buffer = [0; 16];
        while count < GENERATIONS {
            match read(&reader, &mut buffer).await {
                ReadOutcome::Bytes(bytes) => {
                    for byte in &buffer[..bytes] {
                        assert_eq!(*byte, count as u8);
                        count += 1;
                        received.send(*byte).unwrap();
                    }
                }
                ReadOutcome::NoWriter => {
                    timeout(LONG, reader.wait_for_data())
                        .await
                        .unwrap_or_else(|_| panic!("no wake-up for generation {count}"))
                        .unwrap();
                }
                ReadOutcome::Empty => panic!("an asynchronous read gave Empty"),
            }
        }
    });
    writer_thread.join().unwrap();
}

#[test]
fn a_cancelled_read_takes_no_byte() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        let writer = Writer::try_open(&path).unwrap();
        for round in 0..100_u8 {
            {
                let mut scrap = [0; 16];
                let mut cancelled = pin!(reader.read(&mut scrap));
                let first = poll_fn(|cx| Poll::Ready(cancelled.as_mut().poll(cx).is_pending()));
                assert!(first.await, "round {round}: nothing is there yet");
                write(&writer, &[round, round]);
                // The runtime has seen the edge; the read that it was for is dropped.
                turns(3).await;
            }
            assert_eq!(reader.get_ref().fill_level().unwrap(), 2);
            let mut buffer = [0; 16];
            assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::Bytes(2));
            assert_eq!(&buffer[..2], [round, round]);
        }
    });
}

#[test]
fn a_cancelled_wait_loses_no_wake_up() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        for round in 0..100 {
            {
                let mut cancelled = pin!(reader.wait_for_data());
                let first = poll_fn(|cx| Poll::Ready(cancelled.as_mut().poll(cx).is_pending()));
                assert!(first.await, "round {round}: nothing is there yet");
                write(&Writer::try_open(&path).unwrap(), b"x");
                turns(3).await;
            }
            timeout(LONG, reader.wait_for_data())
                .await
                .expect("there is data")
                .unwrap();
            assert_eq!(read(&reader, &mut [0; 16]).await, ReadOutcome::Bytes(1));
        }
    });
}

#[test]
fn a_stream_that_never_runs_dry_does_not_starve_other_tasks() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        let writer = Writer::try_open(&path).unwrap();
        let ran = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ran);
        let other = tokio::spawn(async move { flag.store(true, Ordering::Relaxed) });
        for _ in 0..10_000 {
            write(&writer, b"x");
            assert_eq!(
                reader.read(&mut [0; 1]).await.unwrap(),
                ReadOutcome::Bytes(1)
            );
        }
        assert!(
            ran.load(Ordering::Relaxed),
            "10,000 reads and the other task never ran"
        );
        other.await.unwrap();
    });
}

#[test]
fn a_runtime_shuts_down_at_once_while_reads_are_pending() {
    let (_folder, path) = fresh::fifo();
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = runtime();
        let writer = runtime.block_on(async {
            let idle = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
            tokio::spawn(async move { idle.wait_for_data().await });
            let waiting = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
            let writer = Writer::try_open(&path).unwrap();
            tokio::spawn(async move { waiting.read(&mut [0; 16]).await });
            turns(5).await;
            writer
        });
        drop(runtime);
        // The readers went with their tasks.
        done.send(writer.try_write(b"x").unwrap()).unwrap();
    });
    let after = is_done.recv_timeout(LONG).expect("the runtime shuts down");
    assert_eq!(after, Written::NoReader);
    thread.join().unwrap();
}

#[test]
fn the_reader_comes_back_with_its_lock_and_can_be_registered_again() {
    let (_folder, path) = fresh::fifo();
    let other = Reader::open(&path).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.try_lock().unwrap(), Lock::Acquired);
    let identity = reader.identity();
    let reader = runtime().block_on(async { AsyncReader::new(reader).unwrap().into_inner() });
    assert_eq!(reader.identity(), identity);
    assert_eq!(other.try_lock().unwrap(), Lock::HeldElsewhere);
    run(async move {
        let reader = AsyncReader::new(reader).unwrap();
        let writer = Writer::try_open(&path).unwrap();
        write(&writer, b"again");
        assert_eq!(read(&reader, &mut [0; 16]).await, ReadOutcome::Bytes(5));
    });
}

#[test]
#[should_panic = "runtime"]
fn registering_outside_of_a_runtime_panics() {
    let (_folder, path) = fresh::fifo();
    drop(AsyncReader::new(Reader::open(&path).unwrap()));
}

#[test]
fn a_wait_after_a_rest_finds_what_came_during_it() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        let writer = Writer::try_open(&path).unwrap();
        // The edges so far: the writer has come.
        while timeout(Duration::from_millis(20), reader.changed())
            .await
            .is_ok()
        {}
        reader.rest().unwrap();
        reader.rest().unwrap();
        write(&writer, b"x");
        drop(writer);
        timeout(LONG, reader.changed())
            .await
            .expect("what came during the rest counts")
            .unwrap();
        let mut buffer = [0; 16];
        assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::Bytes(1));
        assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::NoWriter);
    });
}

#[tokio::test]
async fn a_change_says_whether_there_was_a_writer() {
    let (_folder, path) = fresh::fifo();
    let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(writer.try_write(b"a").unwrap(), Written::Bytes(1));
    assert_eq!(reader.changed().await.unwrap(), Change::HasWriter);
    assert_eq!(writer.try_write(b"b").unwrap(), Written::Bytes(1));
    drop(writer);
    assert_eq!(
        reader.changed().await.unwrap(),
        Change::Unknown,
        "bytes, and nobody who writes more"
    );
    let late = Writer::try_open(&path).unwrap();
    assert_eq!(late.try_write(b"c").unwrap(), Written::Bytes(1));
    assert_eq!(reader.changed().await.unwrap(), Change::HasWriter);
    drop(late);
    assert_eq!(reader.changed().await.unwrap(), Change::Unknown);
}

#[tokio::test]
async fn a_writer_that_leaves_during_a_rest_without_a_byte_is_a_change() {
    let (_folder, path) = fresh::fifo();
    let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    write(&writer, b"a");
    assert_eq!(reader.changed().await.unwrap(), Change::HasWriter);
    let mut buffer = [0; 16];
    assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::Bytes(1));
    reader.rest().unwrap();
    drop(writer);
    let changed = timeout(LONG, reader.changed()).await;
    assert_eq!(changed.expect("it has left").unwrap(), Change::Unknown);

    let late = Writer::try_open(&path).unwrap();
    write(&late, b"b");
    assert_eq!(reader.changed().await.unwrap(), Change::HasWriter);
    assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::Bytes(1));
    reader.rest().unwrap();
    let quiet = timeout(Duration::from_millis(50), reader.changed()).await;
    quiet.expect_err("a writer is there and writes nothing");
    drop(late);
    let changed = timeout(LONG, reader.changed()).await;
    assert_eq!(changed.expect("it has left, too").unwrap(), Change::Unknown);
}

#[test]
fn a_short_rest_ends_in_time_and_not_before_and_no_write_ends_it() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let mut reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        let writer = Writer::try_open(&path).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let writing = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let _or_full: Written = writer.try_write(b"x").unwrap();
            }
        });
        for micros in [250, 0, 2500, 700, 20_000] {
            let rest = Duration::from_micros(micros);
            let began = Instant::now();
            reader.begin_rest(rest).unwrap();
            let mut wait = pin!(reader.rest_over());
            let mut polls = 0;
            let counted = poll_fn(|context| {
                polls += 1;
                wait.as_mut().poll(context)
            });
            let rested = timeout(LONG, counted).await;
            rested.expect("the rest ends").unwrap();
            assert!(began.elapsed() >= rest, "{:?}", began.elapsed());
            // To begin with, for what came before it, and for the timer.
            assert!(polls <= 3, "{polls} polls in {rest:?}");
            let mut buffer = [0; 64 * 1024];
            assert!(matches!(
                read(&reader, &mut buffer).await,
                ReadOutcome::Bytes(_)
            ));
        }
        is_over.store(true, Ordering::Relaxed);
        writing.join().unwrap();
    });
}

#[test]
fn what_came_during_a_short_rest_is_an_edge_and_a_timer_is_none() {
    let (_folder, path) = fresh::fifo();
    run(async move {
        let mut reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        let writer = Writer::try_open(&path).unwrap();
        let rest = Duration::from_micros(300);
        reader.begin_rest(rest).unwrap();
        timeout(LONG, reader.rest_over()).await.unwrap().unwrap();
        // Its timer runs on, and ends while something else is waited for.
        reader.begin_rest(rest).unwrap();
        let changed = timeout(LONG, reader.changed()).await;
        assert_eq!(changed.expect("the timer ends").unwrap(), Change::Unknown);
        let quiet = timeout(Duration::from_millis(50), reader.changed()).await;
        quiet.expect_err("nothing has happened");

        // One that is given up never ends, and the next one is a new one.
        reader.begin_rest(Duration::ZERO).unwrap();
        reader.give_up_timer();
        let given_up = timeout(Duration::from_millis(20), reader.rest_over()).await;
        given_up.expect_err("its timer is closed");

        // Both at once.
        reader.begin_rest(Duration::ZERO).unwrap();
        write(&writer, b"x");
        let changed = timeout(LONG, reader.changed()).await;
        assert_eq!(changed.expect("a byte came").unwrap(), Change::HasWriter);
        reader.begin_rest(rest).unwrap();
        timeout(LONG, reader.rest_over()).await.unwrap().unwrap();
        write(&writer, b"y");
        drop(writer);
        let changed = timeout(LONG, reader.changed()).await;
        assert_eq!(changed.expect("all left").unwrap(), Change::Unknown);
        let mut buffer = [0; 16];
        assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::Bytes(2));
        assert_eq!(read(&reader, &mut buffer).await, ReadOutcome::NoWriter);
    });
}
