//! Edge: starting a stream that runs (contract MON-4, MON-5).

use std::ffi::OsStr;

use fifo::{ReadOutcome, Reader};
use logmon::collect::{Condition, OnFull};
use logmon::config::StreamConfig;
use logmon::limits::Limits;
use logmon::name::{StreamKind, StreamName};
use logmon::status::Reply;
use logmon::{Collector, Error, Started};

use crate::support::{LIMIT, Place, lines, write_all};

fn config(place: &Place, fifo: &str, name: &str) -> StreamConfig {
    StreamConfig {
        kind: match fifo {
            "err" => StreamKind::Stderr,
            _ => StreamKind::Stdout,
        },
        fifo: place.path(fifo).into(),
        fifo_mode: 0o600,
        fifo_owner: None,
        name: StreamName::parse(OsStr::new(name)).unwrap(),
        log_dir: place.path("logs").into(),
        trusted_root: None,
        limits: Limits::checked(5, 1 << 20, 1 << 15).unwrap(),
        on_full: OnFull::Block,
    }
}

#[tokio::test]
async fn a_running_stream_is_untouched_while_the_other_one_starts() {
    let place = Place::new();
    let mut collector = Collector::new();
    assert_eq!(
        collector
            .start(config(&place, "out", "demo.stdout"))
            .unwrap(),
        Started::Now
    );
    let writer = place.writer();
    write_all(&writer, &lines(0, 3));
    assert_eq!(
        collector
            .start(config(&place, "out", "demo.stdout"))
            .unwrap(),
        Started::AlreadyRunning
    );
    assert_eq!(
        collector
            .start(config(&place, "err", "demo.stderr"))
            .unwrap(),
        Started::Now
    );
    write_all(&writer, &lines(3, 3));
    let summaries = collector.stop().await.unwrap();
    assert_eq!(summaries.len(), 2);
    assert_eq!(summaries[0].counters.written_bytes, 600);
    assert_eq!(place.log(), lines(0, 6));
}

#[tokio::test]
async fn other_limits_for_a_running_stream_are_applied() {
    let place = Place::new();
    let mut collector = Collector::new();
    collector
        .start(config(&place, "out", "demo.stdout"))
        .unwrap();
    let writer = place.writer();
    write_all(&writer, &lines(0, 3));
    let other = StreamConfig {
        limits: Limits::checked(9, 200, 100).unwrap(),
        ..config(&place, "out", "demo.stdout")
    };
    assert_eq!(
        collector.start(other.clone()).unwrap(),
        Started::OtherLimits
    );
    assert_eq!(collector.start(other).unwrap(), Started::AlreadyRunning);
    write_all(&writer, &lines(3, 3));
    drop(writer);
    collector.stop().await.unwrap();
    // The commands come before the bytes, so the first file has what was written with the first limit
    // or nothing of it, and each later one keeps the new limit.
    assert_eq!(place.log(), lines(0, 6));
    let files = place.files();
    assert!(files[1..].iter().all(|(_, bytes)| bytes.len() <= 200));
    assert!(files.len() >= 3, "{} files", files.len());
}

#[tokio::test]
async fn another_path_for_a_running_stream_is_an_error_and_changes_nothing() {
    let place = Place::new();
    let mut collector = Collector::new();
    collector
        .start(config(&place, "out", "demo.stdout"))
        .unwrap();
    let other = StreamConfig {
        limits: Limits::checked(9, 10, 1).unwrap(),
        fifo: place.path("err").into(),
        ..config(&place, "out", "demo.stdout")
    };
    assert!(matches!(
        collector.start(other),
        Err(Error::OtherSettings { .. })
    ));
    place.write(&lines(0, 3));
    collector.stop().await.unwrap();
    assert_eq!(place.files(), [(0, lines(0, 3))]);
}

#[tokio::test]
async fn a_collector_that_is_dropped_drains_and_lets_go() {
    let place = Place::new();
    let mut collector = Collector::new();
    collector
        .start(config(&place, "out", "demo.stdout"))
        .unwrap();
    place.write(&lines(0, 3));
    drop(collector);
    let spare = Reader::open(place.path("out")).unwrap();
    let deadline = tokio::time::Instant::now() + LIMIT;
    while spare.try_lock().unwrap() != fifo::Lock::Acquired {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the lock is not freed"
        );
        tokio::task::yield_now().await;
    }
    assert_eq!(place.log(), lines(0, 3));
    assert_eq!(spare.try_read(&mut [0; 10]).unwrap(), ReadOutcome::NoWriter);
}

#[tokio::test]
async fn the_status_counts_what_went_in_and_out() {
    let place = Place::new();
    let mut collector = Collector::new();
    collector
        .start(config(&place, "out", "demo.stdout"))
        .unwrap();
    let told = collector.status().await;
    let [(kind, Reply::Status(status))] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(*kind, StreamKind::Stdout);
    assert_eq!(status.counters.read_bytes, 0);
    assert_eq!(status.last_write, None);
    let writer = place.writer();
    write_all(&writer, &lines(0, 3));
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let told = collector.status().await;
        let Reply::Status(status) = told[0].1 else {
            panic!("{told:?}")
        };
        if status.counters.written_bytes == 300 {
            assert_eq!(status.counters.read_bytes, 300);
            assert_eq!(status.lag_bytes, 0);
            assert_eq!(status.condition, Condition::Collecting);
            assert_eq!(status.current_index, Some(0));
            let ago = status.last_write.unwrap().elapsed().unwrap();
            assert!(ago < LIMIT, "{ago:?}");
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{told:?}");
        tokio::task::yield_now().await;
    }
}
