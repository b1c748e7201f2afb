//! Edge: starting a stream that runs (contract MON-4, MON-5).

use std::ffi::OsStr;

use fifo::{ReadOutcome, Reader};
use logmon::collect::OnFull;
use logmon::config::StreamConfig;
use logmon::limits::Limits;
use logmon::name::StreamName;
use logmon::{Collector, Error, Started};

use crate::subject::{LIMIT, Place, lines, write_all};

fn config(place: &Place, fifo: &str, name: &str) -> StreamConfig {
    StreamConfig {
        fifo: place.path(fifo),
        fifo_mode: 0o600,
        name: StreamName::parse(OsStr::new(name)).unwrap(),
        log_dir: place.path("logs"),
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
    assert_eq!(summaries[1].counters.written_bytes, 600);
    assert_eq!(place.log(), lines(0, 6));
}

#[tokio::test]
async fn other_settings_for_a_running_stream_are_an_error_and_change_nothing() {
    let place = Place::new();
    let mut collector = Collector::new();
    collector
        .start(config(&place, "out", "demo.stdout"))
        .unwrap();
    let other = StreamConfig {
        limits: Limits::checked(9, 10, 1).unwrap(),
        ..config(&place, "out", "demo.stdout")
    };
    assert!(matches!(
        collector.start(other),
        Err(Error::OtherSettings { .. })
    ));
    place.write(&lines(0, 3));
    collector.stop().await.unwrap();
    assert_eq!(place.log(), lines(0, 3));
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
